"""Cutting records into calls of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retriever.batched import bounded
from retriever.stores import Record

MOST_BYTES = 8 * 2**20
"""Bytes a call, about, unless a single record has more: a server takes 40 MiB of JSON."""

_BYTES_A_KEY = 64


def batches(records: Sequence[Record], most_records: int) -> Iterator[list[Record]]:
    """Cut records into batches of bounded count and size, in order.

    :param records: any number.
    :param most_records: in one batch.
    """
    return bounded(records, _bytes, most_records, MOST_BYTES)


def _bytes(record: Record) -> int:
    """About what a record weighs as JSON: text as UTF-8 is at most thrice its characters, vectors go as base 64."""
    sparse = 0 if record.sparse is None else 8 * len(record.sparse)
    metadata = sum(_BYTES_A_KEY + 3 * len(str(value)) for value in record.chunk.metadata.values())
    return 3 * len(record.chunk.text) + (record.vector.nbytes + sparse) * 4 // 3 + metadata
