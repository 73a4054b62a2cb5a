"""What is to be done for a window of documents: pure functions from texts and ledger to a plan."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from retriever.chunking import Chunked
from retriever.errors import InvalidInput
from retriever.metadata import check_text, clean_metadata, record_hash
from retriever.pictures import DIGEST, Picture
from retriever.stores import Entry
from retriever.types import Chunk, Document, MetadataValue

SEPARATOR = "::"
"""Between the name of a source and the id of a document in it."""

HEADINGS = "headings"
"""Metadata key of the path of headings above a chunk; a document's own value under this key is kept instead."""


@dataclass(frozen=True, slots=True)
class ChunkedDocument:
    """A document that was checked, and its chunks."""

    id: str
    chunks: list[Chunk]
    tokens: list[int]
    """How many tokens each chunk has."""
    picture: Picture | None = None
    """What its only chunk is embedded from."""


@dataclass(slots=True)
class Plan:
    """What to write and what to delete, in this order."""

    missing: list[Chunk] = field(default_factory=list)
    """To be embedded and written."""
    tokens: list[int] = field(default_factory=list)
    """How many tokens each of the missing has."""
    changed: list[Chunk] = field(default_factory=list)
    """The text is there; span or metadata is not what is there."""
    stale: list[str] = field(default_factory=list)
    """Ids of chunks that these documents no longer have."""
    unchanged: int = 0
    """How many chunks are there as they should be."""


def check_source(source: str) -> str:
    """Refuse the name of a source that would make ids ambiguous.

    :param source: the name; ``""`` for documents that were given directly.
    :raises InvalidInput: where it holds ``::``, ends with ``:`` or cannot be stored.
    """
    check_text(source, f"the source name {source!r}")
    if SEPARATOR in source or source.endswith(SEPARATOR[0]):
        raise InvalidInput(
            f"the source name {source!r} holds {SEPARATOR!r}, which separates sources from documents, or ends with "
            f"{SEPARATOR[0]!r}: give another name with source= (--source on the command line)"
        )
    return source


def qualified_id(source: str, document_id: str) -> str:
    """The id of a document in the index.

    :param source: name of its source; may be empty.
    :param document_id: its id within the source.
    """
    return f"{source}{SEPARATOR}{document_id}" if source else document_id


def check_document(document: Document) -> Document:
    """Refuse a document that no store could hold; return it with clean metadata.

    :param document: from a loader or the caller.
    :raises InvalidInput: naming what is wrong with it.
    """
    if not isinstance(document, Document):
        raise InvalidInput(f"expected a Document, not a {type(document).__name__}")
    if not isinstance(document.id, str) or not document.id:
        raise InvalidInput(f"a document's id is a non-empty string, not {document.id!r}")
    check_text(document.id, f"the document id {document.id!r}")
    name = f"document {document.id!r}"
    if not isinstance(document.text, str):
        raise InvalidInput(f"{name}: its text is a {type(document.text).__name__}, not a string")
    check_text(document.text, f"{name}: its text")
    if document.picture is not None and not isinstance(document.picture, Picture):
        raise InvalidInput(f"{name}: its picture is a {type(document.picture).__name__}: make it with Picture.of")
    metadata = clean_metadata(document.metadata, name)
    metadata.pop(DIGEST, None)  # it comes with the record of a picture, perhaps from another index
    if document.picture is not None:
        metadata = {"format": "image", **metadata, DIGEST: document.picture.digest}
    return replace(document, metadata=metadata)


def make_chunks(document: Document, chunked: Chunked, source: str) -> ChunkedDocument:
    """Chunks with their ids.

    :param document: checked.
    :param chunked: spans of its text.
    :param source: name of its source.
    """
    document_id = qualified_id(source, document.id)
    occurrences: Counter[str] = Counter()
    chunks = []
    for span in chunked.spans:
        text = document.text[span.start : span.end]
        metadata: dict[str, MetadataValue] = dict(document.metadata)
        if span.headings:
            metadata.setdefault(HEADINGS, list(span.headings))
        shown = document.picture.digest if document.picture else ""
        chunk_id = make_chunk_id(source, document_id, text, occurrences[text], shown)
        chunks.append(Chunk(chunk_id, document_id, text, span.start, span.end, metadata, source))
        occurrences[text] += 1
    return ChunkedDocument(document_id, chunks, [span.tokens for span in chunked.spans], document.picture)


def make_chunk_id(source: str, document_id: str, text: str, occurrence: int, picture: str = "") -> str:
    """32 hexadecimal digits that depend on nothing else than the arguments.

    :param source: name of the source.
    :param document_id: of the document in the index.
    :param text: of the chunk.
    :param occurrence: how many chunks of the document before this one have the same text.
    :param picture: digest of the picture that the chunk is; empty for texts.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (source, document_id, text, str(occurrence), *([picture] if picture else [])):
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def make_plan(documents: Sequence[ChunkedDocument], ledger: Iterable[Entry]) -> Plan:
    """Compare what should be there with what is.

    :param documents: a window, each document once.
    :param ledger: the store's entries of these documents.
    """
    there: Mapping[str, str] = {entry.chunk_id: entry.hash for entry in ledger}
    plan = Plan()
    wanted: set[str] = set()
    for document in documents:
        for chunk, tokens in zip(document.chunks, document.tokens, strict=True):
            wanted.add(chunk.id)
            if chunk.id not in there:
                plan.missing.append(chunk)
                plan.tokens.append(tokens)
            elif there[chunk.id] != record_hash(chunk):
                plan.changed.append(chunk)
            else:
                plan.unchanged += 1
    plan.stale = [chunk_id for chunk_id in there if chunk_id not in wanted]
    return plan
