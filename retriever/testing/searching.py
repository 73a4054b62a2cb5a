"""The contract, part: both legs of the search, and what their candidates lead to."""

# ruff: noqa: S101 - assertions are what a test is made of
from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from retriever.errors import RetrieverError
from retriever.filters import parse_filter
from retriever.stores import Query, Store
from retriever.testing.base import ContractPart, NewStore
from retriever.testing.oracle import VECTOR, check_keyword, check_semantic, exact
from retriever.testing.samples import average_length, chunk_id, corpus, make_manifest, make_record, word
from retriever.types import FloatVector

A, B, C = chunk_id("a"), chunk_id("b"), chunk_id("c")

TEXTS = [
    "word",
    "中",
    "中文 字",
    "é",
    "10.0.0.1",
    "foo_bar",
    "C++",
    "E1234",
    "x" * 200,
    "😀",
    "don't",
    "a-b",
    "AND",
    "or",
]
"""Whose terms are odd, or words of query languages."""


def vector(*values: float) -> FloatVector:
    """A vector of the samples' dimension.

    :param values: its coordinates.
    """
    return np.array(values, dtype=np.float32)


class Searching(ContractPart):
    """Cosine and BM25, best first, filtered, and each leg for itself."""

    def test_both_legs_at_once(self, store: Store) -> None:
        """Each finds its own."""
        store.upsert([make_record(A, (1, 0, 0, 0), text="x"), make_record(B, (0.5, 1, 0, 0), text="y")])
        legs = store.search(Query(5, VECTOR, {"y": 1}))
        assert [candidate.key for candidate in legs.semantic] == [store.key(A), store.key(B)]
        assert [candidate.key for candidate in legs.keyword] == [store.key(B)]

    def test_a_leg_without_its_part_is_not_searched(self, store: Store) -> None:
        """A vector alone, terms alone, neither."""
        store.upsert([make_record(A), make_record(B, text="")])
        neither = store.search(Query(5))
        assert list(neither.semantic) == list(neither.keyword) == []
        semantic = store.search(Query(5, VECTOR))
        assert (len(semantic.semantic), len(semantic.keyword)) == (2, 0)
        keyword = store.search(Query(5, None, {"word": 1, "other": 3}))
        assert list(keyword.semantic) == []
        assert [candidate.key for candidate in keyword.keyword] == [store.key(A)]
        assert list(store.search(Query(5, None, {})).keyword) == []

    def test_terms_that_nobody_has_find_nothing(self, store: Store) -> None:
        """Also beside terms that some have."""
        store.upsert([make_record(A), make_record(B, text="other")])
        assert list(store.search(Query(5, None, {"absent": 1, "none": 2})).keyword) == []
        assert [c.key for c in store.search(Query(5, None, {"absent": 1, "other": 2})).keyword] == [store.key(B)]

    def test_an_empty_index_finds_nothing(self, store: Store) -> None:
        """In either leg, with and without a filter."""
        for condition in (None, parse_filter({"k": 1}), parse_filter({"k": {"$ne": 1}})):
            legs = store.search(Query(5, VECTOR, {"word": 1}, condition))
            assert list(legs.semantic) == list(legs.keyword) == []

    def test_terms_are_exact(self, store: Store) -> None:
        """Nothing analyses them again: each finds the records that have it and no other."""
        records = [make_record(chunk_id(text), text=text) for text in TEXTS]
        store.upsert(records)
        others = {"Word", "E1234", "wor", "word*", '"', "x" * 199}
        for term in others.union(*(record.terms for record in records)):
            found = {candidate.key for candidate in store.search(Query(50, None, {term: 1})).keyword}
            assert found == {store.key(record.chunk.id) for record in records if term in record.terms}, term

    def test_depth_bounds_each_leg(self, store: Store) -> None:
        """The best come, and no more than there are."""
        store.upsert([make_record(chunk_id(str(n)), (1, n, 0, 0), text="word" + n * " fill") for n in range(30)])
        best = [store.key(chunk_id(str(n))) for n in range(30)]
        for depth in (1, 2, 29, 30, 31, 1_000):
            legs = store.search(Query(depth, VECTOR, {"word": 1}))
            assert [candidate.key for candidate in legs.semantic] == best[:depth]
            assert len(legs.keyword) == min(depth, 30)
        assert [candidate.key for candidate in store.search(Query(1, None, {"word": 1})).keyword] == best[:1]

    def test_filters_hold_in_both_legs(self, store: Store) -> None:
        """Even where what they leave is the worst by far, and less than the depth."""
        records = [
            make_record(chunk_id(str(n)), (1, n / 100, 0, 0), {"rare": n >= 395, "n": n}, text="word" + n * " fill")
            for n in range(400)
        ]
        store.upsert(records)
        rare = {store.key(record.chunk.id) for record in records[395:]}
        for depth in (1, 3, 10):
            legs = store.search(Query(depth, VECTOR, {"word": 1}, parse_filter({"rare": True})))
            for leg in (legs.semantic, legs.keyword):
                assert len(leg) == min(depth, 5)
                assert {candidate.key for candidate in leg} <= rare
        for condition, count in (({"n": {"$gte": 100}}, 300), ({"n": 7}, 1), ({"n": -1}, 0), ({"n": {"$ne": 7}}, 399)):
            legs = store.search(Query(1_000, VECTOR, {"word": 1}, parse_filter(condition)))
            assert (len(legs.semantic), len(legs.keyword)) == (count, count)

    def test_zero_vectors_are_like_nothing(self, store: Store) -> None:
        """They score 0, between what points the same way and what points away; so does everything for a zero query."""
        store.upsert([make_record(A, (0, 0, 0, 0)), make_record(B), make_record(C, (-2, 0, 0, 0))])
        legs = store.search(Query(5, vector(3, 0, 0, 0)))
        assert [candidate.key for candidate in legs.semantic] == [store.key(B), store.key(A), store.key(C)]
        assert [candidate.score for candidate in legs.semantic] == pytest.approx([1, 0, -1], abs=1e-6)
        assert [c.score for c in store.search(Query(5, vector(0, 0, 0, 0))).semantic] == pytest.approx([0, 0, 0])

    def test_ties_are_in_the_order_of_their_keys(self, store: Store) -> None:
        """In both legs, so that two searches agree."""
        store.upsert([make_record(chunk_id(str(number))) for number in range(50)])
        legs = store.search(Query(50, VECTOR, {"word": 1}))
        for leg in (legs.semantic, legs.keyword):
            assert [candidate.key for candidate in leg] == sorted(store.key(chunk_id(str(n))) for n in range(50))

    def test_scores_are_cosines(self, store: Store) -> None:
        """Exact, from -1 to 1, whatever the lengths of the vectors."""
        records = corpus(200)
        lengths = np.geomspace(1e-2, 1e2, len(records))
        scaled = [make_record(r.chunk.id, r.vector * length) for r, length in zip(records, lengths, strict=True)]
        store.upsert(scaled)
        memory = exact(scaled)
        for number, record in enumerate(records[:40]):
            query = Query(200 if number % 2 else 10, record.vector * (1e-3, 1.0, 1e3)[number % 3])
            found = store.search(query).semantic
            check_semantic(store, found, memory, query)
            assert found[0].score == pytest.approx(1, abs=1e-5)
            assert all(-1 <= candidate.score <= 1 and type(candidate.score) is float for candidate in found)

    @pytest.mark.parametrize("length", [1e-15, 1e-6, 1e-4, 1e4, 1e15])
    def test_only_the_direction_of_a_vector_counts(self, store: Store, length: float) -> None:
        """Stored or asked for, however long or short it is; only zero has no direction."""
        store.upsert([make_record(A, (0.6 * length, 0.8 * length, 0, 0)), make_record(B, (0, 0, 0, 0))])
        np.testing.assert_allclose(store.vectors([store.key(A)])[store.key(A)], [0.6, 0.8, 0, 0], atol=1e-6)
        for asked in (length, 1.0):
            found = dict(store.search(Query(5, vector(asked, 0, 0, 0))).semantic)
            assert found == pytest.approx({store.key(A): 0.6, store.key(B): 0}, abs=1e-6)

    def test_a_query_of_another_dimension_is_refused(self, store: Store) -> None:
        """By an error of this package, with records and without."""
        store.upsert([make_record(A)])
        with pytest.raises(RetrieverError):
            store.search(Query(5, vector(1, 0)))

    def test_keyword_scores_are_bm25(self, new_store: NewStore) -> None:
        """Close to exact, where the average length is the corpus' own and nothing was deleted; so is the order."""
        records = corpus(1_500)
        store, memory = new_store(), exact(records)
        store.create(make_manifest(average_length=average_length(records)))
        store.upsert(records)
        choose = np.random.default_rng(8)
        overlaps = []
        for _ in range(20):
            terms = Counter(word(int(number)) for number in choose.exponential(20, 4))
            query = Query(5_000, None, terms)
            found, truth = store.search(query).keyword, memory.search(query).keyword
            check_keyword(store, found, memory, query)
            scores = {candidate.key: candidate.score for candidate in found}
            assert scores == pytest.approx({store.key(c.key): c.score for c in truth}, rel=self.bm25_tolerance)
            best = store.search(Query(10, None, terms)).keyword
            overlaps.append(len({c.key for c in best} & {store.key(c.key) for c in truth[:10]}) / len(truth[:10]))
        assert np.mean(overlaps) >= 0.9

    def test_statistics_are_those_of_all_records(self, new_store: NewStore) -> None:
        """A filter takes records away; it changes the score of none."""
        records = corpus(500)
        store = new_store()
        store.create(make_manifest(average_length=average_length(records), filter_fields={"half": "number"}))
        store.upsert(records)
        terms = {word(3): 1, word(250): 2}
        everything = dict(store.search(Query(1_000, None, terms)).keyword)
        half = dict(store.search(Query(1_000, None, terms, parse_filter({"half": 1}))).keyword)
        assert 0 < len(half) < len(everything)
        assert half == pytest.approx({key: everything[key] for key in half})

    def test_vectors_come_by_key(self, store: Store) -> None:
        """At length 1 where they are not zero, float32; those that are missing are left out."""
        store.upsert([make_record(A, (3, 4, 0, 0)), make_record(B, (0, 0, 0, 0))])
        a, b = store.key(A), store.key(B)
        rows = store.vectors([b, a, b, store.key(chunk_id("gone"))])
        assert rows.keys() == {a, b}
        assert {row.dtype for row in rows.values()} == {np.dtype(np.float32)}
        np.testing.assert_allclose(rows[a], [0.6, 0.8, 0, 0], atol=1e-6)
        assert rows[b].tolist() == [0, 0, 0, 0]
        assert store.vectors([]) == store.vectors([store.key(chunk_id("gone"))]) == {}

    def test_chunks_come_by_key(self, store: Store) -> None:
        """Those that are missing are left out."""
        record = make_record(A, metadata={"k": [1, 2]})
        store.upsert([record, make_record(B)])
        keys = [store.key(chunk_id("gone")), store.key(A), store.key(A)]
        assert store.fetch(keys) == {store.key(A): record.chunk}
        assert store.fetch([]) == {}
        found = store.search(Query(1, VECTOR, {"word": 1}))
        assert store.fetch([found.semantic[0].key, found.keyword[0].key])
