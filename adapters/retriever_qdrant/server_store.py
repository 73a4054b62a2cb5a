"""The store on a Qdrant server: a collection with its manifest in its metadata."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from qdrant_client import models

from retriever.batched import batched
from retriever.checking import check_records
from retriever.errors import AccessDenied, NotAStore, StoreError, StoreNotFound, StoreUnavailable
from retriever.filters import Filter
from retriever.keyword.bm25 import document_vector
from retriever.manifest import Manifest, parse_manifest
from retriever.sparse.vector import SparseVector
from retriever.stores import Entry, Legs, Query, Record
from retriever.types import Chunk, FloatVector
from retriever_qdrant import payload
from retriever_qdrant.batches import PAGE
from retriever_qdrant.collection import Collection, learned, to_sparse
from retriever_qdrant.connection import Connection
from retriever_qdrant.direction import direction
from retriever_qdrant.filters import FilterCompiler
from retriever_qdrant.options import ServerOptions
from retriever_qdrant.schema import FieldIndexes, check_tenants, collection_settings
from retriever_qdrant.sending import Sender
from retriever_qdrant.server_filters import ServerVocabulary

MANIFEST = "retriever"
"""Key of the collection's metadata that holds the manifest as JSON."""

_GRAPH_LINKS = 16  # the server's own default
_POLL = 0.5  # seconds
_QUIET = 3  # so often in a row the server says that it is done: right after a change it has not begun


class ServerStore:
    """An index in a collection. Any number of processes use it at a time.

    :param connection: to the server; names the collection.
    :param options: for a collection that is made here.
    """

    def __init__(self, connection: Connection, options: ServerOptions) -> None:
        self._connection = connection
        self._options = options
        self._name = connection.collection
        self._collection = Collection(connection, payload.DENSE, payload.KEYWORD, _key)
        self._indexes = FieldIndexes(connection, options.tenant_fields)
        self._filters = FilterCompiler(ServerVocabulary(connection))
        self._quantised: bool | None = None  # None until the collection was looked at

    @property
    def address(self) -> str:
        """``qdrant://HOST:PORT/COLLECTION``."""
        return self._connection.address

    def read_manifest(self) -> Manifest | None:
        """The manifest, or None where there is no such collection.

        :raises NotAStore: where the collection is not of this package.
        """
        info = self._info()
        return None if info is None else self._parsed(info)

    def create(self, manifest: Manifest) -> None:
        """Make the collection together with its manifest, so that it is never there without, then payload indexes.

        Where two programs do so at once with equal manifests, both have made it.

        :raises StoreError: where an index is there already.
        """
        check_tenants(self._options, manifest)
        if self.read_manifest() is not None:
            raise StoreError(f"{self.address} holds an index already; destroy it first")
        settings = collection_settings(self._options, manifest)
        metadata = {MANIFEST: manifest.model_dump_json()}
        try:
            self._connection.call(lambda client: client.create_collection(self._name, metadata=metadata, **settings))
        except StoreError:
            if self.read_manifest() != manifest:  # not an earlier attempt of ours, nor another program's like it
                raise
        self._opened()

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest; payload indexes follow its filter fields."""
        check_tenants(self._options, manifest)
        info, before = self._opened()
        self._indexes.complete(info, manifest)
        metadata = {MANIFEST: manifest.model_dump_json()}
        self._connection.call(lambda client: client.update_collection(self._name, metadata=metadata))
        self._indexes.drop(before, manifest)

    def count(self, filter: Filter | None = None) -> int:  # noqa: A002
        """How many records match."""
        self._open()
        return self._collection.count(self._filters.compile(filter))

    def upsert(self, records: Sequence[Record]) -> None:
        """Write records, in requests of bounded count and size.

        :raises InvalidInput: where a vector does not fit or is not finite, or an id is there twice; nothing is written.
        :raises RecordsRefused: where records are too large for a request; the others are written.
        """
        _, manifest = self._opened()
        if manifest.calibration is None:
            raise StoreError(f"{self.address}: the manifest needs a calibration before records are written")
        average_length = manifest.calibration.average_length
        check_records(records, manifest.embedding.dimension, sparse=manifest.sparse is not None)

        def send(batch: Sequence[Record], retry: bool) -> None:
            points = [_to_point(record, average_length) for record in batch]
            self._connection.call(lambda client: client.upsert(self._name, points, wait=True), retry=retry)

        Sender(send).run(records, self.address)

    def rewrite(self, chunks: Sequence[Chunk]) -> None:
        """Replace payloads of the records that are there."""
        self._open()

        def send(batch: Sequence[Chunk], retry: bool) -> None:
            by_id = {payload.point_id(chunk.id): chunk for chunk in batch}
            known = {_key(point.id) for point in self._collection.retrieve(list(by_id), payload=False)}
            operations: list[Any] = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(payload=payload.to_payload(chunk), points=[point_id])
                )
                for point_id, chunk in by_id.items()
                if point_id in known
            ]
            if operations:
                self._connection.call(
                    lambda client: client.batch_update_points(self._name, operations, wait=True), retry=retry
                )

        Sender(send).run(chunks, self.address)

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove records."""
        self._open()
        for page in batched(chunk_ids, PAGE):
            points = models.PointIdsList(points=[payload.point_id(chunk_id) for chunk_id in page])
            self._connection.call(lambda client, points=points: client.delete(self._name, points, wait=True))  # type: ignore[misc]

    def entries(self, filter: Filter | None = None) -> Iterator[Entry]:  # noqa: A002
        """The ledger."""
        self._open()
        for point in self._collection.scroll(self._filters.compile(filter), payload.ENTRY_FIELDS):
            yield payload.to_entry(point.payload or {})

    def search(self, query: Query) -> Legs:
        """All legs in one round trip; where the collection is quantised, rescored with full vectors."""
        quantised = self._open()
        return self._collection.search(query, self._filters.compile(query.filter), quantised=quantised)

    def key(self, chunk_id: str) -> str:
        """A UUID made from the chunk id."""
        return payload.point_id(chunk_id)

    def fetch(self, keys: Sequence[str]) -> dict[str, Chunk]:
        """Chunks by key."""
        self._open()
        found = {_key(point.id): point for point in self._collection.retrieve(_ids(keys), payload=True)}
        return {key: payload.to_chunk(found[key].payload or {}) for key in keys if key in found}

    def vectors(self, keys: Sequence[str]) -> dict[str, FloatVector]:
        """Vectors by key; the server has scaled them when they were written."""
        self._open()
        return self._collection.vectors(_ids(keys))

    def sparse_vectors(self, keys: Sequence[str]) -> dict[str, SparseVector]:
        """Learned sparse vectors by key."""
        self._open()
        return self._collection.sparse_vectors(_ids(keys))

    def optimise(self) -> None:
        """End a bulk load: let the server build its graph, and wait for it. Otherwise the server sees to it itself.

        :raises StoreUnavailable: where it is not done within the deadline; it goes on nevertheless.
        """
        info, _ = self._opened()
        if info.config.hnsw_config.m != 0:
            return
        graph = models.HnswConfigDiff(m=_GRAPH_LINKS)
        self._connection.call(lambda client: client.update_collection(self._name, hnsw_config=graph))
        self._wait_until_green()

    def destroy(self) -> None:
        """Delete the collection, if it is an index."""
        info = self._info()
        if info is None:
            return
        _manifest_text(info, self.address)
        self._connection.call(lambda client: client.delete_collection(self._name))
        self._quantised = None

    def close(self) -> None:
        """Let go of the connection; a client that was given to the store stays open."""
        self._quantised = None
        self._connection.close()

    def _open(self) -> bool:
        """Make sure that this is an index of ours; whether it is quantised."""
        if self._quantised is None:
            self._opened()
        return bool(self._quantised)

    def _opened(self) -> tuple[models.CollectionInfo, Manifest]:
        info = self._info()
        if info is None:
            raise StoreNotFound(f"{self.address} holds no index yet")
        manifest = self._parsed(info)
        if self._quantised is None:
            with suppress(AccessDenied):  # who may only read can do without
                self._indexes.complete(info, manifest)  # an interrupted attempt may have left some out
        self._quantised = info.config.quantization_config is not None
        return info, manifest

    def _info(self) -> models.CollectionInfo | None:
        return self._collection.info()

    def _parsed(self, info: models.CollectionInfo) -> Manifest:
        return parse_manifest(_manifest_text(info, self.address), self.address)

    def _wait_until_green(self) -> None:
        end = time.monotonic() + self._options.deadline
        quiet = 0
        while quiet < _QUIET:
            info, _ = self._opened()
            if info.status == models.CollectionStatus.RED:
                raise StoreError(f"{self.address}: the server failed to build its graph: {info.optimizer_status}")
            quiet = quiet + 1 if info.status == models.CollectionStatus.GREEN else 0
            if time.monotonic() > end:
                raise StoreUnavailable(f"{self.address} is still building its graph after {self._options.deadline:g} s")
            time.sleep(_POLL)


def _manifest_text(info: models.CollectionInfo, where: str) -> str:
    text = (info.config.metadata or {}).get(MANIFEST)
    if not isinstance(text, str):
        raise NotAStore(
            f"{where} is a collection that something else made: search it with QdrantStore.attach, or take another name"
        )
    return text


def _to_point(record: Record, average_length: float) -> models.PointStruct:
    vectors: dict[str, Any] = {payload.DENSE: direction(record.vector).tolist()}
    if record.terms:
        vectors[payload.KEYWORD] = to_sparse(document_vector(record.terms, average_length))
    if record.sparse:
        vectors[payload.SPARSE] = learned(record.sparse)
    return models.PointStruct(
        id=payload.point_id(record.chunk.id), vector=vectors, payload=payload.to_payload(record.chunk)
    )


def _ids(keys: Sequence[str]) -> list[str]:
    """Keys that can be ids: the server refuses others, and nothing is there."""
    return [key for key in keys if payload.is_point_id(key)]


def _key(point_id: object) -> str:
    """The server writes UUIDs with hyphens."""
    return str(point_id).replace("-", "")
