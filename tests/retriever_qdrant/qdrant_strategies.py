"""What these tests draw from."""

from retriever.testing.strategies import DRIFTING, NUMBERS, filters, metadata

__all__ = ["DRIFTING", "NUMBERS", "filters", "metadata"]
