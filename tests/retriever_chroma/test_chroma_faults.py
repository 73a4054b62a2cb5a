"""Servers that hang, refuse, answer nonsense or are not there: a typed error within the deadline, and no key in it."""

from __future__ import annotations

import time
import traceback

import pytest
from chroma_faults import Faults, faulty_server
from chroma_samples import make_manifest

from retriever.errors import AccessDenied, NotAStore, StoreError, StoreUnavailable
from retriever.testing.servers import free_port
from retriever_chroma import ChromaStore

SECRET = "sk-very-secret-0123456789"


def failure(faults: Faults, timeout: float = 0.4, deadline: float = 1.0) -> StoreError:
    """What reading the manifest raises, in time and without the key."""
    store = ChromaStore(
        host="127.0.0.1", port=faults.port, collection="docs", api_key=SECRET, timeout=timeout, deadline=deadline
    )
    started = time.monotonic()
    with pytest.raises(StoreError) as caught:
        store.read_manifest()
    assert time.monotonic() - started < deadline + timeout + 0.5
    store.close()
    error = caught.value
    assert error.__cause__ is not None or type(error) in (StoreUnavailable, AccessDenied, NotAStore)
    assert f"127.0.0.1:{faults.port}" in str(error)
    assert SECRET not in "".join(traceback.format_exception(error, chain=False))
    return error


def test_a_server_that_hangs():
    faults = Faults()
    faults.behaviour = "hang"
    with faulty_server(faults):
        assert isinstance(failure(faults, timeout=0.2, deadline=2.0), StoreUnavailable)
        assert len(faults.seen) >= 2, "it is tried again"


def test_a_server_that_hangs_up():
    faults = Faults()
    faults.behaviour = "drop"
    with faulty_server(faults):
        assert isinstance(failure(faults), StoreUnavailable)


def test_nobody_is_there():
    faults = Faults()
    faults.port = free_port()
    assert isinstance(failure(faults), StoreUnavailable)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_server_that_is_busy(status):
    with faulty_server(Faults(status, "<html>busy {{key}}</html>")) as faults:
        error = failure(faults)
        assert isinstance(error, StoreUnavailable)
        assert error.retryable
        assert str(status) in str(error)


def test_it_says_how_long_to_wait():
    with faulty_server(Faults(429, "", {"retry-after": "7"})) as faults:
        error = failure(faults)
        assert isinstance(error, StoreUnavailable)
        assert error.retry_after == 7
        assert len(faults.seen) == 1, "there is no time to wait so long"
    with faulty_server(Faults(429, "", {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"})) as faults:
        assert failure(faults).retry_after is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_another_key(status):
    body = '{"error": "AuthError", "message": "not {{key}}"}'
    with faulty_server(Faults(status, body)) as faults:
        error = failure(faults)
        assert isinstance(error, AccessDenied)
        assert "CHROMA_API_KEY" in str(error)
        assert [key for _, key in faults.seen] == [f"Bearer {SECRET}"], "once"


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>a page</html>"), (200, ""), (301, ""), (307, "")],
)
def test_something_else_answers(status, body):
    with faulty_server(Faults(status, body, {"location": "http://127.0.0.1:9/"} if status > 300 else None)) as faults:
        error = failure(faults)
        assert isinstance(error, NotAStore)
        assert not error.retryable


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, '{"some": "json"}'),
        (200, "[]"),
        (200, "null"),
        (418, "no {{key}}"),
        (500, "<html>{{key}}</html>"),
        (500, '{"error": "InternalError", "message": "with {{key}}"}'),
        (400, '{"error": "InvalidArgumentError", "message": "with {{key}}"}'),
    ],
)
def test_other_failures_are_typed(status, body):
    with faulty_server(Faults(status, body)) as faults:
        error = failure(faults)
        assert not error.retryable
        assert len(faults.seen) == 1


def test_the_client_that_was_given_would_wait_for_ever_and_is_not_used(http_client, open_store):
    faults = Faults()
    faults.behaviour = "hang"
    with faulty_server(faults):
        http_client.get_settings().chroma_server_http_port = faults.port
        store = open_store(http_client, "docs", timeout=0.3, deadline=0.6)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.create(make_manifest())
        assert time.monotonic() - started < 2


def test_a_key_tells_tenant_and_database():
    body = '{"user_id": "u", "tenant": "acme", "databases": ["prod"]}'
    with faulty_server(Faults(200, body)) as faults:
        failure(faults)
        assert [path for path, _ in faults.seen] == [
            "/api/v2/auth/identity",
            "/api/v2/tenants/acme/databases/prod/collections/docs",
        ]
