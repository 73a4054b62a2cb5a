"""The five places that every test of the vector store runs on."""

from __future__ import annotations

import uuid
from pathlib import Path

from qdrant_client import QdrantClient

from retriever import MemoryStore
from retriever.stores import Store
from retriever.testing.servers import Server
from retriever_chroma import ChromaStore
from retriever_qdrant import QdrantStore

PLACES = ["memory", "edge", "chroma-folder", "chroma-server", "qdrant-local"]


def make_store(place: str, folder: Path, server: Server) -> Store:
    """An empty store.

    :param place: one of :data:`PLACES`.
    :param folder: a temporary one.
    :param server: of Chroma.
    """
    match place:
        case "memory":
            return MemoryStore()
        case "edge":
            return QdrantStore(folder / "edge")
        case "chroma-folder":
            return ChromaStore(path=folder / "chroma")
        case "chroma-server":
            return ChromaStore(host=server.host, port=server.port, collection=f"langchain-{uuid.uuid4().hex}")
        case "qdrant-local":
            return QdrantStore(client=QdrantClient(":memory:"), collection="langchain")
    raise AssertionError(place)
