"""The exact store in memory: the meaning of every other store, and enough for a few thousand chunks."""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from retriever.address import Address
from retriever.checking import check_records
from retriever.errors import ConfigurationError, InvalidInput, StoreError, StoreNotFound
from retriever.filters import Filter, matches
from retriever.keyword.bm25 import K1, B, idf
from retriever.manifest import Manifest
from retriever.metadata import record_hash
from retriever.sparse.vector import SparseVector
from retriever.stores import Candidate, Entry, Legs, Query, Record
from retriever.types import Chunk, FloatVector, Metadata


class MemoryStore:
    """Exact cosine, BM25 and dot product over a dictionary. Gone when the process ends.

    :param name: shown in its address.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._manifest: Manifest | None = None
        self._records: dict[str, Record] = {}
        self._lock = threading.RLock()

    @classmethod
    def from_address(cls, address: Address) -> MemoryStore:
        """A new, empty store.

        :param address: ``memory:`` or ``memory:NAME``.
        :raises ConfigurationError: where it names a server.
        """
        if address.host is not None:
            raise ConfigurationError(f"{address}: a memory store has no server; write memory:")
        return cls(address.path)

    @property
    def address(self) -> str:
        """``memory:NAME``."""
        return f"memory:{self._name}"

    def read_manifest(self) -> Manifest | None:
        """The manifest, or None before ``create``."""
        return self._manifest

    def create(self, manifest: Manifest) -> None:
        """Start empty."""
        if self._manifest is not None:
            raise StoreError(f"{self.address} holds an index already; destroy it first")
        self._manifest = manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest."""
        self._created()
        self._manifest = manifest

    def count(self, filter: Filter | None = None) -> int:  # noqa: A002
        """How many records match."""
        return sum(1 for _ in self._matching(filter))

    def upsert(self, records: Sequence[Record]) -> None:
        """Write records, each with its vector scaled to length 1.

        :raises InvalidInput: where a vector does not fit or is not finite, or an id is there twice; nothing is written.
        """
        manifest = self._created()
        check_records(records, manifest.embedding.dimension, sparse=manifest.sparse is not None)
        with self._lock:
            for record in records:
                own = Record(_own(record.chunk), _unit(record.vector), dict(record.terms), record.sparse)
                self._records[record.chunk.id] = own

    def rewrite(self, chunks: Sequence[Chunk]) -> None:
        """Replace span, source and metadata."""
        self._created()
        with self._lock:
            for chunk in chunks:
                if chunk.id in self._records:
                    self._records[chunk.id] = replace(self._records[chunk.id], chunk=_own(chunk))

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove records."""
        self._created()
        with self._lock:
            for chunk_id in chunk_ids:
                self._records.pop(chunk_id, None)

    def entries(self, filter: Filter | None = None) -> Iterator[Entry]:  # noqa: A002
        """The ledger."""
        for record in self._matching(filter):
            chunk = record.chunk
            yield Entry(chunk.id, chunk.document_id, chunk.source, record_hash(chunk))

    def search(self, query: Query) -> Legs:
        """All legs by looking at every record.

        :raises InvalidInput: for a vector of another dimension.
        """
        dimension = self._created().embedding.dimension
        if query.vector is not None and query.vector.shape != (dimension,):
            raise InvalidInput(f"the query has shape {query.vector.shape}, the index has {dimension} dimensions")
        found = list(self._matching(query.filter))
        semantic: list[Candidate] = []
        keyword: list[Candidate] = []
        sparse: list[Candidate] = []
        if query.vector is not None and found:
            scores = (np.stack([record.vector for record in found]) @ _unit(query.vector)).clip(-1.0, 1.0)
            pairs = zip(found, scores.tolist(), strict=True)
            semantic = _best((Candidate(r.chunk.id, score) for r, score in pairs), query.depth)
        if query.terms:
            keyword = _best(self._bm25(found, query.terms), query.depth)
        if query.sparse is not None:
            sparse = _best(_dots(found, query.sparse), query.depth)
        return Legs(semantic, keyword, sparse)

    def key(self, chunk_id: str) -> str:
        """The chunk id itself."""
        return chunk_id

    def fetch(self, keys: Sequence[str]) -> dict[str, Chunk]:
        """Chunks by id."""
        self._created()
        with self._lock:
            return {key: _own(self._records[key].chunk) for key in keys if key in self._records}

    def vectors(self, keys: Sequence[str]) -> dict[str, FloatVector]:
        """Vectors by id."""
        self._created()
        with self._lock:
            return {key: self._records[key].vector.copy() for key in keys if key in self._records}

    def sparse_vectors(self, keys: Sequence[str]) -> dict[str, SparseVector]:
        """Learned sparse vectors by id."""
        self._created()
        with self._lock:
            found = {key: self._records[key].sparse for key in keys if key in self._records}
        return {key: vector for key, vector in found.items() if vector is not None}

    def optimise(self) -> None:
        """Nothing to build."""
        self._created()

    def destroy(self) -> None:
        """Forget everything."""
        with self._lock:
            self._manifest = None
            self._records = {}

    def close(self) -> None:
        """Nothing to let go of."""

    def _created(self) -> Manifest:
        manifest = self._manifest
        if manifest is None:
            raise StoreNotFound(f"{self.address} holds no index yet")
        return manifest

    def _matching(self, condition: Filter | None) -> Iterator[Record]:
        self._created()
        with self._lock:
            records = list(self._records.values())
        return (record for record in records if matches(condition, record.chunk))

    def _bm25(self, found: Sequence[Record], terms: Mapping[str, int]) -> Iterator[Candidate]:
        """Statistics are those of all records, as in any engine, not of the filtered ones."""
        with self._lock:
            lengths = [sum(record.terms.values()) for record in self._records.values()]
            frequency = Counter(t for record in self._records.values() for t in terms if t in record.terms)
        average = sum(lengths) / len(lengths) if any(lengths) else 1.0
        weights = {t: count * idf(frequency[t], len(lengths)) for t, count in terms.items()}
        for record in found:
            norm = K1 * (1 - B + B * sum(record.terms.values()) / average)
            shared = [(record.terms[t], w) for t, w in weights.items() if t in record.terms]
            if shared:
                yield Candidate(record.chunk.id, sum(w * tf * (K1 + 1) / (tf + norm) for tf, w in shared))


def _own(chunk: Chunk) -> Chunk:
    """A copy that the caller cannot change."""
    metadata = {k: v if isinstance(v, str | int | float) else list(v) for k, v in chunk.metadata.items()}
    return replace(chunk, metadata=cast("Metadata", metadata))


def _unit(vector: np.ndarray) -> np.ndarray:
    """In double precision, where the squares of no float32 vanish or overflow."""
    exact = vector.astype(np.float64)
    norm = float(np.linalg.norm(exact))
    return (exact / norm if norm else exact).astype(np.float32)


def _dots(found: Sequence[Record], asked: SparseVector) -> Iterator[Candidate]:
    for record in found:
        score = 0.0 if record.sparse is None else record.sparse.dot(asked)
        if score > 0:
            yield Candidate(record.chunk.id, score)


def _best(candidates: Iterator[Candidate], depth: int) -> list[Candidate]:
    return heapq.nsmallest(depth, candidates, key=lambda candidate: (-candidate.score, candidate.key))
