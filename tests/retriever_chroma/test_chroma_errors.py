"""Every exception class of chromadb and its HTTP client becomes one of ours."""

from __future__ import annotations

import inspect
import json
import pickle

import chromadb.errors
import httpx
import pytest

from retriever import errors as ours
from retriever_chroma.collection import Calling
from retriever_chroma.errors import RecordMissing, chroma_errors, is_panic, translated

EXPECTED = {
    "ChromaError": ours.StoreError,
    "InvalidDimensionException": ours.InvalidInput,
    "IDAlreadyExistsError": ours.StoreError,
    "ChromaAuthError": ours.AccessDenied,
    "DuplicateIDError": ours.InvalidInput,
    "InvalidArgumentError": ours.StoreError,
    "InvalidUUIDError": ours.StoreError,
    "InvalidHTTPVersion": ours.NotAStore,
    "AuthorizationError": ours.AccessDenied,
    "NotFoundError": ours.StoreNotFound,
    "UniqueConstraintError": ours.StoreError,
    "BatchSizeExceededError": ours.RecordsRefused,
    "VersionMismatchError": ours.NotAStore,
    "InternalError": ours.StoreError,
    "RateLimitError": ours.StoreUnavailable,
    "QuotaError": ours.RecordsRefused,
}


def test_all_classes_of_chromadb_are_known():
    """A new one fails here: decide what it becomes."""
    classes = {name for name, cls in inspect.getmembers(chromadb.errors, inspect.isclass) if issubclass(cls, Exception)}
    assert classes == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_classes_of_chromadb(name):
    cls = getattr(chromadb.errors, name)
    if inspect.isabstract(cls):
        cls = chromadb.errors.InternalError.__class__(
            name, (cls,), {"name": chromadb.errors.InternalError.__dict__["name"]}
        )
    with pytest.raises(ours.RetrieverError) as caught, chroma_errors("chroma:./db"):
        raise cls("some reason")
    assert type(caught.value) is EXPECTED[name]
    assert "chroma:./db" in str(caught.value)
    assert "some reason" in str(caught.value)
    assert isinstance(caught.value.__cause__, cls)


def http_errors() -> list[type[httpx.HTTPError]]:
    return [cls for _, cls in inspect.getmembers(httpx, inspect.isclass) if issubclass(cls, httpx.TransportError)]


@pytest.mark.parametrize("cls", http_errors(), ids=lambda cls: cls.__name__)
def test_classes_of_httpx(cls):
    error = translated(cls("reason"), "chroma://h:1/c")
    wrong_address = cls is httpx.UnsupportedProtocol
    assert type(error) is (ours.StoreError if wrong_address else ours.StoreUnavailable)
    assert error.retryable is not wrong_address


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (json.JSONDecodeError("x", "<html>", 0), ours.NotAStore),
        (ValueError("Could not connect to a Chroma server"), ours.StoreError),
        (Exception("<html>"), ours.StoreError),
        (chromadb.errors.InternalError("Failed to apply logs to the hnsw segment writer"), ours.StoreDamaged),
        (chromadb.errors.InternalError("database disk image is malformed"), ours.StoreDamaged),
        (chromadb.errors.InternalError("error returned from database: database is locked"), ours.StoreUnavailable),
        (chromadb.errors.InternalError("string or blob too big"), ours.RecordsRefused),
        (pickle.PicklingError("x"), ours.StoreError),
    ],
)
def test_other_errors(error, kind):
    assert type(translated(error, "chroma:./db")) is kind


def test_damage_says_how_to_repair():
    error = translated(chromadb.errors.InternalError("Error in hnsw segment reader"), "chroma:./db")
    assert "retriever repair --store chroma:./db" in str(error)


def test_our_own_errors_pass():
    with pytest.raises(ours.StoreLocked), chroma_errors("x"):
        raise ours.StoreLocked("held")


def test_keys_are_cut_out():
    error = translated(chromadb.errors.InternalError("the key sk-1234 is wrong"), "x", secret="sk-1234")
    assert "sk-1234" not in str(error)


def test_keys_are_cut_out_of_headers_too():
    error = translated(chromadb.errors.InternalError("the header Basic dXNlcjpzay0xMjM0 is wrong"), "x", "user:sk-1234")
    assert str(error) == "x: Chroma failed: InternalError: the header Basic *** is wrong"


def test_panics_are_damage_and_interrupts_are_not():
    panic = type("PanicException", (BaseException,), {})
    assert is_panic(panic())
    with pytest.raises(ours.StoreDamaged, match="retriever repair"), chroma_errors("chroma:./db"):
        raise panic("index out of bounds")
    with pytest.raises(KeyboardInterrupt), chroma_errors("chroma:./db"):
        raise KeyboardInterrupt


def test_what_passes_by_itself_is_no_damage():
    saving = chromadb.errors.InternalError(
        "Error executing plan: Error creating hnsw segment reader: Nothing found on disk"
    )
    error = translated(saving, "chroma://host:1/docs")
    assert isinstance(error, ours.StoreUnavailable)
    assert error.retryable
    assert isinstance(
        translated(chromadb.errors.InternalError("Internal error: Error finding id"), "chroma:x"), RecordMissing
    )


def test_a_record_that_goes_while_chroma_looks_is_looked_for_again():
    answers = [chromadb.errors.InternalError("Error finding id")] * 2

    def call():
        if answers:
            raise answers.pop()
        return "found"

    assert Calling("chroma:x")(call) == "found"
    answers = [chromadb.errors.InternalError("Error finding id")] * 2
    with pytest.raises(RecordMissing):
        Calling("chroma:x")(call, moving=False)
    assert len(answers) == 1
