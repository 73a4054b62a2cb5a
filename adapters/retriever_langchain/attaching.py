"""Collections that langchain-chroma and langchain-qdrant filled, found by what their users pass to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retriever import ConfigurationError
from retriever.registry import raise_missing
from retriever.stores import Store

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from qdrant_client import QdrantClient


def chroma_collection(
    name: str, client: ClientAPI | None, folder: str | None, host: str | None, port: int, ssl: bool
) -> Store:
    """The store over a collection of langchain-chroma; nothing in it is ever changed.

    :param name: of the collection.
    :param client: of chromadb, or one of the following.
    :param folder: what langchain-chroma calls ``persist_directory``.
    :param host: of a server.
    :param port: of the server.
    :param ssl: whether the server speaks TLS.
    :raises ConfigurationError: where it is not exactly one place.
    """
    if sum(place is not None for place in (client, folder, host)) != 1:
        raise ConfigurationError("where is the collection? Give one of client, persist_directory and host")
    try:
        import chromadb
        from chromadb.config import Settings


        from retriever_chroma import ChromaStore
    except ModuleNotFoundError as error:
        raise_missing("A collection of Chroma", error)
    if client is None:
        settings = Settings(anonymized_telemetry=False)
        client = (
            chromadb.PersistentClient(folder, settings)
            if folder is not None
            else chromadb.HttpClient(host or "", port, ssl, settings=settings)
        )
    return ChromaStore.attach(client, name)


def qdrant_collection(
    name: str,
    client: QdrantClient | None,
    content_key: str,
    metadata_key: str | None,
    vector: str,
    connection: dict[str, Any],
) -> Store:
    """The store over a collection of langchain-qdrant; payloads and dense vectors in it are never changed.

    :param name: of the collection.
    :param client: of the server, or:
    :param connection: arguments of ``QdrantClient``.
    :param content_key: of the payload, holds the text.
    :param metadata_key: of the payload, holds the metadata.
    :param vector: name of the dense vector; empty for the one without a name.
    :raises ConfigurationError: where there are both a client and arguments of one, or neither.
    """
    if (client is None) == (not connection):
        raise ConfigurationError("where is the collection? Give a client, or what QdrantClient takes, such as url=")
    try:
        from qdrant_client import QdrantClient

        from retriever_qdrant import QdrantStore
    except ModuleNotFoundError as error:
        raise_missing("A collection of Qdrant", error)
    client = client if client is not None else QdrantClient(**connection)
    return QdrantStore.attach(client, name, text_key=content_key, metadata_key=metadata_key, vector=vector)
