"""What is far beyond a page or a request, on every store: it works, or the record is named and the rest is written."""

import pytest
from qdrant_client import QdrantClient

from retriever import MemoryStore, RecordsRefused
from retriever.opening import resolve_store
from retriever.testing.samples import chunk_id, make_manifest, make_record
from retriever_chroma import ChromaStore
from retriever_qdrant import QdrantStore

MEGABYTE = 2**20
MANY = 100_000


@pytest.fixture(params=["memory", "edge", "chroma-memory", "chroma-folder", "chroma-server", "qdrant-local"])
def store(request, tmp_path, new_stores, unique):
    make = {
        "memory": lambda _: MemoryStore(),
        "edge": lambda _: QdrantStore(tmp_path / "index"),
        "chroma-memory": lambda _: ChromaStore(),
        "chroma-folder": lambda _: ChromaStore(path=tmp_path / "index"),
        "chroma-server": lambda _: resolve_store(
            f"chroma://127.0.0.1:{request.getfixturevalue('chroma').port}/{unique}"
        ),
        "qdrant-local": lambda _: QdrantStore(client=QdrantClient(":memory:"), collection="index"),
    }[request.param]
    made = new_stores(make)()
    made.create(make_manifest())
    return made


def long(name, megabytes):
    return make_record(chunk_id(name), text=f"{name} " * (megabytes * MEGABYTE // (len(name) + 1)))


def refused_of(store, records):
    """Ids of the records that the store does not take."""
    try:
        store.upsert(records)
    except RecordsRefused as error:
        return [name for name in error.chunk_ids if name in str(error)]
    return []


def test_a_hundred_thousand_ids(store):
    here = [chunk_id(name) for name in ("a", "b", "c")]
    store.upsert([make_record(name) for name in here])
    ids = [*here[:2], *(chunk_id(f"u{number}") for number in range(MANY)), here[2]]
    keys = [store.key(name) for name in ids]
    assert len(store.fetch(keys)) == len(store.vectors(keys)) == 3
    store.delete(ids[1:])
    assert [entry.chunk_id for entry in store.entries()] == here[:1]


def test_one_record_of_twenty_megabytes(store):
    large, small = long("large", 20), make_record(chunk_id("small"))
    refused = refused_of(store, [large, small])
    assert refused in ([], [large.chunk.id])
    there = [record for record in (large, small) if record.chunk.id not in refused]
    chunks = store.fetch([store.key(record.chunk.id) for record in there])
    assert sorted(chunk.text for chunk in chunks.values()) == sorted(record.chunk.text for record in there)
    assert store.count() == len(there)


def test_a_batch_whose_json_is_over_32_megabytes(store):
    records = [long(f"name{number}", 4) for number in range(10)]
    store.upsert(records)
    assert store.count() == len(records)
    chunk = records[7].chunk
    assert store.fetch([store.key(chunk.id)]) == {store.key(chunk.id): chunk}
