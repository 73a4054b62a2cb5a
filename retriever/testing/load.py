"""The contract, part: many records, long lists of ids, several threads."""

# ruff: noqa: S101 - assertions are what a test is made of
from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from retriever.filters import And, Compare, In, Reserved, matching
from retriever.stores import Query, Store
from retriever.testing.base import ContractPart
from retriever.testing.oracle import VECTOR
from retriever.testing.samples import chunk_id, directions, make_chunk, make_record

MANY = 10_000
"""Ids in one call."""


class Load(ContractPart):
    """What is beyond a page, a request or a thread."""

    def test_many_records_and_many_ids(self, store: Store) -> None:
        """Written in one call, listed in pages, each once; fetched and deleted among thousands of unknown ids."""
        ids = [chunk_id(f"c{number}") for number in range(2_600)]
        store.upsert([make_record(name, row) for name, row in zip(ids, directions(len(ids)), strict=True)])
        assert sorted(entry.chunk_id for entry in store.entries()) == sorted(ids)
        assert store.count() == len(ids)
        unknown = [chunk_id(f"u{number}") for number in range(MANY - len(ids))]
        mixed = [name for pair in zip(ids, unknown, strict=False) for name in pair] + unknown[len(ids) :]
        keys = [store.key(name) for name in mixed]
        chunks = store.fetch(keys)
        assert {key: chunk.id for key, chunk in chunks.items()} == {store.key(name): name for name in ids}
        assert store.vectors(keys).keys() == chunks.keys()
        store.rewrite([make_chunk(name, {"new": True}) for name in mixed])
        assert store.count(Compare("new", "eq", True)) == store.count() == len(ids)
        kept = set(ids[::100])
        store.delete([name for name in mixed if name not in kept])
        assert {entry.chunk_id for entry in store.entries()} == kept
        legs = store.search(Query(MANY, VECTOR, {"word": 1}))
        assert len(legs.semantic) == len(legs.keyword) == len(kept)

    def test_filters_with_thousands_of_documents(self, store: Store) -> None:
        """In counts, ledger and both legs, alone and beside another condition."""
        store.upsert(
            [
                make_record(chunk_id(str(number)), row, {"n": number}, document_id=f"doc {number // 4}")
                for number, row in enumerate(directions(2_000))
            ]
        )
        condition = matching([f"doc {number}" for number in range(100, 3_100)], Reserved.DOCUMENT)
        assert store.count(condition) == 1_600
        assert sum(1 for _ in store.entries(condition)) == 1_600
        legs = store.search(Query(50, VECTOR, {"word": 1}, And((condition, Compare("n", "lt", 410)))))
        ten = {store.key(chunk_id(str(number))) for number in range(400, 410)}
        assert {c.key for c in legs.semantic} == {c.key for c in legs.keyword} == ten
        assert store.count(In("n", tuple(range(1_990, 2_090)))) == 10

    def test_threads_search_while_one_writes(self, store: Store) -> None:
        """No error, and what is not being written is found all the while."""
        store.upsert([make_record(chunk_id(f"c{number}")) for number in range(200)])
        with ThreadPoolExecutor(4) as pool:
            writing = pool.submit(write_and_delete, store)
            searching = [pool.submit(search_until, store, writing) for _ in range(3)]
            for future in [writing, *searching]:
                future.result(120)
        assert store.count() == 1_200
        assert store.count(Compare("busy", "eq", True)) == 250


def write_and_delete(store: Store) -> None:
    """Add 1,000 records for good and as many that are deleted again.

    :param store: holds ``c0`` to ``c199``.
    """
    for start in range(200, 1_200, 200):
        names = [chunk_id(f"c{number}") for number in range(start, start + 400)]
        store.upsert([make_record(name, (0, 1, 0, 0), text="other") for name in names])
        store.rewrite([make_chunk(name, {"busy": True}, text="other") for name in names[:50]])
        store.delete(names[200:])


def search_until(store: Store, done: Future[None]) -> None:
    """Search for what was there before, and for what never is.

    :param store: being written.
    :param done: ends the search.
    """
    while not done.done():
        legs = store.search(Query(20, VECTOR, {"word": 1}))
        assert len(legs.semantic) == len(legs.keyword) == 20
        assert len(store.fetch([candidate.key for candidate in legs.keyword])) == 20
        legs = store.search(Query(20, VECTOR, {"word": 1}, Compare("busy", "eq", False)))
        assert len(legs.semantic) == len(legs.keyword) == 0
        assert store.count() >= 200
