"""The store for every kind of Qdrant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.address import Address
from retriever.errors import ConfigurationError
from retriever.filters import Filter
from retriever.manifest import Manifest
from retriever.registry import raise_missing
from retriever.sparse.vector import SparseVector
from retriever.stores import Entry, KeepsSparse, Legs, Query, Record, Store
from retriever.types import Chunk, FloatVector
from retriever_qdrant.options import ServerOptions

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


class QdrantStore:
    """An index in Qdrant: embedded in a folder, or a collection on a server, on a cluster, in the cloud.

    ::

        QdrantStore("./index")                                       embedded; one process uses it at a time
        QdrantStore(client=QdrantClient(...), collection="handbook")  for those who hold a client
        QdrantStore.connect("db.example.org", "handbook")            a server
        QdrantStore.attach(client, "docs")                           a collection that another program filled

    :param path: of the folder; made by :meth:`create`.
    :param client: of a server, in place of a folder. It stays open when the store is closed.
    :param collection: name of the collection; needed with a client.
    :param options: for a server.
    :raises ConfigurationError: where it is neither or both, or the name cannot be one.
    :raises MissingExtra: where the library is not installed.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        client: QdrantClient | None = None,
        collection: str | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        if (path is None) == (client is None):
            raise ConfigurationError("a Qdrant store is in a folder or on a server: give a path or a client, not both")
        self._store: Store
        if client is not None:
            self._store = _held(client, collection, options)
        elif collection is not None or options is not None:
            raise ConfigurationError("collection and options are for a server; a folder holds one index without them")
        else:
            self._store = _embedded(Path(path or "."))

    @classmethod
    def connect(
        cls,
        host: str,
        collection: str,
        *,
        port: int | None = None,
        api_key: str | None = None,
        tls: bool | None = None,
        options: ServerOptions | None = None,
    ) -> QdrantStore:
        """The store on a server; nothing is connected yet.

        :param host: name or address, an IPv6 address in brackets.
        :param collection: name of the collection.
        :param port: 6334, the default, speaks gRPC, which is faster; any other, such as 6333, REST.
        :param api_key: the environment's ``QDRANT_API_KEY`` by default.
        :param tls: the environment's ``QDRANT_TLS`` (``1`` or ``0``) by default; without it, TLS is on where there is
            a key and the host is another machine.
        :param options: of the collection and of requests.
        :raises ConfigurationError: where the name cannot be one, or ``QDRANT_TLS`` is neither 1 nor 0.
        """
        try:
            from retriever_qdrant.connection import Connection, Endpoint
            from retriever_qdrant.server_store import ServerStore
        except ModuleNotFoundError as error:
            raise_missing("The store on a Qdrant server", error)
        settings = options or ServerOptions()
        endpoint = Endpoint.resolve(host, port, api_key, tls)
        return cls._over(ServerStore(Connection.to(endpoint, collection, settings), settings))

    @classmethod
    def attach(
        cls,
        client: QdrantClient,
        collection: str,
        *,
        text_key: str = "page_content",
        metadata_key: str | None = "metadata",
        vector: str = "",
        options: ServerOptions | None = None,
    ) -> QdrantStore:
        """Hybrid search on a collection that LangChain, or the client alone, has filled.

        A sparse vector is added to its points when the index is made; payloads and dense vectors are not changed. The
        store is read only. Its manifest is a file in the user's cache folder.

        :param client: of the server. It stays open when the store is closed.
        :param collection: name of the collection.
        :param text_key: of the payload, holds the text.
        :param metadata_key: of the payload, holds the metadata; None where they lie beside the text.
        :param vector: name of the dense vector; empty for the one without a name.
        :param options: for requests.
        :raises ConfigurationError: where the name cannot be one.
        """
        from retriever_qdrant.attached import AttachedStore
        from retriever_qdrant.connection import Connection
        from retriever_qdrant.foreign import ForeignLayout

        connection = Connection.over(client, collection, options or ServerOptions())
        return cls._over(AttachedStore(connection, ForeignLayout(text_key, metadata_key, vector)))

    @classmethod
    def from_address(cls, address: Address) -> QdrantStore:
        """The store at an address.

        :param address: ``qdrant:PATH`` for a folder, ``qdrant://HOST[:PORT]/COLLECTION`` for a server; as
            :meth:`connect` has it, with key and TLS from the environment.
        :raises ConfigurationError: where it names no folder or no collection.
        """
        if address.host is not None:
            return cls.connect(address.host, address.path, port=address.port)
        if not address.path:
            raise ConfigurationError(f"{address}: which folder? Write qdrant:./index")
        return cls(address.path)

    @classmethod
    def _over(cls, store: Store) -> QdrantStore:
        front = cls.__new__(cls)
        front._store = store
        return front

    @property
    def address(self) -> str:
        """``qdrant:PATH`` or ``qdrant://HOST:PORT/COLLECTION``."""
        return self._store.address

    def read_manifest(self) -> Manifest | None:
        """The manifest, or None where nothing, or only the beginning of an index, is there."""
        return self._store.read_manifest()

    def create(self, manifest: Manifest) -> None:
        """Make an empty index."""
        self._store.create(manifest)

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest; payload indexes follow its filter fields."""
        self._store.write_manifest(manifest)

    def count(self, filter: Filter | None = None) -> int:  # noqa: A002
        """How many records match."""
        return self._store.count(filter)

    def upsert(self, records: Sequence[Record]) -> None:
        """Write records, in batches of bounded count and size."""
        self._store.upsert(records)

    def rewrite(self, chunks: Sequence[Chunk]) -> None:
        """Replace payloads; vectors stay."""
        self._store.rewrite(chunks)

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove records."""
        self._store.delete(chunk_ids)

    def entries(self, filter: Filter | None = None) -> Iterator[Entry]:  # noqa: A002
        """The ledger."""
        return self._store.entries(filter)

    def search(self, query: Query) -> Legs:
        """All legs in one call, one round trip to a server."""
        return self._store.search(query)

    def key(self, chunk_id: str) -> str:
        """A UUID made from the chunk id."""
        return self._store.key(chunk_id)

    def fetch(self, keys: Sequence[str]) -> dict[str, Chunk]:
        """Chunks by key."""
        return self._store.fetch(keys)

    def vectors(self, keys: Sequence[str]) -> dict[str, FloatVector]:
        """Vectors by key."""
        return self._store.vectors(keys)

    def sparse_vectors(self, keys: Sequence[str]) -> dict[str, SparseVector]:
        """Learned sparse vectors by key; an attached collection has none."""
        return self._store.sparse_vectors(keys) if isinstance(self._store, KeepsSparse) else {}

    def optimise(self) -> None:
        """Build what makes searches quick, where there is something to build."""
        self._store.optimise()

    def destroy(self) -> None:
        """Remove the index and nothing else."""
        self._store.destroy()

    def close(self) -> None:
        """Let go of the folder or of the connection."""
        self._store.close()


def _embedded(path: Path) -> Store:
    try:
        from retriever_qdrant.edge_store import EdgeStore
    except ModuleNotFoundError as error:
        raise_missing("The embedded Qdrant store", error)
    return EdgeStore(path)


def _held(client: QdrantClient, collection: str | None, options: ServerOptions | None) -> Store:
    from retriever_qdrant.connection import Connection
    from retriever_qdrant.server_store import ServerStore

    if collection is None:
        raise ConfigurationError("with a client the store needs the name of a collection: collection='handbook'")
    settings = options or ServerOptions()
    return ServerStore(Connection.over(client, collection, settings), settings)
