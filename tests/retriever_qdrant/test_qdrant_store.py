"""Writing, finding and refusing."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from qdrant_samples import make_chunk, make_manifest, make_record

from retriever.errors import InvalidInput, StoreError
from retriever.metadata import record_hash
from retriever.stores import Entry, Query
from retriever_qdrant import batches, convert
from retriever_qdrant.changes import UNINDEXED, Changes


def vector(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_upsert_replaces_whole(store):
    store.upsert([make_record("a", terms={"old": 1}, metadata={"k": 1, "l": ["x"], "f": 0.1 + 0.2})])
    store.upsert([make_record("a", (0, 1, 0, 0), terms={}, metadata={"m": 2}, text="new")])
    [chunk] = store.fetch([store.key("a")]).values()
    assert (chunk.text, chunk.metadata) == ("new", {"m": 2})
    assert store.count() == 1
    legs = store.search(Query(5, vector(0, 1, 0, 0), {"old": 1}))
    assert [(c.key, pytest.approx(1)) for c in legs.semantic] == [(c.key, c.score) for c in legs.semantic]
    assert legs.keyword == []


def test_rewrite_changes_payload_only(store):
    store.upsert([make_record("a", terms={"old": 2}, metadata={"k": 1, "l": ["x"]}), make_record("b")])
    moved = make_chunk("a", {"m": 2}, start=5, end=9, source="src", document_id="src::d")
    store.rewrite([moved, make_chunk("unknown")])
    assert store.fetch([store.key("a"), store.key("unknown")]) == {store.key("a"): moved}
    assert store.count() == 2
    assert {e for e in store.entries() if e.chunk_id == "a"} == {Entry("a", "src::d", "src", record_hash(moved))}
    legs = store.search(Query(1, vector(1, 0, 0, 0), {"old": 1}))
    assert [c.key for c in legs.keyword] == [store.key("a")]
    assert store.vectors([store.key("a")])[store.key("a")].tolist() == [1, 0, 0, 0]


def test_delete_ignores_unknown_ids(store):
    store.upsert([make_record("a"), make_record("b")])
    store.delete(["a", "unknown", "a"])
    store.delete([])
    store.upsert([])
    store.rewrite([])
    assert [entry.chunk_id for entry in store.entries()] == ["b"]
    assert store.fetch([store.key("a")]) == {}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (make_record("bad", (1, 2, 3)), "chunk bad: its vector has shape"),
        (make_record("bad", ((1, 2, 3, 4),)), "chunk bad: its vector has shape"),
        (make_record("bad", (1, float("nan"), 0, 0)), "chunk bad: .* NaN"),
        (make_record("bad", (1, float("inf"), 0, 0)), "chunk bad: .* NaN or infinity"),
        (make_record("c7"), "chunk c7 is there twice"),
    ],
)
def test_a_bad_record_writes_nothing(store, bad, message):
    records = [make_record(f"c{number}") for number in range(2 * batches.MOST_RECORDS)]
    with pytest.raises(InvalidInput, match=message):
        store.upsert([*records, bad])
    assert store.count() == 0


def test_records_need_a_calibration(store):
    store.write_manifest(make_manifest(average_length=None))
    with pytest.raises(StoreError, match="calibration"):
        store.upsert([make_record("a")])


def test_what_the_engine_refuses_is_a_store_error(store):
    store.upsert([make_record("a")])
    with pytest.raises(StoreError, match="dimension") as caught:
        store.search(Query(5, vector(1, 0)))
    assert type(caught.value.__cause__) is Exception


def test_search_without_a_part(store):
    store.upsert([make_record("a"), make_record("b", terms={})])
    assert store.search(Query(5)).semantic == store.search(Query(5)).keyword == []
    legs = store.search(Query(5, vector(1, 0, 0, 0)))
    assert (len(legs.semantic), len(legs.keyword)) == (2, 0)
    legs = store.search(Query(5, None, {"word": 1, "other": 3}))
    assert ([c.key for c in legs.semantic], [c.key for c in legs.keyword]) == ([], [store.key("a")])
    assert not store.search(Query(5, None, {"other": 1})).keyword
    assert not store.search(Query(5, None, {})).keyword


def test_zero_vectors_score_zero(store):
    store.upsert([make_record("zero", (0, 0, 0, 0)), make_record("one"), make_record("minus", (-2, 0, 0, 0))])
    scores = {c.key: c.score for c in store.search(Query(5, vector(3, 0, 0, 0))).semantic}
    assert scores == {store.key("one"): 1.0, store.key("zero"): 0.0, store.key("minus"): -1.0}
    assert {c.score for c in store.search(Query(5, vector(0, 0, 0, 0))).semantic} == {0.0}


def test_cosines_stay_in_their_range(store):
    some = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
    store.upsert([make_record(f"c{i}", row) for i, row in enumerate(some)])
    for row in some[:50]:
        scores = [c.score for c in store.search(Query(200, row)).semantic]
        assert scores == sorted(scores, reverse=True)
        assert all(-1 <= score <= 1 and type(score) is float for score in scores)


def test_ties_are_in_order_of_their_keys(store):
    store.upsert([make_record(f"c{number}") for number in range(50)])
    legs = store.search(Query(50, vector(1, 0, 0, 0), {"word": 1}))
    for leg in (legs.semantic, legs.keyword):
        assert [c.key for c in leg] == sorted(store.key(f"c{number}") for number in range(50))


def test_vectors_are_unit_and_without_those_that_are_missing(store):
    store.upsert([make_record("a", (3, 4, 0, 0)), make_record("b", (0, 0, 0, 0))])
    a, b = store.key("a"), store.key("b")
    rows = store.vectors([b, a, b, store.key("gone"), "not a key"])
    assert rows.keys() == {a, b}
    assert rows[a].dtype == np.float32
    np.testing.assert_allclose([rows[b], rows[a]], [[0, 0, 0, 0], [0.6, 0.8, 0, 0]], atol=1e-6)
    assert store.vectors([]) == {}


def test_fetch_leaves_out_what_is_missing(store):
    store.upsert([make_record("a")])
    assert list(store.fetch(["not a key", store.key("gone"), store.key("a")])) == [store.key("a")]
    assert store.fetch([]) == {}


def test_entries_come_in_pages_each_once(store):
    names = [f"c{number}" for number in range(2_500)]
    store.upsert([make_record(name) for name in names])
    assert sorted(entry.chunk_id for entry in store.entries()) == sorted(names)


def test_batches_are_bounded():
    records = [make_record(f"c{i}", text="x" * (10_000 if i % 2 else 10)) for i in range(1_000)]
    cut = list(batches.batches(records))
    assert [record for batch in cut for record in batch] == records
    assert all(len(batch) <= batches.MOST_RECORDS for batch in cut)
    huge = [make_record("a"), make_record("b", text="x" * 3_000_000), make_record("c")]
    assert [len(batch) for batch in batches.batches(huge)] == [1, 1, 1]


def test_points_of_a_large_upsert_are_not_held_at_once(store, monkeypatch):
    alive, most = 0, 0
    convert_one = convert.to_point

    def counting(record, average_length):
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        return convert_one(record, average_length)

    changed = type(store)._changed

    def written(self, shard, new):
        nonlocal alive
        alive = 0
        changed(self, shard, new)

    monkeypatch.setattr(convert, "to_point", counting)
    monkeypatch.setattr(type(store), "_changed", written)
    store.upsert([make_record(f"c{number}") for number in range(1_000)])
    assert most == batches.MOST_RECORDS


def test_changes_are_counted(store):
    store.upsert([make_record("a"), make_record("b")])
    store.upsert([make_record("b"), make_record("c")])
    assert store._folder.changes() == Changes(4, 1)
    store.delete(["a", "unknown"])
    store.rewrite([make_chunk("b"), make_chunk("unknown")])
    store.close()
    assert store._folder.changes() == Changes(5, 3)


@pytest.mark.parametrize(
    ("changes", "points", "many"),
    [
        (Changes(UNINDEXED, 0), 10**6, False),
        (Changes(UNINDEXED + 1, 0), 10**6, True),
        (Changes(0, 1_000), 1_000, False),
        (Changes(0, 1_001), 1_000, True),
        (Changes(0, 2_000), 10_000, False),
        (Changes(0, 2_001), 10_000, True),
    ],
)
def test_when_optimisation_is_due(changes, points, many):
    assert changes.are_many(points) is many


def test_damaged_counts_do_no_harm(store, tmp_path: Path):
    (tmp_path / "index" / "retriever.json").write_text('{"written": "x"}')
    store.upsert([make_record("a")])
    assert store._folder.changes() == Changes(1, 0)


def test_closing_and_going_on(store, manifest):
    for number in range(3):
        store.upsert([make_record(f"c{number}")])
        store.close()
        store.close()
    assert store.count() == 3
    assert store.read_manifest() == manifest


def test_threads_search_while_one_writes(store):
    store.upsert([make_record(f"c{number}") for number in range(200)])
    errors: list[BaseException] = []
    done = threading.Event()

    def guarded(work):
        def run():
            try:
                work()
            except BaseException as error:
                errors.append(error)
                done.set()

        return threading.Thread(target=run)

    def search():
        while not done.is_set():
            legs = store.search(Query(20, vector(1, 0, 0, 0), {"word": 1}))
            assert len(legs.semantic) == len(legs.keyword) == 20
            assert len(store.fetch([c.key for c in legs.semantic])) == 20
            assert store.count() >= 200

    def write():
        for start in range(0, 3_000, 300):
            store.upsert([make_record(f"c{number}") for number in range(start, start + 600)])
            store.rewrite([make_chunk(f"c{number}") for number in range(start, start + 100)])
            store.delete([f"c{number}" for number in range(start + 300, start + 600)])
        store.close()
        done.set()

    threads = [guarded(work) for work in (search, search, search, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert store.count() == 3_000
