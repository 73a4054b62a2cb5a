"""The store on a folder, with Qdrant's engine in the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
import qdrant_edge as edge

from retriever.batched import batched
from retriever.checking import check_records
from retriever.errors import StoreError, StoreNotFound
from retriever.filters import Filter
from retriever.keyword.bm25 import query_vector
from retriever.manifest import Manifest
from retriever.sparse.vector import NOTHING, SparseVector
from retriever.stores import Entry, Legs, Query, Record
from retriever.types import Chunk, FloatVector
from retriever_qdrant import convert, payload
from retriever_qdrant.batches import PAGE, batches
from retriever_qdrant.changes import Changes
from retriever_qdrant.child import optimise_in_child
from retriever_qdrant.direction import direction
from retriever_qdrant.edge_filters import FILTERS
from retriever_qdrant.engine import change_fields, create_shard
from retriever_qdrant.errors import engine_errors, is_panic
from retriever_qdrant.folder import Folder
from retriever_qdrant.legs import LEAST_EF, best, clipped

_FLUSH_EVERY = 10_000
_NOTE_EVERY = 1_000


class EdgeStore:
    """An index in a folder. One process uses it at a time.

    The calls of several threads are taken one after another: the engine works on a query with threads of its own, and
    two queries at once took as long as one after the other.

    :param path: of the folder; made by :meth:`create`.
    """

    def __init__(self, path: str | Path) -> None:
        self._folder = Folder(Path(path))
        self._lock = threading.RLock()
        self._shard: edge.EdgeShard | None = None
        self._manifest: Manifest | None = None
        self._unflushed = 0
        self._unnoted = Changes()
        self._process: int | None = None

    @property
    def address(self) -> str:
        """``qdrant:PATH``."""
        return self._folder.address

    def read_manifest(self) -> Manifest | None:
        """The manifest, or None where nothing, or only the beginning of an index, is there."""
        with self._lock:
            if self._manifest is None and self._folder.is_ours():
                self._folder.acquire()
                if self._folder.is_whole():
                    self._manifest = self._folder.read_manifest()
            return self._manifest

    def create(self, manifest: Manifest) -> None:
        """Make an empty index; what an interrupted attempt left is cleared.

        :raises StoreError: where an index is there already.
        """
        with self._lock:
            self._folder.make()
            with self._engine_errors():
                self._shard = create_shard(self._folder.shard, manifest)
                self._shard.flush()
            self._folder.write_manifest(manifest)  # last: it says that all the rest is there
            self._manifest = manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest; payload indexes follow its filter fields."""
        with self._using() as (shard, before):
            change_fields(shard, before.filter_fields, manifest.filter_fields)
            shard.flush()
            self._folder.write_manifest(manifest)
            self._manifest = manifest

    def count(self, filter: Filter | None = None) -> int:  # noqa: A002
        """How many records match."""
        with self._using() as (shard, _):
            return shard.count(edge.CountRequest(exact=True, filter=FILTERS.compile(filter)))

    def upsert(self, records: Sequence[Record]) -> None:
        """Write records, in small updates between which other threads may search.

        :raises InvalidInput: where a vector does not fit or is not finite, or an id is there twice; nothing is written.
        """
        with self._using() as (_, manifest):
            if manifest.calibration is None:
                raise StoreError(f"{self.address}: the manifest needs a calibration before records are written")
            average_length = manifest.calibration.average_length
            check_records(records, manifest.embedding.dimension, sparse=manifest.sparse is not None)
        for batch in batches(records):
            with self._using() as (shard, _):
                points = [convert.to_point(record, average_length) for record in batch]
                before = shard.info().points_count
                shard.update(edge.UpdateOperation.upsert_points(points))
                replaced = len(batch) - (shard.info().points_count - before)
                self._changed(shard, Changes(len(batch), replaced))

    def rewrite(self, chunks: Sequence[Chunk]) -> None:
        """Replace payloads. The engine moves such records out of its graph, so they count as written."""
        for page in batched(chunks, PAGE):
            with self._using() as (shard, _):
                ids = [payload.point_id(chunk.id) for chunk in page]
                known = {_key(point) for point in shard.retrieve(list(ids), False, False)}
                for key, chunk in zip(ids, page, strict=True):
                    if key in known:
                        shard.update(edge.UpdateOperation.overwrite_payload([key], payload.to_payload(chunk)))
                self._changed(shard, Changes(len(known), len(known)))

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove records."""
        for page in batched(chunk_ids, PAGE):
            with self._using() as (shard, _):
                before = shard.info().points_count
                shard.update(edge.UpdateOperation.delete_points([payload.point_id(i) for i in page]))
                self._changed(shard, Changes(0, before - shard.info().points_count))

    def entries(self, filter: Filter | None = None) -> Iterator[Entry]:  # noqa: A002
        """The ledger."""
        compiled = FILTERS.compile(filter)
        offset: Any = None
        while True:
            with self._using() as (shard, _):
                request = edge.ScrollRequest(
                    offset=offset, limit=PAGE, filter=compiled, with_payload=payload.ENTRY_FIELDS, with_vector=False
                )
                points, offset = shard.scroll(request)
            for point in points:
                yield payload.to_entry(point.payload or {})
            if offset is None:
                return

    def search(self, query: Query) -> Legs:
        """All legs in one call of the engine."""
        compiled = FILTERS.compile(query.filter)
        legs: dict[str, Any] = {}
        if query.vector is not None:
            legs["semantic"] = edge.Query.Nearest(direction(query.vector).tolist(), using=payload.DENSE)
        if query.terms:
            terms = convert.to_sparse(query_vector(query.terms))
            legs["keyword"] = edge.Query.Nearest(terms, using=payload.KEYWORD)
        if query.sparse:
            legs["sparse"] = edge.Query.Nearest(convert.learned(query.sparse), using=payload.SPARSE)
        params = edge.SearchParams(hnsw_ef=max(LEAST_EF, query.depth))
        requests = [
            edge.QueryRequest(limit=query.depth, query=leg, filter=compiled, params=params) for leg in legs.values()
        ]
        with self._using() as (shard, _):
            answers = shard.query_batch(edge.QueryBatchRequest(requests)) if requests else []
        found = dict(zip(legs, answers, strict=True))
        return Legs(
            best([(_key(point), clipped(point.score)) for point in found.get("semantic", [])]),
            best([(_key(point), point.score) for point in found.get("keyword", [])]),
            best([(_key(point), point.score) for point in found.get("sparse", [])]),
        )

    def key(self, chunk_id: str) -> str:
        """A UUID made from the chunk id."""
        return payload.point_id(chunk_id)

    def fetch(self, keys: Sequence[str]) -> dict[str, Chunk]:
        """Chunks by key."""
        points = self._retrieve(keys)
        return {key: payload.to_chunk(points[key].payload or {}) for key in keys if key in points}

    def vectors(self, keys: Sequence[str]) -> dict[str, FloatVector]:
        """Vectors by key."""
        rows: dict[str, Any] = {key: point.vector for key, point in self._retrieve(keys, payload.DENSE).items()}
        return {key: np.array(row[payload.DENSE], dtype=np.float32) for key, row in rows.items()}

    def sparse_vectors(self, keys: Sequence[str]) -> dict[str, SparseVector]:
        """Learned sparse vectors by key; the engine keeps none that is empty."""
        rows: dict[str, Any] = {key: point.vector for key, point in self._retrieve(keys, payload.SPARSE).items()}
        found = {key: (row or {}).get(payload.SPARSE) for key, row in rows.items()}
        return {key: NOTHING if v is None else SparseVector.of(v.indices, v.values) for key, v in found.items()}

    def optimise(self) -> None:
        """Build graphs and drop what was deleted, where there is enough of either. Searches wait meanwhile.

        :raises StoreError: where it failed; the store goes on as it was.
        """
        with self._using() as (shard, _):
            self._note()
            if not self._folder.changes().are_many(shard.info().points_count):
                return
            self._close_shard()
            try:
                optimise_in_child(self._folder.shard, self.address)
            finally:
                self._open()
            self._folder.write_changes(Changes())

    def destroy(self) -> None:
        """Remove the index; other files in the folder stay."""
        with self._lock:
            if not self._folder.is_ours():
                return
            self._folder.acquire()
            self._manifest = None
            with self._engine_errors():
                self._close_shard()
            self._folder.remove()

    def close(self) -> None:
        """Let go of the shard and of the lock."""
        with self._lock:
            self._manifest = None
            try:
                with self._engine_errors():
                    self._close_shard()
            finally:
                self._process = None
                self._folder.release()

    @contextmanager
    def _using(self) -> Iterator[tuple[edge.EdgeShard, Manifest]]:
        """The open shard for this thread alone; what the engine raises inside becomes an error of this package."""
        if self._process not in (None, os.getpid()):  # the engine's threads did not come along: it would hang
            raise StoreError(f"{self.address} was opened before this process was forked: open it anew in here")
        with self._lock, self._engine_errors():
            yield self._open()

    def _open(self) -> tuple[edge.EdgeShard, Manifest]:
        manifest = self.read_manifest()
        if manifest is None:
            raise StoreNotFound(f"{self.address} holds no index yet")
        if self._shard is None:
            self._folder.check_shard()
            with self._engine_errors(self._folder.advice("its data cannot be opened")):
                self._shard = edge.EdgeShard.load(str(self._folder.shard))
        self._process = os.getpid()
        return self._shard, manifest

    @contextmanager
    def _engine_errors(self, where: str | None = None) -> Iterator[None]:
        try:
            with engine_errors(where or self.address):
                yield
        except StoreError as error:
            if is_panic(error.__cause__):
                self._shard = None  # in an unknown state: the next call loads it again
            raise

    def _close_shard(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            self._note()
            shard.flush()
            shard.close()
            self._unflushed = 0

    def _changed(self, shard: edge.EdgeShard, new: Changes) -> None:
        """Note what was written, and flush now and then, so that a crash leaves little to do over."""
        self._unnoted += new
        if self._unnoted.total >= _NOTE_EVERY:
            self._note()
        self._unflushed += new.total
        if self._unflushed >= _FLUSH_EVERY:
            shard.flush()
            self._unflushed = 0

    def _note(self) -> None:
        """In a file, for the process that optimises."""
        if self._unnoted.total:
            self._folder.write_changes(self._folder.changes() + self._unnoted)
            self._unnoted = Changes()

    def _retrieve(self, keys: Sequence[str], vector: str | None = None) -> dict[str, edge.Record]:
        """The points with one of their vectors, or with their payloads."""
        ids = [key for key in keys if payload.is_point_id(key)]  # the engine fails on others; nothing is there
        points: dict[str, edge.Record] = {}
        for page in batched(ids, PAGE):
            with self._using() as (shard, _):
                found = shard.retrieve(list(page), vector is None, [] if vector is None else [vector])
            points.update((_key(point), point) for point in found)
        return points


def _key(point: edge.ScoredPoint | edge.Record) -> str:
    return cast("UUID", point.id).hex  # the only kind of id that is written
