"""Where a server is, and what is never shown of the way to it."""

from __future__ import annotations

import logging
import os
import socket
import time

import pytest
from qdrant_client import QdrantClient
from qdrant_grpc_stand_in import grpc_stand_in
from qdrant_samples import make_manifest, make_record
from qdrant_stand_in import stand_in, status

from retriever.address import parse_address
from retriever.errors import AccessDenied, ConfigurationError, StoreError
from retriever_qdrant import QdrantStore, ServerOptions
from retriever_qdrant.connection import Endpoint

SECRET = "s3cr3t-k3y"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("QDRANT_API_KEY", "QDRANT_TLS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("qdrant://db.example.org/handbook", "qdrant://db.example.org:6334/handbook"),
        ("qdrant://db.example.org:6333/handbook", "qdrant://db.example.org:6333/handbook"),
        ("qdrant://[::1]:7000/hand book", "qdrant://[::1]:7000/hand book"),
    ],
)
def test_addresses_are_shown_whole_and_open_again(address, shown):
    store = QdrantStore.from_address(parse_address(address))
    assert store.address == shown
    assert QdrantStore.from_address(parse_address(shown)).address == shown


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a:b", "a*", "a\0", "x" * 256])
def test_names_that_no_collection_can_have(name):
    with pytest.raises(ConfigurationError, match="collection"):
        QdrantStore.connect("localhost", name)


@pytest.mark.parametrize(
    ("host", "key", "said", "tls"),
    [
        ("db.example.org", None, None, False),
        ("db.example.org", SECRET, None, True),
        ("localhost", SECRET, None, False),
        ("127.0.0.9", SECRET, None, False),
        ("[::1]", SECRET, None, False),
        ("localhost", None, "1", True),
        ("db.example.org", SECRET, "0", False),
    ],
)
def test_tls_is_on_where_a_key_goes_to_another_machine(monkeypatch, host, key, said, tls):
    if key:
        monkeypatch.setenv("QDRANT_API_KEY", f" {key}\n")
    if said:
        monkeypatch.setenv("QDRANT_TLS", said)
    endpoint = Endpoint.resolve(host, None, None, None)
    assert (endpoint.tls, endpoint.api_key) == (tls, key)
    assert Endpoint.resolve(host, None, "other", not tls) == Endpoint(host, 6334, not tls, "other")
    client = endpoint.client(5)
    assert client._client.rest_uri.startswith("https" if tls else "http:")
    client.close()


def test_the_port_says_how_the_server_is_spoken_to():
    for port, by_grpc, rest in ((None, True, 6333), (6334, True, 6333), (6333, False, 6333), (80, False, 80)):
        client = Endpoint.resolve("localhost", port, None, None).client(5)
        given = client.init_options
        assert (given["prefer_grpc"], given["grpc_port"], given["port"]) == (by_grpc, 6334, rest)
        client.close()


def test_settings_that_make_no_sense(monkeypatch):
    with pytest.raises(ConfigurationError, match="API key") as caught:
        QdrantStore.connect("localhost", "handbook", api_key=f"{SECRET}\r\nX-Other: 1")
    assert SECRET not in str(caught.value)
    monkeypatch.setenv("QDRANT_TLS", "yes")
    with pytest.raises(ConfigurationError, match="QDRANT_TLS is 'yes'"):
        QdrantStore.connect("localhost", "handbook")


@pytest.mark.parametrize(
    "arguments", [{}, {"path": "x", "client": "c"}, {"path": "x", "collection": "c"}, {"path": "x", "options": 1}]
)
def test_a_folder_or_a_client(arguments):
    with pytest.raises(ConfigurationError):
        QdrantStore(**arguments)
    client = QdrantClient(":memory:")
    with pytest.raises(ConfigurationError, match="name of a collection"):
        QdrantStore(client=client)
    client.close()


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"host": "db", "api_key": SECRET, "https": True}, "qdrant://db:6333/handbook"),
        ({"host": "db", "prefer_grpc": True, "grpc_port": 7000}, "qdrant://db:7000/handbook"),
        ({"url": "https://db.example.org:443/prefix"}, "qdrant://db.example.org:443/handbook"),
        ({"url": "http://db"}, "qdrant://db:6333/handbook"),
        ({"url": "localhost:7000"}, "qdrant://localhost:7000/handbook"),
        ({"location": "http://[::1]:7000"}, "qdrant://[::1]:7000/handbook"),
        ({"location": ":memory:"}, "qdrant::memory:#handbook"),
    ],
)
def test_the_address_of_a_held_client(settings, address):
    client = QdrantClient(**settings, check_compatibility=False)
    assert QdrantStore(client=client, collection="handbook").address == address
    client.close()


def test_constructing_connects_to_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        QdrantStore.connect("127.0.0.1", "handbook", port=listening.getsockname()[1], api_key=SECRET)
        with pytest.raises(TimeoutError):
            listening.accept()


def test_the_key_is_sent_and_never_shown(caplog):
    """Not even where a server sends it back."""
    caplog.set_level(logging.DEBUG)
    with stand_in() as server:
        store = QdrantStore.connect("127.0.0.1", "handbook", port=server.port, api_key=SECRET)
        store.create(make_manifest())
        assert all(headers["api-key"] == SECRET for *_, headers in server.requests)
        server.failures += [None, status(400, f'{{"status": {{"error": "bad key {SECRET}"}}}}'), status(401, SECRET)]
        with pytest.raises(StoreError, match=r"bad key \*\*\*") as refused:
            store.upsert([make_record("a")])
        with pytest.raises(AccessDenied) as denied:
            store.count()
        shown = [str(refused.value), repr(refused.value), str(denied.value), repr(store), repr(vars(store._store))]
        connection = store._store._connection
        shown += [store.address, repr(connection), repr(Endpoint("h", 1, True, SECRET)), caplog.text]
        shown.append(server.local.get_collection("handbook").model_dump_json())
        assert SECRET not in "".join(shown)
        store.close()


def test_the_key_of_a_held_client_is_not_shown_either():
    with stand_in() as server:
        client = QdrantClient(
            url=f"http://127.0.0.1:{server.port}", headers={"api-key": SECRET}, check_compatibility=False
        )
        store = QdrantStore(client=client, collection="handbook")
        server.failures += [status(400, f'{{"status": {{"error": "bad key {SECRET}"}}}}')]
        with pytest.raises(StoreError, match=r"bad key \*\*\*"):
            store.read_manifest()
        client.close()


def test_the_key_goes_with_grpc_too():
    with grpc_stand_in() as server:
        client = server.client(headers={"api-key": SECRET})
        QdrantStore(client=client, collection="handbook").create(make_manifest())
        assert {metadata.get("api-key") for metadata in server.metadata} == {SECRET}
        client.close()


def test_closing_and_going_on():
    with stand_in() as server:
        store = QdrantStore.connect("127.0.0.1", "handbook", port=server.port)
        store.close()
        for number in range(3):
            if store.read_manifest() is None:
                store.create(make_manifest())
            store.upsert([make_record(f"c{number}")])
            store.close()
            store.close()
        assert store.count() == 3
        store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_opens_the_store_anew():
    with stand_in() as server:
        store = QdrantStore.connect("127.0.0.1", "handbook", port=server.port)
        store.create(make_manifest())
        process = os.fork()
        if process == 0:
            try:
                store.count()
                os._exit(1)
            except StoreError as error:
                os._exit(0 if "forked" in str(error) else 2)
        end = time.monotonic() + 20
        while (ended := os.waitpid(process, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
            time.sleep(0.01)
        assert os.waitstatus_to_exitcode(ended[1]) == 0
        assert store.count() == 0
        store.close()


def test_options_are_checked():
    for wrong in ({"timeout": 0}, {"deadline": 0}, {"shard_number": 0}, {"quantization": "product"}, {"shards": 1}):
        with pytest.raises(ValueError, match="validation error"):
            ServerOptions(**wrong)
