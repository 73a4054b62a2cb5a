"""Qdrant's engine in the process, without this package.

Measured: ``update`` with points of vector and payload, 256 a call; ``optimize`` (it builds HNSW in this process, and
holds up every other thread meanwhile) counts as settling; then ``query`` by a vector for k ids and scores. Fair:
cosine, the same vectors and k, indexes on the keys that filters use, the same threshold for building a graph as ours.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.given import point_id
from retriever.batched import batched
from retriever.evaluation.runs import Scored
from retriever.evaluation.systems import Passage, System, Where, register_system
from retriever.types import FloatMatrix, FloatVector

_BATCH = 256
_VECTOR = "dense"


@register_system
class BareEdge(System):
    """A shard in the folder."""

    name = "bare-edge"
    legs = frozenset({"semantic"})
    needs: ClassVar[Mapping[str, str]] = {"qdrant_edge": "qdrant-edge-py"}
    takes = frozenset({"filter_fields"})

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self._shard: Any = None
        self._lock = threading.Lock()

    def ingest(self, passages: Sequence[Passage], vectors: FloatMatrix | None) -> None:
        """Make the shard where it is not there, and upsert; flushed at the end."""
        import qdrant_edge as edge

        if vectors is None:
            raise ValueError("Edge needs vectors")
        shard = self._opened(int(vectors.shape[1]))
        for rows in batched(range(len(passages)), _BATCH):
            points = [
                edge.Point(point_id(passages[row].id), {_VECTOR: vectors[row].tolist()}, _payload(passages[row]))
                for row in rows
            ]
            shard.update(edge.UpdateOperation.upsert_points(points))
        shard.flush()

    def settle(self) -> None:
        """Build the graph."""
        self._opened(None).optimize()

    def search(self, text: str, vector: FloatVector | None, k: int, filter: Where | None = None) -> list[Scored]:  # noqa: A002, ARG002 - the text is not searched for
        """By the vector."""
        import qdrant_edge as edge

        if vector is None:
            raise ValueError("bare Edge searches by a vector")
        conditions: list[Any] = [
            edge.FieldCondition(f"metadata.{key}", match=edge.MatchValue(value))
            for key, value in (filter or {}).items()
        ]
        request = edge.QueryRequest(
            limit=k,
            query=edge.Query.Nearest(vector.tolist(), using=_VECTOR),
            filter=edge.Filter(must=conditions) if conditions else None,
            with_payload=True,
            with_vector=False,
        )
        return [(str(point.payload["id"]), point.score) for point in self._opened(None).query(request)]

    def close(self) -> None:
        """Flush and let go."""
        if self._shard is not None:
            self._shard.flush()
            self._shard.close()
            self._shard = None

    def _opened(self, dimension: int | None) -> Any:  # noqa: ANN401
        with self._lock:
            if self._shard is None:
                self._shard = self._made(dimension) if dimension is not None else self._loaded()
            return self._shard

    def _loaded(self) -> Any:  # noqa: ANN401
        import qdrant_edge as edge

        return edge.EdgeShard.load(str(self.folder / "shard"))

    def _made(self, dimension: int) -> Any:  # noqa: ANN401
        import qdrant_edge as edge

        from retriever_qdrant.changes import UNINDEXED

        path = self.folder / "shard"
        if path.exists():
            return self._loaded()
        self.folder.mkdir(parents=True, exist_ok=True)
        threshold = max(1, UNINDEXED * dimension * 4 // 1024)
        config = edge.EdgeConfig(
            vectors={_VECTOR: edge.EdgeVectorParams(dimension, edge.Distance.Cosine)},
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=threshold),
        )
        shard = edge.EdgeShard.create(str(path), config)
        for key in self.settings.get("filter_fields", {}):
            shard.update(edge.UpdateOperation.create_field_index(f"metadata.{key}", edge.PayloadSchemaType.Keyword))
        return shard


def _payload(passage: Passage) -> dict[str, Any]:
    return {
        "id": passage.id,
        "document": passage.document_id,
        "text": passage.text,
        "metadata": dict(passage.metadata),
    }
