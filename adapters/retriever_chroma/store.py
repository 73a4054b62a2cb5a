"""The store on Chroma: in memory, in a folder, on a server and in the cloud."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from retriever.address import Address
from retriever.batched import batched
from retriever.checking import check_records
from retriever.errors import (
    ConfigurationError,
    IndexMismatch,
    RecordsRefused,
    StoreError,
    StoreLocked,
    StoreNotFound,
)
from retriever.filters import Filter, matches
from retriever.keyword.config import AnalyserConfig
from retriever.keyword.tantivy_index import TantivyIndex
from retriever.manifest import Manifest, parse_manifest
from retriever.sparse.vector import SparseVector
from retriever.stores import Candidate, Entry, Legs, Query, Record
from retriever.types import Chunk, FloatVector
from retriever_chroma.batches import batches
from retriever_chroma.configuration import check_own
from retriever_chroma.convert import MANIFEST, Reading
from retriever_chroma.folder import Folder, foreign
from retriever_chroma.given import place_of
from retriever_chroma.legs import Check, keyword_leg, semantic_leg, sparse_leg
from retriever_chroma.making import configuration
from retriever_chroma.narrowing import possible_rows
from retriever_chroma.place import DEFAULT_NAME, Memory, Place, check_name
from retriever_chroma.repair import FolderRepair
from retriever_chroma.replica import Replica
from retriever_chroma.rules import Rules
from retriever_chroma.server import server_place
from retriever_chroma.unsettled import Unsettled
from retriever_chroma.writing import refused, rewrite, write

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from retriever_chroma.attached import AttachedStore
    from retriever_chroma.collection import Calling, Collection

_MOST_IDS = 20_000  # to search among, in the process
_MOST_IDS_SENT = 5_000  # and over the network
_MOST_RECORDS = 5_000


@dataclass(frozen=True, slots=True)
class _Opened:
    """What an open store works with."""

    collection: Collection
    replica: Replica
    manifest: Manifest
    most_records: int


class ChromaStore:
    """An index in a collection of Chroma, with a keyword index beside it.

    Without arguments it is in memory and private to the object. A folder is used by one process at a time; a process
    may open several collections in it. Of a server's collection the keyword index is in the user's cache folder.

    Records that other programs add to the collection, or delete from it, are found by the next search (on a server:
    within a second). What they change in place is found in a folder; on a server it stays unseen until :meth:`sync`.

    :param client: of chromadb, already open: it is not closed. For a server its settings are used, not the client,
        which would wait for ever.
    :param collection: its name.
    :param path: of a folder, made by :meth:`create`.
    :param host: of a server; ``api.trychroma.com`` is the cloud.
    :param port: of the server; 8000 by default, in the cloud 443.
    :param tenant: on the server; else ``CHROMA_TENANT``.
    :param database: of the tenant; else ``CHROMA_DATABASE``.
    :param api_key: else ``CHROMA_API_KEY``.
    :param tls: else ``CHROMA_TLS``; else on for the cloud, and where a key is sent to another machine.
    :param timeout: seconds that a request to a server may wait.
    :param deadline: seconds that all attempts of a call may take together.
    :raises ConfigurationError: for a name that Chroma does not take, or more than one place.
    """

    def __init__(
        self,
        client: ClientAPI | None = None,
        collection: str = DEFAULT_NAME,
        path: str | Path | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        tenant: str | None = None,
        database: str | None = None,
        api_key: str | None = None,
        tls: bool | None = None,
        timeout: float = 10.0,
        deadline: float = 30.0,
    ) -> None:
        if sum(place is not None for place in (client, path, host)) > 1:
            raise ConfigurationError("a Chroma store has one place: give a client, a path or a host")
        self._name = check_name(collection)
        self._place: Place
        if host is not None:
            self._place = server_place(
                host, port, tenant=tenant, database=database, api_key=api_key, tls=tls, timeout=timeout
            )
        elif path is not None:
            self._place = Folder(Path(path))
        else:
            self._place = place_of(client, timeout) if client is not None else Memory()
        self._deadline = deadline
        self._reading = Reading(verbatim=False)
        self._lock = threading.RLock()
        self._manifest: Manifest | None = None
        self._opened: _Opened | None = None
        self._process: int | None = None

    @classmethod
    def from_address(cls, address: Address) -> ChromaStore:
        """The store at an address.

        :param address: ``chroma:PATH``, ``chroma:PATH#COLLECTION``, ``chroma::memory:`` or
            ``chroma://HOST:PORT/COLLECTION``.
        :raises ConfigurationError: where it names no folder or collection.
        """
        if address.host is not None:
            if not address.path:
                raise ConfigurationError(f"{address}: which collection? Write {address}docs")
            return cls(collection=address.path, host=address.host, port=address.port)
        path, has_name, name = address.path.rpartition("#")
        if not has_name:
            path, name = address.path, DEFAULT_NAME
        if not path:
            raise ConfigurationError(f"{address}: which folder? Write chroma:./index, or chroma::memory:")
        return cls(collection=name, path=None if path == ":memory:" else path)

    @classmethod
    def attach(
        cls, client: ClientAPI, collection: str, *, timeout: float = 10.0, deadline: float = 30.0
    ) -> AttachedStore:
        """A collection that another program filled, to be searched as it is; nothing in it is ever changed.

        :param client: of chromadb, already open.
        :param collection: its name.
        :param timeout: seconds that a request to a server may wait.
        :param deadline: seconds that all attempts of a call may take together.
        """
        from retriever_chroma.attached import AttachedStore

        return AttachedStore(client, collection, timeout=timeout, deadline=deadline)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        return self._place.address(self._name)

    def read_manifest(self) -> Manifest | None:
        """The manifest, or None where there is no index yet."""
        self._check_process()
        with self._lock:
            if self._manifest is None:
                collection = self._find()
                if collection is not None:
                    self._manifest = self._manifest_of(collection)
            return self._manifest

    def create(self, manifest: Manifest) -> None:
        """Make an empty index."""
        with self._lock:
            if self.read_manifest() is not None:
                raise StoreError(f"{self.address} holds an index already; destroy it first")
            text, settings = manifest.model_dump_json(), configuration(manifest)
            client = self._client()
            try:
                self._calling()(
                    lambda: client.create_collection(
                        self._name,
                        embedding_function=None,
                        configuration=settings,
                        metadata={MANIFEST: text},
                    )
                )
            except StoreError:
                collection = self._find()
                if collection is None or collection.metadata.get(MANIFEST) != text:
                    raise  # else an attempt without an answer had made it
            self._open().replica.sync()

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest."""
        with self._lock:
            collection = self._open().collection
            collection.replace_metadata({**collection.metadata, MANIFEST: manifest.model_dump_json()})
            self._changed(manifest)

    def count(self, filter: Filter | None = None) -> int:  # noqa: A002
        """How many records match."""
        if filter is None:
            return self._open().collection.count()
        return sum(1 for _ in self.entries(filter))

    def upsert(self, records: Sequence[Record]) -> None:
        """Write records, in batches that Chroma writes whole or not at all.

        :raises InvalidInput: where a vector does not fit or is not finite, or an id is there twice; nothing is written.
        :raises RecordsRefused: naming records that Chroma does not take; all others are written.
        """
        opened = self._open()
        manifest = opened.manifest
        check_records(records, manifest.embedding.dimension, sparse=manifest.sparse is not None)
        refusals: list[RecordsRefused] = []
        for batch in batches(records, opened.most_records):
            with self._lock, opened.replica.writing([record.chunk.id for record in batch]):
                refusals += write(opened.collection, opened.replica, batch)
        if refusals:
            raise refused(refusals)

    def rewrite(self, chunks: Sequence[Chunk]) -> None:
        """Replace metadata."""
        opened = self._open()
        for page in batched(chunks, opened.most_records):
            with self._lock, opened.replica.writing([chunk.id for chunk in page]):
                rewrite(opened.collection, opened.replica, page)

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove records."""
        opened = self._open()
        for page in batched(dict.fromkeys(chunk_ids), opened.most_records):
            with self._lock, opened.replica.writing(page):
                opened.collection.delete(page)
                opened.replica.delete(page)

    def entries(self, filter: Filter | None = None) -> Iterator[Entry]:  # noqa: A002
        """The ledger."""
        opened = self._open()
        for row in possible_rows(opened.collection, self._reading, filter):
            if filter is None or matches(filter, self._reading.chunk(*row)):
                yield self._reading.entry(*row)

    def search(self, query: Query) -> Legs:
        """All legs. With a filter the records themselves are looked at, so that no hit ever breaks it."""
        opened = self._open()
        opened.replica.ready()
        check = Check(opened.collection, self._reading, query.filter)
        most_ids = _MOST_IDS if self._place.timeout is None else _MOST_IDS_SENT
        semantic: list[Candidate] = []
        keyword: list[Candidate] = []
        sparse: list[Candidate] = []
        if query.vector is not None:
            semantic = semantic_leg(opened.collection, opened.replica, check, query.vector, query.depth, most_ids)
        if query.terms:
            keyword = keyword_leg(opened.replica, check, query.terms, query.depth)
        if query.sparse:
            sparse = sparse_leg(opened.collection, self._reading, opened.replica, check, query.sparse, query.depth)
        return Legs(semantic, keyword, sparse)

    def key(self, chunk_id: str) -> str:
        """The chunk id itself."""
        return chunk_id

    def fetch(self, keys: Sequence[str]) -> dict[str, Chunk]:
        """Chunks by id."""
        rows = self._open().collection.rows(list(dict.fromkeys(keys)), ["metadatas", "documents"])
        return {row.id: self._reading.chunk(*row) for row in rows}

    def vectors(self, keys: Sequence[str]) -> dict[str, FloatVector]:
        """Vectors by id, scaled to length 1."""
        found = self._open().collection.vectors(list(dict.fromkeys(keys)))
        return {key: _unit(vector) for key, vector in found.items()}

    def sparse_vectors(self, keys: Sequence[str]) -> dict[str, SparseVector]:
        """Learned sparse vectors by id."""
        rows = self._open().collection.rows(list(dict.fromkeys(keys)), ["metadatas"])
        found = {row.id: self._reading.sparse(row.metadata) for row in rows}
        return {key: vector for key, vector in found.items() if vector is not None}

    def sync(self) -> None:
        """Compare the keyword index with every record, and take over what other programs changed."""
        self._open().replica.sync(deep=True)

    def optimise(self) -> None:
        """Bring the keyword index in step. Chroma builds its graphs while it writes."""
        self._open().replica.ready()

    def repair(self) -> FolderRepair:
        """How to rebuild a damaged index in a folder; see :func:`retriever.repair_index`.

        :raises ConfigurationError: elsewhere.
        """
        if not isinstance(self._place, Folder) or self._place.is_given:
            raise ConfigurationError(
                f"{self.address} cannot be repaired from here: stop what uses Chroma's folder, and run where it is: "
                f"retriever repair --store chroma:FOLDER#{self._name}"
            )
        return FolderRepair(self._place.path, self._name)

    def destroy(self) -> None:
        """Remove the collection and its keyword index, and the folder if this package made it and nothing is left."""
        self._check_process()
        with self._lock:
            collection = self._find()
            if collection is not None:
                self._remove_replica(collection)
                client = self._client()
                with suppress(StoreNotFound):
                    self._calling()(lambda: client.delete_collection(self._name))
                self._remove_home(collection)
            self._forget()
            self._place.clear()

    def close(self) -> None:
        """Let go of files, locks and connections."""
        with self._lock:
            if self._process not in (None, os.getpid()):
                return
            try:
                if self._opened is not None:
                    self._opened.replica.close()
            finally:
                self._forget()
                self._place.close()

    def _find(self) -> Collection | None:
        """The collection, if it is an index.

        :raises NotAStore: where it is another program's.
        """
        collection = self._look()
        if collection is not None and MANIFEST not in collection.metadata:
            if isinstance(self._place, Folder):
                self._place.close()
            raise foreign(self.address, self._name)
        return collection

    def _look(self) -> Collection | None:
        from retriever_chroma.collection import open_collection

        if not self._place.exists(self._name):
            return None
        return open_collection(self._client(), self._name, self._calling())

    def _manifest_of(self, collection: Collection) -> Manifest | None:
        manifest = parse_manifest(str(collection.metadata[MANIFEST]), self.address)
        if collection.space != "cosine":
            raise IndexMismatch(
                f"{self.address}: its collection compares by {collection.space!r}, an index of this package by "
                "'cosine'; make another with: retriever copy"
            )
        check_own(collection.embedding_function, manifest.embedding, self.address)
        return manifest

    def _open(self) -> _Opened:
        """What the store works with.

        :raises StoreNotFound: where there is no index.
        """
        self._check_process()
        with self._lock:
            if self._opened is None:
                manifest = self.read_manifest()
                collection = None if manifest is None else self._look()
                if manifest is None or collection is None:
                    raise StoreNotFound(f"{self.address} holds no index yet")
                self._place.check(self._name, collection.id)
                client, replica = self._client(), self._replica(collection, Rules.of(manifest))
                most = min(_MOST_RECORDS, self._calling()(client.get_max_batch_size))
                self._opened = _Opened(collection, replica, manifest, most if most > 0 else _MOST_RECORDS)
            return self._opened

    def _changed(self, manifest: Manifest) -> None:
        """Go on with another manifest."""
        opened = self._open()
        self._manifest = manifest
        replica = self._replica(opened.collection, Rules.of(manifest))
        self._opened = _Opened(opened.collection, replica, manifest, opened.most_records)

    def _client(self) -> ClientAPI:
        client = self._calling()(lambda: self._place.open(self._name))
        self._process = os.getpid()
        return client

    def _calling(self) -> Calling:
        from retriever_chroma.collection import Calling

        is_remote = self._place.timeout is not None
        repair = (
            "its files are damaged on the server, where they have to be repaired or restored" if is_remote else None
        )
        return Calling(self.address, self._place.secret, self._place.timeout, self._deadline, repair)

    def _replica(self, collection: Collection, rules: Rules) -> Replica:
        """The one that is open, or a new one; other rules build it anew."""
        key = (collection.id, self._reading.verbatim)
        replica = self._place.replicas.get(key)
        if replica is None or replica.rules != rules:
            if replica is not None:
                replica.close()
            home = self._place.home(collection.id)
            index = TantivyIndex(None if home is None else home / "keyword", rules.unit or 1.0)
            is_shared = self._place.timeout is not None
            unsettled = Unsettled(home / "unsettled") if is_shared and home is not None else None
            replica = Replica(index, collection, self._reading, rules, self._place.database(), unsettled)
            self._place.replicas[key] = replica
        return replica

    def _remove_replica(self, collection: Collection) -> None:
        """Also one that is being written elsewhere loses its collection: then its folder stays in the cache."""
        with suppress(StoreLocked):
            self._replica(collection, Rules(AnalyserConfig())).destroy()
        self._place.replicas.pop((collection.id, self._reading.verbatim), None)

    def _remove_home(self, collection: Collection) -> None:
        home = self._place.home(collection.id)
        if home is not None:
            with suppress(OSError):
                home.rmdir()

    def _forget(self) -> None:
        self._manifest = self._opened = self._process = None

    def _check_process(self) -> None:
        if self._process not in (None, os.getpid()):  # Chroma's threads did not come along: it would hang
            raise StoreError(f"{self.address} was opened before this process was forked: open it anew in here")


def _unit(vector: FloatVector) -> FloatVector:
    norm = float(np.linalg.norm(vector))
    return cast("FloatVector", (vector / norm if norm else vector).astype(np.float32))
