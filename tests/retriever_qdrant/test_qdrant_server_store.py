"""What is particular to the store on a server: what it asks for, in how many requests, and what it refuses."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_samples import make_chunk, make_manifest, make_record
from qdrant_stand_in import StandIn, reply, stand_in, status

from retriever.errors import (
    AccessDenied,
    ConfigurationError,
    NotAStore,
    RecordsRefused,
    StoreError,
    StoreNotFound,
    StoreUnavailable,
)
from retriever.filters import parse_filter
from retriever.stores import Query
from retriever_qdrant import QdrantStore, ServerOptions, sending
from retriever_qdrant.server_store import MANIFEST

ONES = np.ones(4, dtype=np.float32)


@pytest.fixture
def server():
    with stand_in() as running:
        yield running


@pytest.fixture
def connect(server):
    made = []

    def build(name="handbook", **options):
        made.append(QdrantStore.connect("127.0.0.1", name, port=server.port, options=ServerOptions(**options)))
        return made[-1]

    yield build
    for store in made:
        store.close()


def test_options_reach_the_server(server: StandIn, connect):
    store = connect(
        shard_number=3,
        replication_factor=2,
        write_consistency_factor=2,
        quantization="scalar",
        on_disk=True,
        bulk_load=True,
        tenant_fields={"customer"},
    )
    store.create(
        make_manifest(filter_fields={"customer": "keyword", "year": "number", "draft": "bool", "a.b": "keyword"})
    )
    [body] = server.asked("PUT", "/handbook")
    assert body["vectors"] == {"dense": {"size": 4, "distance": "Cosine", "on_disk": True}}
    assert body["sparse_vectors"] == {"keyword": {"modifier": "idf"}}
    assert (body["shard_number"], body["replication_factor"], body["write_consistency_factor"]) == (3, 2, 2)
    assert body["quantization_config"] == {"scalar": {"type": "int8", "always_ram": True}}
    assert body["hnsw_config"] == {"m": 0}
    assert server.indexes["handbook"] == {
        **dict.fromkeys(["document", "source", "lists", "split"], "keyword"),
        'meta."customer"': {"type": "keyword", "is_tenant": True},
        'meta."year"': "float",
        'meta."draft"': "bool",
        'meta."a%2Eb"': "keyword",
    }


def test_without_options_the_server_decides(server: StandIn, connect):
    connect().create(make_manifest())
    [body] = server.asked("PUT", "/handbook")
    assert body.keys() == {"vectors", "sparse_vectors", "metadata", "strict_mode_config"}
    assert body["strict_mode_config"] == {"unindexed_filtering_retrieve": True}


def test_binary_quantisation_is_rescored_also_when_opened_anew(server: StandIn, connect):
    connect(quantization="binary").create(make_manifest())
    connect().search(Query(5, ONES, {"word": 1}))
    [body] = server.asked("POST", "/query/batch")
    wanted = {"hnsw_ef": 128, "exact": False, "quantization": {"rescore": True, "oversampling": 2.0}}
    assert [search["params"] for search in body["searches"]] == [wanted, wanted]


def test_both_legs_take_one_round_trip(server: StandIn, connect):
    store = connect()
    store.create(make_manifest())
    store.upsert([make_record("a")])
    store.search(Query(5, ONES))
    before = len(server.requests)
    store.search(Query(300, ONES, {"word": 1}, parse_filter({"$source": ""})))
    assert len(server.requests) == before + 1
    searches = server.asked("POST", "/query/batch")[-1]["searches"]
    assert [search["using"] for search in searches] == ["dense", "keyword"]
    for search in searches:
        assert search["params"] == {"hnsw_ef": 300, "exact": False}
        assert (search["limit"], search["with_payload"], search["with_vector"]) == (300, False, False)
        assert search["filter"]
    assert store.search(Query(5)).semantic == []
    assert len(server.requests) == before + 1


def test_the_manifest_is_there_as_soon_as_the_collection(server: StandIn, connect, manifest):
    """Killed at any later moment, what is left is an index: opening it makes the indexes that are missing."""
    server.failures += [None, None, None, status(500)]
    with pytest.raises(StoreError):
        connect().create(manifest)
    assert server.local.get_collection("handbook").config.metadata == {MANIFEST: manifest.model_dump_json()}
    assert server.indexes["handbook"] == {}
    again = connect()
    assert again.read_manifest() == manifest
    again.upsert([make_record("a")])
    assert server.indexes["handbook"].keys() == {"document", "source", "lists", "split"}
    asked = len(server.asked("PUT", "/index"))
    connect().count()
    assert len(server.asked("PUT", "/index")) == asked


def test_who_may_only_read_can_do_without_indexes(server: StandIn, connect, manifest):
    connect().create(manifest)
    server.indexes["handbook"].clear()
    reader = connect()
    server.failures += [None, None, status(403)]
    assert reader.count() == 0
    assert server.indexes["handbook"] == {}


def test_an_earlier_attempt_that_got_through_counts(server: StandIn, connect, manifest):
    """The server makes the collection, the answer is lost, and the next attempt hears that it is there."""

    def make_and_fail(handler):
        size = int(handler.headers["Content-Length"])
        assert server.answer("PUT", handler.path, json.loads(handler.rfile.read(size)))[0] == 200
        reply(handler, 503, "")

    server.failures += [None, None, make_and_fail]
    store = connect()
    store.create(manifest)
    assert store.read_manifest() == manifest


def test_two_programs_that_make_the_same_index_both_have_it(server: StandIn, connect, manifest):
    outcomes = []
    barrier = threading.Barrier(4)

    def make(wanted):
        store = connect()
        assert store.read_manifest() is None
        barrier.wait()
        try:
            store.create(wanted)
            outcomes.append("made")
        except StoreError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=make, args=[manifest]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(outcome == "made" or "holds an index already" in outcome for outcome in outcomes)
    assert "made" in outcomes
    assert connect().read_manifest() == manifest


def test_another_index_made_meanwhile_is_not_taken_for_ours(server: StandIn, connect, manifest):
    other = make_manifest(dimension=7)

    def make_another(handler):
        QdrantStore(client=server.local, collection="handbook").create(other)
        server.settings["handbook"], server.indexes["handbook"] = {}, {}
        handler.rfile.read(int(handler.headers["Content-Length"]))
        reply(handler, 409, '{"status": {"error": "Wrong input: Collection `handbook` already exists!"}}')

    server.failures += [None, None, make_another]
    with pytest.raises(StoreError, match="already exists"):
        connect().create(manifest)
    assert connect().read_manifest() == other


def test_a_collection_of_another_program_is_left_alone(server: StandIn, connect, manifest):
    params = models.VectorParams(size=4, distance=models.Distance.COSINE)
    server.local.create_collection("handbook", vectors_config=params, metadata={"theirs": 1})
    store = connect()
    for call in (store.read_manifest, store.destroy, store.count, lambda: store.create(manifest)):
        with pytest.raises(NotAStore, match="attach"):
            call()
    assert server.local.collection_exists("handbook")
    assert {method for method, *_ in server.requests} == {"GET"}


def test_their_metadata_stays_beside_ours(server: StandIn, connect, manifest):
    store = connect()
    store.create(manifest)
    server.local.update_collection("handbook", metadata={"theirs": 1})
    store.write_manifest(make_manifest(filter_fields={"year": "number"}))
    assert server.local.get_collection("handbook").config.metadata["theirs"] == 1
    assert store.read_manifest().filter_fields == {"year": "number"}


def test_payload_indexes_follow_the_manifest(server: StandIn, connect):
    store = connect()
    store.create(make_manifest(filter_fields={"a": "keyword", "b": "number"}))
    server.indexes["handbook"]["theirs"] = "keyword"
    store.write_manifest(make_manifest(filter_fields={"b": "keyword", "c": "bool"}))
    built_in = ["document", "source", "lists", "split", "theirs"]
    assert server.indexes["handbook"] == dict.fromkeys(built_in, "keyword") | {
        'meta."b"': "keyword",
        'meta."c"': "bool",
    }


def test_tenants_are_filter_fields(server: StandIn, connect):
    for fields in ({}, {"customer": "number"}):
        with pytest.raises(ConfigurationError, match="'customer' has to be a filter field of type keyword"):
            connect(tenant_fields={"customer"}).create(make_manifest(filter_fields=fields))
    assert server.requests == []


def test_requests_are_bounded_by_count_and_by_bytes(server: StandIn, connect, manifest):
    store = connect()
    store.create(manifest)
    store.upsert([make_record(f"a{n}") for n in range(600)])
    store.upsert([make_record(f"b{n}", text="x" * 1_000_000) for n in range(20)])
    store.upsert([make_record(f"c{n}", metadata={"notes": "x" * 1_000_000}) for n in range(20)])
    sizes = [int(headers["Content-Length"]) for _, path, _, headers in server.requests if path.endswith("/points")]
    assert max(sizes) < 10_000_000
    assert [len(body["points"]) for body in server.asked("PUT", "/points")[:3]] == [256, 256, 88]
    assert store.count() == 640
    store.rewrite([make_chunk(f"b{n}", {"moved": True}, text="x" * 1_000_000) for n in range(20)])
    assert store.count(parse_filter({"moved": True})) == 20


def test_what_is_too_large_is_halved_then_refused_by_name(server: StandIn, connect, manifest):
    store = connect()
    store.create(manifest)
    server.limit = 100_000
    records = [make_record(f"c{n}", text="x" * (200_000 if n in (3, 70) else 10)) for n in range(100)]
    with pytest.raises(RecordsRefused, match="too large for one request: chunk c3, c70") as refused:
        store.upsert(records)
    assert refused.value.chunk_ids == ["c3", "c70"]
    assert {entry.chunk_id for entry in store.entries()} == {f"c{n}" for n in range(100)} - {"c3", "c70"}
    with pytest.raises(RecordsRefused, match="c5"):
        store.rewrite([make_chunk("c4", {"k": 1}), make_chunk("c5", {"k": "x" * 200_000}), make_chunk("c6", {"k": 1})])
    assert store.count(parse_filter({"k": 1})) == 2


def test_a_server_that_hangs_up_on_a_huge_record_names_it(server: StandIn, connect, manifest, monkeypatch):
    """As one may that does not read a request to its end. It is not tried again."""
    monkeypatch.setattr(sending, "REQUEST_LIMIT", 1_000_000)
    monkeypatch.setattr(sending, "MOST_BYTES", 500_000)
    store = connect()
    store.create(manifest)

    def hang_up(handler):
        handler.rfile.read(1_000)
        handler.connection.close()
        handler.close_connection = True

    server.failures += [None, hang_up]
    before = len(server.requests)
    with pytest.raises(RecordsRefused, match="chunk big") as refused:
        store.upsert([make_record("big", text="x" * 3_000_000), make_record("small")])
    assert refused.value.chunk_ids == ["big"]
    assert [entry.chunk_id for entry in store.entries()] == ["small"]
    assert len([1 for method, path, *_ in server.requests[before:] if method == "PUT"]) == 2


def test_a_batch_beyond_the_servers_limit_is_written(server: StandIn, connect, manifest):
    store = connect()
    store.create(manifest)
    store.upsert([make_record(f"c{n}", text="中" * 2_000_000) for n in range(7)])  # 42 MB of JSON
    assert store.count() == 7


def test_bulk_load_ends_with_optimise(server: StandIn, connect, manifest, monkeypatch):
    monkeypatch.setattr("retriever_qdrant.server_store._POLL", 0.01)
    store = connect(bulk_load=True)
    store.create(manifest)
    later = connect()  # without the option: the collection says what it is
    later.optimise()
    assert server.asked("PATCH", "/handbook") == [{"hnsw_config": {"m": 16}}]
    later.optimise()
    assert len(server.asked("PATCH", "/handbook")) == 1


def test_a_graph_that_takes_longer_than_the_deadline(server: StandIn, connect, manifest, monkeypatch):
    monkeypatch.setattr("retriever_qdrant.server_store._POLL", 0.01)
    store = connect(bulk_load=True, deadline=0.3)
    store.create(manifest)
    server.condition = "yellow"
    with pytest.raises(StoreUnavailable, match=r"still building its graph after 0\.3 s"):
        store.optimise()


def test_a_graph_that_cannot_be_built_is_not_waited_for(server: StandIn, connect, manifest, monkeypatch):
    monkeypatch.setattr("retriever_qdrant.server_store._POLL", 0.01)
    store = connect(bulk_load=True)
    store.create(manifest)
    server.condition = "red"
    with pytest.raises(StoreError, match="failed to build its graph") as caught:
        store.optimise()
    assert not caught.value.retryable


def test_a_server_too_old_is_named_with_what_is_needed(server: StandIn, connect):
    server.version = "1.15.3"
    with pytest.raises(StoreError, match=r"runs Qdrant 1\.15\.3, this program needs 1\.16 or newer"):
        connect().read_manifest()


def test_substrings_need_a_newer_server(server: StandIn, connect, manifest):
    server.version = "1.19.1"
    store = connect()
    store.create(manifest)
    assert store.count(parse_filter({"a": "b"})) == 0
    with pytest.raises(StoreError, match=r"runs Qdrant 1\.19, and \$contains needs 1\.20 or newer"):
        store.count(parse_filter({"a": {"$contains": "b"}}))


def test_the_version_is_asked_for_once(server: StandIn, connect, manifest):
    store = connect()
    store.create(manifest)
    store.count()
    store.search(Query(5, ONES))
    assert len(server.asked("GET", "/")) == 1


def test_an_index_that_was_destroyed_elsewhere_is_not_found(server: StandIn, connect, manifest):
    store = connect()
    store.create(manifest)
    store.count()
    connect().destroy()
    with pytest.raises(StoreNotFound):
        store.count()
    with pytest.raises(StoreNotFound):
        store.upsert([make_record("a")])


def test_writing_with_a_key_that_may_only_read(server: StandIn, connect, manifest):
    store = connect()
    store.create(manifest)
    server.failures += [None, status(403, '{"status": {"error": "Forbidden: Global write access is required"}}')]
    with pytest.raises(AccessDenied, match="QDRANT_API_KEY"):
        store.upsert([make_record("a")])


def test_lengths_beyond_float32_do_no_harm(server: StandIn, connect, manifest):
    store = connect()
    store.create(manifest)
    store.upsert([make_record("long", (3e38, 0, 0, 0)), make_record("short", (1e-38, 0, 0, 0))])
    legs = store.search(Query(5, np.array([2e38, 0, 0, 0], dtype=np.float32)))
    assert [round(candidate.score, 4) for candidate in legs.semantic] == [1.0, 1.0]


def test_a_client_of_the_users_stays_open(manifest):
    client = QdrantClient(":memory:")
    store = QdrantStore(client=client, collection="handbook")
    store.create(manifest)
    store.close()
    store.close()
    assert client.get_collection("handbook").points_count == 0
    assert store.count() == 0
    client.close()
