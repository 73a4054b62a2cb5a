"""Checking records before anything is written: a store's own check may come after it has written their neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from retriever.errors import InvalidInput
from retriever.stores import Record


def check_records(records: Sequence[Record], dimension: int, *, sparse: bool = False) -> None:
    """Refuse what a store would take without a word, or write half of.

    :param records: all that shall be written.
    :param dimension: of the index.
    :param sparse: whether its records have learned sparse vectors.
    :raises InvalidInput: naming the chunk.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        _check(records, dimension, sparse)


def _check(records: Sequence[Record], dimension: int, sparse: bool) -> None:
    seen: set[str] = set()
    for record in records:
        chunk_id = record.chunk.id
        if chunk_id in seen:
            raise InvalidInput(f"chunk {chunk_id} is there twice")
        seen.add(chunk_id)
        if record.vector.shape != (dimension,):
            raise InvalidInput(
                f"chunk {chunk_id}: its vector has shape {record.vector.shape}, the index has {dimension} dimensions"
            )
        # The square is finite unless a number is not, or some are so large that it overflows: only then look at each.
        if not math.isfinite(record.vector @ record.vector) and not np.isfinite(record.vector).all():
            raise InvalidInput(f"chunk {chunk_id}: its vector holds NaN or infinity")
        if (record.sparse is not None) != sparse:
            raise InvalidInput(
                f"chunk {chunk_id}: it has {'no' if sparse else 'a'} learned sparse vector, and the index has "
                f"{'a model' if sparse else 'no model'} for them"
            )
