"""Every compiled filter finds what the Python meaning says, with and without payload indexes."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_samples import make_manifest, make_record
from qdrant_strategies import DOCUMENTS, DRIFTING, KEYS, NUMBERS, SOURCES, TEXTS, filters, metadata

from retriever.filters import And, Compare, Exists, Filter, In, Not, Or, Reserved, matches, parse_filter
from retriever.stores import Query, Record
from retriever_qdrant import QdrantStore

VECTOR = np.array([1, 0, 0, 0], dtype=np.float32)


@pytest.fixture(scope="module", params=[None, "keyword", "number", "bool"])
def indexed(request, tmp_path_factory) -> Iterator[QdrantStore]:
    """A store where the commonest keys have a payload index of one type, or none."""
    fields = {} if request.param is None else dict.fromkeys(KEYS[:5], request.param)
    store = QdrantStore(tmp_path_factory.mktemp("filters") / "index")
    store.create(make_manifest(filter_fields=fields))
    yield store
    store.destroy()


def found(store: QdrantStore, condition: Filter | None) -> set[str]:
    """By all three ways of asking."""
    entries = {entry.chunk_id for entry in store.entries(condition)}
    assert store.count(condition) == len(entries)
    legs = store.search(Query(10_000, VECTOR, {"word": 1}, condition))
    assert {candidate.key for candidate in legs.semantic} == {store.key(i) for i in entries}
    assert {candidate.key for candidate in legs.keyword} == {store.key(i) for i in entries}
    return entries


def expected(records: list[Record], condition: Filter | None) -> set[str]:
    return {record.chunk.id for record in records if matches(condition, record.chunk)}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_filters_mean_what_python_says(indexed, data):
    everything = data.draw(st.lists(metadata, max_size=8))
    places = st.tuples(st.sampled_from(DOCUMENTS), st.sampled_from(SOURCES))
    records = []
    for number, item in enumerate(everything):
        document, source = data.draw(places)
        records.append(make_record(f"c{number}", metadata=item, document_id=document, source=source))
    indexed.delete([entry.chunk_id for entry in indexed.entries()])
    indexed.upsert(records)
    for condition in data.draw(st.lists(filters(everything), min_size=1, max_size=4)):
        assert found(indexed, condition) == expected(records, condition), condition


def big_corpus(count: int) -> list[Record]:
    """Enough records that the engine uses its indexes, with values of mixed types under one key."""
    choose = random.Random(3)
    values = [*TEXTS, *NUMBERS, True, False]
    records = []
    for number in range(count):
        item = {}
        for key in KEYS[:4]:
            kind = choose.random()
            if kind < 0.4:
                item[key] = choose.choice(["a", 1, True, DRIFTING[0]])
            elif kind < 0.8:
                value = choose.choice(values)
                same = [v for v in values if type(v) is type(value)]
                item[key] = value if kind < 0.6 else choose.choices(same, k=choose.randint(1, 3))
        place = {"document_id": f"src::{number // 10}", "source": choose.choice(SOURCES)}
        records.append(make_record(f"c{number}", metadata=item, **place))
    return records


def some_filters(count: int) -> list[Filter]:
    choose = random.Random(4)

    def leaf() -> Filter:
        key = choose.choice(KEYS[:4])
        return choose.choice(
            [
                lambda: Compare(key, "eq", choose.choice([*TEXTS[:4], *NUMBERS, True])),
                lambda: Compare(key, choose.choice(["gt", "gte", "lt", "lte"]), choose.choice(NUMBERS)),
                lambda: Compare(key, "contains", choose.choice([*TEXTS, 1, True])),
                lambda: In(key, tuple(choose.sample([*TEXTS, *NUMBERS, True, False], 3))),
                lambda: Exists(key),
                lambda: In(Reserved.DOCUMENT, tuple(f"src::{choose.randrange(300)}" for _ in range(20))),
                lambda: Compare(Reserved.SOURCE, "eq", choose.choice(SOURCES)),
            ]
        )()

    def tree(depth: int) -> Filter:
        if not depth or choose.random() < 0.3:
            return leaf()
        children = tuple(tree(depth - 1) for _ in range(choose.randint(1, 3)))
        return choose.choice([lambda: And(children), lambda: Or(children), lambda: Not(children[0])])()

    return [tree(3) for _ in range(count)]


def test_indexes_change_no_answer_in_a_large_corpus(tmp_path, open_store, monkeypatch):
    """Before and after optimisation, which rebuilds the indexes in another form."""
    monkeypatch.setattr("retriever_qdrant.engine.UNINDEXED", 500)
    monkeypatch.setattr("retriever_qdrant.changes.UNINDEXED", 500)
    records = big_corpus(1_500)
    conditions = some_filters(30)
    answers = [expected(records, condition) for condition in conditions]
    for kinds in (["keyword", "number", "bool", "number"], ["number", "keyword", "number", "bool"]):
        store = open_store(tmp_path / kinds[0])
        store.create(make_manifest(filter_fields=dict(zip(KEYS, kinds, strict=False))))
        store.upsert(records)
        for _ in ("fresh", "optimised"):
            for condition, answer in zip(conditions, answers, strict=True):
                assert {entry.chunk_id for entry in store.entries(condition)} == answer, condition
                assert store.count(condition) == len(answer)
            store.optimise()
            assert store._folder.changes().written == 0
        store.destroy()


def test_filter_fields_may_change(store, tmp_path):
    """Indexes come and go with the manifest, and answers stay."""
    records = big_corpus(300)
    store.upsert(records)
    conditions = some_filters(20)
    answers = [expected(records, condition) for condition in conditions]
    for kind in ("keyword", "number", "bool", None):
        store.write_manifest(make_manifest(filter_fields=dict.fromkeys(KEYS[:4], kind) if kind else {}))
        assert len(store._shard.info().payload_schema) == 4 + (4 if kind else 0)
        assert [{entry.chunk_id for entry in store.entries(c)} for c in conditions] == answers
    store.close()
    assert store.read_manifest().filter_fields == {}


def test_floats_that_json_would_change_compare_exactly(indexed):
    """All operators on all neighbours, where a unit in the last place decides; alone and in lists."""
    around = sorted({v for d in DRIFTING for v in (d, math.nextafter(d, math.inf), math.nextafter(d, -math.inf))})
    values = [*around, *([value, 0, -0.0] for value in around), [around[3], 1], 7, "7", True, *map(str, around)]
    records = [make_record(f"c{number}", metadata={"a": value}) for number, value in enumerate(values)]
    indexed.delete([entry.chunk_id for entry in indexed.entries()])
    indexed.upsert(records)
    for bound in (*around, 0, 2**53, 1e300):
        conditions = [Compare("a", operator, bound) for operator in ("eq", "gt", "gte", "lt", "lte", "contains")]
        for condition in (*conditions, In("a", (bound, "7", True)), Exists("a")):
            answer = expected(records, condition)
            assert {entry.chunk_id for entry in indexed.entries(condition)} == answer, condition
            assert indexed.count(Not(condition)) == len(records) - len(answer)


@pytest.mark.parametrize(
    ("given_filter", "names"),
    [
        ({}, "abcdef"),
        ({"k": 1}, "ab"),
        ({"k": True}, "c"),
        ({"k": {"$ne": 1}}, "cdef"),
        ({"k": {"$contains": "b"}}, "d"),
        ({"k": {"$contains": "x"}}, "e"),
        ({"k": {"$contains": ""}}, "d"),
        ({"k": {"$in": []}}, ""),
        ({"k": {"$nin": []}}, "abcdef"),
        ({"k": {"$exists": False}}, "f"),
        ({"k": {"$gte": -5}}, "ab"),
        ({"$source": "", "$document": {"$contains": "oc"}}, "abcdef"),
    ],
)
def test_examples(store, given_filter, names):
    values = {"a": 1, "b": 1.0, "c": True, "d": "abc", "e": ["x", "yb"], "f": None}
    store.upsert([make_record(name, metadata={"k": value}) for name, value in values.items()])
    assert found(store, parse_filter(given_filter)) == set(names)


def test_no_alternatives_match_nothing_and_no_conditions_everything(store):
    store.upsert([make_record("a")])
    assert found(store, Or(())) == set()
    assert found(store, Not(And(()))) == set()
    assert found(store, Not(Or(()))) == found(store, And(())) == found(store, None) == {"a"}


def test_thousands_of_document_ids_are_quick(store):
    store.upsert([make_record(f"c{number}", document_id=f"doc {number // 4}") for number in range(4_000)])
    condition = In(Reserved.DOCUMENT, tuple(f"doc {number}" for number in range(5_000)))
    start = time.perf_counter()
    assert store.count(condition) == 4_000
    assert time.perf_counter() - start < 1
