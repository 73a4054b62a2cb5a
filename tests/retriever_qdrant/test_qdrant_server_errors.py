"""Every error class of the client has its place."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys

import httpx
import pytest
import qdrant_client
from grpc import StatusCode
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from retriever.errors import AccessDenied, RetrieverError, StoreError, StoreNotFound, StoreUnavailable
from retriever_qdrant.server_errors import RequestTooLarge, server_errors, translated

KNOWN = {
    "qdrant_client.common.client_exceptions.QdrantException",
    "qdrant_client.common.client_exceptions.ResourceExhaustedResponse",
    "qdrant_client.http.exceptions.ApiException",
    "qdrant_client.http.exceptions.ResponseHandlingException",
    "qdrant_client.http.exceptions.UnexpectedResponse",
}


def test_the_clients_classes_are_those_that_are_mapped():
    """A new one fails this test: give it a place in server_errors.py, and add it here."""
    missing = []
    found = set()
    for module in pkgutil.walk_packages(qdrant_client.__path__, "qdrant_client."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # optional packages of the client
            missing.append(error.name)
    for name, module in list(sys.modules.items()):
        if name.startswith("qdrant_client."):
            for _, cls in inspect.getmembers(module, inspect.isclass):
                if issubclass(cls, BaseException) and cls.__module__.startswith("qdrant_client"):
                    found.add(f"{cls.__module__}.{cls.__qualname__}")
    assert found == KNOWN
    assert not [name for name in missing if name.startswith("qdrant")]


def unexpected(status, text="", headers=None):
    return UnexpectedResponse(status, "reason", text.encode(), httpx.Headers(headers or {}))


def request() -> httpx.Request:
    return httpx.Request("GET", "http://host")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (unexpected(400, '{"status": {"error": "Wrong input"}}'), StoreError, "Wrong input"),
        (unexpected(400, "<html>"), StoreError, "without saying why"),
        (
            unexpected(400, '{"status": {"error": "JSON payload (9 bytes) is larger than allowed"}}'),
            RequestTooLarge,
            "9",
        ),
        (unexpected(413), RequestTooLarge, "size"),
        (unexpected(401), AccessDenied, "QDRANT_API_KEY"),
        (unexpected(403), AccessDenied, "403"),
        (unexpected(404), StoreError, "Qdrant server"),
        (unexpected(404, '{"status": {"error": "Not found: Collection"}}'), StoreNotFound, "Not found"),
        (unexpected(429), StoreUnavailable, "429"),
        (unexpected(503), StoreUnavailable, "503"),
        (unexpected(500), StoreError, "500"),
        (unexpected(None), StoreError, "refused"),
        (ResourceExhaustedResponse("slow down", 7), StoreUnavailable, "slow down"),
        (QdrantException("something"), StoreError, "something"),
        (QdrantException("Retry-After header value is not a valid integer: soon"), StoreUnavailable, "busy"),
        (ApiException(), StoreError, "ApiException"),
        (ResponseHandlingException(httpx.ConnectTimeout("slow")), StoreUnavailable, "in time"),
        (ResponseHandlingException(httpx.PoolTimeout("full")), StoreUnavailable, "in time"),
        (ResponseHandlingException(httpx.ConnectError("refused")), StoreUnavailable, "reached"),
        (ResponseHandlingException(httpx.RemoteProtocolError("half")), StoreUnavailable, "reached"),
        (ResponseHandlingException(httpx.WriteError("pipe")), StoreUnavailable, "reached"),
        (ResponseHandlingException(httpx.UnsupportedProtocol("ftp")), StoreError, "asked"),
        (ResponseHandlingException(httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER]")), StoreError, "QDRANT_TLS"),
        (ResponseHandlingException(httpx.InvalidURL("odd")), StoreError, "odd"),
        (httpx.ReadTimeout("slow"), StoreUnavailable, "in time"),
        (ConnectionResetError("reset"), StoreUnavailable, "reached"),
        (TimeoutError("slow"), StoreUnavailable, "in time"),
        (ValueError("Collection docs not found"), StoreNotFound, "docs"),
        (ValueError("Vector dense is not found in the collection"), StoreError, "dense"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), StoreError, "not Qdrant's"),
        (AssertionError("Upsert returned None result"), StoreError, "not Qdrant's"),
        (RuntimeError("Client was closed."), StoreError, "closed"),
        (KeyError("x"), StoreError, "x"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:40],
)
def test_each_has_its_kind(error, kind, words):
    with pytest.raises(StoreError) as caught, server_errors("qdrant://host:6334/docs"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.__cause__ is error
    assert str(caught.value).startswith("qdrant://host:6334/docs ")
    assert words in str(caught.value)


def test_ours_pass_as_they_are():
    ours = RetrieverError("ours")
    with pytest.raises(RetrieverError) as caught, server_errors("where"):
        raise ours
    assert caught.value is ours


def test_interrupts_are_no_errors_of_the_store():
    with pytest.raises(KeyboardInterrupt), server_errors("where"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("code", list(StatusCode))
def test_every_code_of_grpc_has_its_kind(code):
    import grpc

    class Failed(grpc.RpcError):
        def code(self):
            return code

        def details(self):
            return "some details"

    error = translated(Failed(), "where")
    assert code.name in str(error)
    busy = {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED}
    denied = {StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED}
    assert error.retryable == (code in busy)
    assert isinstance(error, AccessDenied) == (code in denied)
    assert isinstance(error, StoreNotFound) == (code is StatusCode.NOT_FOUND)


def test_a_message_too_large_for_grpc():
    import grpc

    class Failed(grpc.RpcError):
        def code(self):
            return StatusCode.OUT_OF_RANGE

        def details(self):
            return "Error, decoded message length too large: found 99 bytes, the limit is: 9 bytes"

    assert type(translated(Failed(), "where")) is RequestTooLarge
    assert type(translated(grpc.RpcError("bare"), "where")) is StoreError


def test_messages_are_short_and_hold_no_secret():
    text = '{"status": {"error": "' + "key s3cr3t " + "x" * 10_000 + '"}}'
    message = str(translated(unexpected(400, text), "where", frozenset({"s3cr3t"})))
    assert len(message) < 400
    assert "s3cr3t" not in message
    assert "key ***" in message


@pytest.mark.parametrize(("value", "seconds"), [("3", 3), ("2.5", 2.5), ("-1", 0), ("soon", None), (None, None)])
def test_the_wait_that_a_status_asks_for(value, seconds):
    headers = {} if value is None else {"Retry-After": value}
    assert translated(unexpected(503, "", headers), "where").retry_after == seconds
