"""Records as Chroma keeps them: an id, an embedding, a document and flat metadata.

The id is the chunk's, the document its text, and the metadata::

    {"retriever.document": ..., "retriever.source": ..., "retriever.start": 0, "retriever.end": 9,
     "retriever.hash": ..., "retriever.metadata": '{"year": 2024, "tags": ["a", "b"]}',
     "year": 2024}                                  keys escaped

The user's metadata is read from the JSON alone: a server's reader of numbers is not exact, lists cannot be mixed or
empty, and Chroma 1.5 shows the lists of a deleted collection among the metadata of others. What other programs may want
to filter by stands beside it, without lists. Escaped keys hold no dot, so none of the user's can be one of ours.

A record without ``retriever.hash`` was written by another program, and is read as it is: its own document, its metadata
as far as it follows our rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from retriever.errors import InvalidInput
from retriever.metadata import check_scalar, clean_metadata, escape_key, record_hash
from retriever.stores import Entry
from retriever.types import Chunk, Metadata, MetadataValue

PREFIX = "retriever."
MANIFEST = f"{PREFIX}manifest"
"""Of a collection, not of a record."""
DOCUMENT = f"{PREFIX}document"
SOURCE = f"{PREFIX}source"
HASH = f"{PREFIX}hash"
_START = f"{PREFIX}start"
_END = f"{PREFIX}end"
_METADATA = f"{PREFIX}metadata"

Stored = Mapping[str, Any]
"""Metadata as Chroma gives it back."""


def to_metadata(chunk: Chunk) -> dict[str, Any]:
    """All of a chunk but its id and text.

    :param chunk: with clean metadata.
    """
    fields: dict[str, Any] = {
        DOCUMENT: chunk.document_id,
        SOURCE: chunk.source,
        _START: chunk.start,
        _END: chunk.end,
        HASH: record_hash(chunk),
    }
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

    def entry(self, chunk_id: str, document: str | None, metadata: Stored | None) -> Entry:
        """A line of the ledger.

        :param chunk_id: the record's id.
        :param document: the record's text, where :attr:`ledger` asks for it.
        :param metadata: the record's metadata.
        """
        if self.verbatim or not metadata or HASH not in metadata:
            return Entry(chunk_id, chunk_id, "", record_hash(self.chunk(chunk_id, document, metadata)))
        return Entry(chunk_id, metadata[DOCUMENT], metadata[SOURCE], metadata[HASH])


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
