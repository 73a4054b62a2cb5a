"""An index in a folder or in memory: what the contract does not ask of every store."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import chromadb
import pytest
from chroma_samples import chunk_id, keyword, make_chunk, make_manifest, make_record, semantic, vector

from retriever.errors import IndexMismatch, NotAStore, StoreError, StoreLocked, StoreNotFound
from retriever.filters import parse_filter
from retriever.stores import Query
from retriever_chroma import ChromaStore
from retriever_chroma.collection import Collection
from retriever_chroma.convert import MANIFEST
from retriever_chroma.replica import Replica
from retriever_chroma.sqlite import Database

A, B, C = (chunk_id(name) for name in "abc")


def raw(store: ChromaStore):
    """The collection as another program would use it."""
    return store._client().get_collection(store._name, embedding_function=None)


def test_the_collection_is_as_others_expect_it(store):
    store.upsert([make_record(A, (0, 3, 0, 0), {"year": 2024, "tags": ["a"], "a.b": 0.5}, text="some text")])
    got = raw(store).get(include=["documents", "metadatas", "embeddings"])
    assert got["ids"] == [A]
    assert got["documents"] == ["some text"]
    assert got["metadatas"][0]["year"] == 2024
    assert got["metadatas"][0]["a%2Eb"] == 0.5
    assert raw(store).configuration_json["hnsw"]["space"] == "cosine"


def test_vanished_metadata_is_gone_from_the_collection_too(store):
    store.upsert([make_record(A, metadata={"k": 1, "gone": "x"})])
    store.upsert([make_record(A, metadata={"k": 2})])
    assert "gone" not in raw(store).get(ids=[A])["metadatas"][0]
    store.rewrite([make_chunk(A, {"other": True})])
    assert "k" not in raw(store).get(ids=[A])["metadatas"][0]
    assert store.fetch([A])[A].metadata == {"other": True}


def test_lists_of_a_deleted_collection_do_not_show(store):
    """Chroma 1.5 leaves them in its tables, where records of other collections get their row numbers."""
    client = store._client()
    other = client.create_collection("other", embedding_function=None)
    other.add(ids=["x"], embeddings=[[1, 2]], metadatas=[{"k": [1, 2]}])
    client.delete_collection("other")
    store.upsert([make_record(A, metadata={"k": "mine"})])
    assert store.fetch([A])[A].metadata == {"k": "mine"}
    store.upsert([make_record(B, metadata={"m": 1})])
    assert store.fetch([B])[B].metadata == {"m": 1}


def test_a_program_beside_is_seen_by_the_next_search(store):
    store.upsert([make_record(A, text="apple"), make_record(B, text="banana")])
    assert keyword(store, "apple") == [A]
    beside = raw(store)
    beside.add(
        ids=["x", "y"], embeddings=[[0, 1, 0, 0]] * 2, documents=["cherry", "damson"], metadatas=[{"n": 1}, {"n": 2}]
    )
    assert keyword(store, "cherry") == ["x"]
    assert semantic(store, {"n": 2}) == ["y"]
    beside.update(ids=["x"], documents=["elderberry"], embeddings=[[0, 1, 0, 0]], metadatas=[{"n": 3}])
    assert keyword(store, "cherry") == []
    assert keyword(store, "elderberry", {"n": 3}) == ["x"]
    beside.delete(ids=["y", B])
    assert keyword(store, "damson") == keyword(store, "banana") == []
    assert {entry.document_id for entry in store.entries()} == {"doc", "x"}
    assert store.count(parse_filter({"$document": {"$in": ["x", "doc", "nowhere"]}})) == 2
    assert store.count(parse_filter({"$source": ""})) == 2


def test_hundreds_of_foreign_changes(store):
    store.upsert([make_record(chunk_id(f"c{n}"), (1, n, 0, 0)) for n in range(500)])
    assert len(keyword(store, "word")) == 100
    beside = raw(store)
    beside.add(
        ids=[f"new{n}" for n in range(200)], embeddings=[[0, 0, 1, n] for n in range(200)], documents=["fresh"] * 200
    )
    beside.delete(ids=[chunk_id(f"c{n}") for n in range(200)])
    legs = store.search(Query(1_000, vector(), {"fresh": 1, "word": 1}))
    assert len(legs.keyword) == len(legs.semantic) == 500
    assert len(store.search(Query(1_000, None, {"fresh": 1})).keyword) == 200


def test_own_and_foreign_writes_in_turn(store):
    beside = raw(store)
    for n in range(5):
        store.upsert([make_record(chunk_id(f"own{n}"))])
        beside.add(ids=[f"foreign{n}"], embeddings=[[0, 1, 0, 0]], documents=["word"])
        store.delete([chunk_id(f"own{n - 2}")])
        assert len(keyword(store, "word")) == store.count() == beside.count()


def test_deleting_the_replica_loses_nothing(store, tmp_path, open_store):
    store.upsert([make_record(A, metadata={"k": 1}), make_record(B)])
    store.close()
    for home in (tmp_path / "index" / ".retriever").iterdir():
        if home.is_dir():
            shutil.rmtree(home)
    again = open_store(path=tmp_path / "index")
    assert set(keyword(again, "word")) == {A, B}
    assert keyword(again, "word", {"k": 1}) == [A]


def test_a_record_that_slipped_from_one_page_to_another_is_not_taken_for_gone(store, monkeypatch):
    """Another thread deletes while a sync reads page after page."""
    store.upsert([make_record(A), make_record(B), make_record(C)])
    all_rows = Collection.all_rows
    monkeypatch.setattr(Collection, "all_rows", lambda *a, **b: (row for row in all_rows(*a, **b) if row.id != B))
    store.sync()
    assert set(keyword(store, "word")) == {A, B, C}


def test_a_record_that_the_replica_lacks_is_found_with_the_next_deletion(store):
    store.upsert([make_record(A), make_record(B), make_record(C), make_record(chunk_id("d"))])
    replica = store._open().replica
    replica.flush()
    assert replica._index.lock()
    replica._index.delete([B])
    replica._commit(replica._position())
    raw(store).delete(ids=[A, chunk_id("d")])
    assert set(keyword(store, "word")) == {B, C}


def test_a_damaged_replica_is_built_anew(store, tmp_path, open_store):
    store.upsert([make_record(chunk_id(str(n))) for n in range(50)])
    assert len(keyword(store, "word")) == 50
    store.close()
    for file in (tmp_path / "index" / ".retriever").glob("*/keyword/tantivy/*"):
        if file.suffix in (".idx", ".term", ".store", ".fast", ".json"):
            file.write_bytes(b"\0" * 7)
    again = open_store(path=tmp_path / "index")
    assert len(keyword(again, "word")) == 50


def test_writes_that_were_not_committed_to_the_replica_are_found(store, monkeypatch, tmp_path, open_store):
    store.upsert([make_record(A)])
    assert keyword(store, "word") == [A]
    store.upsert([make_record(B)])
    store.delete([A])
    monkeypatch.setattr(Replica, "close", lambda self: self._index.close())  # as if it had been killed
    store.close()
    again = open_store(path=tmp_path / "index")
    assert keyword(again, "word") == [B]


def test_no_hit_breaks_its_filter_whatever_the_replica_says(store):
    """The replica is in step, and then a program changes a record between it and the look at the record."""
    store.upsert([make_record(A, metadata={"k": 1}), make_record(B, metadata={"k": 1})])
    assert set(keyword(store, "word", {"k": 1})) == {A, B}
    opened = store._open()
    opened.replica.ready = lambda: None
    raw(store).update(ids=[A], metadatas=[{"retriever.metadata": '{"k": 2}'}])
    raw(store).delete(ids=[B])
    assert keyword(store, "word", {"k": 1}) == semantic(store, {"k": 1}) == []


def test_many_equal_vectors_are_all_found(store):
    """Chroma's graph falls apart where many vectors are equal."""
    store.upsert([make_record(chunk_id(str(n)), metadata={"n": n}) for n in range(2_000)])
    assert len(semantic(store, {"n": {"$lt": 10}})) == 10
    assert len(semantic(store, depth=2_000)) == 2_000


def test_filters_that_match_more_than_can_be_sent(store, monkeypatch):
    monkeypatch.setattr("retriever_chroma.store._MOST_IDS", 10)
    store.upsert([make_record(chunk_id(str(n)), (1, n, 0, 0), {"n": n}) for n in range(300)])
    assert semantic(store, {"n": {"$gte": 250}}, depth=20) == [chunk_id(str(n)) for n in range(250, 270)]
    assert len(semantic(store, {"n": {"$gte": 250}})) == 50


def test_long_lists_of_ids(store):
    store.upsert([make_record(A), make_record(B)])
    ids = [chunk_id(f"u{n}") for n in range(100_000)]
    assert store.fetch([*ids, A]).keys() == {A}
    assert store.vectors([*ids, B]).keys() == {B}
    store.delete([*ids, A])
    assert keyword(store, "word") == [B]


def test_several_stores_of_a_process_share_a_folder(store, tmp_path, open_store):
    second, other = open_store(path=tmp_path / "index"), open_store(path=tmp_path / "index", collection="other")
    other.create(make_manifest(dimension=7))
    store.upsert([make_record(A)])
    assert keyword(second, "word") == [A]
    second.upsert([make_record(B)])
    store.close()
    assert set(keyword(second, "word")) == {A, B}
    assert set(keyword(store, "word")) == {A, B}
    assert other.count() == 0
    second.destroy()
    assert other.count() == 0
    with pytest.raises(StoreError):
        store.count()


def test_another_client_of_the_process_is_refused_or_shared(store, tmp_path, open_store):
    store.upsert([make_record(A)])
    store.close()
    client = chromadb.PersistentClient(tmp_path / "index")
    try:
        with pytest.raises(StoreLocked, match=r"ChromaStore\(client="):
            open_store(path=tmp_path / "index").count()
        given = open_store(client)
        assert keyword(given, "word") == [A]
        assert given.address == f"chroma:{tmp_path / 'index'}"
        given.close()
        assert client.heartbeat() > 0, "a client that was given is not closed"
    finally:
        client.close()
    assert open_store(path=tmp_path / "index").count() == 1


def test_memory_is_private_to_the_object():
    first, second = ChromaStore(), ChromaStore()
    for store in (first, second):
        store.create(make_manifest())
    first.upsert([make_record(A)])
    assert (first.count(), second.count()) == (1, 0)
    first.close()
    assert keyword(first, "word") == [A]


def test_an_ephemeral_client_is_followed():
    client = chromadb.EphemeralClient()
    store = ChromaStore(client, "ephemeral")
    store.create(make_manifest())
    store.upsert([make_record(A)])
    raw(store).add(ids=["x"], embeddings=[[0, 1, 0, 0]], documents=["word"])
    assert set(keyword(store, "word")) == {A, "x"}
    store.destroy()
    client.close()


def test_other_files_and_collections_are_left_alone(tmp_path, open_store):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NotAStore, match="other files"):
        open_store(path=tmp_path).create(make_manifest())
    with pytest.raises(NotAStore, match="is a file"):
        open_store(path=tmp_path / "notes.txt").read_manifest()
    folder = tmp_path / "db"
    client = chromadb.PersistentClient(folder)
    client.create_collection("retriever", embedding_function=None).add(ids=["x"], embeddings=[[1, 2]])
    client.close()
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    with pytest.raises(NotAStore, match="attach"):
        open_store(path=folder).read_manifest()
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_destroying_leaves_what_is_not_ours(store, tmp_path, open_store):
    other = open_store(path=tmp_path / "index", collection="other")
    other.create(make_manifest())
    other.close()
    store.destroy()
    assert open_store(path=tmp_path / "index", collection="other").count() == 0


def test_destroying_the_last_index_removes_the_folder(store, tmp_path):
    (tmp_path / "index" / "notes.txt").write_text("mine")
    store.upsert([make_record(A)])
    store.destroy()
    assert [file.name for file in (tmp_path / "index").iterdir()] == ["notes.txt"]
    (tmp_path / "index" / "notes.txt").unlink()
    store.create(make_manifest())
    store.destroy()
    assert not (tmp_path / "index").exists()


def test_another_space_is_a_mismatch(tmp_path, open_store):
    client = chromadb.PersistentClient(tmp_path)
    metadata = {MANIFEST: make_manifest().model_dump_json()}
    client.create_collection("retriever", embedding_function=None, metadata=metadata)
    client.close()
    with pytest.raises(IndexMismatch, match=r"'l2'.*'cosine'"):
        open_store(path=tmp_path).count()


def test_threads_open_one_store(tmp_path, open_store):
    store = open_store(path=tmp_path / "index")
    store.create(make_manifest())
    store.upsert([make_record(A)])
    store.close()
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(store.count())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [1] * 8


def test_what_is_not_there_is_not_made(tmp_path, open_store):
    store = open_store(path=tmp_path / "nowhere")
    assert store.read_manifest() is None
    with pytest.raises(StoreNotFound):
        store.count()
    store.destroy()
    assert not Path(tmp_path / "nowhere").exists()


def test_a_database_of_another_version_is_compared_as_a_whole(store, monkeypatch):
    """The tables of Chroma are its own affair: where they cannot be read, its API is asked."""

    def unreadable(*arguments: object) -> None:
        raise sqlite3.OperationalError("no such table")

    for name in ("find", "position", "changed", "count", "ids", "last"):
        monkeypatch.setattr(Database, name, unreadable)
    store.upsert([make_record(A), make_record(B)])
    assert set(keyword(store, "word")) == {A, B}
    raw(store).add(ids=["x"], embeddings=[[0, 1, 0, 0]], documents=["cherry"])
    raw(store).delete(ids=[A])
    assert keyword(store, "cherry") == ["x"]
    assert keyword(store, "word") == [B]
