"""The contract, part: upsert, rewrite and delete."""

# ruff: noqa: S101 - assertions are what a test is made of
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retriever.errors import InvalidInput
from retriever.filters import parse_filter
from retriever.stores import Query, Record, Store
from retriever.testing.base import ContractPart
from retriever.testing.oracle import check_chunks
from retriever.testing.samples import chunk_id, make_chunk, make_record

A, B, C = chunk_id("a"), chunk_id("b"), chunk_id("c")
FIRST = chunk_id("0")

UNUSABLE: dict[str, Record] = {
    "too short a vector": make_record(A, (1, 2, 3)),
    "too long a vector": make_record(A, (1, 2, 3, 4, 5)),
    "a matrix": make_record(A, np.ones((1, 4), dtype=np.float32)),
    "NaN": make_record(A, (1, float("nan"), 0, 0)),
    "infinity": make_record(A, (1, float("inf"), 0, 0)),
    "minus infinity": make_record(A, (1, float("-inf"), 0, 0)),
    "one id twice": make_record(FIRST),
}
"""The last record of a batch that has to be refused."""


def found(store: Store, term: str) -> list[str]:
    """Keys of the records that have a term.

    :param store: any.
    :param term: of the analyser.
    """
    return [candidate.key for candidate in store.search(Query(10, terms={term: 1})).keyword]


class Writing(ContractPart):
    """Records are written whole or not at all."""

    def test_upsert_replaces_whole(self, store: Store) -> None:
        """Text, span, metadata, vector and terms; keys that are not in the new metadata are gone."""
        store.upsert([make_record(A, (1, 0, 0, 0), {"k": 1, "l": ["x"], "f": 0.1 + 0.2}, text="old"), make_record(B)])
        new = make_record(A, (0, 1, 0, 0), {"m": 2}, text="new", start=5, end=8, source="s", document_id="e")
        store.upsert([new])
        check_chunks(store, [new.chunk, make_chunk(B)])
        assert store.vectors([store.key(A)])[store.key(A)].tolist() == pytest.approx([0, 1, 0, 0])
        assert found(store, "old") == []
        assert found(store, "new") == [store.key(A)]
        for gone in ("k", "l", "f"):
            assert store.count(parse_filter({gone: {"$exists": True}})) == 0
        assert store.count(parse_filter({"$document": "e", "$source": "s", "m": 2})) == 1

    def test_upsert_may_take_all_metadata_away(self, store: Store) -> None:
        """And all terms."""
        store.upsert([make_record(A, metadata={"k": 1, "l": [True]})])
        store.upsert([make_record(A, text="")])
        check_chunks(store, [make_chunk(A, text="")])
        assert found(store, "word") == []

    def test_upsert_again_is_once(self, store: Store) -> None:
        """The same batch any number of times."""
        records = [make_record(chunk_id(str(number)), metadata={"n": number}) for number in range(20)]
        for _ in range(3):
            store.upsert(records)
        check_chunks(store, [record.chunk for record in records])
        assert len(found(store, "word")) == 10

    @pytest.mark.parametrize("what", UNUSABLE)
    def test_an_unusable_record_writes_nothing(self, store: Store, what: str) -> None:
        """The error names the chunk, wherever in the batch it is."""
        bad = UNUSABLE[what]
        good = [make_record(chunk_id(str(number))) for number in range(600)]
        with pytest.raises(InvalidInput, match=bad.chunk.id):
            store.upsert([*good, bad])
        assert store.count() == 0
        store.upsert(good[:1])
        with pytest.raises(InvalidInput, match=bad.chunk.id):
            store.upsert([bad, make_record(FIRST, text="new")])
        check_chunks(store, [good[0].chunk])

    def test_what_the_caller_gave_stays_as_it_is(self, store: Store) -> None:
        """Vectors are not scaled in place, and what is changed afterwards does not change the record."""
        metadata = {"k": 1}
        vector = np.array([3, 4, 0, 0], dtype=np.float32)
        terms = {"word": 1}
        chunk = make_chunk(A)
        object.__setattr__(chunk, "metadata", metadata)
        store.upsert([Record(chunk, vector, terms)])
        assert (metadata, vector.tolist(), terms) == ({"k": 1}, [3, 4, 0, 0], {"word": 1})
        metadata["k"], terms["other"] = 2, 1
        vector[:] = 0
        check_chunks(store, [make_chunk(A, {"k": 1})])
        assert store.vectors([store.key(A)])[store.key(A)].tolist() == pytest.approx([0.6, 0.8, 0, 0])
        assert found(store, "other") == []

    def test_what_the_store_gave_is_the_callers(self, store: Store) -> None:
        """Changing it changes no record."""
        record = make_record(A, (1, 0, 0, 0), {"k": 1, "l": ["x"]})
        store.upsert([record])
        key = store.key(A)
        metadata: Any = store.fetch([key])[key].metadata
        metadata["k"] = 2
        metadata["l"].append("y")
        row = store.vectors([key])[key]
        if row.flags.writeable:
            row[:] = 0
        check_chunks(store, [make_chunk(A, {"k": 1, "l": ["x"]})])
        assert store.vectors([key])[key].tolist() == pytest.approx([1, 0, 0, 0])

    def test_rewriting_keeps_vector_and_terms(self, store: Store) -> None:
        """Span, source, document and metadata are replaced whole."""
        store.upsert([make_record(A, (0, 3, 0, 0), {"k": 1, "l": ["x"]}, text="old old"), make_record(B)])
        moved = make_chunk(A, {"m": 2}, text="old old", start=5, end=12, source="src", document_id="src::d")
        store.rewrite([moved])
        check_chunks(store, [moved, make_chunk(B)])
        assert store.vectors([store.key(A)])[store.key(A)].tolist() == pytest.approx([0, 1, 0, 0])
        condition = parse_filter({"m": 2, "$source": "src", "k": {"$exists": False}})
        legs = store.search(Query(5, np.array([0, 1, 0, 0], dtype=np.float32), {"old": 1}, condition))
        assert [c.key for c in legs.semantic] == [c.key for c in legs.keyword] == [store.key(A)]
        assert legs.semantic[0].score == pytest.approx(1)

    def test_rewriting_unknown_chunks_has_no_effect(self, store: Store) -> None:
        """They are not made."""
        store.upsert([make_record(A)])
        store.rewrite([make_chunk(B), make_chunk(A, {"k": 1}), make_chunk(C)])
        check_chunks(store, [make_chunk(A, {"k": 1})])
        store.rewrite([make_chunk(B)])
        assert len(found(store, "word")) == 1

    def test_deleting_ignores_unknown_ids(self, store: Store) -> None:
        """And ids that are given twice."""
        store.upsert([make_record(A), make_record(B), make_record(C)])
        store.delete([A, chunk_id("unknown"), A])
        check_chunks(store, [make_chunk(B), make_chunk(C)])
        store.delete([A, B])
        check_chunks(store, [make_chunk(C)])
        legs = store.search(Query(5, np.ones(4, dtype=np.float32), {"word": 1}))
        assert [c.key for c in legs.semantic] == [c.key for c in legs.keyword] == [store.key(C)]

    def test_what_was_deleted_can_come_back(self, store: Store) -> None:
        """With other terms and metadata."""
        store.upsert([make_record(A, metadata={"k": 1}, text="old")])
        store.delete([A])
        assert store.fetch([store.key(A)]) == store.vectors([store.key(A)]) == {}
        store.upsert([make_record(A, (0, 0, 0, 2), text="new")])
        check_chunks(store, [make_chunk(A, text="new")])
        assert found(store, "old") == []
        assert found(store, "new") == [store.key(A)]
        assert store.vectors([store.key(A)])[store.key(A)].tolist() == pytest.approx([0, 0, 0, 1])

    def test_writing_nothing_is_well(self, store: Store) -> None:
        """Empty batches of all kinds."""
        store.upsert([])
        store.rewrite([])
        store.delete([])
        assert store.count() == 0
