"""Chroma as its own documentation has it, without this package.

Measured: ``collection.add`` in batches of the size that the client allows, with documents and metadata; then
``collection.query`` by a vector for k ids and distances, with ``where`` for a filter. Fair: cosine instead of the
default l2, the same vectors and k; HNSW has Chroma's own parameters, as ours on Chroma has. It has no keyword search.
"""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.given import COSINE
from retriever.batched import batched
from retriever.evaluation.ours import OwnServer
from retriever.evaluation.runs import Scored
from retriever.evaluation.systems import Passage, System, Where, register_system
from retriever.types import FloatMatrix, FloatVector


class BareChroma(System):
    """A collection, through the client; subclasses say where."""

    legs = frozenset({"semantic"})
    needs: ClassVar[Mapping[str, str]] = {"chromadb": "chromadb"}

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self._name = "bare" if address is None else f"bare-{uuid.uuid4().hex[:8]}"
        self._client: Any = None
        self._collection: Any = None

    @abstractmethod
    def connect(self) -> Any:  # noqa: ANN401 - chromadb is not imported before it is needed
        """A client."""

    def ingest(self, passages: Sequence[Passage], vectors: FloatMatrix | None) -> None:
        """Add, in the largest batches that the client takes."""
        collection = self._opened()
        if vectors is None:
            raise ValueError("Chroma needs vectors")
        for rows in batched(range(len(passages)), self._client.get_max_batch_size()):
            batch = [passages[row] for row in rows]
            collection.add(
                ids=[passage.id for passage in batch],
                embeddings=vectors[rows],
                documents=[passage.text for passage in batch],
                metadatas=[{"document": passage.document_id, **passage.metadata} for passage in batch],
            )

    def search(self, text: str, vector: FloatVector | None, k: int, filter: Where | None = None) -> list[Scored]:  # noqa: A002, ARG002 - the text is not searched for
        """By the vector."""
        found = self._opened().query(
            query_embeddings=[vector], n_results=k, where=dict(filter) if filter else None, include=["distances"]
        )
        return [(name, 1 - distance) for name, distance in zip(found["ids"][0], found["distances"][0], strict=True)]

    def close(self) -> None:
        """Let go; the collection goes as well where the server is somebody else's."""
        if self._client is not None:
            if self.address is not None:
                self._client.delete_collection(self._name)
            owners = (self._client, getattr(self._client, "_admin_client", None))
            self._client.close()
            for owner in owners:
                session: Any = getattr(getattr(owner, "_server", None), "_session", None)
                if session is not None:  # its own close leaves the connections open
                    session.close()
        self._client = self._collection = None

    def _opened(self) -> Any:  # noqa: ANN401
        if self._collection is None:
            self._client = self.connect()
            self._collection = self._client.get_or_create_collection(
                self._name, embedding_function=None, configuration=COSINE
            )
        return self._collection


@register_system
class BareChromaFolder(BareChroma):
    """``chromadb.PersistentClient``."""

    name = "bare-chroma"

    def connect(self) -> Any:  # noqa: ANN401
        """A client of the folder."""
        import chromadb
        from chromadb.config import Settings

        return chromadb.PersistentClient(self.folder / "chroma", Settings(anonymized_telemetry=False))


@register_system
class BareChromaServer(BareChroma):
    """``chromadb.HttpClient``: of the server at the address, else of a ``chroma run`` on the folder."""

    name = "bare-chroma-server"

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self._server = OwnServer(folder / "server")

    def connect(self) -> Any:  # noqa: ANN401
        """A client of the server."""
        import chromadb
        from chromadb.config import Settings

        host, _, port = (self.address or self._server.address).rpartition(":")
        return chromadb.HttpClient(host, int(port), settings=Settings(anonymized_telemetry=False))

    def processes(self) -> list[int]:
        """The server, where it is ours."""
        return self._server.processes()

    def close(self) -> None:
        """Let go, and stop the server that was started."""
        super().close()
        self._server.stop()
