"""A collection on a server, read and searched: what an index of our own and an attached one have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from retriever.batched import batched
from retriever.errors import StoreNotFound
from retriever.keyword import bm25
from retriever.keyword.bm25 import query_vector
from retriever.sparse.vector import NOTHING, SparseVector
from retriever.stores import Legs, Query
from retriever.types import FloatVector
from retriever_qdrant.batches import PAGE
from retriever_qdrant.connection import Connection
from retriever_qdrant.direction import direction
from retriever_qdrant.legs import LEAST_EF, best, clipped
from retriever_qdrant.payload import SPARSE

PointId = int | str
"""As the client gives and takes it: a number, or a UUID."""

_OVERSAMPLING = 2.0  # so many times the depth is found with quantised vectors, then rescored with the full ones


class Collection:
    """A collection that is only read.

    :param connection: to the server; names the collection.
    :param dense: name of the vector of the semantic leg.
    :param keyword: name of the sparse vector of the keyword leg.
    :param key: makes the key of a candidate from the id of its point.
    """

    def __init__(self, connection: Connection, dense: str, keyword: str, key: Callable[[Any], str]) -> None:
        self._connection = connection
        self._name = connection.collection
        self._dense = dense
        self._keyword = keyword
        self._key = key

    def info(self) -> models.CollectionInfo | None:
        """What the server knows of it; None where there is no such collection."""
        try:
            return self._connection.call(lambda client: client.get_collection(self._name))
        except StoreNotFound:
            return None

    def count(self, condition: models.Filter | None) -> int:
        """How many points match, exactly.

        :param condition: None for all of them.
        """
        return self._connection.call(lambda client: client.count(self._name, count_filter=condition, exact=True)).count

    def scroll(self, condition: models.Filter | None, fields: list[str] | bool) -> Iterator[models.Record]:
        """The matching points without vectors, in pages.

        :param condition: None for all of them.
        :param fields: of the payload; True for all of it.
        """
        offset: PointId | None = None
        while True:
            points, offset = self._page(condition, fields, offset)
            yield from points
            if offset is None:
                return

    def retrieve(self, ids: Sequence[PointId], *, payload: bool, vector: str | None = None) -> Iterator[models.Record]:
        """The points with these ids, as far as they are there.

        :param ids: any number.
        :param payload: whether all of the payload comes with them.
        :param vector: name of the vector that does; empty for the one without a name.
        """
        for page in batched(dict.fromkeys(ids), PAGE):
            yield from self._connection.call(
                lambda client, page=page: client.retrieve(  # type: ignore[misc]
                    self._name,
                    page,
                    with_payload=payload,
                    with_vectors=vector is not None and ([vector] if vector else True),
                )
            )

    def vectors(self, ids: Sequence[PointId]) -> dict[str, FloatVector]:
        """The dense vectors of these points by key, without points that have none.

        :param ids: any number.
        """
        vectors: dict[str, FloatVector] = {}
        for point in self.retrieve(ids, payload=False, vector=self._dense):
            given: Any = point.vector
            dense = given.get(self._dense) if isinstance(given, Mapping) else given
            if dense is not None:
                vectors[self._key(point.id)] = np.array(dense, dtype=np.float32)
        return vectors

    def sparse_vectors(self, ids: Sequence[PointId]) -> dict[str, SparseVector]:
        """The learned sparse vectors of these points by key; no server keeps one that is empty.

        :param ids: any number.
        """
        vectors: dict[str, SparseVector] = {}
        for point in self.retrieve(ids, payload=False, vector=SPARSE):
            given: Any = point.vector
            found = given.get(SPARSE) if isinstance(given, Mapping) else None
            vectors[self._key(point.id)] = NOTHING if found is None else SparseVector.of(found.indices, found.values)
        return vectors

    def search(self, query: Query, condition: models.Filter | None, *, quantised: bool) -> Legs:
        """All legs in one round trip.

        :param query: whose filter is not looked at.
        :param condition: its filter, compiled.
        :param quantised: whether results have to be rescored with full vectors.
        """
        legs: dict[str, tuple[str, Any]] = {}
        if query.vector is not None:
            legs["semantic"] = (self._dense, direction(query.vector).tolist())
        if query.terms:
            legs["keyword"] = (self._keyword, to_sparse(query_vector(query.terms)))
        if query.sparse:
            legs["sparse"] = (SPARSE, learned(query.sparse))
        if not legs:
            return Legs()
        requests = [
            models.QueryRequest(
                query=models.NearestQuery(nearest=vector),
                using=name or None,
                filter=condition,
                params=self._params(query.depth, quantised),
                limit=query.depth,
                with_payload=False,
                with_vector=False,
            )
            for name, vector in legs.values()
        ]
        answers = self._connection.call(lambda client: client.query_batch_points(self._name, requests))
        found = {leg: answer.points for leg, answer in zip(legs, answers, strict=True)}
        return Legs(
            best((self._key(point.id), clipped(point.score)) for point in found.get("semantic", [])),
            best((self._key(point.id), point.score) for point in found.get("keyword", [])),
            best((self._key(point.id), point.score) for point in found.get("sparse", [])),
        )

    def _params(self, depth: int, quantised: bool) -> models.SearchParams | None:
        if self._connection.is_local:  # which searches exactly, and warns that these have no effect
            return None
        rescored = models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING) if quantised else None
        return models.SearchParams(hnsw_ef=max(LEAST_EF, depth), exact=False, quantization=rescored)

    def _page(
        self, condition: models.Filter | None, fields: list[str] | bool, offset: PointId | None
    ) -> tuple[list[models.Record], PointId | None]:
        def ask(client: QdrantClient) -> tuple[list[models.Record], Any]:
            return client.scroll(
                self._name, scroll_filter=condition, limit=PAGE, offset=offset, with_payload=fields, with_vectors=False
            )

        return self._connection.call(ask)


def to_sparse(vector: bm25.SparseVector) -> models.SparseVector:
    """A sparse vector in the client's type.

    :param vector: of a document or of a query.
    """
    return models.SparseVector(indices=vector.indices, values=vector.values)


def learned(vector: SparseVector) -> models.SparseVector:
    """A learned sparse vector in the client's type.

    :param vector: of a document or of a query.
    """
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.weights.tolist())
