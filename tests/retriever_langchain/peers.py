"""Running one test on a peer, where it has to fail, and on ours, where it has to pass."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.vectorstores import VectorStore

COMPASS = {"north": [0.0, 1.0], "east": [1.0, 0.0], "south": [0.0, -1.0], "west": [-1.0, 0.0]}
"""Vectors whose cosines are 1, 0 and -1."""

SILENT = pytest.fail.Exception
"""What a test fails with where an error was due and none came."""


def fault(line: str, *failures: type[BaseException]) -> pytest.MarkDecorator:
    """Parametrise a test with ``side``: ``peer``, on which it has to fail, and ``ours``.

    :param line: of the list of faults.
    :param failures: what it fails with on the peer; a wrong result by default.
    """
    fails = pytest.mark.xfail(strict=True, raises=failures or AssertionError, reason=line)
    marks = (fails, pytest.mark.filterwarnings("ignore"))  # its own warnings
    peer = pytest.param("peer", marks=marks)
    return pytest.mark.parametrize("side", [peer, "ours"])


class Vectors(Embeddings):
    """Vectors that a test fixes by text, others made up; remembers what it was asked, and in which thread.

    :param fixed: vectors by text.
    :param size: length of the others.
    """

    def __init__(self, fixed: Mapping[str, Sequence[float]] | None = None, size: int = 2) -> None:
        self._fixed = dict(fixed or {})
        self._others = DeterministicFakeEmbedding(size=size)
        self.documents: list[str] = []
        self.queries: list[str] = []
        self.threads: set[str] = set()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.documents += texts
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.queries.append(text)
        return self._vector(text)

    def _vector(self, text: str) -> list[float]:
        self.threads.add(threading.current_thread().name)
        return list(self._fixed[text]) if text in self._fixed else self._others.embed_query(text)


class Pictures(Vectors):
    """Embeds images as well: what a picture's path says."""

    def embed_image(self, uris: list[str]) -> list[list[float]]:
        return [self._vector(uri) for uri in uris]


class Flaky(Vectors):
    """A provider that a test can bring into trouble."""

    down = False
    losing = False
    most: int | None = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if self.down or (self.most is not None and len(self.documents) + len(texts) > self.most):
            raise ConnectionError("the provider is down")
        vectors = super().embed_documents(texts)
        return vectors[:-1] if self.losing else vectors


async def threads_of_asynchronous_calls(store: VectorStore, embedding: Vectors) -> set[str]:
    """Names of the threads that a vector store's asynchronous methods embed in; ``application`` is the loop's own.

    :param store: empty.
    :param embedding: its own.
    """
    embedding.threads.clear()
    with ThreadPoolExecutor(2, thread_name_prefix="application") as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        await store.aadd_texts(["north", "south"])
        await store.asimilarity_search("north", k=1)
        await store.amax_marginal_relevance_search("north", k=1)
    return {name.rpartition("_")[0] for name in embedding.threads}
