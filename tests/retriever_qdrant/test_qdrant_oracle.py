"""Random histories, and answers beside those of the exact store in memory."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from qdrant_samples import make_chunk, make_manifest, make_record
from qdrant_strategies import DOCUMENTS, SOURCES, filters, metadata

from retriever.filters import parse_filter
from retriever.memory import MemoryStore
from retriever.stores import Candidate, Legs, Query
from retriever_qdrant import QdrantStore

names = st.sampled_from([f"c{number}" for number in range(8)])
coordinates = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])
vectors = st.tuples(*[coordinates] * 4)
terms = st.dictionaries(st.sampled_from(["one", "two", "three", "四"]), st.integers(1, 3), max_size=3)
places = st.fixed_dictionaries({"document_id": st.sampled_from(DOCUMENTS), "source": st.sampled_from(SOURCES)})
records = st.builds(
    lambda name, vector, terms, data, place: make_record(name, vector, terms, data, **place),
    *(names, vectors, terms, metadata, places),
)
chunks = st.builds(
    lambda name, data, place, start: make_chunk(name, data, start=start, end=start + 3, **place),
    *(names, metadata, places, st.integers(0, 9)),
)


class Histories(RuleBasedStateMachine):
    """Whatever is done to both stores, they hold and find the same.

    All histories take place in one folder: to make an index takes longer than all the rest.
    """

    path: Path

    def __init__(self) -> None:
        super().__init__()
        self.store = QdrantStore(self.path)
        self.store.delete([entry.chunk_id for entry in self.store.entries()])
        self.memory = MemoryStore()
        self.memory.create(make_manifest())

    @rule(batch=st.lists(records, max_size=6, unique_by=lambda record: record.chunk.id))
    def upsert(self, batch):
        self.store.upsert(batch)
        self.memory.upsert(batch)

    @rule(batch=st.lists(chunks, max_size=4))
    def rewrite(self, batch):
        self.store.rewrite(batch)
        self.memory.rewrite(batch)

    @rule(ids=st.lists(names, max_size=3))
    def delete(self, ids):
        self.store.delete(ids)
        self.memory.delete(ids)

    @rule(elsewhere=st.booleans())
    def reopen(self, elsewhere):
        self.store.close()
        if elsewhere:
            self.store = QdrantStore(self.path)

    @rule(vector=vectors, words=terms, depth=st.integers(1, 10), data=st.data())
    def search(self, vector, words, depth, data):
        known = [dict(r.chunk.metadata) for r in self.memory._records.values()]
        condition = data.draw(st.none() | filters(known))
        query = Query(depth, np.array(vector, dtype=np.float32), words, condition)
        found, exact = self.store.search(query), self.memory.search(query)
        check_semantic(self.store, found.semantic, self.memory, query)
        assert len(found.keyword) == len(exact.keyword)
        everything = self.memory.search(Query(100, None, words, condition)).keyword
        assert {c.key for c in found.keyword} <= {self.store.key(c.key) for c in everything}
        assert all(candidate.score > 0 for candidate in found.keyword)
        assert self.store.count(condition) == self.memory.count(condition)

    @rule(data=st.data())
    def entries(self, data):
        condition = data.draw(st.none() | filters([dict(r.chunk.metadata) for r in self.memory._records.values()]))
        assert sorted(self.store.entries(condition)) == sorted(self.memory.entries(condition))

    @invariant()
    def the_same_records(self):
        ids = sorted(self.memory._records)
        keys = [self.store.key(chunk_id) for chunk_id in ids]
        assert self.store.count() == len(ids)
        assert self.store.fetch(keys) == {key: self.memory.fetch([i])[i] for key, i in zip(keys, ids, strict=True)}
        ours, exact = self.store.vectors(keys), self.memory.vectors(ids)
        for key, chunk_id in zip(keys, ids, strict=True):
            np.testing.assert_allclose(ours[key], exact[chunk_id], atol=1e-6)

    def teardown(self) -> None:
        self.store.close()


def check_semantic(store: QdrantStore, found: list[Candidate], memory: MemoryStore, query: Query) -> None:
    """The scores of exact search, and each of them the right record's: so the order is right up to ties."""
    everything = memory.search(Query(1_000, query.vector, None, query.filter)).semantic
    scores = {store.key(c.key): c.score for c in everything}
    assert [c.score for c in found] == pytest.approx([c.score for c in everything[: query.depth]], abs=1e-4)
    assert [c.score for c in found] == pytest.approx([scores[c.key] for c in found], abs=1e-4)
    assert len({c.key for c in found}) == len(found)


@pytest.fixture(scope="module", autouse=True)
def histories_folder(tmp_path_factory):
    Histories.path = tmp_path_factory.mktemp("histories") / "index"
    store = QdrantStore(Histories.path)
    store.create(make_manifest(filter_fields={"a": "number", "b.c": "keyword"}))
    store.close()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


def corpus(count: int) -> list:
    choose = random.Random(7)
    words = [f"word{number}" for number in range(300)]
    spread = [1 / (rank + 1) for rank in range(300)]
    rows = np.random.default_rng(7).standard_normal((count, 4))
    return [
        make_record(
            f"c{number}",
            rows[number],
            Counter(choose.choices(words, spread, k=choose.randint(1, 60))),
            {"half": number % 2},
        )
        for number in range(count)
    ]


def test_keyword_scores_are_those_of_exact_bm25(tmp_path, open_store):
    """The average length is the corpus' own, nothing was deleted, and all have terms: the engine counts no others."""
    some = corpus(3_000)
    average = sum(sum(record.terms.values()) for record in some) / len(some)
    store, memory = open_store(tmp_path / "index"), MemoryStore()
    for each in (store, memory):
        each.create(make_manifest(average_length=average))
        each.upsert(some)
    choose = random.Random(8)
    for _ in range(20):
        query = Query(5_000, None, Counter(f"word{int(choose.expovariate(0.05))}" for _ in range(4)))
        compare_keyword(store, store.search(query), memory.search(query))


def test_scores_are_those_of_the_whole_corpus_under_a_filter_too(tmp_path, open_store):
    some = corpus(500)
    average = sum(sum(record.terms.values()) for record in some) / len(some)
    store, memory = open_store(tmp_path / "index"), MemoryStore()
    for each in (store, memory):
        each.create(make_manifest(average_length=average, filter_fields={"half": "number"}))
        each.upsert(some)
    query = Query(5_000, np.ones(4, dtype=np.float32), {"word3": 1, "word250": 2}, parse_filter({"half": 1}))
    compare_keyword(store, store.search(query), memory.search(query))
    check_semantic(store, list(store.search(query).semantic), memory, query)


def compare_keyword(store: QdrantStore, found: Legs, exact: Legs) -> None:
    scores = {c.key: c.score for c in found.keyword}
    assert scores == pytest.approx({store.key(c.key): c.score for c in exact.keyword}, rel=1e-3)
    assert [c.score for c in found.keyword] == sorted(scores.values(), reverse=True)
