"""The contract, part: random histories, in step with the exact store in memory."""

# ruff: noqa: S101 - assertions are what a test is made of
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from retriever.sparse.vector import SparseVector
from retriever.stores import KeepsSparse, Query, Record, Store
from retriever.testing import strategies
from retriever.testing.base import ContractPart, NewStore
from retriever.testing.oracle import check_chunks, check_keyword, check_semantic, check_sparse, clear, exact, held
from retriever.testing.samples import make_manifest
from retriever.types import Chunk

DEPTHS = st.sampled_from([1, 2, 3, 5, 20])
"""Mostly below the number of records."""


class Place:
    """Where all histories take place, one after another: to make an index takes longer than all the rest.

    :param open_store: makes another object for the place, on which the index is.
    :param first: the object that made the index.
    :param sparse: whether it has learned sparse vectors.
    """

    def __init__(self, open_store: Callable[[], Store], first: Store, *, sparse: bool) -> None:
        self.open_store = open_store
        self.sparse = sparse
        self.store = first


class Histories(RuleBasedStateMachine):
    """Whatever is done to both stores, they hold and find the same.

    :param place: with an index.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        clear(place.store)
        self.memory = exact([], sparse=place.sparse)

    @initialize(batch=st.lists(strategies.records, min_size=3, max_size=8, unique_by=lambda record: record.chunk.id))
    def fill(self, batch: list[Record]) -> None:
        """Histories of an empty store find little."""
        self.upsert(batch)

    @rule(batch=st.lists(strategies.records, min_size=1, max_size=4, unique_by=lambda record: record.chunk.id))
    def upsert(self, batch: list[Record]) -> None:
        """Write new records and replace others."""
        batch = batch if self.place.sparse else [replace(record, sparse=None) for record in batch]
        self.place.store.upsert(batch)
        self.memory.upsert(batch)

    @rule(batch=st.lists(strategies.chunks, min_size=1, max_size=4, unique_by=lambda chunk: chunk.id))
    def rewrite(self, batch: list[Chunk]) -> None:
        """Some of them unknown. The text stays, as another text would be another chunk."""
        stored = self.memory.fetch([chunk.id for chunk in batch])
        same = [replace(chunk, text=stored[chunk.id].text) if chunk.id in stored else chunk for chunk in batch]
        self.place.store.rewrite(same)
        self.memory.rewrite(same)

    @rule(ids=st.lists(strategies.ids, min_size=1, max_size=3))
    def delete(self, ids: list[str]) -> None:
        """Some of them unknown."""
        self.place.store.delete(ids)
        self.memory.delete(ids)

    @rule(what=st.sampled_from(["close", "reopen", "optimise"]))
    def maintain(self, what: str) -> None:
        """Close and go on with the same object or with another, or optimise, at any time."""
        if what == "optimise":
            return self.place.store.optimise()
        self.place.store.close()
        if what == "reopen":
            self.place.store = self.place.open_store()
        return None

    @rule(vector=strategies.vectors, terms=strategies.queries, depth=DEPTHS, sparse=strategies.sparse_vectors)
    def search(self, vector: Sequence[float], terms: Mapping[str, int], depth: int, sparse: SparseVector) -> None:
        """Semantic order up to ties, keyword matches exactly, dot products."""
        self.compare(Query(depth, np.array(vector, dtype=np.float32), terms, None, sparse))

    @rule(
        vector=strategies.vectors,
        terms=strategies.queries,
        depth=DEPTHS,
        sparse=strategies.sparse_vectors,
        data=st.data(),
    )
    def search_filtered(
        self,
        vector: Sequence[float],
        terms: Mapping[str, int],
        depth: int,
        sparse: SparseVector,
        data: st.DataObject,
    ) -> None:
        """The same under a filter, and the same records in counts and ledger."""
        condition = data.draw(strategies.filters([chunk.metadata for chunk in held(self.memory)]))
        self.compare(Query(depth, np.array(vector, dtype=np.float32), terms, condition, sparse))
        store = self.place.store
        assert store.count(condition) == self.memory.count(condition)
        assert sorted(store.entries(condition)) == sorted(self.memory.entries(condition))

    def compare(self, query: Query) -> None:
        """All legs that there are.

        :param query: with all parts.
        """
        query = query if self.place.sparse else replace(query, sparse=None)
        found = self.place.store.search(query)
        check_semantic(self.place.store, found.semantic, self.memory, query)
        check_keyword(self.place.store, found.keyword, self.memory, query)
        if self.place.sparse:
            check_sparse(self.place.store, found.sparse, self.memory, query)

    @invariant()
    def the_same_records(self) -> None:
        """Chunks, ledger and vectors."""
        store, chunks = self.place.store, held(self.memory)
        assert store.count() == len(chunks)
        check_chunks(store, chunks)
        vectors = store.vectors([store.key(chunk.id) for chunk in chunks])
        for chunk_id, row in self.memory.vectors([chunk.id for chunk in chunks]).items():
            np.testing.assert_allclose(vectors[store.key(chunk_id)], row, atol=1e-6)
        if self.place.sparse and isinstance(store, KeepsSparse):
            found = store.sparse_vectors([store.key(chunk.id) for chunk in chunks])
            kept = self.memory.sparse_vectors([chunk.id for chunk in chunks])
            assert found == {store.key(chunk_id): vector for chunk_id, vector in kept.items()}


class RandomHistories(ContractPart):
    """The state machine as a test."""

    def test_random_histories(self, new_store: NewStore) -> None:
        """Upsert, rewrite, delete, close, open, optimise and search, in any order."""
        first = new_store()
        sparse = not self.no_sparse
        first.create(make_manifest(filter_fields={"a": "number", "b.c": "keyword"}, sparse=sparse))
        place = Place((lambda: first) if self.cannot_reopen else new_store, first, sparse=sparse)

        class There(Histories):
            def __init__(self) -> None:
                super().__init__(place)

        run_state_machine_as_test(There, settings=self.law_settings(0.4))
