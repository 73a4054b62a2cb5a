"""A collection that another program filled, searched as it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from retriever.embedding import EmbeddingFunction
from retriever.errors import ConfigurationError, IndexMismatch, StoreError, StoreNotFound
from retriever.identity import describe_embedding
from retriever.manifest import Manifest, parse_manifest, write_manifest_file
from retriever.stores import Record
from retriever.types import Chunk
from retriever_chroma.configuration import build, check_described, digest, named
from retriever_chroma.convert import MANIFEST, Reading
from retriever_chroma.rules import Rules
from retriever_chroma.store import ChromaStore

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from retriever_chroma.collection import Collection


_MANIFEST = "manifest.json"
_CONFIGURATION = "configuration.sha256"


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
        self._kept: tuple[Manifest, str] | None = None  # in memory there are no files

    def recorded_embedding(self) -> EmbeddingFunction | None:
        """The embedding function of this package that the collection's configuration describes, built and verified.

        :return: None where there is no collection, or its configuration names no function.
        :raises ConfigurationError: where it names another program's, which is never built.
        :raises IndexMismatch: where the model that is here gives other vectors.
        """
        collection = self._look()
        said = None if collection is None else named(collection.embedding_function, self.address)
        if said is None:
            return None
        if not said.is_ours:
            raise ConfigurationError(
                f"{self.address}: its configuration names the embedding function {said.shown}, which is not of "
                "this package and is not built: say which model filled the collection, with embedding=... "
                "(--embedding on the command line)"
            )
        return build(said.config, f"{self.address}: the configuration")

    def create(self, manifest: Manifest) -> None:
        """Build the keyword index, and keep the manifest beside it.

        :raises StoreNotFound: where there is no such collection.
        :raises IndexMismatch: where its configuration describes another function of ours than the manifest, or its
            vectors have another dimension.
        """
        with self._lock:
            if self.read_manifest() is not None:
                raise StoreError(f"{self.address} is attached already; destroy that first, which leaves the collection")
            if manifest.sparse is not None:
                raise ConfigurationError(
                    f"{self.address} belongs to another program, and has no learned sparse vectors: leave sparse out, "
                    "or make an index of your own with retriever.copy_index(..., sparse=...)"
                )
            collection = self._look()
            if collection is None:
                raise StoreNotFound(f"{self.address}: there is no collection {self._name!r} to attach")
            said = named(collection.embedding_function, self.address)
            if said is not None and said.is_ours:
                check_described(said, manifest.embedding, self.address)
            dimension = collection.dimension
            if dimension not in (None, manifest.embedding.dimension):
                raise IndexMismatch(
                    f"{self.address} holds vectors of {dimension} dimensions, the embedding function "
                    f"{manifest.embedding.kind!r} makes {manifest.embedding.dimension}; name the one that filled it"
                )
            self._replica(collection, Rules.of(manifest)).sync()
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
                home = self._place.home(collection.id)
                if home is not None:
                    (home / _MANIFEST).unlink(missing_ok=True)
                    (home / _CONFIGURATION).unlink(missing_ok=True)
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
        kept = self._read(collection)
        if kept is None:
            return None
        manifest, configuration = kept
        said = named(collection.embedding_function, self.address)
        if said is not None and said.is_ours:
            check_described(said, manifest.embedding, self.address)
        elif configuration not in (None, digest(said)):
            raise IndexMismatch(
                f"{self.address}: since it was attached, another program stored "
                f"{'no embedding function' if said is None else f'the embedding function {said.shown}'} in the "
                f"collection's configuration, and it was attached with {describe_embedding(manifest.embedding)}: bring "
                f"the former configuration back; or forget the attachment, which leaves the collection as it is, with "
                f"ChromaStore.attach(client, {self._name!r}).destroy(), and attach it again"
            )
        return manifest

    def _read(self, collection: Collection) -> tuple[Manifest, str | None] | None:
        """The manifest, and the digest of the configuration when it was attached; None where it is not attached."""
        home = self._place.home(collection.id)
        if home is None:
            return self._kept
        try:
            text = (home / _MANIFEST).read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return None
        configuration = home / _CONFIGURATION  # not there where an earlier version attached it
        return parse_manifest(text, self.address), configuration.read_text() if configuration.is_file() else None

    def _keep(self, manifest: Manifest, collection: Collection) -> None:
        configuration = digest(named(collection.embedding_function, self.address))
        home = self._place.home(collection.id)
        if home is None:
            self._kept = manifest, configuration
            return
        home.mkdir(parents=True, exist_ok=True)
        _replace(home / _CONFIGURATION, configuration)
        write_manifest_file(home / _MANIFEST, manifest)

    def _refuse(self, records: Sequence[object]) -> NoReturn:
        raise StoreError(
            f"{self.address} belongs to another program and is only read; {len(records)} changes were refused. For an "
            f"index of your own: retriever.copy_index(ChromaStore.attach(client, {self._name!r}), 'chroma:./index')"
        )


def _replace(path: Path, text: str) -> None:
    """Others may be reading it, and this process may be killed."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
