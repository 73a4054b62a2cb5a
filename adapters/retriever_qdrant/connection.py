"""The way to a Qdrant server: where it is, a client that is made when it is needed, and one place for every call."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from qdrant_client import QdrantClient

from retriever.errors import ConfigurationError, StoreError
from retriever.retrying import retried
from retriever_qdrant.options import ServerOptions
from retriever_qdrant.server_errors import server_errors

T = TypeVar("T")

GRPC_PORT = 6334
REST_PORT = 6333
OLDEST = (1, 16)
"""The first version that keeps metadata with a collection."""

_CLIENT_TIMEOUT = 5  # seconds that a client has without being told
_LONGEST_NAME = 255
_SHORTEST_SECRET = 6  # of the values of headers; shorter ones would riddle messages
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_KEY = re.compile(r"[\x21-\x7e]+")
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, and how it is spoken to.

    :param host: name or address.
    :param port: 6334 speaks gRPC, any other REST.
    :param tls: whether the connection is encrypted.
    :param api_key: sent with every request.
    """

    host: str
    port: int
    tls: bool
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def resolve(cls, host: str, port: int | None, api_key: str | None, tls: bool | None) -> Endpoint:
        """Fill in what was not said from the environment.

        :param host: name or address.
        :param port: None for gRPC's.
        :param api_key: None for ``QDRANT_API_KEY``.
        :param tls: None for ``QDRANT_TLS``; without it on where there is a key and the host is another machine.
        :raises ConfigurationError: where either of them makes no sense.
        """
        key = (os.environ.get("QDRANT_API_KEY", "") if api_key is None else api_key).strip() or None
        if key is not None and not _KEY.fullmatch(key):
            raise ConfigurationError("the API key for Qdrant holds a space or a character that no key has")
        if tls is None:
            tls = _tls_from_environment()
        if tls is None:
            tls = key is not None and not _is_loopback(host)
        return cls(host, GRPC_PORT if port is None else port, tls, key)

    def client(self, timeout: int) -> QdrantClient:
        """A client; it connects with its first request.

        :param timeout: seconds a request.
        """
        by_grpc = self.port == GRPC_PORT
        return QdrantClient(
            host=self.host,
            port=REST_PORT if by_grpc else self.port,
            grpc_port=GRPC_PORT,
            prefer_grpc=by_grpc,
            https=self.tls,
            timeout=timeout,
            # As a header, since the client warns of a key without TLS, which is a matter of course on this machine.
            headers=None if self.api_key is None else {"api-key": self.api_key},
            check_compatibility=False,  # it would ask in a thread of its own, and only warn
        )


class Connection:
    """A client and the name of a collection. Every call goes through :meth:`call`.

    :param address: of the store, for messages.
    :param collection: name of the collection.
    :param make: makes a client; it is closed with the connection.
    :param client: in place of ``make``; it is left open.
    :param timeout: seconds a request, as the client keeps it.
    :param deadline: seconds for a request with its retries.
    :param secrets: that no message shows.
    :raises ConfigurationError: where the name cannot be that of a collection.
    """

    def __init__(
        self,
        address: str,
        collection: str,
        *,
        make: Callable[[], QdrantClient] | None = None,
        client: QdrantClient | None = None,
        timeout: float,
        deadline: float,
        secrets: frozenset[str] = frozenset(),
    ) -> None:
        _check_name(collection)
        self.address = address
        self.collection = collection
        self.is_local = client is not None and _is_local(client)
        self._make = make
        self._client = client
        self._timeout = timeout
        self._deadline = deadline
        self._secrets = secrets
        self._version: tuple[int, int] | None = None
        self._process: int | None = None
        self._lock = threading.RLock()

    @classmethod
    def to(cls, endpoint: Endpoint, collection: str, options: ServerOptions) -> Connection:
        """The connection to a server.

        :param endpoint: where it is.
        :param collection: name of the collection.
        :param options: with timeout and deadline.
        """
        return cls(
            f"qdrant://{endpoint.host}:{endpoint.port}/{collection}",
            collection,
            make=lambda: endpoint.client(options.timeout),
            timeout=options.timeout,
            deadline=options.deadline,
            secrets=frozenset(filter(None, [endpoint.api_key])),
        )

    @classmethod
    def over(cls, client: QdrantClient, collection: str, options: ServerOptions) -> Connection:
        """A connection over somebody's client.

        :param client: stays open when the connection is closed.
        :param collection: name of the collection.
        :param options: with the deadline.
        """
        given = client.init_options
        return cls(
            _address_of(client, collection),
            collection,
            client=client,
            timeout=given.get("timeout") or _CLIENT_TIMEOUT,
            deadline=options.deadline,
            secrets=frozenset(value for value in _credentials(given) if len(value) >= _SHORTEST_SECRET),
        )

    def call(self, request: Callable[[QdrantClient], T], *, retry: bool = True) -> T:
        """Ask the server, again where that may help, until the deadline.

        :param request: may be repeated.
        :param retry: False for one attempt only.
        :return: what the request returns.
        :raises StoreError: one of its kinds; messages hold no secret.
        """

        def attempt() -> T:
            with server_errors(self.address, self._secrets):
                client = self._open()
                if not self.is_local:
                    return request(client)
                with self._lock:  # the local mode is not made for threads
                    return request(client)

        return retried(attempt, deadline=self._deadline if retry else 0.0, timeout=self._timeout)

    def require(self, version: tuple[int, int], what: str) -> None:
        """Check that the server is new enough.

        :param version: needed.
        :param what: what needs it, for the message.
        :raises StoreError: naming both versions.
        """
        self.call(lambda _: None)
        found = self._version or OLDEST
        if found < version:
            raise StoreError(
                f"{self.address} runs Qdrant {_dotted(found)}, and {what} needs {_dotted(version)} or newer: "
                "upgrade the server"
            )

    def close(self) -> None:
        """Let go of a client of our own. The next call makes another."""
        with self._lock:
            if self._make is not None and self._client is not None:
                client, self._client = self._client, None
                client.close()
            self._version = None

    def _open(self) -> QdrantClient:
        with self._lock:
            if self._client is None and self._make is not None:
                self._client = self._make()
                self._process = os.getpid()
            if self._process not in (None, os.getpid()):  # connections are no good in two processes
                raise StoreError(f"{self.address} was opened before this process was forked: open it anew in here")
            if self._client is None:
                raise StoreError(f"{self.address} has no client")
            client = self._client
        if self._version is None:  # asked without the lock: threads that wait for a server wait side by side
            self._version = self._checked_version(client)
        return client

    def _checked_version(self, client: QdrantClient) -> tuple[int, int]:
        said = client.info().version
        match = _VERSION.match(said.removeprefix("v"))
        version = (int(match[1]), int(match[2])) if match else OLDEST
        if version < OLDEST:
            raise StoreError(
                f"{self.address} runs Qdrant {said}, this program needs {_dotted(OLDEST)} or newer: upgrade the server"
            )
        return version


def _credentials(settings: Mapping[str, Any]) -> list[str]:
    """What a client's settings hold that may be secret."""
    return [settings.get("api_key") or "", *(settings.get("headers") or {}).values()]


def _tls_from_environment() -> bool | None:
    said = os.environ.get("QDRANT_TLS", "").strip()
    if said not in ("", "0", "1"):
        raise ConfigurationError(f"QDRANT_TLS is {said!r}: write 1 for TLS, 0 for none")
    return said == "1" if said else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_name(collection: str) -> None:
    wrong = _NOT_IN_NAMES.search(collection)
    if not collection or collection in (".", ".."):
        raise ConfigurationError("which collection? Write qdrant://HOST:PORT/NAME, or collection='NAME'")
    if wrong or len(collection) > _LONGEST_NAME:
        problem = f"holds {wrong[0]!r}" if wrong else f"is longer than {_LONGEST_NAME} characters"
        raise ConfigurationError(f"{collection[:80]!r} cannot be the name of a Qdrant collection: it {problem}")


def _is_local(client: QdrantClient) -> bool:
    return client.init_options.get("location") == ":memory:" or client.init_options.get("path") is not None


def _address_of(client: QdrantClient, collection: str) -> str:
    """From the settings of a client, without user, password or key."""
    given = client.init_options
    if _is_local(client):
        return f"qdrant:{given.get('path') or ':memory:'}#{collection}"
    url = given.get("url") or given.get("location") or ""
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = parts.hostname or given.get("host") or "localhost"
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    port = given["grpc_port"] if given.get("prefer_grpc") else parts.port or given.get("port") or REST_PORT
    return f"qdrant://{host}:{port}/{collection}"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
