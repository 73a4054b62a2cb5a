"""Records as Chroma keeps them: an id, an embedding, a document and flat metadata.

The id is the chunk's, the document its text, and the metadata::

    {"retriever.document": ..., "retriever.source": ..., "retriever.start": 0, "retriever.end": 9,
     "retriever.hash": ..., "retriever.metadata": '{"year": 2024, "tags": ["a", "b"]}',
     "retriever.sparse": ...,                       the learned sparse vector, where the index has a model for them
     "year": 2024}                                  keys escaped

The user's metadata is read from the JSON alone: a server's reader of numbers is not exact, lists cannot be mixed or
empty, and Chroma 1.5 shows the lists of a deleted collection among the metadata of others. What other programs may want
to filter by stands beside it, without lists. Escaped keys hold no dot, so none of the user's can be one of ours.

A record without ``retriever.hash`` was written by another program, and is read as it is: its own document, its metadata
as far as it follows our rules.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from retriever.errors import InvalidInput
from retriever.metadata import check_scalar, clean_metadata, escape_key, record_hash
from retriever.sparse.vector import SparseVector
from retriever.stores import Entry
from retriever.types import Chunk, Metadata, MetadataValue

PREFIX = "retriever."
MANIFEST = f"{PREFIX}manifest"
"""Of a collection, not of a record."""
DOCUMENT = f"{PREFIX}document"
SOURCE = f"{PREFIX}source"
HASH = f"{PREFIX}hash"
SPARSE = f"{PREFIX}sparse"
_START = f"{PREFIX}start"
_END = f"{PREFIX}end"
_METADATA = f"{PREFIX}metadata"

Stored = Mapping[str, Any]
"""Metadata as Chroma gives it back."""


def to_metadata(chunk: Chunk, sparse: SparseVector | None = None) -> dict[str, Any]:
    """All of a chunk but its id and text.

    :param chunk: with clean metadata.
    :param sparse: its learned sparse vector, if it has one.
    """
    fields: dict[str, Any] = {
        DOCUMENT: chunk.document_id,
        SOURCE: chunk.source,
        _START: chunk.start,
        _END: chunk.end,
        HASH: record_hash(chunk),
    }
    if sparse is not None:
        fields[SPARSE] = _encoded(sparse)
    if chunk.metadata:
        fields[_METADATA] = json.dumps({name: _plain(value) for name, value in chunk.metadata.items()})
        fields |= {_escaped(name): _plain(value) for name, value in chunk.metadata.items() if _is_scalar(value)}
    return fields


def replacing(new: Mapping[str, Any], old: Stored | None) -> dict[str, Any]:
    """What to send so that ``new`` is all there is: Chroma merges, and drops what is sent as None.

    :param new: the metadata that shall be.
    :param old: the metadata that is there.
    """
    return {**dict.fromkeys(old or ()), **new}


class Reading:
    """How what Chroma gives back is read.

    :param verbatim: for a collection of another program: no key is one of ours, none is escaped.
    """

    def __init__(self, *, verbatim: bool) -> None:
        self.verbatim = verbatim
        self.ledger = ["metadatas", "documents"] if verbatim else ["metadatas"]
        """What :meth:`entry` needs."""

    def chunk(self, chunk_id: str, document: str | None, metadata: Stored | None) -> Chunk:
        """The chunk.

        :param chunk_id: the record's id.
        :param document: the record's text.
        :param metadata: the record's metadata.
        """
        text = document or ""
        if self.verbatim or not metadata or HASH not in metadata:
            return Chunk(chunk_id, chunk_id, text, 0, len(text), _tolerated(metadata or {}))
        return Chunk(
            id=chunk_id,
            document_id=metadata[DOCUMENT],
            text=text,
            start=metadata[_START],
            end=metadata[_END],
            metadata=json.loads(metadata.get(_METADATA, "{}")),
            source=metadata[SOURCE],
        )

    def sparse(self, metadata: Stored | None) -> SparseVector | None:
        """The learned sparse vector; None where there is none that can be read.

        :param metadata: the record's metadata.
        """
        text = None if self.verbatim else (metadata or {}).get(SPARSE)
        return _decoded(text) if isinstance(text, str) else None

    def entry(self, chunk_id: str, document: str | None, metadata: Stored | None) -> Entry:
        """A line of the ledger.

        :param chunk_id: the record's id.
        :param document: the record's text, where :attr:`ledger` asks for it.
        :param metadata: the record's metadata.
        """
        if self.verbatim or not metadata or HASH not in metadata:
            return Entry(chunk_id, chunk_id, "", record_hash(self.chunk(chunk_id, document, metadata)))
        return Entry(chunk_id, metadata[DOCUMENT], metadata[SOURCE], metadata[HASH])


def _encoded(vector: SparseVector) -> str:
    """Indices and weights, 4 bytes each, as text: JSON would take twice the room."""
    return base64.b64encode(vector.indices.astype("<u4").tobytes() + vector.weights.astype("<f4").tobytes()).decode()


def _decoded(text: str) -> SparseVector | None:
    try:
        numbers = np.frombuffer(base64.b64decode(text, validate=True), dtype="<u4")
        indices, weights = np.split(numbers, 2)
        return SparseVector(indices.astype(np.uint32), weights.view("<f4").astype(np.float32))
    except (ValueError, InvalidInput):
        return None


def _escaped(key: str) -> str:
    """``chroma:document`` is refused, and other keys that begin like it vanish."""
    return escape_key(key).replace(":", "%3A")


def _is_scalar(value: MetadataValue) -> bool:
    return isinstance(value, str | int | float)


def _plain(value: MetadataValue) -> Any:  # noqa: ANN401 - a scalar or a list
    """Without numpy's types and tuples."""
    if isinstance(value, str | int):
        return value
    return float(value) if isinstance(value, float) else [_plain(item) for item in value]


def _tolerated(stored: Stored) -> Metadata:
    """What follows our rules, and integers beyond ±2**53 as strings; the rest is left out."""
    clean: dict[str, MetadataValue] = {}
    for key, value in stored.items():
        try:
            clean |= clean_metadata({key: value}, "record")
        except InvalidInput:
            if isinstance(value, int):
                clean[key] = str(check_scalar(str(value), "record"))
    return clean
