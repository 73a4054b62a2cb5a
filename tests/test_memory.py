"""The exact store: what every other store is measured by, so it is measured by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.address import parse_address
from retriever.embedding.hashed import HashedConfig, HashedEmbedding
from retriever.errors import ConfigurationError, StoreError, StoreNotFound
from retriever.filters import matches, parse_filter
from retriever.identity import make_manifest
from retriever.memory import MemoryStore
from retriever.metadata import record_hash
from retriever.stores import Candidate, Entry, Query, Record
from retriever.types import Chunk

DIMENSION = 4
MANIFEST = make_manifest(HashedEmbedding(HashedConfig(dimension=DIMENSION)), None, None, {})


def record(chunk_id, vector=(1, 0, 0, 0), terms=None, metadata=None, *, document="d", source="s", text="text"):
    chunk = Chunk(chunk_id, document, text, 0, len(text), metadata or {}, source)
    return Record(chunk, np.array(vector, dtype=np.float32), terms or {})


def filled(records):
    store = MemoryStore()
    store.create(MANIFEST)
    store.upsert(records)
    return store


numbers = st.integers(-4, 4).map(float)
records = st.lists(
    st.builds(
        record,
        st.text("abcd", min_size=1, max_size=3),
        st.lists(numbers, min_size=DIMENSION, max_size=DIMENSION),
        st.dictionaries(st.sampled_from(["x", "y", "z", "中"]), st.integers(1, 5)),
        st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from([1, 2.0, "v", True])),
        document=st.sampled_from(["d", "e"]),
        source=st.sampled_from(["", "s"]),
    ),
    unique_by=lambda made: made.chunk.id,
    max_size=8,
)
vectors = st.lists(numbers, min_size=DIMENSION, max_size=DIMENSION).map(lambda v: np.array(v, dtype=np.float32))
queries = st.dictionaries(st.sampled_from(["x", "y", "z", "中", "absent"]), st.integers(1, 3), min_size=1)
conditions = st.sampled_from(
    [{}, {"k": 1}, {"k": {"$ne": 1}}, {"l": {"$exists": True}}, {"$source": "s"}, {"$document": "e"}, {"k": "none"}]
).map(parse_filter)


def cosine(one, other):
    length = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / length if length else 0.0


def bm25(made, all_of_them, query, k1=1.2, b=0.75):
    """Okapi BM25 in Lucene's form, from its definition."""
    average = sum(sum(r.terms.values()) for r in all_of_them) / len(all_of_them)
    score = 0.0
    for term, asked in query.items():
        tf = made.terms.get(term, 0)
        if not tf:
            continue
        df = sum(term in r.terms for r in all_of_them)
        idf = math.log(1 + (len(all_of_them) - df + 0.5) / (df + 0.5))
        norm = k1 * (1 - b + b * sum(made.terms.values()) / average)
        score += asked * idf * tf * (k1 + 1) / (tf + norm)
    return score


def check(found, expected, depth):
    """The best ``depth`` of the expected scores, whatever the order of near ties."""
    assert len(found) == min(depth, len(expected))
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx(sorted(expected.values(), reverse=True)[:depth], abs=1e-5)
    assert all(score == pytest.approx(expected[key], abs=1e-5) for key, score in found)
    assert len({key for key, _ in found}) == len(found)


@given(records, vectors, conditions, st.integers(1, 10))
def test_the_semantic_leg_is_exact_cosine(made, vector, condition, depth):
    legs = filled(made).search(Query(depth, vector=vector, filter=condition))
    expected = {r.chunk.id: cosine(r.vector, vector) for r in made if matches(condition, r.chunk)}
    check(legs.semantic, expected, depth)
    assert legs.keyword == []


@given(records, queries, conditions, st.integers(1, 10))
def test_the_keyword_leg_is_exact_bm25(made, query, condition, depth):
    legs = filled(made).search(Query(depth, terms=query, filter=condition))
    found = [r for r in made if matches(condition, r.chunk) and query.keys() & r.terms.keys()]
    check(legs.keyword, {r.chunk.id: bm25(r, made, query) for r in found}, depth)
    assert legs.semantic == []


def test_bm25_by_hand():
    store = filled([record("a", terms={"x": 2}), record("b", terms={"x": 1, "y": 3}), record("c", terms={"z": 1})])
    # Lengths 2, 4 and 1, on average 7/3; x is in 2 of 3, y in 1 of 3.
    idf_x, idf_y = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    norm_a, norm_b = 1.2 * (0.25 + 0.75 * 2 / (7 / 3)), 1.2 * (0.25 + 0.75 * 4 / (7 / 3))
    a = idf_x * 2 * 2.2 / (2 + norm_a)
    b = idf_x * 1 * 2.2 / (1 + norm_b) + 2 * idf_y * 3 * 2.2 / (3 + norm_b)
    found = store.search(Query(10, terms={"x": 1, "y": 2, "absent": 1})).keyword
    assert found == [Candidate("b", pytest.approx(b)), Candidate("a", pytest.approx(a))]


def test_statistics_are_those_of_all_records():
    made = [record("a", terms={"x": 1}, metadata={"k": 1}), record("b", terms={"x": 1, "y": 9}, metadata={"k": 2})]
    store = filled(made)
    everything = dict(store.search(Query(5, terms={"x": 1})).keyword)
    filtered = dict(store.search(Query(5, terms={"x": 1}, filter=parse_filter({"k": 1}))).keyword)
    assert filtered == {"a": everything["a"]}


def test_both_legs_at_once():
    store = filled([record("a", (1, 0, 0, 0), {"x": 1}), record("b", (0, 1, 0, 0), {"y": 1})])
    legs = store.search(Query(5, vector=np.array([1, 0, 0, 0], dtype=np.float32), terms={"y": 1}))
    assert [key for key, _ in legs.semantic] == ["a", "b"]
    assert [key for key, _ in legs.keyword] == ["b"]


def test_ties_are_in_the_order_of_their_ids():
    store = filled([record(key, terms={"x": 1}) for key in ("c", "a", "d", "b")])
    legs = store.search(Query(3, vector=np.array([2, 0, 0, 0], dtype=np.float32), terms={"x": 1}))
    assert [key for key, _ in legs.semantic] == ["a", "b", "c"]
    assert [key for key, _ in legs.keyword] == ["a", "b", "c"]


def test_zero_vectors_have_no_likeness():
    store = filled([record("a", (0, 0, 0, 0)), record("b", (-1, 0, 0, 0))])
    assert store.search(Query(5, vector=np.array([3, 0, 0, 0], dtype=np.float32))).semantic == [("a", 0), ("b", -1)]
    assert [score for _, score in store.search(Query(5, vector=np.zeros(4, dtype=np.float32))).semantic] == [0, 0]
    assert store.vectors(["a"])["a"].tolist() == [0, 0, 0, 0]


def test_an_empty_store_finds_nothing():
    legs = filled([]).search(Query(5, vector=np.ones(4, dtype=np.float32), terms={"x": 1}))
    assert (legs.semantic, legs.keyword) == ([], [])


def test_records_without_terms():
    store = filled([record("a"), record("b")])
    assert store.search(Query(5, terms={"x": 1})).keyword == []
    assert store.search(Query(5, terms={})).keyword == []


@given(records, conditions)
def test_count_and_ledger_agree_with_the_filter(made, condition):
    store = filled(made)
    expected = {r.chunk.id: r.chunk for r in made if matches(condition, r.chunk)}
    assert store.count(condition) == len(expected)
    listed = list(store.entries(condition))
    assert {entry.chunk_id for entry in listed} == expected.keys()
    assert len(listed) == len(expected)
    for entry in listed:
        chunk = expected[entry.chunk_id]
        assert entry == Entry(chunk.id, chunk.document_id, chunk.source, record_hash(chunk))


def test_nothing_is_written_where_there_is_no_index():
    with pytest.raises(StoreNotFound, match="memory:x holds no index"):
        MemoryStore("x").upsert([record("a")])


def test_manifest_and_destroy():
    store = MemoryStore("x")
    assert store.read_manifest() is None
    store.create(MANIFEST)
    assert store.read_manifest() == MANIFEST
    other = MANIFEST.model_copy(update={"created_with": "other"})
    store.write_manifest(other)
    assert store.read_manifest() == other
    store.upsert([record("a")])
    store.optimise()
    store.close()
    store.close()
    assert store.count() == 1
    with pytest.raises(StoreError, match="already"):
        store.create(MANIFEST)
    store.destroy()
    assert store.read_manifest() is None
    for action in (store.count, lambda: store.upsert([record("a")]), lambda: store.write_manifest(MANIFEST)):
        with pytest.raises(StoreNotFound, match="memory:x"):
            action()
    store.create(MANIFEST)
    assert store.count() == 0


def test_addresses():
    assert MemoryStore.from_address(parse_address("memory:x")).address == "memory:x"
    assert MemoryStore.from_address(parse_address("memory:")).address == "memory:"
    with pytest.raises(ConfigurationError, match="a memory store has no server"):
        MemoryStore.from_address(parse_address("memory://host/x"))
