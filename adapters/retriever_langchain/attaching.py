"""Collections that langchain-chroma and langchain-qdrant filled, found by what their users pass to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retriever import ConfigurationError, StoreLocked, StoreNotFound
from retriever.registry import raise_missing
from retriever.stores import Store

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from qdrant_client import QdrantClient

    from retriever_chroma.place import Place

_CHROMA = "A collection of Chroma"
_QDRANT = "A collection of Qdrant"


class Attachment:
    """A collection that another program filled; its client is made when it is needed, and closed if it was made here.

    :param name: for messages, without secrets.
    :param attach: makes the store; what it enters into the stack is closed with it.
    """

    def __init__(self, name: str, attach: Callable[[ExitStack], Store]) -> None:
        self._name = name
        self._attach = attach
        self._made = ExitStack()

    def open(self) -> Store:
        """The store over the collection."""
        return self._attach(self._made)

    def close(self) -> None:
        """Close the client."""
        self._made.close()

    def __str__(self) -> str:
        return self._name


def chroma_collection(
    name: str, client: ClientAPI | None, folder: str | Path | None, host: str | None, port: int, ssl: bool
) -> Attachment:
    """A collection of langchain-chroma; nothing in it is ever changed.

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
        from retriever_chroma import ChromaStore
        from retriever_chroma.folder import Folder
        from retriever_chroma.server import server_place
        from retriever_chroma.sqlite import FILE
    except ModuleNotFoundError as error:
        raise_missing(_CHROMA, error)

    def attach(made: ExitStack) -> Store:
        if client is not None:
            return ChromaStore.attach(client, name)
        place: Place
        if host is not None:
            place = server_place(host, port, tls=ssl or None)
        else:
            place = Folder(Path(folder or ""))
            if not (place.path / FILE).is_file():  # Chroma would make it
                raise StoreNotFound(f"there is no Chroma in {folder}: check persist_directory")
        made.callback(place.close)
        return ChromaStore.attach(place.open(name), name)

    return Attachment(f"{name} of langchain-chroma", attach)


def qdrant_collection(
    name: str,
    client: QdrantClient | None,
    content_key: str,
    metadata_key: str | None,
    vector: str,
    connection: dict[str, Any],
) -> Attachment:
    """A collection of langchain-qdrant; payloads and dense vectors in it are never changed.

    :param name: of the collection.
    :param client: of the server, or:
    :param connection: arguments of ``QdrantClient``.
    :param content_key: of the payload, holds the text.
    :param metadata_key: of the payload, holds the metadata.
    :param vector: name of the dense vector; empty for the one without a name.
    :raises ConfigurationError: where there are both a client and arguments of one, or neither, or unknown ones.
    """
    try:
        from qdrant_client import QdrantClient

        from retriever_qdrant import QdrantStore
    except ModuleNotFoundError as error:
        raise_missing(_QDRANT, error)
    known = inspect.signature(QdrantClient).parameters.keys() - {"kwargs"}
    if unknown := sorted(connection.keys() - known):  # the client would take them without a word
        raise ConfigurationError(f"neither from_qdrant nor QdrantClient takes {', '.join(unknown)}")
    if (client is None) == (not connection):
        raise ConfigurationError("where is the collection? Give a client, or what QdrantClient takes, such as url=")

    def attach(made: ExitStack) -> Store:
        used = client
        if used is None:
            used = _qdrant_client(connection)
            made.callback(used.close)
        return QdrantStore.attach(used, name, text_key=content_key, metadata_key=metadata_key, vector=vector)

    return Attachment(f"{name} of langchain-qdrant", attach)


def _qdrant_client(connection: dict[str, Any]) -> QdrantClient:
    from qdrant_client import QdrantClient

    path = connection.get("path")
    if path is not None and not (Path(path) / "meta.json").is_file():  # the client would make it
        raise StoreNotFound(f"there are no collections of qdrant-client in {path}: check path")
    try:
        return QdrantClient(**{"check_compatibility": False, **connection})  # it would ask, and only warn
    except RuntimeError as error:
        raise StoreLocked(f"{path or 'Qdrant'} is open elsewhere: pass that client, or close it first") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError("QdrantClient does not take these arguments: see the cause of this error") from error
