"""What Chroma and its HTTP client raise, in the words of this package."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from retriever.errors import (
    AccessDenied,
    InvalidInput,
    NotAStore,
    RecordsRefused,
    RetrieverError,
    StoreDamaged,
    StoreError,
    StoreNotFound,
    StoreUnavailable,
)

_DAMAGE = ("hnsw segment", "malformed", "not a database", "disk image", "no such table", "Error reading from metadata")
"""Parts of the messages that an embedded Chroma, or a server, raises for good once its files are broken."""

_SAVING = "Nothing found on disk"
"""What a server says that saves the graph of a young collection for the first time; a second later it answers."""

_MOVING = "Error finding id"

_TOO_BIG = "string or blob too big"
_BUSY = "database is locked"
_LONGEST = 500


class RecordMissing(StoreError):
    """A record went while Chroma was looking at it, or one of the ids to search among is not there."""


@contextmanager
def chroma_errors(where: str, secret: str | None = None, repair: str | None = None) -> Iterator[None]:
    """Turn whatever Chroma raises inside into errors of this package, with the original as cause.

    :param where: the store's address, for messages.
    :param secret: what no message may hold.
    :param repair: what to do about damage, for messages; the general advice where it is None.
    :raises StoreError: of the kind that fits.
    """
    try:
        yield
    except RetrieverError:
        raise
    except Exception as error:
        raise translated(error, where, secret, repair) from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise StoreDamaged(
            _advice(where, f"Chroma stopped at a damaged or unexpected file: {error}", repair)
        ) from error


def is_panic(error: BaseException | None) -> bool:
    """Whether it is a panic of Chroma's Rust code, which derives from ``BaseException`` and has no importable class.

    :param error: anything.
    """
    return type(error).__name__ == "PanicException"


def translated(error: Exception, where: str, secret: str | None = None, repair: str | None = None) -> RetrieverError:
    """The error of this package that says the same.

    :param error: what Chroma, httpx or the JSON reader raised.
    :param where: the store's address.
    :param secret: what the message may not hold.
    :param repair: what to do about damage.
    """
    text = _shown(error, secret)
    if _MOVING in text:
        return RecordMissing(f"{where}: {text}")
    if _SAVING in text:
        return StoreUnavailable(_advice(where, f"{text}; if that stays so, its files are damaged", repair))
    if any(sign in text for sign in _DAMAGE):
        return StoreDamaged(_advice(where, text, repair))
    if _TOO_BIG in text:
        return RecordsRefused(f"{where}: {text}", [])
    if _BUSY in text:
        return StoreUnavailable(f"{where}: another program is writing: {text}")
    for classes, kind, problem in _table():
        if isinstance(error, classes):
            return _made(kind, f"{where}: {problem}: {text}")
    return StoreError(f"{where}: {text}")


def _made(kind: type[RetrieverError], message: str) -> RetrieverError:
    return RecordsRefused(message, []) if kind is RecordsRefused else kind(message)


@cache
def _table() -> list[tuple[tuple[type[Exception], ...], type[RetrieverError], str]]:
    """What each class becomes; the first that fits counts. Made when first needed: importing chromadb is slow."""
    import httpx
    from chromadb import errors

    return [
        ((httpx.TimeoutException,), StoreUnavailable, "no answer in time"),
        ((httpx.UnsupportedProtocol, httpx.InvalidURL), StoreError, "not the address of a server"),
        ((httpx.TransportError,), StoreUnavailable, "the connection failed"),
        ((errors.RateLimitError,), StoreUnavailable, "too many requests"),
        ((errors.ChromaAuthError, errors.AuthorizationError), AccessDenied, "access denied, check CHROMA_API_KEY"),
        ((errors.NotFoundError,), StoreNotFound, "not found"),
        ((errors.BatchSizeExceededError, errors.QuotaError), RecordsRefused, "more than the server takes"),
        ((errors.InvalidDimensionException, errors.DuplicateIDError), InvalidInput, "refused"),
        (
            (errors.IDAlreadyExistsError, errors.UniqueConstraintError, errors.InvalidUUIDError),
            StoreError,
            "Chroma refused",
        ),
        ((errors.InvalidHTTPVersion, errors.VersionMismatchError), NotAStore, "a Chroma of another version"),
        ((errors.InvalidArgumentError, errors.InternalError, errors.ChromaError), StoreError, "Chroma failed"),
        ((json.JSONDecodeError,), NotAStore, "the answer is not JSON, so this is no Chroma server"),
    ]


def _advice(where: str, problem: str, repair: str | None) -> str:
    return f"{where}: {problem}; {repair or f'run: retriever repair --store {where}'}"


def _shown(error: Exception, secret: str | None) -> str:
    text = f"{type(error).__name__}: {error}"
    if secret:
        for form in (secret, base64.b64encode(secret.encode()).decode()):  # as a header of basic authentication
            text = text.replace(form, "***")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
