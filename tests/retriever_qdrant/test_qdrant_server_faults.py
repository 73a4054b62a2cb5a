"""Servers that hang, refuse, are too busy, or are none: a typed error within the deadline, over real sockets."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import grpc
import pytest
from qdrant_grpc_stand_in import grpc_stand_in
from qdrant_samples import make_manifest, make_record
from qdrant_stand_in import StandIn, drop, hang, stand_in, status

from retriever.errors import AccessDenied, StoreError, StoreNotFound, StoreUnavailable
from retriever_qdrant import QdrantStore, ServerOptions

SECRET = "s3cr3t-k3y"
SLACK = 1.0
"""Seconds beyond the deadline that a busy machine may take."""


@pytest.fixture
def server():
    with stand_in() as running:
        yield running


@pytest.fixture
def ready(server: StandIn):
    """An index that was opened, whose next request meets the fault."""
    store = connect(server.port)
    store.create(make_manifest())
    store.upsert([make_record("a")])
    server.requests.clear()
    yield store
    store.close()


def connect(port: int, deadline: float = 3.0) -> QdrantStore:
    options = ServerOptions(timeout=1, deadline=deadline)
    return QdrantStore.connect("127.0.0.1", "handbook", port=port, api_key=SECRET, options=options)


def failing(call, kind: type[StoreError], within: float) -> StoreError:
    """The error of a call, of exactly this kind, in time, without the key."""
    start = time.monotonic()
    with pytest.raises(StoreError) as caught:
        call()
    assert time.monotonic() - start < within + SLACK
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, Exception)
    assert SECRET not in f"{caught.value!r} {caught.value}"
    assert "qdrant://127.0.0.1" in str(caught.value)
    return caught.value


def test_a_server_that_hangs(server: StandIn, ready):
    server.failures += [hang] * 20
    error = failing(ready.count, StoreUnavailable, 3)
    assert "did not answer in time" in str(error)
    assert len(server.requests) >= 2


def test_a_server_that_hangs_from_the_beginning():
    """It takes the connection and never speaks: asking for the version is under the deadline too."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        store = connect(listening.getsockname()[1], deadline=1.0)
        failing(store.read_manifest, StoreUnavailable, 1)
        store.close()


def test_threads_wait_for_a_hanging_server_side_by_side():
    """The first question, for the version, is under each thread's own deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        store = connect(listening.getsockname()[1], deadline=1.0)
        start = time.monotonic()
        with ThreadPoolExecutor(6) as threads:
            asked = [threads.submit(failing, store.read_manifest, StoreUnavailable, 1) for _ in range(6)]
            for one in asked:
                one.result()
        assert time.monotonic() - start < 1 + 2 * SLACK
        store.close()


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    store = connect(port, deadline=2.0)
    error = failing(store.read_manifest, StoreUnavailable, 2)
    assert "cannot be reached" in str(error)
    store.close()


@pytest.mark.parametrize("code", [408, 429, 502, 503, 504])
def test_a_busy_server_is_asked_again(server: StandIn, ready, code):
    server.failures += [status(code, "<html>busy</html>"), status(code)]
    assert ready.count() == 1
    assert len(server.requests) == 3


@pytest.mark.parametrize("wait", ["1", "0.8", lambda: formatdate(time.time() + 1.9, usegmt=True)])
def test_a_busy_server_says_how_long_to_wait(server: StandIn, ready, wait):
    """In seconds, or as a date, which the client stumbles over."""
    headers = {"Retry-After": wait if isinstance(wait, str) else wait()}
    server.failures += [status(429, '{"status": {"error": "too many"}}', headers)]
    start = time.monotonic()
    assert ready.count() == 1
    assert 0.7 < time.monotonic() - start < 3 + SLACK
    assert len(server.requests) == 2


def test_a_wait_beyond_the_deadline_is_not_waited_for(server: StandIn, ready):
    server.failures += [status(429, "", {"Retry-After": "3600"})]
    error = failing(ready.count, StoreUnavailable, 0)
    assert error.retry_after == 3600
    assert len(server.requests) == 1


def test_a_server_that_stays_busy(server: StandIn, ready):
    server.failures += [status(503)] * 1000
    failing(lambda: ready.upsert([make_record("b")]), StoreUnavailable, 3)
    assert 2 <= len(server.requests) < 30


@pytest.mark.parametrize("code", [401, 403])
def test_a_key_that_is_refused_is_not_tried_again(server: StandIn, ready, code):
    server.failures += [status(code, f"Invalid API key {SECRET}")]
    error = failing(ready.count, AccessDenied, 0)
    assert "QDRANT_API_KEY" in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize("text", ["<html>hello</html>", "", "null", "{}", '{"result": {"count": "many"}}', "\xff[1"])
def test_an_answer_that_is_not_a_qdrant_servers(server: StandIn, ready, text):
    server.failures += [status(200, text)]
    failing(ready.count, StoreError, 0)
    assert len(server.requests) == 1


def test_another_program_at_the_address(server: StandIn):
    for code in (200, 404):
        server.failures += [status(code, "<html>It works!</html>")]
        store = connect(server.port)
        failing(store.read_manifest, StoreError, 0)
        store.close()


def test_a_connection_that_drops_is_tried_again(server: StandIn, ready):
    server.failures += [drop, drop]
    assert ready.count() == 1
    assert len(server.requests) == 3
    server.failures += [drop] * 1000
    failing(ready.count, StoreUnavailable, 3)


def test_what_a_server_refuses_is_not_tried_again(server: StandIn, ready):
    server.failures += [status(400, '{"status": {"error": "Wrong input: Vector dimension error"}}'), status(500)]
    assert "Vector dimension error" in str(failing(ready.count, StoreError, 0))
    assert "status 500" in str(failing(ready.count, StoreError, 0))
    assert len(server.requests) == 2


def test_a_server_without_the_tls_that_was_asked_for(server: StandIn):
    options = ServerOptions(timeout=1, deadline=3)
    store = QdrantStore.connect("127.0.0.1", "handbook", port=server.port, tls=True, options=options)
    assert "QDRANT_TLS" in str(failing(store.read_manifest, StoreError, 1))
    store.close()


@pytest.mark.parametrize(
    ("code", "trailing", "kind", "attempts"),
    [
        (grpc.StatusCode.UNAVAILABLE, (), None, 2),
        (grpc.StatusCode.DEADLINE_EXCEEDED, (), None, 2),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (), None, 2),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (("retry-after", "1"),), None, 2),
        (grpc.StatusCode.UNAUTHENTICATED, (), AccessDenied, 1),
        (grpc.StatusCode.PERMISSION_DENIED, (), AccessDenied, 1),
        (grpc.StatusCode.NOT_FOUND, (), StoreNotFound, 1),
        (grpc.StatusCode.INVALID_ARGUMENT, (), StoreError, 1),
        (grpc.StatusCode.INTERNAL, (), StoreError, 1),
        (grpc.StatusCode.UNIMPLEMENTED, (), StoreError, 1),
    ],
)
def test_codes_of_grpc(code, trailing, kind, attempts):
    with grpc_stand_in() as server:
        client = server.client(timeout=1, headers={"api-key": SECRET})
        store = QdrantStore(client=client, collection="handbook", options=ServerOptions(deadline=4))
        store.create(make_manifest())
        store.count()
        server.calls.clear()
        server.failures += [(code, f"because {SECRET}", trailing)]
        if kind is None:
            assert store.count() == 0
        else:
            failing(store.count, kind, 0)
        assert server.calls == ["Count"] * attempts
        client.close()


def test_no_grpc_server_listens():
    with grpc_stand_in() as server:
        client = server.client(timeout=1)
    store = QdrantStore(client=client, collection="handbook", options=ServerOptions(deadline=2))
    failing(store.read_manifest, StoreUnavailable, 2)
    client.close()


def test_a_grpc_server_that_hangs():
    with socket.create_server(("127.0.0.1", 0)) as listening, grpc_stand_in() as server:
        server.port = listening.getsockname()[1]
        client = server.client(timeout=1)
        store = QdrantStore(client=client, collection="handbook", options=ServerOptions(deadline=1))
        failing(store.read_manifest, StoreUnavailable, 1)
        client.close()
