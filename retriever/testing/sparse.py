"""The contract, part: learned sparse vectors and their leg."""

# ruff: noqa: S101 - assertions are what a test is made of
from __future__ import annotations

import numpy as np
import pytest

from retriever.errors import InvalidInput
from retriever.filters import parse_filter
from retriever.sparse.vector import NOTHING, SparseVector
from retriever.stores import KeepsSparse, Query, Store
from retriever.testing.base import ContractPart
from retriever.testing.oracle import VECTOR, check_sparse, exact
from retriever.testing.samples import chunk_id, make_chunk, make_record, sparse_corpus, with_sparse

A, B, C = chunk_id("a"), chunk_id("b"), chunk_id("c")


def weights(**terms: float) -> SparseVector:
    """A vector, its indices written as ``i7=0.5``.

    :param terms: weights by index.
    """
    return SparseVector.of([int(name[1:]) for name in terms], list(terms.values()))


def stored(store: Store, *ids: str) -> dict[str, SparseVector]:
    """What a store has of some records, by chunk id.

    :param store: any that keeps learned sparse vectors.
    :param ids: of the records.
    """
    assert isinstance(store, KeepsSparse)
    keys = {store.key(name): name for name in ids}
    return {keys[key]: vector for key, vector in store.sparse_vectors(list(keys)).items()}


class LearnedSparse(ContractPart):
    """Dot products, best first, filtered; and the vectors come back."""

    def test_scores_are_dot_products(self, sparse_store: Store) -> None:
        """Without an idf or a length; who shares no term is not found."""
        store = sparse_store
        store.upsert(
            [
                with_sparse(make_record(A), {1: 0.5, 7: 2.0, 2**32 - 1: 1.0}),
                with_sparse(make_record(B), {1: 3.0, 8: 1.0}),
                with_sparse(make_record(C), {9: 1.0}),
            ]
        )
        found = store.search(Query(5, sparse=weights(i1=1, i7=0.25, i4294967295=1.5))).sparse
        assert [candidate.key for candidate in found] == [store.key(B), store.key(A)]
        assert [candidate.score for candidate in found] == pytest.approx([3.0, 2.5])

    def test_the_legs_are_apart(self, sparse_store: Store) -> None:
        """Each finds its own, and one that is not asked for finds nothing."""
        store = sparse_store
        store.upsert(
            [
                with_sparse(make_record(A, (1, 0, 0, 0), text="x"), {1: 1.0}),
                with_sparse(make_record(B, (0.5, 1, 0, 0), text="y"), {2: 1.0}),
            ]
        )
        legs = store.search(Query(1, VECTOR, {"y": 1}, None, weights(i2=1)))
        assert [[c.key for c in leg] for leg in (legs.semantic, legs.keyword, legs.sparse)] == [
            [store.key(A)],
            [store.key(B)],
            [store.key(B)],
        ]
        assert list(store.search(Query(5, VECTOR, {"y": 1})).sparse) == []
        alone = store.search(Query(5, sparse=weights(i1=1)))
        assert (len(alone.semantic), len(alone.keyword), len(alone.sparse)) == (0, 0, 1)
        assert list(store.search(Query(5, sparse=NOTHING)).sparse) == []

    def test_sparse_vectors_come_back(self, sparse_store: Store) -> None:
        """To the last bit, also one without terms; replaced with the record, gone with it, kept by rewriting."""
        store = sparse_store
        odd = {0: 1e-3, 5: float(np.float32(1 / 3)), 2**31: 7.25, 2**32 - 1: 2.5}
        store.upsert([with_sparse(make_record(A), odd), with_sparse(make_record(B), {})])
        expected = {A: SparseVector.of(list(odd), list(odd.values())), B: NOTHING}
        assert stored(store, A, B, C) == expected
        store.rewrite([make_chunk(A, {"k": 1}), make_chunk(B, {"k": 2})])
        assert stored(store, A, B) == expected
        assert [c.key for c in store.search(Query(5, None, None, parse_filter({"k": 1}), weights(i5=1))).sparse] == [
            store.key(A)
        ]
        store.close()
        if not self.cannot_reopen:
            assert stored(store, A, B) == expected
        store.upsert([with_sparse(make_record(A, text="new"), {3: 1.0})])
        assert stored(store, A) == {A: weights(i3=1)}
        assert [c.key for c in store.search(Query(5, sparse=weights(i3=1, i5=1))).sparse] == [store.key(A)]
        assert list(store.search(Query(5, sparse=weights(i5=1))).sparse) == []
        store.delete([A])
        assert stored(store, A, B) == {B: NOTHING}
        assert list(store.search(Query(5, sparse=weights(i3=1))).sparse) == []

    def test_a_record_has_one_if_and_only_if_the_index_has_a_model(self, sparse_store: Store, store: Store) -> None:
        """Anything else writes nothing."""
        with pytest.raises(InvalidInput, match=A):
            sparse_store.upsert([with_sparse(make_record(B), {1: 1.0}), make_record(A)])
        with pytest.raises(InvalidInput, match=A):
            store.upsert([make_record(B), with_sparse(make_record(A), {1: 1.0})])
        assert sparse_store.count() == store.count() == 0

    def test_without_terms_there_is_no_keyword_leg(self, sparse_store: Store) -> None:
        """As where the model takes the place of BM25."""
        store = sparse_store
        manifest = store.read_manifest()
        assert manifest is not None
        store.write_manifest(manifest.model_copy(update={"keyword": False}))
        record = with_sparse(make_record(A, text="word"), {1: 1.0})
        store.upsert([type(record)(record.chunk, record.vector, {}, record.sparse)])
        store.rewrite([make_chunk(A, {"k": 1})])
        store.optimise()
        legs = store.search(Query(5, VECTOR, {"word": 1}, None, weights(i1=1)))
        assert (len(legs.semantic), len(legs.keyword), len(legs.sparse)) == (1, 0, 1)

    def test_the_sparse_leg_is_that_of_exact_search(self, sparse_store: Store) -> None:
        """Over a thousand records like a model's, at several depths, with filters."""
        store, records = sparse_store, sparse_corpus(1_000)
        store.upsert(records)
        memory = exact(records, sparse=True)
        choose = np.random.default_rng(5)
        for number in range(12):
            other = records[int(choose.integers(len(records)))].sparse
            assert other is not None
            kept = np.sort(choose.choice(len(other), 20, replace=False))
            asked = SparseVector.of(other.indices[kept], choose.random(20, dtype=np.float32) + 0.1)
            condition = parse_filter({"half": 1}) if number % 3 == 0 else None
            query = Query((1, 10, 200)[number % 3], None, None, condition, asked)
            check_sparse(store, store.search(query).sparse, memory, query)
