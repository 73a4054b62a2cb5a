"""An index on a real server: what other programs do is seen, and the replica lies in the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import uuid

import pytest
from chroma_samples import chunk_id, keyword, make_chunk, make_manifest, make_record, semantic, vector

from retriever.errors import IndexMismatch, NotAStore, RecordsRefused, StoreError, StoreNotFound, StoreUnavailable
from retriever.stores import Query
from retriever.testing.servers import chroma_server
from retriever_chroma.collection import Collection

A, B = chunk_id("a"), chunk_id("b")


@pytest.fixture
def name() -> str:
    return f"c-{uuid.uuid4().hex}"


@pytest.fixture
def remote(server, name, open_store):
    store = open_store(host=server.host, port=server.port, collection=name)
    store.create(make_manifest())
    return store


@pytest.fixture
def beside(name, remote, http_client):
    return http_client.get_collection(name, embedding_function=None)


def test_foreign_adds_and_deletes_are_found(no_wait, remote, beside):
    remote.upsert([make_record(A), make_record(B)])
    beside.add(ids=["x"], embeddings=[[0, 1, 0, 0]], documents=["cherry"])
    assert keyword(remote, "cherry") == ["x"]
    beside.delete(ids=[A])
    assert keyword(remote, "word") == [B]
    assert set(semantic(remote)) == {B, "x"}
    beside.delete(ids=["x"])
    beside.add(ids=["y"], embeddings=[[0, 1, 0, 0]], documents=["cherry"])
    assert keyword(remote, "cherry") == ["y"], "the count alone does not tell"


def test_changes_in_place_are_found_by_a_sync(no_wait, remote, beside):
    remote.upsert([make_record(A), make_record(B)])
    assert set(keyword(remote, "word")) == {A, B}
    foreign = {"retriever.metadata": '{"k": 1}', "retriever.hash": "another"}
    beside.update(ids=[A], documents=["cherry"], embeddings=[[0, 1, 0, 0]], metadatas=[foreign])
    assert keyword(remote, "cherry") == []
    remote.sync()
    assert keyword(remote, "cherry", {"k": 1}) == [A]


DIES = """
    import os, sys
    from retriever.testing.samples import chunk_id, make_chunk
    from retriever_chroma import ChromaStore
    from retriever_chroma.replica import Replica
    store = ChromaStore(host=sys.argv[1], port=int(sys.argv[2]), collection=sys.argv[3])
    Replica.upsert = lambda *_: os._exit(9)
    store.rewrite([make_chunk(chunk_id("a"), {"k": 2})])
"""


def test_a_change_in_place_that_a_kill_kept_from_the_index_is_found(no_wait, server, name, remote):
    remote.upsert([make_record(A, metadata={"k": 1}), make_record(B)])
    assert keyword(remote, "word", {"k": 1}) == [A]
    dies = [sys.executable, "-c", textwrap.dedent(DIES), server.host, str(server.port), name]
    assert subprocess.run(dies, check=False).returncode == 9
    assert keyword(remote, "word", {"k": 2}) == semantic(remote, {"k": 2}) == [A]
    assert remote._open().replica._left() == {}


def test_a_change_in_place_while_another_process_writes_the_index_is_found(server, name, remote, open_store):
    remote.upsert([make_record(A, metadata={"k": 1})])
    assert keyword(remote, "word", {"k": 1}) == [A]
    other = open_store(host=server.host, port=server.port, collection=name)
    assert other._open().replica._index.lock()
    remote.rewrite([make_chunk(A, {"k": 2})])
    assert keyword(remote, "word", {"k": 2}) == [], "what is committed"
    other._open().replica._index.rollback()
    remote._open().replica._next_look = 0.0
    assert keyword(remote, "word", {"k": 2}) == [A]


def test_a_change_in_place_without_an_answer_is_found(remote, monkeypatch):
    remote.upsert([make_record(A, metadata={"k": 1})])
    update = Collection.update

    def unanswered(*arguments):
        update(*arguments)
        raise StoreUnavailable("no answer in time")

    monkeypatch.setattr(Collection, "update", unanswered)
    with pytest.raises(StoreUnavailable):
        remote.rewrite([make_chunk(A, {"k": 2})])
    assert keyword(remote, "word", {"k": 2}) == [A]


def test_the_server_is_not_asked_with_every_search(remote, beside):
    remote.upsert([make_record(A)])
    assert keyword(remote, "word") == [A]
    beside.add(ids=["x"], embeddings=[[0, 1, 0, 0]], documents=["cherry"])
    assert keyword(remote, "cherry") == []
    assert remote._open().replica.INTERVAL == 1.0


def test_the_replica_is_in_the_cache_and_can_be_thrown_away(remote, tmp_path, server, name, open_store):
    remote.upsert([make_record(A)])
    assert keyword(remote, "word") == [A]
    remote.close()
    homes = list((tmp_path / "cache" / "chroma").iterdir())
    assert len(homes) == 1
    shutil.rmtree(homes[0])
    again = open_store(host=server.host, port=server.port, collection=name)
    assert keyword(again, "word") == [A]
    again.destroy()
    assert list((tmp_path / "cache" / "chroma").iterdir()) == []


def test_a_client_that_was_given_tells_where_its_server_is(server, name, remote, open_store, http_client):
    remote.upsert([make_record(A)])
    given = open_store(http_client, name)
    assert given.count() == 1
    assert given.address == f"chroma://{server.host}:{server.port}/{name}"
    given.close()
    assert http_client.heartbeat() > 0


def test_another_object_reads_while_one_writes(no_wait, server, name, remote, open_store):
    reader = open_store(host=server.host, port=server.port, collection=name)
    for n in range(5):
        remote.upsert([make_record(chunk_id(str(n)))])
        assert len(keyword(reader, "word")) == n + 1
    remote.delete([chunk_id("0")])
    assert chunk_id("0") not in keyword(reader, "word")


def test_a_search_does_not_wait_for_the_process_that_syncs(no_wait, server, name, remote, open_store):
    remote.upsert([make_record(A)])
    remote._open().replica._index.lock()
    other = open_store(host=server.host, port=server.port, collection=name)
    other.upsert([make_record(B)])
    assert keyword(other, "word") == [A], "what is committed"
    assert set(semantic(other)) == {A, B}
    remote._open().replica._index.rollback()
    assert set(keyword(other, "word")) == {A, B}


def test_records_that_are_too_large_are_named_and_the_rest_is_written(remote):
    large = make_record(A, text="word " * 9_000_000)
    others = [make_record(chunk_id(str(n)), text=f"word {n} " * 5_000) for n in range(3)]
    with pytest.raises(RecordsRefused, match="413") as caught:
        remote.upsert([others[0], large, *others[1:]])
    assert caught.value.chunk_ids == [A]
    assert not caught.value.retryable
    assert set(keyword(remote, "word")) == {record.chunk.id for record in others}


def test_a_record_of_twenty_megabytes_works(remote):
    """That batches of such may be as large is tested for all stores at once."""
    remote.upsert([make_record(A, text="word " * 4_000_000)])
    assert remote.count() == 1
    assert remote.fetch([A])[A] == make_chunk(A, text="word " * 4_000_000)


def test_a_collection_that_another_program_deletes(remote, name, http_client):
    remote.upsert([make_record(A)])
    client = http_client
    client.delete_collection(name)
    with pytest.raises(StoreNotFound):
        remote.count()
    remote.close()
    assert remote.read_manifest() is None
    client.create_collection(name, embedding_function=None)
    with pytest.raises(NotAStore, match="attach"):
        remote.read_manifest()
    client.delete_collection(name)


def test_functions_that_a_server_names_are_never_built(server, name, http_client, open_store, monkeypatch):
    """They would run code of the server's choosing in this process."""
    from chromadb.utils import embedding_functions

    built = []

    class Hostile(embedding_functions.EmbeddingFunction):
        def __init__(self, **options):
            built.append(options)

        def __call__(self, input):  # noqa: A002 - chromadb calls it so
            return [[0.0, 0, 0, 1] for _ in input]

        @staticmethod
        def name():
            return "hostile"

        @staticmethod
        def build_from_config(config):
            return Hostile(**config)

        def get_config(self):
            return {"command": "run"}

        def default_space(self):
            return "cosine"

        def supported_spaces(self):
            return ["cosine"]

    monkeypatch.setitem(embedding_functions.known_embedding_functions, "hostile", Hostile)
    metadata = {"retriever.manifest": make_manifest().model_dump_json()}
    configuration = {"hnsw": {"space": "cosine"}, "embedding_function": Hostile()}
    trap = f"{name}-trap"
    http_client.create_collection(trap, metadata=metadata, configuration=configuration, embedding_function=Hostile())
    built.clear()
    store = open_store(host=server.host, port=server.port, collection=trap)
    with pytest.raises(IndexMismatch, match="'hostile'"):
        store.upsert([make_record(A)])
    collection = store._look()  # below the check, each call has to keep chromadb from building it
    collection.upsert([A], [vector()], ["word"], [{"k": 0}])
    collection.update([A], [{"k": 1}])
    collection.replace_metadata(metadata)
    assert [row.metadata for row in collection.rows([A], ["metadatas"])] == [{"k": 1}]
    assert collection.query(vector(), 1)["ids"] == [A]
    assert collection.vectors([A])[A].tolist() == [1, 0, 0, 0]
    collection.delete([A])
    assert collection.count() == 0
    store.destroy()
    assert built == []


def test_a_server_that_goes_away_and_comes_back(tmp_path, open_store):
    with chroma_server(tmp_path / "data") as running:
        store = open_store(host=running.host, port=running.port, collection="docs", timeout=1, deadline=1.5)
        store.create(make_manifest())
        store.upsert([make_record(A)])
    with pytest.raises(StoreError) as caught:
        store.count()
    assert caught.value.retryable
    with chroma_server(tmp_path / "data", running.port):
        assert store.count() == 1
        assert keyword(store, "word") == [A]


WRITER = """
    import sys
    from retriever_chroma import ChromaStore
    from retriever.testing.samples import chunk_id, make_record
    store = ChromaStore(host=sys.argv[1], port=int(sys.argv[2]), collection=sys.argv[3])
    for n in range(40):
        store.upsert([make_record(chunk_id(f"{sys.argv[4]}-{n}-{m}")) for m in range(5)])
    store.close()
"""


def test_two_processes_write_while_one_reads(no_wait, server, name, remote):
    command = [sys.executable, "-c", textwrap.dedent(WRITER), server.host, str(server.port), name]
    writers = [subprocess.Popen([*command, str(n)], env=os.environ) for n in range(2)]
    while any(writer.poll() is None for writer in writers):
        found = keyword(remote, "word")
        assert remote.fetch(found).keys() == set(found)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert remote.count() == 400
    assert len(remote.search(Query(1_000, None, {"word": 1})).keyword) == 400
