"""Qdrant's engine without this package's pipeline around it: what our own work is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import qdrant_edge as edge

from retriever.keyword.bm25 import SparseVector, document_vector, query_vector
from retriever.manifest import Manifest
from retriever.stores import Query, Record
from retriever.types import FloatVector
from retriever_qdrant import QdrantStore, convert, payload
from retriever_qdrant.edge_store import EdgeStore
from retriever_qdrant.engine import create_shard

FLUSH_EVERY = 10_000
"""Points, as our store does."""


class Content(NamedTuple):
    """What a point is made of."""

    id: str
    dense: FloatVector
    sparse: SparseVector
    payload: dict[str, Any]


class BareEdge:
    """A shard with the same settings as our store's, written to directly.

    :param path: of the shard; nothing is there yet.
    :param manifest: gives the dimension and the average length, which is part of the sparse vectors.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        if manifest.calibration is None:
            raise ValueError("the manifest needs a calibration")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._average_length = manifest.calibration.average_length
        self._shard = create_shard(path, manifest)
        self._unflushed = 0

    def content(self, records: Sequence[Record]) -> list[Content]:
        """What our store writes of records, in the form that a user of the engine has it.

        :param records: to be written.
        """
        return [
            Content(
                payload.point_id(record.chunk.id),
                record.vector,
                document_vector(record.terms, self._average_length),
                payload.to_payload(record.chunk),
            )
            for record in records
        ]

    def upsert(self, content: Sequence[Content]) -> None:
        """Write points.

        :param content: any number.
        """
        points = [
            edge.Point(
                item.id,
                {
                    payload.DENSE: item.dense.tolist(),
                    payload.KEYWORD: edge.SparseVector(item.sparse.indices, item.sparse.values),
                },
                item.payload,
            )
            for item in content
        ]
        self._shard.update(edge.UpdateOperation.upsert_points(points))
        self._unflushed += len(points)
        if self._unflushed >= FLUSH_EVERY:
            self._shard.flush()
            self._unflushed = 0

    def optimise(self) -> None:
        """Build graphs, in this process."""
        self._shard.optimize()

    def count(self) -> int:
        """How many points there are."""
        return self._shard.count(edge.CountRequest(exact=True))

    def close(self) -> None:
        """Flush and let go."""
        self._shard.flush()
        self._shard.close()


def leg_queries(store: QdrantStore, query: Query) -> dict[str, Callable[[], object]]:
    """The two legs of a query as single calls of the engine, ready made, without payload, by name.

    The engine takes one opener a shard, so these go through the object that the store has open. This is the only
    place where anything outside the adapter reaches for it.

    :param store: open; kept open until the calls are done.
    :param query: with a vector and terms; its depth is how many results each leg is asked for.
    """
    shard = store._store._shard if isinstance(store._store, EdgeStore) else None
    if shard is None or query.vector is None or query.terms is None:
        raise ValueError("an open store and a query with both legs are needed")
    dense = edge.Query.Nearest(query.vector.tolist(), using=payload.DENSE)
    sparse = edge.Query.Nearest(convert.to_sparse(query_vector(query.terms)), using=payload.KEYWORD)

    def call(leg: edge.Query) -> Callable[[], object]:
        request = edge.QueryRequest(limit=query.depth, query=leg, with_payload=False, with_vector=False)
        return lambda: shard.query(request)

    return {"semantic": call(dense), "keyword": call(sparse)}
