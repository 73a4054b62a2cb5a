"""What the client of a Qdrant server raises, in the words of this package."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import grpc  # type: ignore[import-untyped]  # the client brings it without stubs
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from retriever.errors import AccessDenied, RetrieverError, StoreError, StoreNotFound, StoreUnavailable

_LONGEST = 300
_BUSY = frozenset({408, 425, 429, 502, 503, 504})
_TOO_LARGE = re.compile(r"payload.*(larger than|exceed)|message.*(too large|larger than|exceed)", re.IGNORECASE)
_MISSING = re.compile(r"Collection .+ not found")
_WAIT = re.compile(r"Retry-After header value is not a valid integer: (.*)", re.DOTALL)


class RequestTooLarge(StoreError):
    """The server takes no request of this size. Smaller ones may pass."""


@contextmanager
def server_errors(where: str, secrets: frozenset[str] = frozenset()) -> Iterator[None]:
    """Turn whatever the client raises inside into errors of this package.

    :param where: the store's address, for messages.
    :param secrets: that must not be in a message, whatever the server answers.
    :raises StoreError: one of its kinds, with the original as cause.
    """
    try:
        yield
    except RetrieverError:
        raise
    except Exception as error:
        raise translated(error, where, secrets) from error


def translated(error: Exception, where: str, secrets: frozenset[str] = frozenset()) -> StoreError:
    """The error of this package that stands for one of the client's.

    :param error: from ``qdrant_client``, ``grpc``, ``httpx`` or what they stand on.
    :param where: the store's address.
    :param secrets: to be left out of the message.
    """
    if isinstance(error, ResponseHandlingException) and isinstance(error.source, Exception):
        return translated(error.source, where, secrets)
    say = _Saying(where, secrets)
    if isinstance(error, UnexpectedResponse):
        return _from_status(error.status_code or 0, _answer(error), say, _seconds(dict(error.headers or {})))
    if isinstance(error, ResourceExhaustedResponse):
        return StoreUnavailable(say("is too busy", str(error)), float(error.retry_after_s))
    if isinstance(error, QdrantException):
        return _from_wait(error, say)
    if isinstance(error, grpc.RpcError):
        return _from_grpc(error, say)
    if isinstance(error, httpx.HTTPError | OSError):
        return _from_transport(error, say)
    if isinstance(error, ApiException):
        return StoreError(say("failed", type(error).__name__))
    return _from_value(error, say)


class _Saying:
    """Messages that name the store, are short and hold no secret."""

    def __init__(self, where: str, secrets: frozenset[str]) -> None:
        self._where = where
        self._secrets = secrets

    def __call__(self, what: str, detail: str = "") -> str:
        detail = " ".join(detail.split())
        for secret in self._secrets:
            detail = detail.replace(secret, "***")
        if len(detail) > _LONGEST:
            detail = f"{detail[:_LONGEST]}..."
        return f"{self._where} {what}: {detail}" if detail else f"{self._where} {what}"


def _answer(error: UnexpectedResponse) -> str:
    """What a Qdrant server says went wrong; nothing where the answer is not of its kind."""
    try:
        status = error.structured()["status"]
        return str(status["error"] if isinstance(status, Mapping) else status)
    except (ValueError, KeyError, TypeError):
        return ""


def _from_status(status: int, answer: str, say: _Saying, wait: float | None) -> StoreError:
    if status in _BUSY:
        return StoreUnavailable(say(f"is not available now (status {status})", answer), wait)
    if status in (401, 403):  # without the answer: a proxy may send back what it was sent
        return _denied(say, f"status {status}")
    if status == 413 or (status == 400 and _TOO_LARGE.search(answer)):
        return RequestTooLarge(say("does not take a request of this size", answer))
    if status == 404 and answer:
        return StoreNotFound(say("was not found", answer))
    return StoreError(say(f"refused (status {status})", answer or "without saying why: is this a Qdrant server?"))


def _denied(say: _Saying, status: str) -> AccessDenied:
    return AccessDenied(say(f"refuses access ({status})", "check the key in QDRANT_API_KEY and what it may do"))


def _from_wait(error: QdrantException, say: _Saying) -> StoreError:
    """The client stumbles over a ``Retry-After`` that is a date or a fraction; both are lawful."""
    match = _WAIT.search(str(error))
    if match is None:
        return StoreError(say("failed", str(error)))
    return StoreUnavailable(say("is too busy"), _seconds({"retry-after": match[1]}))


def _seconds(headers: Mapping[str, Any]) -> float | None:
    """How long a server asks to wait."""
    value = {key.lower(): value for key, value in headers.items()}.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


_UNAVAILABLE_CODES = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
_DENIED_CODES = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


def _from_grpc(error: grpc.RpcError, say: _Saying) -> StoreError:
    code: Any = error.code() if callable(getattr(error, "code", None)) else None
    details = str(error.details() or "") if callable(getattr(error, "details", None)) else str(error)
    if code in _DENIED_CODES:
        return _denied(say, code.name)
    if code is not grpc.StatusCode.UNAVAILABLE and _TOO_LARGE.search(details):
        return RequestTooLarge(say("does not take a request of this size", details))
    if code in _UNAVAILABLE_CODES:
        return StoreUnavailable(say(f"is not available now ({code.name})", details))
    if code is grpc.StatusCode.NOT_FOUND:
        return StoreNotFound(say("was not found (NOT_FOUND)", details))
    return StoreError(say("refused" if code is None else f"refused ({code.name})", details))


def _from_transport(error: Exception, say: _Saying) -> StoreError:
    detail = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return StoreUnavailable(say("did not answer in time", detail))
    if isinstance(error, ssl.SSLError) or "SSL" in detail:
        return StoreError(say("cannot be reached with TLS", f"{detail}; check QDRANT_TLS and the certificate"))
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.TooManyRedirects):
        return StoreError(say("cannot be asked", detail))
    return StoreUnavailable(say("cannot be reached", detail))


def _from_value(error: Exception, say: _Saying) -> StoreError:
    """Errors that are no client's own: an answer that makes no sense, or what the local mode refuses."""
    if _MISSING.search(str(error)):
        return StoreNotFound(say("was not found", str(error)))
    if isinstance(error, ValidationError):  # its text would show the answer, or the records
        return StoreError(say("gave an answer that is not Qdrant's", f"{error.error_count()} things are wrong with it"))
    if isinstance(error, UnicodeError | AssertionError) or type(error).__name__ == "JSONDecodeError":
        return StoreError(say("gave an answer that is not Qdrant's", "is another program listening there?"))
    return StoreError(say("failed", str(error) or type(error).__name__))
