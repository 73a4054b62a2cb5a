"""What a store is: the protocol that every adapter keeps, and the values that cross it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from retriever.filters import Filter
from retriever.manifest import Manifest
from retriever.sparse.vector import SparseVector
from retriever.types import Chunk, FloatVector


@dataclass(frozen=True, slots=True)
class Record:
    """What a store keeps of a chunk.

    :param chunk: with clean metadata and text that is valid UTF-8.
    :param vector: float32, shape ``(dimension,)``, finite.
    :param terms: how often each of the analyser's terms occurs in the text; none where the index has no keywords.
    :param sparse: the learned sparse vector, if and only if the manifest names a model.
    """

    chunk: Chunk
    vector: FloatVector
    terms: Mapping[str, int]
    sparse: SparseVector | None = None


class Entry(NamedTuple):
    """A line of the ledger: what the store says it holds.

    :param chunk_id: id of the chunk.
    :param document_id: id of its document.
    :param source: name of the document's source.
    :param hash: :func:`retriever.metadata.record_hash` of the chunk when it was written.
    """

    chunk_id: str
    document_id: str
    source: str
    hash: str


class Candidate(NamedTuple):
    """One result of a leg.

    :param key: the store's own handle of the record: pass it to :meth:`Store.fetch` or :meth:`Store.vectors`.
    :param score: cosine, BM25 or dot product; higher is better.
    """

    key: str
    score: float


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; a leg without its part is not searched.

    :param depth: how many candidates a leg returns at most; at least 1.
    :param vector: for the semantic leg, float32, shape ``(dimension,)``, finite.
    :param terms: for the keyword leg, how often each term occurs in the query.
    :param filter: holds in all legs.
    :param sparse: for the sparse leg, where the manifest names a model.
    """

    depth: int
    vector: FloatVector | None = None
    terms: Mapping[str, int] | None = None
    filter: Filter | None = None
    sparse: SparseVector | None = None


@dataclass(frozen=True, slots=True)
class Legs:
    """The candidates of each leg, best first. A leg that was not searched is empty.

    :param semantic: scores are cosines, from -1 to 1.
    :param keyword: scores are BM25; a record without any of the terms is not among them.
    :param sparse: scores are dot products; a record that shares no term with the query is not among them.
    """

    semantic: Sequence[Candidate] = field(default_factory=list)
    keyword: Sequence[Candidate] = field(default_factory=list)
    sparse: Sequence[Candidate] = field(default_factory=list)


class Store(Protocol):
    """A place for records. One store holds one index; before :meth:`create` it holds none.

    Constructing one connects to nothing and touches no disk: the first call does. The caller has checked and
    de-duplicated what it passes (:mod:`retriever.indexing` does). Errors are :class:`retriever.errors.StoreError`;
    :class:`~retriever.errors.StoreNotFound` where there is no index yet.
    A store may be used from several threads.
    """

    @property
    def address(self) -> str:
        """Where it is, without secrets: what a message shows and ``open`` accepts."""

    def read_manifest(self) -> Manifest | None:
        """The manifest, or None where there is no index yet.

        :raises NotAStore: where something else is at the address; nothing is touched.
        :raises ManifestUnreadable: where it is damaged or from a newer version.
        :raises StoreLocked: where another process holds the store.
        """

    def create(self, manifest: Manifest) -> None:
        """Make an empty index for vectors of the manifest's dimension, with its filter fields indexed.

        What an interrupted attempt left is cleared.

        :raises StoreError: where an index is there already.
        """

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest, all or nothing; new filter fields get their payload index."""

    def count(self, filter: Filter | None = None) -> int:  # noqa: A002 - the field's word
        """How many records match, exactly."""

    def upsert(self, records: Sequence[Record]) -> None:
        """Write records; those with a known chunk id are replaced whole, metadata included.

        When it returns, the records are found by searches and survive the death of the process. Where it fails on the
        way, some of them may be there, each whole. The manifest's calibration has to be written before.
        """

    def rewrite(self, chunks: Sequence[Chunk]) -> None:
        """Replace span, source and metadata of stored chunks; vectors and terms stay. Unknown ids: no effect."""

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove records; unknown ids have no effect."""

    def entries(self, filter: Filter | None = None) -> Iterator[Entry]:  # noqa: A002
        """The ledger of the matching records, each once, in no stated order, read in pages.

        Records must not be written while it is being read.
        """

    def search(self, query: Query) -> Legs:
        """The best candidates of each leg, in as few round trips as the store can."""

    def key(self, chunk_id: str) -> str:
        """The handle under which a chunk id is kept; a pure function."""

    def fetch(self, keys: Sequence[str]) -> dict[str, Chunk]:
        """The chunks under these handles; missing ones are left out."""

    def vectors(self, keys: Sequence[str]) -> dict[str, FloatVector]:
        """The vectors under these handles, scaled to length 1 where they are not zero; missing ones are left out."""

    def optimise(self) -> None:
        """Build what makes searches quick. Cheap where there is nothing to do. May block searches."""

    def destroy(self) -> None:
        """Delete the index and everything in it. Only what this package wrote is removed."""

    def close(self) -> None:
        """Let go of files, locks and connections. May be called twice. The next call opens again."""


@runtime_checkable
class KeepsSparse(Protocol):
    """What a store adds to :class:`Store` if it keeps learned sparse vectors: this method, and the leg in its search.

    It writes and searches them where the manifest that it was created with names a model; others need not know of it.
    """

    def sparse_vectors(self, keys: Sequence[str]) -> dict[str, SparseVector]:
        """The learned sparse vectors under these handles, with their weights as float32; missing ones are left out."""
