"""Writing, finding and refusing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qdrant_samples import make_chunk, make_manifest, make_record

from retriever.errors import StoreError
from retriever.stores import Query
from retriever_qdrant import batches, convert
from retriever_qdrant.changes import UNINDEXED, Changes


def vector(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_records_need_a_calibration(store):
    store.write_manifest(make_manifest(average_length=None))
    with pytest.raises(StoreError, match="calibration"):
        store.upsert([make_record("a")])


def test_what_the_engine_refuses_is_a_store_error(store):
    store.upsert([make_record("a")])
    with pytest.raises(StoreError, match="dimension") as caught:
        store.search(Query(5, vector(1, 0)))
    assert type(caught.value.__cause__) is Exception


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
    store.close()
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
        (Changes(1_000, 5_000), 1_000, False),  # there is no graph yet
        (Changes(999, 5_000), 1_000, True),
    ],
)
def test_when_optimisation_is_due(changes, points, many):
    assert changes.are_many(points) is many


def test_damaged_counts_do_no_harm(store, tmp_path: Path):
    (tmp_path / "index" / "retriever.json").write_text('{"written": "x"}')
    store.upsert([make_record("a")])
    store.close()
    assert store._folder.changes() == Changes(1, 0)


def test_a_kill_costs_few_counts(store):
    for start in range(0, 2_500, 250):
        store.upsert([make_record(f"c{number}") for number in range(start, start + 250)])
    assert store._folder.changes().written == 2_000  # noted while the store is open
