"""Where the stores of a scenario are: each index gets an empty place, which is removed afterwards."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from retriever.address import parse_address
from retriever.errors import ConfigurationError, StoreError, StoreUnavailable
from retriever.opening import resolve_store
from retriever.registry import raise_missing
from retriever.stores import Store

_PORTS = {"chroma": 8000, "qdrant": 6334}
_PATIENCE = 2.0  # seconds until a server must take a connection


@contextmanager
def _edge(folder: Path, _: str) -> Iterator[Store]:
    yield resolve_store(f"qdrant:{folder / 'index'}")


@contextmanager
def _memory(_: Path, __: str) -> Iterator[Store]:
    yield resolve_store("memory:")


@contextmanager
def _chroma(folder: Path, _: str) -> Iterator[Store]:
    yield resolve_store(f"chroma:{folder / 'index'}")


@contextmanager
def _chroma_memory(_: Path, __: str) -> Iterator[Store]:
    yield resolve_store("chroma::memory:")


@contextmanager
def _chroma_server(folder: Path, name: str) -> Iterator[Store]:
    from retriever.testing.servers import chroma_server

    with chroma_server(folder / "server") as server:
        yield resolve_store(f"chroma://127.0.0.1:{server.port}/{name}")


@contextmanager
def _qdrant_local(_: Path, name: str) -> Iterator[Store]:
    try:
        from qdrant_client import QdrantClient
    except ModuleNotFoundError as error:
        raise_missing("the store qdrant-local", error)
    from retriever_qdrant import QdrantStore

    with closing(QdrantClient(":memory:")) as client:
        yield QdrantStore(client=client, collection=name)


PLACES: Mapping[str, Callable[[Path, str], AbstractContextManager[Store]]] = {
    "edge": _edge,
    "memory": _memory,
    "chroma": _chroma,
    "chroma-memory": _chroma_memory,
    "chroma-server": _chroma_server,
    "qdrant-local": _qdrant_local,
}
"""``edge`` is embedded Qdrant, ``chroma-server`` is ``chroma run`` on this machine, and ``qdrant-local`` is
qdrant-client's own imitation of a server, brute force in Python: for answers, not for speed."""

SERVICES = {"chroma-service": "chroma://127.0.0.1:8000", "qdrant-service": "qdrant://127.0.0.1:6334"}
"""What ``make services`` starts."""


def check_place(name: str) -> None:
    """Say at once where a store cannot be had.

    :param name: of :data:`PLACES` or :data:`SERVICES`, or the address of a server: ``qdrant://HOST:PORT``.
    :raises ConfigurationError: for a name that is none of them.
    :raises StoreUnavailable: where no server takes a connection.
    """
    if name in PLACES:
        return
    address = parse_address(SERVICES.get(name, name))
    if address.host is None or address.scheme not in _PORTS:
        raise ConfigurationError(
            f"{name!r} is no store: write one of {', '.join([*PLACES, *SERVICES])}, or the address of a server, "
            "chroma://HOST:PORT or qdrant://HOST:PORT"
        )
    port = address.port or _PORTS[address.scheme]
    try:
        socket.create_connection((address.host.strip("[]"), port), _PATIENCE).close()
    except OSError as error:
        raise StoreUnavailable(f"nothing answers at {address.scheme}://{address.host}:{port}: {error}") from error


@contextmanager
def empty_place(name: str, collection: str, parent: Path | None = None) -> Iterator[Store]:
    """An empty store, removed afterwards.

    :param name: as for :func:`check_place`.
    :param collection: its name on a server; what an interrupted run has left under it is deleted first.
    :param parent: folder in which those in folders are made; the system's temporary one by default.
    :raises StoreError: where it cannot be had.
    """
    with (
        TemporaryDirectory(prefix="retriever-benchmark-", dir=parent, ignore_cleanup_errors=True) as folder,
        PLACES.get(name, _server(name))(Path(folder), collection) as store,
    ):
        try:
            yield store
        finally:
            store.close()


def _server(name: str) -> Callable[[Path, str], AbstractContextManager[Store]]:
    @contextmanager
    def place(_: Path, collection: str) -> Iterator[Store]:
        prefix = re.sub(r"/$", "", SERVICES.get(name, name))
        store = resolve_store(f"{prefix}-{collection}" if parse_address(prefix).path else f"{prefix}/{collection}")
        with suppress(StoreError):  # there is none, as a rule
            store.destroy()
        try:
            yield store
        finally:
            store.destroy()

    return place
