"""Hybrid search on a collection that plain chromadb filled: how soon it answers, and whether it keeps in step."""

from __future__ import annotations

import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import TypeVar

import chromadb
from chromadb.api import ClientAPI

from benchmarks.readers_child import embedding, marker
from benchmarks.report import NONE, Bar, Result, Row, progress
from benchmarks.synthetic import texts
from retriever import Retriever
from retriever.types import Mode
from retriever_chroma import ChromaStore

FIRST = Bar(at_most=30)
LATER = Bar(at_most=1)
FOREIGN = 200
"""Records that another program adds, and as many that it deletes."""
_NAME = "docs"
_WORDS = 40
_BATCH = 5_000

T = TypeVar("T")


def run(records: int) -> Result:
    """Fill a folder with plain chromadb, attach, search, attach again, and change it behind the store's back.

    :param records: how many.
    """
    with TemporaryDirectory(prefix="retriever-attach-") as folder:
        client = chromadb.PersistentClient(folder)
        _fill(client, records)
        first, found = _timed(lambda: _first_answer(client, records // 2))
        later, again = _timed(lambda: _first_answer(client, records // 3))
        seen, unseen = _foreign(client, records)
        rows = [
            Row((f"attach {records:,} records and answer the first hybrid query",), first, "seconds", FIRST),
            Row(("attach again and answer",), later, "seconds", LATER),
            Row(("first hits that are wrong",), (not found) + (not again), "count", NONE),
            Row((f"of {FOREIGN} foreign adds, not seen by the next searches",), seen, "count", NONE),
            Row((f"of {FOREIGN} foreign deletes, still found",), unseen, "count", NONE),
        ]
    return Result("attach", ("what",), rows, {"records": records})


def _fill(client: ClientAPI, records: int) -> None:
    """As a program does that knows nothing of this package: default settings, no system keys."""
    collection = client.create_collection(_NAME, embedding_function=None)
    function = embedding()
    with progress("filling", records) as advance:
        documents = [f"{marker(number)} {text}" for number, text in enumerate(texts(records, _WORDS))]
        for start in range(0, records, _BATCH):
            batch = documents[start : start + _BATCH]
            numbers = range(start, start + len(batch))
            collection.add(
                ids=[str(number) for number in numbers],
                documents=batch,
                embeddings=function.embed_documents(batch),
                metadatas=[{"n": number} for number in numbers],
            )
            advance(len(batch))


def _first_answer(client: ClientAPI, number: int) -> bool:
    """Whether the first query finds what it asks for."""
    with Retriever.open(ChromaStore.attach(client, _NAME), embedding=embedding()) as retriever:
        return _is_found(retriever, number, "hybrid")


def _foreign(client: ClientAPI, records: int) -> tuple[int, int]:
    """Adds that are not seen, and deletes that are."""
    collection = client.get_collection(_NAME, embedding_function=None)
    new, gone = range(records, records + FOREIGN), range(FOREIGN)
    documents = [f"{marker(number)} was added by another program" for number in new]
    with Retriever.open(ChromaStore.attach(client, _NAME), embedding=embedding()) as retriever:
        retriever.search("before", 1)
        collection.add(
            ids=[str(number) for number in new], documents=documents, embeddings=embedding().embed_documents(documents)
        )
        collection.delete(ids=[str(number) for number in gone])
        unseen = sum(not _is_found(retriever, number, "keyword") for number in new)
        return unseen, sum(_is_found(retriever, number, "keyword") for number in gone)


def _is_found(retriever: Retriever, number: int, mode: Mode) -> bool:
    hits = retriever.search(marker(number), 10, mode=mode)
    return any(hit.document_id == str(number) for hit in hits)


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    answer = call()
    return time.perf_counter() - began, answer
