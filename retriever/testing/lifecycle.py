"""The contract, part: making, opening, closing and destroying."""

# ruff: noqa: S101 - assertions are what a test is made of
from __future__ import annotations

from collections.abc import Callable

import pytest

from retriever.errors import StoreError, StoreNotFound
from retriever.manifest import EmbeddingManifest
from retriever.stores import Query, Store
from retriever.testing.base import ContractPart, NewStore
from retriever.testing.oracle import VECTOR, check_chunks, matching_ids
from retriever.testing.samples import chunk_id, directions, make_chunk, make_manifest, make_record
from retriever.testing.watching import touches

A, B = chunk_id("a"), chunk_id("b")

NEEDS_AN_INDEX: dict[str, Callable[[Store], object]] = {
    "count": lambda store: store.count(),
    "entries": lambda store: list(store.entries()),
    "upsert": lambda store: store.upsert([make_record(A)]),
    "rewrite": lambda store: store.rewrite([make_chunk(A)]),
    "delete": lambda store: store.delete([A]),
    "search": lambda store: store.search(Query(5, VECTOR, {"word": 1})),
    "fetch": lambda store: store.fetch([store.key(A)]),
    "vectors": lambda store: store.vectors([store.key(A)]),
    "optimise": lambda store: store.optimise(),
    "write_manifest": lambda store: store.write_manifest(make_manifest()),
}
"""Calls that are :class:`~retriever.errors.StoreNotFound` where there is no index."""


class Lifecycle(ContractPart):
    """From constructing to destroying."""

    def test_constructing_touches_nothing(self, new_store: NewStore) -> None:
        """No file, no connection; the second time, when all modules are loaded."""
        new_store()
        with touches() as touched:
            new_store()
        assert touched == []

    def test_there_is_no_manifest_before_create(self, new_store: NewStore) -> None:
        """And asking makes none."""
        store = new_store()
        assert store.read_manifest() is None
        assert store.read_manifest() is None

    @pytest.mark.parametrize("name", NEEDS_AN_INDEX)
    def test_calls_before_create_find_no_index(self, new_store: NewStore, name: str) -> None:
        """The error names the address, and nothing has been made."""
        store = new_store()
        with pytest.raises(StoreNotFound) as caught:
            NEEDS_AN_INDEX[name](store)
        assert store.address in str(caught.value)
        assert store.read_manifest() is None

    def test_closing_and_destroying_need_no_index(self, new_store: NewStore) -> None:
        """They have nothing to do."""
        store = new_store()
        store.close()
        store.destroy()
        store.destroy()
        store.close()
        assert store.read_manifest() is None

    def test_keys_are_pure(self, new_store: NewStore) -> None:
        """The same for every object, without an index, and different for different ids."""
        store, other = new_store(), new_store("other")
        with touches() as touched:
            assert store.key(A) == store.key(A) == other.key(A)
        assert touched == []
        assert store.key(A) != store.key(B)

    def test_a_new_index_is_empty(self, new_store: NewStore) -> None:
        """It has its manifest and no records."""
        store, manifest = new_store(), make_manifest(filter_fields={"a": "number", "b.c": "keyword", "中": "bool"})
        store.create(manifest)
        assert store.read_manifest() == manifest
        assert matching_ids(store, None) == set()
        assert store.fetch([store.key(A)]) == store.vectors([store.key(A)]) == {}

    def test_creating_twice_is_an_error(self, new_store: NewStore) -> None:
        """What is there stays as it is."""
        store = new_store()
        store.create(make_manifest())
        record = make_record(A)
        store.upsert([record])
        with pytest.raises(StoreError):
            store.create(make_manifest(average_length=9.0))
        assert store.read_manifest() == make_manifest()
        check_chunks(store, [record.chunk])

    def test_the_manifest_is_replaced_whole(self, store: Store) -> None:
        """Also by one of 100 kB; it outlives closing."""
        row = [round(0.1 * number, 1) for number in range(384)]
        large = EmbeddingManifest(
            kind="schlüssel '\"中",
            config={"deep": [1, {"x": None}]},
            fingerprint={"a": "b"},
            dimension=384,
            canaries=[row] * 50,
        )
        manifest = make_manifest(average_length=None).model_copy(update={"embedding": large})
        store.write_manifest(manifest)
        assert store.read_manifest() == manifest
        store.close()
        assert store.read_manifest() == manifest
        store.write_manifest(make_manifest())
        assert store.read_manifest() == make_manifest()

    def test_filter_fields_may_change(self, store: Store) -> None:
        """Records stay, and so do the answers."""
        records = [make_record(A, metadata={"k": 1}), make_record(B, metadata={"k": "one"})]
        store.upsert(records)
        for kind in ("number", "keyword", "bool"):
            manifest = make_manifest(filter_fields={"k": kind})
            store.write_manifest(manifest)
            assert store.read_manifest() == manifest
            check_chunks(store, [record.chunk for record in records])
        store.write_manifest(make_manifest())
        assert matching_ids(store, None) == {A, B}

    def test_closing_and_going_on(self, store: Store) -> None:
        """Closing twice is well; the next call opens again."""
        for number, name in enumerate([A, B]):
            store.upsert([make_record(name)])
            store.close()
            store.close()
            assert store.count() == number + 1
        assert matching_ids(store, None) == {A, B}

    def test_another_object_finds_the_index(self, new_store: NewStore) -> None:
        """After the first is closed: manifest, records, vectors and terms."""
        store, manifest = new_store(), make_manifest(filter_fields={"k": "number"})
        store.create(manifest)
        records = [make_record(A, (0, 3, 0, 0), metadata={"k": [1, 2]}), make_record(B, text="ünïcode 中 word")]
        store.upsert(records)
        store.close()
        again = new_store()
        if self.cannot_reopen:
            assert again.read_manifest() is None, "it can be reopened: take cannot_reopen away"
            pytest.xfail(self.cannot_reopen)
        assert again.read_manifest() == manifest
        check_chunks(again, [record.chunk for record in records])
        assert again.vectors([again.key(A)])[again.key(A)].tolist() == pytest.approx([0, 1, 0, 0])
        assert matching_ids(again, None) == {A, B}
        again.upsert([make_record(B, (0, 0, 1, 0))])
        assert again.count() == 2

    def test_optimising_changes_no_answer(self, store: Store) -> None:
        """Neither with records nor without, nor twice."""
        store.optimise()
        records = [make_record(chunk_id(str(number)), row) for number, row in enumerate(directions(600))]
        store.upsert(records)
        query = Query(20, VECTOR, {"word": 1})
        before = store.search(query)
        store.optimise()
        store.optimise()
        assert [c.key for c in store.search(query).semantic] == [c.key for c in before.semantic]
        check_chunks(store, [record.chunk for record in records])
        assert matching_ids(store, None) == {record.chunk.id for record in records}

    def test_destroying_removes_everything(self, new_store: NewStore) -> None:
        """Of this index only; the place can be used again."""
        store, other = new_store(), new_store("other")
        for each in (store, other):
            each.create(make_manifest())
            each.upsert([make_record(A, metadata={"k": 1})])
        store.destroy()
        assert store.read_manifest() is None
        with pytest.raises(StoreNotFound):
            store.count()
        assert matching_ids(other, None) == {A}
        store.create(make_manifest(dimension=7))
        assert store.count() == 0
        store.upsert([make_record(B, [1.0] * 7)])
        assert [entry.chunk_id for entry in store.entries()] == [B]

    def test_a_destroyed_index_is_gone_for_others(self, new_store: NewStore) -> None:
        """Another object on the place finds none."""
        store = new_store()
        store.create(make_manifest())
        store.upsert([make_record(A)])
        store.destroy()
        store.close()
        again = new_store()
        assert again.read_manifest() is None
        again.create(make_manifest())
        assert again.count() == 0
