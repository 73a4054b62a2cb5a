"""Stores to measure, by name, each on an empty place."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from retriever.opening import resolve_store
from retriever.stores import Store
from retriever.testing import chroma_server

QDRANT_URL = "RETRIEVER_TEST_QDRANT_URL"
"""Variable that names a Qdrant server, for example ``http://127.0.0.1:6334``; tests read it, too."""

EDGE = "edge"


@contextmanager
def _edge(folder: Path) -> Iterator[Store]:
    yield resolve_store(f"qdrant:{folder / 'index'}")


@contextmanager
def _chroma(folder: Path) -> Iterator[Store]:
    yield resolve_store(f"chroma:{folder / 'index'}")


@contextmanager
def _chroma_memory(_: Path) -> Iterator[Store]:
    yield resolve_store("chroma::memory:")


@contextmanager
def _chroma_server(folder: Path) -> Iterator[Store]:
    with chroma_server(folder / "server") as server:
        yield resolve_store(f"chroma://127.0.0.1:{server.port}/index")


@contextmanager
def _qdrant_local(_: Path) -> Iterator[Store]:
    from qdrant_client import QdrantClient

    from retriever_qdrant import QdrantStore

    yield QdrantStore(client=QdrantClient(":memory:"), collection="index")


@contextmanager
def _qdrant_server(_: Path) -> Iterator[Store]:
    from retriever_qdrant import QdrantStore

    where = urlsplit(os.environ[QDRANT_URL])
    tls = {"https": True, "http": False}.get(where.scheme)  # with another scheme the environment says
    store = QdrantStore.connect(str(where.hostname), f"benchmark-{uuid.uuid4().hex[:8]}", port=where.port, tls=tls)
    try:
        yield store
    finally:
        store.destroy()


PLACES: Mapping[str, Callable[[Path], AbstractContextManager[Store]]] = {
    EDGE: _edge,
    "chroma": _chroma,
    "chroma-memory": _chroma_memory,
    "chroma-server": _chroma_server,
    "qdrant-local": _qdrant_local,
    "qdrant-server": _qdrant_server,
}
"""``qdrant-local`` is qdrant-client's own imitation of a server, brute force in Python: for answers, not for speed."""


def is_there(name: str) -> bool:
    """Whether a place can be had here: a Qdrant server is only where the variable names one.

    :param name: of :data:`PLACES`.
    """
    return name != "qdrant-server" or bool(os.environ.get(QDRANT_URL))


@contextmanager
def place(name: str) -> Iterator[Store]:
    """An empty store, closed and removed afterwards.

    :param name: of :data:`PLACES`.
    """
    with TemporaryDirectory(prefix="retriever-benchmark-") as folder, PLACES[name](Path(folder)) as store:
        try:
            yield store
        finally:
            store.close()
