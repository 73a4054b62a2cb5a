"""Collections that other programs filled."""

from __future__ import annotations

import math
import uuid

import numpy as np
import pytest
from chroma_samples import chunk_id, keyword, make_chunk, make_manifest, make_record, semantic, vector

from retriever.errors import ConfigurationError, IndexMismatch, StoreError, StoreNotFound
from retriever.stores import Query
from retriever_chroma import ChromaStore


@pytest.fixture
def docs(client):
    name = f"docs-{uuid.uuid4().hex}"
    collection = client.create_collection(name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    collection.add(
        ids=["1", "doc::2", "ünï"],
        embeddings=[[1, 0, 0, 0], [0.1, 1, 0, 0], [0, 0, 1, 0]],
        documents=["the apple", "the banana", "中文 cherry"],
        metadatas=[{"page": 1, "a.b": "x"}, {"page": 2, "tags": ["p", "q"]}, None],
    )
    yield collection
    collection.delete(ids=collection.get(include=[])["ids"])  # or its lists would show in other collections
    client.delete_collection(name)


@pytest.fixture
def attached(client, docs):
    store = ChromaStore.attach(client, docs.name)
    store.create(make_manifest())
    yield store
    store.close()


def contents(collection):
    got = collection.get(include=["documents", "metadatas", "embeddings"])
    return {**got, "embeddings": got["embeddings"].tolist()}, collection.metadata


def test_hybrid_search_without_changing_a_record(attached, docs):
    before = contents(docs)
    legs = attached.search(Query(2, vector(), {"cherry": 1}))
    assert [c.key for c in legs.semantic] == ["1", "doc::2"]
    assert [c.key for c in legs.keyword] == ["ünï"]
    assert keyword(attached, "中文") == ["ünï"]
    assert keyword(attached, "apple", {"page": {"$lte": 1}}) == semantic(attached, {"a.b": "x"}) == ["1"]
    assert semantic(attached, {"tags": "q"}) == ["doc::2"]
    chunk = attached.fetch(["doc::2"])["doc::2"]
    assert (chunk.document_id, chunk.source, chunk.text, chunk.end) == ("doc::2", "", "the banana", 10)
    assert chunk.metadata == {"page": 2, "tags": ["p", "q"]}
    assert {entry.chunk_id for entry in attached.entries()} == {"1", "doc::2", "ünï"}
    attached.sync()
    attached.write_manifest(make_manifest())
    attached.destroy()
    assert contents(docs) == before
    assert attached.read_manifest() is None


def test_it_is_only_read(attached, docs):
    before = contents(docs)
    for change in (
        lambda: attached.upsert([make_record(chunk_id("a"))]),
        lambda: attached.rewrite([make_chunk("1")]),
        lambda: attached.delete(["1"]),
    ):
        with pytest.raises(StoreError, match=r"copy_index\(ChromaStore.attach"):
            change()
    assert contents(docs) == before


def test_another_object_finds_it_attached(request, attached, client, docs):
    manifest = attached.read_manifest()
    attached.close()
    again = ChromaStore.attach(client, docs.name)
    if "memory" in request.node.name:
        assert again.read_manifest() is None
        assert keyword(attached, "apple") == ["1"]
        return
    assert again.read_manifest() == manifest
    assert keyword(again, "apple") == ["1"]
    with pytest.raises(StoreError, match="attached already"):
        again.create(manifest)
    again.close()


def test_what_the_owner_changes_is_seen(no_wait, attached, docs):
    docs.add(ids=[f"new{n}" for n in range(200)], embeddings=[[0, 0, 0, 1]] * 200, documents=["damson"] * 200)
    assert len(attached.search(Query(500, None, {"damson": 1})).keyword) == 200
    docs.delete(ids=["1", *(f"new{n}" for n in range(199))])
    assert keyword(attached, "damson") == ["new199"]
    assert keyword(attached, "apple") == []
    docs.update(ids=["new199"], documents=["elderberry"], embeddings=[[0, 0, 0, 1]])
    attached.sync()
    assert keyword(attached, "elderberry") == ["new199"]


def test_it_has_to_be_there_and_of_the_dimension(client, docs):
    nowhere = ChromaStore.attach(client, "no-such")
    with pytest.raises(StoreNotFound, match="no-such"):
        nowhere.create(make_manifest())
    nowhere.close()
    store = ChromaStore.attach(client, docs.name)
    with pytest.raises(IndexMismatch, match=r"4 dimensions.*7"):
        store.create(make_manifest(dimension=7))
    assert store.read_manifest() is None
    with pytest.raises(StoreNotFound):
        store.count()
    store.close()


@pytest.mark.parametrize("space", ["l2", "ip"])
def test_other_spaces_give_cosines(client, space):
    name = f"docs-{uuid.uuid4().hex}"
    rows = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    rows[7] = 0
    collection = client.create_collection(name, embedding_function=None, configuration={"hnsw": {"space": space}})
    collection.add(ids=[str(n) for n in range(50)], embeddings=rows, documents=["x"] * 50)
    store = ChromaStore.attach(client, name)
    store.create(make_manifest())
    found = store.search(Query(50, vector(1, 2, 3, 4))).semantic
    query = np.array([1, 2, 3, 4]) / math.sqrt(30)
    expected = rows @ query / np.maximum(np.linalg.norm(rows, axis=1), 1e-9)
    assert len(found) == 50
    for candidate in found:
        assert candidate.score == pytest.approx(expected[int(candidate.key)], abs=1e-5)
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert all(np.linalg.norm(row) == pytest.approx(1) for key, row in store.vectors(["1", "2"]).items())
    store.destroy()
    store.close()
    client.delete_collection(name)


def test_metadata_that_our_rules_do_not_know(client):
    name = f"docs-{uuid.uuid4().hex}"
    collection = client.create_collection(name, embedding_function=None)
    odd = {"big": 2**60, "none": None, "ok": 1.5, "%41": "percent", "retriever.hash": "looks like ours", "list": [1, 2]}
    collection.add(ids=["x", "y"], embeddings=[[1, 0, 0, 0]] * 2, metadatas=[{k: v for k, v in odd.items() if v}, None])
    store = ChromaStore.attach(client, name)
    store.create(make_manifest())
    chunks = store.fetch(["x", "y"])
    assert chunks["x"].metadata == {
        "big": str(2**60),
        "ok": 1.5,
        "%41": "percent",
        "retriever.hash": "looks like ours",
        "list": [1, 2],
    }
    assert (chunks["y"].text, chunks["y"].metadata) == ("", {})
    assert semantic(store, {"big": str(2**60)}) == ["x"]
    store.destroy()
    store.close()
    collection.delete(ids=["x", "y"])
    client.delete_collection(name)


def test_an_index_of_ours_is_not_attached(store):
    with pytest.raises(ConfigurationError, match="is an index"):
        ChromaStore.attach(store._client(), "retriever").create(make_manifest())
