"""A collection that another program filled, searched as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from retriever.errors import ConfigurationError, IndexMismatch, StoreError, StoreNotFound
from retriever.keyword.analyser import Analyser
from retriever.manifest import Manifest, parse_manifest, write_manifest_file
from retriever.stores import Record
from retriever.types import Chunk
from retriever_chroma.convert import MANIFEST, Reading
from retriever_chroma.store import ChromaStore

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from retriever_chroma.collection import Collection


class AttachedStore(ChromaStore):
    """A collection that langchain-chroma, LlamaIndex or plain chromadb filled; :meth:`ChromaStore.attach` makes one.

    It is read and never changed: the manifest and the keyword index lie beside it. A record is a chunk whose document
    is itself; of its metadata what this package has no type for is left out.

    :param client: of chromadb, already open.
    :param collection: its name.
    :param timeout: seconds that a request to a server may wait.
    :param deadline: seconds that all attempts of a call may take together.
    """

    def __init__(self, client: ClientAPI, collection: str, *, timeout: float = 10.0, deadline: float = 30.0) -> None:
        super().__init__(client, collection, timeout=timeout, deadline=deadline)
        self._reading = Reading(verbatim=True)
        self._kept: Manifest | None = None  # in memory there is no file

    def create(self, manifest: Manifest) -> None:
        """Build the keyword index, and keep the manifest beside it.

        :raises StoreNotFound: where there is no such collection.
        :raises IndexMismatch: where its vectors have another dimension than the manifest's.
        """
        with self._lock:
            if self.read_manifest() is not None:
                raise StoreError(f"{self.address} is attached already; destroy that first, which leaves the collection")
            collection = self._look()
            if collection is None:
                raise StoreNotFound(f"{self.address}: there is no collection {self._name!r} to attach")
            dimension = collection.dimension
            if dimension not in (None, manifest.embedding.dimension):
                raise IndexMismatch(
                    f"{self.address} holds vectors of {dimension} dimensions, the embedding function "
                    f"{manifest.embedding.kind!r} makes {manifest.embedding.dimension}; name the one that filled it"
                )
            self._replica(collection, Analyser(manifest.analyser)).sync()
            self._keep(manifest, collection)  # last: it says that the rest is there

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest beside the collection."""
        with self._lock:
            self._keep(manifest, self._open().collection)
            self._changed(manifest)

    def upsert(self, records: Sequence[Record]) -> None:
        """Refused."""
        self._refuse(records)

    def rewrite(self, chunks: Sequence[Chunk]) -> None:
        """Refused."""
        self._refuse(chunks)

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Refused."""
        self._refuse(chunk_ids)

    def destroy(self) -> None:
        """Remove the keyword index and the manifest; the collection stays as it is."""
        self._check_process()
        with self._lock:
            collection = self._look()
            if collection is not None:
                file = self._manifest_file(collection)
                if file is not None:
                    file.unlink(missing_ok=True)
                self._remove_replica(collection)
                self._remove_home(collection)
            self._kept = None
            self._forget()
            self._place.clear()

    def _look(self) -> Collection | None:
        collection = super()._look()
        if collection is not None and MANIFEST in collection.metadata:
            raise ConfigurationError(
                f"{self.address} is an index already: open it as ChromaStore(client, {self._name!r})"
            )
        return collection

    def _find(self) -> Collection | None:
        return self._look()

    def _manifest_of(self, collection: Collection) -> Manifest | None:
        file = self._manifest_file(collection)
        if file is None:
            return self._kept
        try:
            return parse_manifest(file.read_text("utf-8", errors="replace"), self.address)
        except FileNotFoundError:
            return None

    def _keep(self, manifest: Manifest, collection: Collection) -> None:
        file = self._manifest_file(collection)
        if file is None:
            self._kept = manifest
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        write_manifest_file(file, manifest)

    def _manifest_file(self, collection: Collection) -> Path | None:
        home = self._place.home(collection.id)
        return None if home is None else home / "manifest.json"

    def _refuse(self, records: Sequence[object]) -> NoReturn:
        raise StoreError(
            f"{self.address} belongs to another program and is only read; {len(records)} changes were refused. For an "
            f"index of your own: retriever.copy_index(ChromaStore.attach(client, {self._name!r}), 'chroma:./index')"
        )
