"""Payload indexes change no answer; that filters mean what Python says is in the contract."""

from __future__ import annotations

import random
import time

import pytest
from qdrant_samples import make_manifest, make_record

from retriever.filters import And, Compare, Exists, Filter, In, Not, Or, Reserved, matches
from retriever.stores import Record
from retriever.testing.strategies import DRIFTING, KEYS, NUMBERS, SOURCES, TEXTS


def expected(records: list[Record], condition: Filter | None) -> set[str]:
    return {record.chunk.id for record in records if matches(condition, record.chunk)}


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


def test_thousands_of_document_ids_are_quick(store):
    store.upsert([make_record(f"c{number}", document_id=f"doc {number // 4}") for number in range(4_000)])
    condition = In(Reserved.DOCUMENT, tuple(f"doc {number}" for number in range(5_000)))
    start = time.perf_counter()
    assert store.count(condition) == 4_000
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("kind", [None, "number"])
def test_hundreds_of_numbers_are_quick_and_found_exactly(tmp_path, open_store, kind):
    """Kept as they are, split, whole but split as a float, and in lists around an operand."""
    choose = random.Random(5)
    some = [*NUMBERS, *(choose.random() for _ in range(300)), *range(-300, 300)]
    store = open_store(tmp_path / "index")
    store.create(make_manifest(filter_fields={"n": kind} if kind else {}))
    values = [*some, *(choose.sample(some, 3) for _ in range(1_000)), "1", True]
    records = [make_record(f"c{number}", metadata={"n": value}) for number, value in enumerate(values)]
    store.upsert(records)
    for count in (1, 8, 9, 64, 65, 400):
        condition = In("n", (*choose.sample(some, count), "a", False))
        start = time.perf_counter()
        found = {entry.chunk_id for entry in store.entries(condition)}
        assert time.perf_counter() - start < 0.7  # a condition for each of 400 takes more than 1.5 s
        assert found == expected(records, condition)
    for number in NUMBERS:
        assert store.count(In("n", (number,))) == len(expected(records, In("n", (number,))))
