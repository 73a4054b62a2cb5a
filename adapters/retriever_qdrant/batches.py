"""Cutting records into updates of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retriever.batched import bounded
from retriever.stores import Record

MOST_RECORDS = 64
"""Records an update, which stops the other threads of the process meanwhile: one of 256 for 10 ms, of 64 for 3 ms. An
event loop is one of them. Smaller ones take longer in all."""

MOST_BYTES = 4 * 2**20
"""Bytes an update, about, unless a single record has more."""

PAGE = 1_000
"""Ids or ledger lines a call of the engine."""


def batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Cut records into batches of bounded count and size, in order.

    :param records: any number.
    """
    return bounded(records, _bytes, MOST_RECORDS, MOST_BYTES)


def _bytes(record: Record) -> int:
    """About what a record weighs: text as UTF-8 is at most thrice its characters here, a term is 8 bytes."""
    sparse = 0 if record.sparse is None else len(record.sparse)
    return 3 * len(record.chunk.text) + record.vector.nbytes + 8 * (len(record.terms) + sparse)
