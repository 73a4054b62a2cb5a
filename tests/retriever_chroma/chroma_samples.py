"""What these tests fill their stores with."""

from __future__ import annotations

import numpy as np

from retriever.filters import FilterInput, parse_filter
from retriever.stores import Query, Store
from retriever.testing.samples import DIMENSION, chunk_id, make_chunk, make_manifest, make_record

__all__ = ["DIMENSION", "chunk_id", "keyword", "make_chunk", "make_manifest", "make_record", "semantic", "vector"]


def vector(*numbers: float) -> np.ndarray:
    """Four numbers."""
    return np.array(numbers or (1, 0, 0, 0), dtype=np.float32)


def keyword(store: Store, word: str, condition: FilterInput = None) -> list[str]:
    """Keys that the keyword leg finds."""
    legs = store.search(Query(100, None, {word: 1}, parse_filter(condition)))
    return [candidate.key for candidate in legs.keyword]


def semantic(store: Store, condition: FilterInput = None, depth: int = 100) -> list[str]:
    """Keys that the semantic leg finds."""
    legs = store.search(Query(depth, vector(), None, parse_filter(condition)))
    return [candidate.key for candidate in legs.semantic]
