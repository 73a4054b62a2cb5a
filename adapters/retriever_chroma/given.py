"""The place of a client that a program has already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retriever.errors import ConfigurationError
from retriever_chroma.folder import Folder
from retriever_chroma.place import Memory, Place
from retriever_chroma.server import given_server

if TYPE_CHECKING:
    from chromadb.api import ClientAPI


def place_of(client: ClientAPI, timeout: float) -> Place:
    """Where a client works.

    :param client: of chromadb, open.
    :param timeout: seconds that a request to a server may wait.
    :raises ConfigurationError: for anything else than a client of chromadb.
    """
    settings = getattr(client, "get_settings", lambda: None)()
    if settings is None or not hasattr(client, "get_collection"):
        raise ConfigurationError(f"a Chroma store takes a client of chromadb, not a {type(client).__name__}")
    if "async" in str(settings.chroma_api_impl):
        raise ConfigurationError("a Chroma store takes no asynchronous client: give chromadb.HttpClient(...)")
    if settings.chroma_server_host:
        return given_server(client, timeout)
    if settings.is_persistent:
        return Folder(Path(settings.persist_directory), client)
    return Memory(client)
