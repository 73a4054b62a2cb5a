"""Hybrid search on a collection that another program filled: only a sparse vector is added to its points."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from qdrant_client import models

from retriever.cache_folder import cache_folder
from retriever.errors import (
    AccessDenied,
    ConfigurationError,
    IndexMismatch,
    ManifestUnreadable,
    NotAStore,
    StoreError,
    StoreNotFound,
    StoreUnavailable,
)
from retriever.filters import Filter
from retriever.keyword.analyser import Analyser
from retriever.keyword.bm25 import document_vector
from retriever.manifest import Calibration, Manifest, parse_manifest, write_manifest_file
from retriever.metadata import record_hash
from retriever.stores import Entry, Legs, Query, Record
from retriever.types import Chunk, FloatVector
from retriever_qdrant.collection import Collection, to_sparse
from retriever_qdrant.connection import Connection
from retriever_qdrant.foreign import ForeignFilters, ForeignLayout, to_ids, to_key
from retriever_qdrant.sending import requests, sparse_weight
from retriever_qdrant.server_filters import ServerVocabulary

_MEASURED = 10_000  # texts that the average length is measured on
_VECTOR = re.compile(r"retriever-(?P<terms>[0-9a-f]{8})-(?P<thousandths>\d+)")


class AttachedStore:
    """An index over somebody else's collection. It is read only: payloads and dense vectors stay as they are.

    The keyword vectors are named after the text's field, the analyser and the average length that they were made with,
    so whoever attaches with the same settings shares them. A point that the other program writes anew loses its keyword
    vector; opening the store, or :meth:`optimise`, makes those that are missing. A text that is changed in the payload
    alone keeps the vector of the old one.

    The manifest is a file in the user's cache folder.

    :param connection: to the server; names the collection.
    :param layout: of its points.
    """

    def __init__(self, connection: Connection, layout: ForeignLayout) -> None:
        self._connection = connection
        self._layout = layout
        self._name = connection.collection
        self._filters = ForeignFilters(ServerVocabulary(connection), layout)
        self._opened: tuple[Manifest, str] | None = None  # with the name of the keyword vector
        self._quantised = False
        self._lock = threading.RLock()

    @property
    def address(self) -> str:
        """``qdrant://HOST:PORT/COLLECTION``."""
        return self._connection.address

    def read_manifest(self) -> Manifest | None:
        """The manifest, or None where the collection is not attached yet, or was made anew since.

        :raises StoreNotFound: where there is no such collection.
        """
        info = self._info()
        if not self._file.exists():
            return None
        manifest = parse_manifest(self._file.read_text("utf-8", errors="replace"), self.address)
        return manifest if self._vector_name(manifest) in (info.config.params.sparse_vectors or {}) else None

    def create(self, manifest: Manifest) -> None:
        """Attach: measure the texts, add the sparse vector, write the manifest, make the keyword vectors.

        Interrupted, it goes on where it was when the store is opened.

        :raises StoreError: where it is attached already, or the server cannot add a vector to a collection.
        :raises IndexMismatch: where the collection's vectors are not the embedding function's.
        """
        if self.read_manifest() is not None:
            raise StoreError(f"{self.address} is attached already; destroy that first")
        if manifest.sparse is not None:
            raise ConfigurationError(
                f"{self.address} is attached, and has no learned sparse vectors: leave sparse out, or make an index of "
                "your own with retriever.copy_index(..., sparse=...)"
            )
        if manifest.filter_fields:
            raise StoreError(f"{self.address} is attached: its payload indexes are its owner's to make")
        info = self._info()
        self._check_vectors(info, manifest)
        manifest = manifest.model_copy(update={"calibration": self._calibration(info, manifest)})
        if self._vector_name(manifest) not in (info.config.params.sparse_vectors or {}):
            self._add_vector(self._vector_name(manifest))
        self._write(manifest)
        self._open()

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest's file.

        :raises StoreError: where records or indexes of the collection would have to follow.
        """
        before, _ = self._open()
        if self._vector_name(manifest) != self._vector_name(before) or manifest.filter_fields:
            self._refuse()
        self._write(manifest)
        self._opened = None

    def count(self, filter: Filter | None = None) -> int:  # noqa: A002
        """How many points match."""
        return self._collection().count(self._filters.compile(filter))

    def upsert(self, records: Sequence[Record]) -> None:  # noqa: ARG002
        """Refused.

        :raises StoreError: always.
        """
        self._refuse()

    def rewrite(self, chunks: Sequence[Chunk]) -> None:  # noqa: ARG002
        """Refused.

        :raises StoreError: always.
        """
        self._refuse()

    def delete(self, chunk_ids: Sequence[str]) -> None:  # noqa: ARG002
        """Refused.

        :raises StoreError: always.
        """
        self._refuse()

    def entries(self, filter: Filter | None = None) -> Iterator[Entry]:  # noqa: A002
        """The ledger; payloads are read for it, since nobody keeps their hashes."""
        for point in self._collection().scroll(self._filters.compile(filter), fields=True):
            chunk = self._layout.chunk(point)
            yield Entry(chunk.id, chunk.document_id, chunk.source, record_hash(chunk))

    def search(self, query: Query) -> Legs:
        """Both legs in one round trip."""
        collection = self._collection()
        return collection.search(query, self._filters.compile(query.filter), quantised=self._quantised)

    def key(self, chunk_id: str) -> str:
        """The chunk id, which is the point's."""
        return chunk_id

    def fetch(self, keys: Sequence[str]) -> dict[str, Chunk]:
        """Chunks by key."""
        points = self._collection().retrieve(to_ids(keys), payload=True)
        found = {to_key(point.id): self._layout.chunk(point) for point in points}
        return {key: found[key] for key in keys if key in found}

    def vectors(self, keys: Sequence[str]) -> dict[str, FloatVector]:
        """Vectors by key, of points that have one; the server has scaled them when they were written."""
        return self._collection().vectors(to_ids(keys))

    def optimise(self) -> None:
        """Make the keyword vectors of points that were written since the store was opened."""
        self._fill(*self._open())

    def destroy(self) -> None:
        """Remove the keyword vectors and the manifest's file; the collection stays as it was."""
        with self._lock:
            self._opened = None
            if not self._file.exists():
                return
            with suppress(ManifestUnreadable, StoreNotFound):
                manifest = self.read_manifest()
                if manifest is not None:
                    name = self._vector_name(manifest)
                    self._connection.call(lambda client: client.delete_vector_name(self._name, name, wait=True))
            self._file.unlink()

    def close(self) -> None:
        """Let go of the connection; the client stays open."""
        with self._lock:
            self._opened = None
        self._connection.close()

    def _collection(self) -> Collection:
        _, name = self._open()
        return self._of(name)

    def _of(self, keyword: str) -> Collection:
        return Collection(self._connection, self._layout.vector, keyword, to_key)

    def _open(self) -> tuple[Manifest, str]:
        with self._lock:
            if self._opened is None:
                manifest = self.read_manifest()
                if manifest is None:
                    raise StoreNotFound(f"{self.address} is not attached yet")
                self._quantised = self._info().config.quantization_config is not None
                name = self._vector_name(manifest)
                self._fill(manifest, name)
                self._opened = (manifest, name)
            return self._opened

    def _info(self) -> models.CollectionInfo:
        info = self._of("").info()
        if info is None:
            raise StoreNotFound(f"{self.address}: there is no such collection")
        return info

    def _check_vectors(self, info: models.CollectionInfo, manifest: Manifest) -> None:
        vectors = info.config.params.vectors
        named = vectors if isinstance(vectors, dict) else {"": vectors}
        params = named.get(self._layout.vector)
        if params is None:
            names = ", ".join(repr(name) for name in named)
            raise NotAStore(f"{self.address} has no vector named {self._layout.vector!r}; it has {names}: say vector=")
        if params.distance != models.Distance.COSINE or params.multivector_config is not None:
            raise StoreError(
                f"{self.address} compares vectors by {params.distance.value}, one or several a point; only single "
                "vectors compared by Cosine can be attached: index the documents into a store of your own"
            )
        if params.size != manifest.embedding.dimension:
            raise IndexMismatch(
                f"{self.address} has vectors of {params.size} dimensions, the embedding function makes "
                f"{manifest.embedding.dimension}: give the one that filled the collection"
            )

    def _calibration(self, info: models.CollectionInfo, manifest: Manifest) -> Calibration:
        """That of keyword vectors which are there already, or measured on the first texts."""
        digest = self._terms_digest(manifest)
        for match in _ours(info):
            if match["terms"] == digest:
                length = int(match["thousandths"]) / 1000
                return Calibration(chunks=max(1, info.points_count or 1), average_length=length, unknown_rate=0.0)
        analyser = Analyser(manifest.analyser)
        points = islice(self._of("").scroll(None, [self._layout.text_key]), _MEASURED)
        lengths: list[int] = []
        some = False
        for text in map(self._layout.text, points):
            some = some or bool(text)
            lengths.append(analyser.terms(text).total())
        if lengths and not some:
            raise NotAStore(
                f"{self.address}: none of its first {len(lengths)} points has a text under {self._layout.text_key!r}: "
                "say text_key="
            )
        average = max(1.0, sum(lengths) / len(lengths)) if lengths else 1.0
        return Calibration(chunks=max(1, len(lengths)), average_length=round(average, 3), unknown_rate=0.0)

    def _add_vector(self, name: str) -> None:
        sparse = models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier=models.Modifier.IDF))
        try:
            self._connection.call(lambda client: client.create_vector_name(self._name, name, sparse, wait=True))
        except (StoreUnavailable, AccessDenied):
            raise
        except StoreError as error:
            raise StoreError(
                f"{self.address}: this server cannot add a vector to a collection ({error}); upgrade it, or "
                "index the documents into a store of your own with retriever index"
            ) from error

    def _fill(self, manifest: Manifest, name: str) -> None:
        """Make the keyword vectors that are missing: so it may be interrupted at any moment."""
        if manifest.calibration is None:
            raise StoreError(
                f"{self.address}: its manifest has no calibration; destroy the attachment and make it anew"
            )
        missing = models.Filter(must_not=[models.HasVectorCondition(has_vector=name)])
        analyser, average = Analyser(manifest.analyser), manifest.calibration.average_length
        points = self._of(name).scroll(missing, [self._layout.text_key])
        for batch in requests(self._keyword_vectors(points, name, analyser, average), _weight):
            self._update(batch)

    def _keyword_vectors(
        self, points: Iterable[models.Record], name: str, analyser: Analyser, average: float
    ) -> Iterator[models.PointVectors]:
        for point in points:
            terms = analyser.terms(self._layout.text(point))
            if terms:
                yield models.PointVectors(id=point.id, vector={name: to_sparse(document_vector(terms, average))})

    def _update(self, batch: list[models.PointVectors]) -> None:
        try:
            self._connection.call(lambda client: client.update_vectors(self._name, batch, wait=True))
        except StoreNotFound:
            ids = to_ids([to_key(point.id) for point in batch])
            there = {to_key(point.id) for point in self._of("").retrieve(ids, payload=False)}
            left = [point for point in batch if to_key(point.id) in there]
            if len(left) == len(batch):
                raise
            if left:  # the others were deleted meanwhile
                self._update(left)

    def _vector_name(self, manifest: Manifest) -> str:
        if manifest.calibration is None:
            return ""
        return f"retriever-{self._terms_digest(manifest)}-{round(1000 * manifest.calibration.average_length)}"

    def _terms_digest(self, manifest: Manifest) -> str:
        """Of what decides which terms a point has."""
        terms = f"{manifest.analyser.model_dump_json()}\0{self._layout.text_key}"
        return hashlib.blake2b(terms.encode(), digest_size=4).hexdigest()

    @property
    def _file(self) -> Path:
        place = "\0".join([self.address, self._layout.text_key, self._layout.vector])
        digest = hashlib.blake2b(place.encode(), digest_size=8).hexdigest()
        return cache_folder() / "qdrant" / digest / "manifest.json"

    def _write(self, manifest: Manifest) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_manifest_file(self._file, manifest)
        except OSError as error:
            raise StoreError(f"{self.address}: cannot write {self._file}: {error.strerror or error}") from error

    def _refuse(self) -> NoReturn:
        raise StoreError(
            f"{self.address} is attached, and so read only: write to it with the program that filled it. For an "
            f"index of your own: retriever.copy_index(QdrantStore.attach(client, {self._name!r}), './index')"
        )


def _ours(info: models.CollectionInfo) -> list[re.Match[str]]:
    """The names of keyword vectors that this package added."""
    return [match for match in map(_VECTOR.fullmatch, info.config.params.sparse_vectors or {}) if match is not None]


def _weight(point: models.PointVectors) -> int:
    """About how many bytes of JSON."""
    vectors: Any = point.vector
    return 100 + sum(sparse_weight(len(vector.indices)) for vector in vectors.values())
