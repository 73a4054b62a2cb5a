"""A run as a report: JSON, Markdown for a pull request, or one HTML file that needs no network.

figures     every number of a report, one model: what all three are made from
differences query by query, between two configurations
costs       speed, memory and money, of the runs that measured them
wording     the same in plain words
numbers     how figures are written
plots       where lines, points and bars stand
markdown    the short form
page        the HTML
"""
