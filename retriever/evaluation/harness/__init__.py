"""The benchmark harness: scenarios in, run folders out.

scenario        what to compare: a TOML file, checked
datasets        documents, queries and judgements, from wherever they are
configurations  the grid: each combination once, with an id and a label
places          where the stores of a scenario are
steps           results that are shared, kept and found again: files named by what they were made from
answering       each configuration's answers, from as few indexes and searches as can be
summary         every number that is printed: pure functions of the records of single queries
records         what is in a run folder, for whoever reads one
running         all of it, in order
verifying       every number, computed again
comparing       two runs, before and after a change
gate            whether the change may go in
"""
