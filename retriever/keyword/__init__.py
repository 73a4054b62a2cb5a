"""The keyword leg: analyser, BM25."""
