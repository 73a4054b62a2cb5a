"""Embeddings and documents for the tests of the vector store."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from retriever.embedding import resolve_embedding
from retriever_langchain import RetrieverVectorStore

MODES = ("hybrid", "semantic", "keyword")

HASHED = resolve_embedding("hashed")

WHO = contextvars.ContextVar("who", default="nobody")


class Watched(Embeddings):
    """The hashed vectors, or those that a test fixes by text. It remembers what it was asked, and by whom.

    :param fixed: vectors by text; the others are made up.
    :param delay: seconds that each call sleeps.
    """

    def __init__(self, fixed: Mapping[str, Sequence[float]] | None = None, delay: float = 0.0) -> None:
        self._fixed = dict(fixed or {})
        self._delay = delay
        self.documents: list[str] = []
        self.queries: list[str] = []
        self.threads: set[str] = set()
        self.callers: set[str] = set()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self._called()
        self.documents += texts
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self._called()
        self.queries.append(text)
        return self._vector(text)

    def forget(self) -> None:
        """Nothing was asked so far."""
        for what in (self.documents, self.queries, self.threads, self.callers):
            what.clear()

    def _called(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.callers.add(WHO.get())
        if self._delay:
            time.sleep(self._delay)

    def _vector(self, text: str) -> list[float]:
        if text in self._fixed:
            return list(self._fixed[text])
        vector: list[float] = HASHED.embed_query(text).tolist()
        return vector[: len(next(iter(self._fixed.values())))] if self._fixed else vector


def ships(count: int = 6, **metadata: object) -> list[Document]:
    """Documents without ids."""
    return [
        Document(page_content=f"document {n} about ships and cakes", metadata={"n": n, "odd": n % 2 == 1, **metadata})
        for n in range(count)
    ]


def texts_of(documents: Iterable[Document]) -> list[str]:
    return [document.page_content for document in documents]


def ids_of(documents: Iterable[Document]) -> list[str | None]:
    return [document.id for document in documents]


def contents(vectors: RetrieverVectorStore) -> dict[str | None, tuple[str, dict[str, Any]]]:
    """All that is stored: text and metadata by id."""
    ids = [entry.chunk_id for entry in vectors.retriever.store.entries()]
    return {d.id: (d.page_content, d.metadata) for d in vectors.get_by_ids(ids)}
