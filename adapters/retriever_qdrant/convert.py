"""Records as the embedded engine's points."""

from __future__ import annotations

from typing import Any

import numpy as np
import qdrant_edge as edge

from retriever.keyword import bm25
from retriever.keyword.bm25 import document_vector
from retriever.sparse.vector import SparseVector
from retriever.stores import Record
from retriever_qdrant.direction import direction
from retriever_qdrant.payload import DENSE, KEYWORD, SPARSE, point_id, to_payload


def to_point(record: Record, average_length: float) -> edge.Point:
    """A record as a point.

    :param record: with clean metadata.
    :param average_length: of the manifest's calibration.
    """
    # The engine reads a buffer quicker than numpy makes a list.
    vectors: dict[str, Any] = {DENSE: np.ascontiguousarray(direction(record.vector), dtype=np.float32).data}
    if record.terms:
        vectors[KEYWORD] = to_sparse(document_vector(record.terms, average_length))
    if record.sparse:
        vectors[SPARSE] = learned(record.sparse)
    return edge.Point(point_id(record.chunk.id), vectors, to_payload(record.chunk))


def to_sparse(vector: bm25.SparseVector) -> edge.SparseVector:
    """A sparse vector in the engine's type.

    :param vector: of a document or of a query.
    """
    return edge.SparseVector(vector.indices, vector.values)


def learned(vector: SparseVector) -> edge.SparseVector:
    """A learned sparse vector in the engine's type.

    :param vector: of a document or of a query.
    """
    return edge.SparseVector(vector.indices.tolist(), vector.weights.tolist())
