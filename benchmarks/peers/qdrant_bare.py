"""qdrant-client as its own documentation has it, without this package.

Measured: ``upsert`` of points with vector and payload, 256 a call, each waited for; then ``query_points`` by a vector
for k ids and scores, with a payload filter. Fair: cosine, the same vectors and k; on a server the keys that filters use
have a payload index, as ours have. The local mode is qdrant-client's imitation of a server, brute force in Python, and
says so itself beyond 20,000 points; it is what ``QdrantClient(path=...)`` gives.
"""

from __future__ import annotations

import time
import uuid
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.given import point_id
from retriever.batched import batched
from retriever.errors import StoreUnavailable
from retriever.evaluation.runs import Scored
from retriever.evaluation.systems import Passage, System, Unavailable, Where, register_system
from retriever.types import FloatMatrix, FloatVector

_BATCH = 256
_PATIENCE = 600.0


class BareQdrant(System):
    """A collection, through the client; subclasses say where."""

    legs = frozenset({"semantic"})
    needs: ClassVar[Mapping[str, str]] = {"qdrant_client": "qdrant-client"}
    takes = frozenset({"filter_fields"})

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self._name = f"bare-{uuid.uuid4().hex[:8]}" if address else "bare"
        self._client: Any = None

    @abstractmethod
    def connect(self) -> Any:  # noqa: ANN401 - qdrant_client is not imported before it is needed
        """A client."""

    def ingest(self, passages: Sequence[Passage], vectors: FloatMatrix | None) -> None:
        """Make the collection where it is not there, and upsert."""
        from qdrant_client import models

        if vectors is None:
            raise ValueError("Qdrant needs vectors")
        client = self._opened()
        self._create(client, int(vectors.shape[1]))
        for rows in batched(range(len(passages)), _BATCH):
            points = [_point(passages[row], vectors[row]) for row in rows]
            client.upsert(self._name, [models.PointStruct(**point) for point in points], wait=True)

    def _create(self, client: Any, dimension: int) -> None:  # noqa: ANN401
        from qdrant_client import models

        if client.collection_exists(self._name):
            return
        client.create_collection(
            self._name, vectors_config=models.VectorParams(size=dimension, distance=models.Distance.COSINE)
        )
        for key in self.settings.get("filter_fields", {}) if self.address else ():
            client.create_payload_index(self._name, f"metadata.{key}", models.PayloadSchemaType.KEYWORD)

    def search(self, text: str, vector: FloatVector | None, k: int, filter: Where | None = None) -> list[Scored]:  # noqa: A002, ARG002 - the text is not searched for
        """By the vector."""
        from qdrant_client import models

        conditions: list[Any] = [
            models.FieldCondition(key=f"metadata.{key}", match=models.MatchValue(value=value))
            for key, value in (filter or {}).items()
        ]
        found = self._opened().query_points(
            self._name,
            query=None if vector is None else vector.tolist(),
            limit=k,
            query_filter=models.Filter(must=conditions) if conditions else None,
            with_payload=["id"],
        )
        return [(point.payload["id"], point.score) for point in found.points]

    def close(self) -> None:
        """Let go; the collection goes as well where it is on a server."""
        if self._client is not None:
            if self.address is not None:
                self._client.delete_collection(self._name)
            self._client.close()
        self._client = None

    def _opened(self) -> Any:  # noqa: ANN401
        if self._client is None:
            self._client = self.connect()
        return self._client


def _point(passage: Passage, vector: FloatVector) -> dict[str, Any]:
    payload = {
        "id": passage.id,
        "document": passage.document_id,
        "text": passage.text,
        "metadata": dict(passage.metadata),
    }
    return {"id": point_id(passage.id), "vector": vector.tolist(), "payload": payload}


@register_system
class BareQdrantLocal(BareQdrant):
    """``QdrantClient(path=...)``, empty to begin with: it unpickles what it finds in its folder."""

    name = "bare-qdrant-local"

    def connect(self) -> Any:  # noqa: ANN401
        """A client of the folder."""
        from qdrant_client import QdrantClient

        # It checks the thread that its database was opened in, though it guards it with a lock of its own.
        return QdrantClient(path=str(self.folder / "qdrant"), force_disable_check_same_thread=True)


@register_system
class BareQdrantServer(BareQdrant):
    """A server by gRPC, at the address."""

    name = "bare-qdrant-server"
    is_persistent = False

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        if address is None:
            raise Unavailable(self.name, "no Qdrant server was named; give its address as HOST:PORT")

    def connect(self) -> Any:  # noqa: ANN401
        """A client of the server."""
        import os

        from qdrant_client import QdrantClient

        host, _, port = str(self.address).rpartition(":")
        key = os.environ.get("QDRANT_API_KEY")
        return QdrantClient(
            host=host,
            grpc_port=int(port),
            prefer_grpc=True,
            api_key=key,
            https=False,
            timeout=60,
            check_compatibility=False,  # it would ask by HTTP
        )

    def settle(self) -> None:
        """Until the collection is green: all its segments are optimised."""
        from qdrant_client import models

        until = time.monotonic() + _PATIENCE
        while self._opened().get_collection(self._name).status != models.CollectionStatus.GREEN:
            if time.monotonic() > until:
                raise StoreUnavailable(f"{self.name}: the collection is not green after {_PATIENCE:.0f} seconds")
            time.sleep(0.1)
