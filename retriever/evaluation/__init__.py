"""How good an index is, and what would make it better."""
