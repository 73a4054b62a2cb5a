"""Real folders, real servers, and servers that misbehave."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromadb
import chromadb.api
import pytest

from retriever.testing.servers import Server, chroma_server
from retriever_chroma import ChromaStore
from retriever_chroma.replica import Replica

sys.path.append(str(Path(__file__).parent))  # with --import-mode=importlib pytest leaves it out
from chroma_samples import make_manifest


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CHROMA_API_KEY", "CHROMA_TENANT", "CHROMA_DATABASE", "CHROMA_TLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas look at the server before every search. Ask for it first: a replica keeps the time of its next look."""
    monkeypatch.setattr(Replica, "INTERVAL", 0.0)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with chroma_server() as running:
        yield running


@pytest.fixture
def http_client(server: Server) -> Iterator[chromadb.api.ClientAPI]:
    """chromadb's own, whose ``close`` leaves its connections open."""
    client = chromadb.HttpClient(server.host, server.port)
    yield client
    client.close()
    for part in (client, client._admin_client):
        part._server._session.close()


@pytest.fixture(params=["memory", "folder", "server"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[chromadb.api.ClientAPI]:
    """A client of chromadb for each of the places."""
    if request.param == "server":
        yield request.getfixturevalue("http_client")
        return
    opened = chromadb.EphemeralClient() if request.param == "memory" else chromadb.PersistentClient(tmp_path / "db")
    yield opened
    opened.close()


@pytest.fixture
def open_store() -> Iterator[Callable[..., ChromaStore]]:
    """Opens stores that the test may leave open."""
    stores: list[ChromaStore] = []

    def build(*arguments: Any, **options: Any) -> ChromaStore:
        stores.append(ChromaStore(*arguments, **options))
        return stores[-1]

    yield build
    for store in stores:
        store.close()


@pytest.fixture
def store(tmp_path: Path, open_store: Callable[..., ChromaStore]) -> ChromaStore:
    """An empty index in a folder."""
    store = open_store(path=tmp_path / "index")
    store.create(make_manifest())
    return store
