"""Copying an index between stores, and to another embedding function."""

import json

import numpy as np
import pytest

from retriever import ChunkerConfig, Document, IndexMismatch, InvalidInput, Retriever, StoreError, StoreNotFound
from retriever.copying import copy_index
from retriever.errors import RecordsRefused
from retriever.indexing import BATCH
from retriever.memory import MemoryStore
from retriever.registry import register
from retriever_qdrant import QdrantStore

TEXTS = {f"d{n}": f"Paragraph {n} is about topic{n % 7} and 主题{n % 5}.\n\nIt has a part{n}." for n in range(400)}
SMALL = ChunkerConfig(size=8, overlap=0)


def fill(store, **settings):
    retriever = Retriever.open(store, embedding="counting", chunker=SMALL, **settings)
    retriever.index((Document(name, text, {"n": len(name), "f": 0.1}) for name, text in TEXTS.items()), source="s")
    return retriever


def content(store):
    """Everything that a store holds, by chunk id."""
    entries = {entry.chunk_id: entry for entry in store.entries()}
    keys = {store.key(chunk_id): chunk_id for chunk_id in entries}
    chunks = {keys[key]: chunk for key, chunk in store.fetch(list(keys)).items()}
    vectors = {keys[key]: vector for key, vector in store.vectors(list(keys)).items()}
    return {chunk_id: (entries[chunk_id], chunks[chunk_id], vectors[chunk_id]) for chunk_id in entries}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for chunk_id, (entry, chunk, vector) in one.items():
        assert other[chunk_id][:2] == (entry, chunk)
        np.testing.assert_allclose(other[chunk_id][2], vector, atol=1e-6)


class Failing(MemoryStore):
    """Dies at a given upsert."""

    left = 2

    def upsert(self, records):
        if self.left == 0:
            raise StoreError("the store is gone")
        self.left -= 1
        super().upsert(records)


@pytest.fixture
def source(counting):
    store = MemoryStore("source")
    fill(store, filter_fields={"n": "number"}, language="german")
    counting.reset()
    return store


def test_everything_arrives_and_nothing_is_embedded(source, tmp_path, counting):
    seen = []
    report = copy_index(source, tmp_path / "index", progress=lambda done: seen.append(done.chunks))
    assert counting.documents == []
    assert (report.copied, report.present, report.extra) == (source.count(), 0, 0)
    assert seen == sorted(seen)
    assert seen[-1] == source.count() > BATCH
    target = QdrantStore(tmp_path / "index")
    assert target.read_manifest() == source.read_manifest()
    assert_same(content(source), content(target))
    for query in ("part17", "主题2 part30"):
        before, after = (Retriever.open(store).search(query, 1, mode="keyword") for store in (source, target))
        assert before[0].chunk == after[0].chunk
    target.close()
    back = MemoryStore("back")
    copy_index(tmp_path / "index", back)
    assert_same(content(source), content(back))


def test_an_interrupted_copy_goes_on_where_it_stopped(source):
    target = Failing("target")
    with pytest.raises(StoreError, match="gone"):
        copy_index(source, target)
    assert target.count() == 2 * BATCH
    target.left = 100
    report = copy_index(source, target)
    assert (report.copied, report.present) == (source.count() - 2 * BATCH, 2 * BATCH)
    assert_same(content(source), content(target))
    again = copy_index(source, target)
    assert (again.copied, again.present) == (0, source.count())


def test_what_changed_in_the_source_is_copied_again_and_what_is_gone_is_left(source):
    target = MemoryStore("target")
    copy_index(source, target)
    retriever = Retriever.open(source)
    retriever.delete(documents=["s::d1"])
    retriever.index([Document("d2", TEXTS["d2"], {"n": 99})], source="s")
    report = copy_index(source, target)
    assert report.extra == len(list(target.entries())) - source.count() > 0
    assert 0 < report.copied < 10
    assert next(h for h in Retriever.open(target).search("part2", 1, mode="keyword")).chunk.metadata["n"] == 99


def test_another_embedding_function(source, counting):
    class Other(counting):
        kind = "other"

    unregister = register("retriever.embeddings", "other", Other)
    target = Failing("target")
    try:
        with pytest.raises(StoreError):
            copy_index(source, target, embedding="other")
        target.left = 100
        report = copy_index(source, target, embedding="other")
        assert report.present == 2 * BATCH
        manifest, old = target.read_manifest(), source.read_manifest()
        assert manifest.embedding.kind == "other"
        assert (manifest.chunker, manifest.analyser, manifest.filter_fields) == (
            *(old.chunker, old.analyser, old.filter_fields),
        )
        assert manifest.calibration.average_length == old.calibration.average_length
        assert sorted({c.text for _, c, _ in content(target).values()}) == sorted(
            {c.text for _, c, _ in content(source).values()}
        )
        assert set(counting.documents) >= {c.text for _, c, _ in content(source).values()}
        assert Retriever.open(target).search("topic3", 1)[0].document_id.startswith("s::d")
        assert Retriever.open(target).verify().problems == []
        with pytest.raises(IndexMismatch, match="other"):
            copy_index(source, target)
    finally:
        unregister()


def test_what_cannot_be_copied(source, tmp_path, counting):
    with pytest.raises(InvalidInput, match="onto itself"):
        copy_index(source, source)
    with pytest.raises(StoreNotFound, match="nothing to copy"):
        copy_index(MemoryStore("empty"), source)
    other = MemoryStore("other")
    Retriever.open(other, embedding="counting", chunker=ChunkerConfig(size=9, overlap=0), language="german")
    with pytest.raises(IndexMismatch, match="another chunker"):
        copy_index(source, other)
    assert other.count() == 0


def test_an_empty_index_can_be_copied(counting, tmp_path):
    empty, target = MemoryStore("empty"), MemoryStore("target")
    Retriever.open(empty, embedding="counting")
    assert copy_index(empty, target).chunks == 0
    assert target.read_manifest() == empty.read_manifest()
    retriever = Retriever.open(empty)
    retriever.index([Document("d", "later")])
    assert copy_index(empty, target).copied == 1  # its calibration came after the first copy
    assert target.read_manifest() == empty.read_manifest()


def uncalibrated(store):
    """As the manifest of an attached collection is, which this package did not write."""
    store.write_manifest(store.read_manifest().model_copy(update={"calibration": None}))


@pytest.mark.parametrize("embedding", [None, "hashed"])
def test_an_index_without_a_calibration_gets_one(source, tmp_path, embedding):
    measured = source.read_manifest().calibration
    uncalibrated(source)
    report = copy_index(source, tmp_path / "index", embedding=embedding)
    assert (report.copied, report.lost) == (source.count(), 0)
    target = QdrantStore(tmp_path / "index")
    assert target.read_manifest().calibration == measured
    target.close()


def test_a_target_that_was_made_when_the_source_was_empty_gets_a_calibration(counting, tmp_path):
    empty = MemoryStore("empty")
    Retriever.open(empty, embedding="counting")
    copy_index(empty, tmp_path / "index")
    Retriever.open(empty).index([Document("d", "later")])
    uncalibrated(empty)
    assert copy_index(empty, tmp_path / "index").copied == 1


def test_an_interrupted_recalibration_is_finished_by_a_copy(source):
    """All terms are counted anew."""
    manifest = source.read_manifest()
    broken = manifest.calibration.model_copy(update={"complete": False})
    source.write_manifest(manifest.model_copy(update={"calibration": broken}))
    target = MemoryStore("target")
    copy_index(source, target)
    assert target.read_manifest().calibration == manifest.calibration


class Losing(MemoryStore):
    """Cannot give some vectors, as a damaged graph cannot."""

    def vectors(self, keys):
        return {key: vector for key, vector in super().vectors(keys).items() if key[0] != "0"}


def test_what_the_source_has_lost_is_counted_and_embedded_if_wanted(counting):
    source, target = Losing("source"), MemoryStore("target")
    fill(source)
    lost = sum(entry.chunk_id[0] == "0" for entry in source.entries())
    report = copy_index(source, target)
    assert report.lost == lost > 0
    assert (report.chunks, report.copied) == (source.count(), source.count() - lost)
    report = copy_index(source, target, embedding="counting")
    assert (report.lost, report.copied) == (0, lost)


def test_a_loss_is_told_on_the_command_line(run_cli, tmp_path, counting):
    fill(Place.store)
    unregister = register("retriever.stores", "losing", Place)
    try:
        code, out, error = run_cli("copy", "losing:", tmp_path / "index")
    finally:
        unregister()
    assert (code, error) == (3, "")
    assert "not copied:" in out


class Choosy(MemoryStore):
    """Refuses a record, and writes the others of the call."""

    def upsert(self, records):
        refused = [record.chunk.id for record in records if record.chunk.document_id == "s::d3"]
        super().upsert([record for record in records if record.chunk.id not in refused])
        if refused:
            raise RecordsRefused(f"{refused} are too large", refused)


def test_what_the_target_refuses_is_named_and_the_rest_is_copied(source):
    target = Choosy("target")
    for copied in (True, False):
        report = copy_index(source, target)
        refused = source.count() - target.count()
        assert report.refused == refused > 0
        assert report.copied + report.present + refused == report.chunks == source.count()
        assert bool(report.copied) is copied
        assert all(entry.chunk_id in str(report.problems) for entry in set(source.entries()) - set(target.entries()))


class Place:
    """Where ``losing:`` leads."""

    store = Losing("place")

    @classmethod
    def from_address(cls, _):
        return cls.store


def test_on_the_command_line(run_cli, tmp_path):
    with Retriever.open(tmp_path / "a", embedding="hashed") as retriever:
        retriever.index([Document("d", "Rotate the signing key.")])
    code, out, error = run_cli("copy", tmp_path / "a", tmp_path / "b")
    assert (code, error) == (0, "")
    assert "1 chunks copied, 0 were there already" in out
    code, out, _ = run_cli("copy", tmp_path / "a", tmp_path / "b", "--json")
    counts = {"chunks": 1, "copied": 0, "present": 1, "extra": 0, "lost": 0, "refused": 0, "truncated": 0}
    assert json.loads(out) == {**counts, "problems": [], "target": str(tmp_path / "b")}
    assert json.loads(run_cli("search", "key", "--store", tmp_path / "b", "--json")[1])["hits"]
    code, _, error = run_cli("copy", tmp_path / "nothing", tmp_path / "c")
    assert code == 1
    assert "nothing to copy" in error
    assert not (tmp_path / "c").exists()
