"""Checking records before anything is written, and cutting them into updates of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from retriever.errors import InvalidInput
from retriever.stores import Record

MOST_RECORDS = 256
"""Records an update: one of 2,000 stops the other threads of the process for 30 ms."""

MOST_BYTES = 4 * 2**20
"""Bytes an update, about, unless a single record has more."""

PAGE = 1_000
"""Ids or ledger lines a call of the engine."""


def check_records(records: Sequence[Record], dimension: int) -> None:
    """Refuse what the engine would take or half-write: its own check comes after a bad point's neighbours are written.

    :param records: all that shall be written.
    :param dimension: of the index.
    :raises InvalidInput: naming the chunk.
    """
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
        if not np.isfinite(record.vector).all():
            raise InvalidInput(f"chunk {chunk_id}: its vector holds NaN or infinity")


def batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Cut records into batches of bounded count and size, in order.

    :param records: any number.
    """
    batch: list[Record] = []
    size = 0
    for record in records:
        weight = _bytes(record)
        if batch and (len(batch) == MOST_RECORDS or size + weight > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += weight
    if batch:
        yield batch


def _bytes(record: Record) -> int:
    """About what a record weighs: text as UTF-8 is at most thrice its characters here, a term is 8 bytes."""
    return 3 * len(record.chunk.text) + record.vector.nbytes + 8 * len(record.terms)
