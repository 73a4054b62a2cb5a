"""What a store answers beside what the exact store in memory answers."""

# ruff: noqa: S101 - assertions are what a test is made of
from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from retriever.filters import Filter, matches
from retriever.memory import MemoryStore
from retriever.metadata import record_hash
from retriever.stores import Candidate, Query, Record, Store
from retriever.testing.samples import make_manifest
from retriever.types import Chunk

EVERYTHING = 10_000
"""A depth beyond what the tests of matches store."""

VECTOR = np.array([1, 0, 0, 0], dtype=np.float32)


def exact(records: Sequence[Record], *, sparse: bool = False) -> MemoryStore:
    """The exact store, holding these records.

    :param records: any.
    :param sparse: whether they have learned sparse vectors.
    """
    memory = MemoryStore()
    memory.create(make_manifest(sparse=sparse))
    memory.upsert(records)
    return memory


def clear(store: Store) -> None:
    """Remove all records, since to make another index takes longer.

    :param store: any.
    """
    store.delete([entry.chunk_id for entry in store.entries()])
    manifest = store.read_manifest()
    if manifest is not None and store.count():  # a fault, which must not spread to what is tried next
        store.destroy()
        store.create(manifest)


def held(store: Store) -> list[Chunk]:
    """All chunks of a store, by id.

    :param store: any.
    """
    ids = sorted(entry.chunk_id for entry in store.entries())
    found = store.fetch([store.key(chunk_id) for chunk_id in ids])
    return [found[store.key(chunk_id)] for chunk_id in ids]


def expected(records: Iterable[Record], condition: Filter | None) -> set[str]:
    """Ids of the records that match, by definition.

    :param records: all that are stored.
    :param condition: a parsed filter.
    """
    return {record.chunk.id for record in records if matches(condition, record.chunk)}


def matching_ids(store: Store, condition: Filter | None) -> set[str]:
    """Ids of the records that a store says match, asked in all four ways.

    :param store: all of its records have the term ``word``.
    :param condition: a parsed filter.
    """
    listed = [entry.chunk_id for entry in store.entries(condition)]
    ids = set(listed)
    assert len(listed) == len(ids), "the ledger lists a record twice"
    assert store.count(condition) == len(ids), "count and ledger disagree"
    legs = store.search(Query(EVERYTHING, VECTOR, {"word": 1}, condition))
    keys = {store.key(chunk_id) for chunk_id in ids}
    assert {candidate.key for candidate in legs.semantic} == keys, "semantic leg and ledger disagree"
    assert {candidate.key for candidate in legs.keyword} == keys, "keyword leg and ledger disagree"
    return ids


def check_chunks(store: Store, chunks: Sequence[Chunk]) -> None:
    """The store holds these chunks and no others, to the last bit and type, and its ledger says so.

    :param store: any.
    :param chunks: with distinct ids.
    """
    keys = [store.key(chunk.id) for chunk in chunks]
    found = store.fetch(keys)
    assert found.keys() == set(keys)
    for key, chunk in zip(keys, chunks, strict=True):
        assert found[key] == chunk
        assert repr(_plain(found[key])) == repr(_plain(chunk))  # 1 is not 1.0 here, and -0.0 not 0.0
    ledger = {entry.chunk_id: entry for entry in store.entries()}
    assert ledger.keys() == {chunk.id for chunk in chunks}
    for chunk in chunks:
        assert ledger[chunk.id] == (chunk.id, chunk.document_id, chunk.source, record_hash(chunk))


def _plain(chunk: Chunk) -> dict[str, object]:
    return {k: v if isinstance(v, str | int | float) else list(v) for k, v in sorted(chunk.metadata.items())}


def check_semantic(store: Store, found: Sequence[Candidate], memory: MemoryStore, query: Query) -> None:
    """The scores of exact search, and each of them the right record's: so the order is right up to ties.

    :param store: that answered.
    :param found: its semantic leg.
    :param memory: holds the same records.
    :param query: that was asked.
    """
    everything = memory.search(Query(EVERYTHING, query.vector, None, query.filter)).semantic
    scores = {store.key(candidate.key): candidate.score for candidate in everything}
    assert {candidate.key for candidate in found} <= scores.keys()
    assert len({candidate.key for candidate in found}) == len(found)
    assert [c.score for c in found] == pytest.approx([c.score for c in everything[: query.depth]], abs=1e-4)
    assert [c.score for c in found] == pytest.approx([scores[c.key] for c in found], abs=1e-4)
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)


def check_keyword(store: Store, found: Sequence[Candidate], memory: MemoryStore, query: Query) -> None:
    """As many as there are up to the depth, all of them records that match and have a term; scores fall.

    Which are the best is BM25's to say, and engines count deleted records in it for a while.

    :param store: that answered.
    :param found: its keyword leg.
    :param memory: holds the same records.
    :param query: that was asked.
    """
    everything = memory.search(Query(EVERYTHING, None, query.terms, query.filter)).keyword
    assert {candidate.key for candidate in found} <= {store.key(candidate.key) for candidate in everything}
    assert len({candidate.key for candidate in found}) == len(found) == min(query.depth, len(everything))
    assert all(candidate.score > 0 for candidate in found)
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)


def check_sparse(store: Store, found: Sequence[Candidate], memory: MemoryStore, query: Query) -> None:
    """The best dot products, each of them the right record's; none for a record that shares no term.

    :param store: that answered.
    :param found: its sparse leg.
    :param memory: holds the same records.
    :param query: that was asked.
    """
    everything = memory.search(Query(EVERYTHING, None, None, query.filter, query.sparse)).sparse
    scores = {store.key(candidate.key): candidate.score for candidate in everything}
    assert {candidate.key for candidate in found} <= scores.keys()
    assert len({candidate.key for candidate in found}) == len(found)
    assert [c.score for c in found] == pytest.approx([scores[c.key] for c in found], rel=1e-5)
    assert [c.score for c in found] == pytest.approx([c.score for c in everything[: query.depth]], rel=1e-5)
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
