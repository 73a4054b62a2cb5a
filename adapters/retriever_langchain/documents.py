"""LangChain's documents and ours: a document of LangChain is one record, with its id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid5

from langchain_core.documents import Document

import retriever
from retriever import Chunk, Hit, InvalidInput
from retriever.planning import check_document

RETRIEVAL = "retrieval"
"""Metadata key under which :class:`~retriever_langchain.HybridRetriever` says why and where a hit was found."""

_IDS = UUID("5d0b2f7e-6a0c-5c39-9a5e-0f6f2f1f7a1b")


def to_records(documents: Iterable[Document], ids: Iterable[str | None] | None) -> list[retriever.Document]:
    """What is written for documents of LangChain, each checked before any is written.

    A document without an id gets one made from its text, its metadata and how many like it came before in the call:
    adding the same documents again changes nothing.

    :param documents: any iterable; not changed.
    :param ids: in place of the documents' own; None in it for those without.
    :raises InvalidInput: naming the document that cannot be stored, or an id that is there twice.
    """
    given = _checked(documents)
    names = [document.id for document in given] if ids is None else _checked_ids(ids, len(given))
    like: Counter[str] = Counter()
    records = [_record(n, document, name, like) for n, (document, name) in enumerate(zip(given, names, strict=True))]
    twice = [name for name, count in Counter(record.id for record in records).items() if count > 1]
    if twice:
        raise InvalidInput(f"the id {twice[0]!r} is there twice: give each document of a call an id of its own")
    return records


def _checked(documents: Iterable[Document]) -> list[Document]:
    given: list[Any] = list(documents)
    for n, document in enumerate(given):
        if not isinstance(document, Document):
            raise InvalidInput(f"document number {n} is a {type(document).__name__}, not a Document of LangChain")
    return given


def _checked_ids(ids: Iterable[str | None], count: int) -> list[str | None]:
    if isinstance(ids, str):
        raise InvalidInput("ids is a list of ids, not one string")
    names = list(ids)
    if len(names) != count:
        raise InvalidInput(
            f"there are {len(names)} ids for {count} documents: give each one, or None where it has none"
        )
    return names


def _record(n: int, document: Document, name: str | None, like: Counter[str]) -> retriever.Document:
    metadata = {key: value for key, value in document.metadata.items() if not _is_retrieval(key, value)}
    shown = f"number {n}" if name is None else name
    record = check_document(retriever.Document(shown, document.page_content, metadata))
    if name is not None:
        return record
    content = json.dumps([record.text, record.metadata], sort_keys=True)
    like[content] += 1
    return retriever.Document(str(uuid5(_IDS, f"{like[content]} {content}")), record.text, record.metadata)


def to_document(chunk: Chunk) -> Document:
    """A record as a document of LangChain, with the metadata that was stored and nothing else.

    :param chunk: from the index.
    """
    return Document(id=chunk.id, page_content=chunk.text, metadata=_plain(chunk))


def explained(hit: Hit) -> Document:
    """A hit as a document of LangChain, with why and where it was found under :data:`RETRIEVAL`.

    :param hit: from a search.
    """
    chunk = hit.chunk
    found: dict[str, Any] = {
        "score": hit.score,
        "legs": {name: {"rank": leg.rank, "score": leg.score} for name, leg in hit.legs.items()},
        "matched_terms": list(hit.matched_terms),
        "document_id": chunk.document_id,
        "source": chunk.source,
        "start": chunk.start,
        "end": chunk.end,
    }
    return Document(id=chunk.id, page_content=chunk.text, metadata={**_plain(chunk), RETRIEVAL: found})


def _is_retrieval(key: object, value: object) -> bool:
    """Whether it is what :func:`explained` added: a user's own value is flat."""
    return key == RETRIEVAL and isinstance(value, Mapping)


def _plain(chunk: Chunk) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, list | tuple) else value for key, value in chunk.metadata.items()}
