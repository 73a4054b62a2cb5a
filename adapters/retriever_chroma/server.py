"""A Chroma on a server or in the cloud."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from retriever.cache_folder import cache_folder
from retriever.errors import ConfigurationError
from retriever_chroma.sqlite import Database

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.config import Settings

    from retriever_chroma.replica import Replica

CLOUD_HOST = "api.trychroma.com"
_LOOPBACK = {"localhost", "127.0.0.1", "::1", "[::1]"}
_TOKENS = "chromadb.auth.token_authn.TokenAuthClientProvider"


@dataclass(slots=True)
class Server:
    """A place on a server.

    :param host: its name.
    :param port: of its HTTP interface.
    :param tls: whether to encrypt.
    :param tenant: None for the key's, else the default.
    :param name: of the tenant's database; None for the key's, else the default.
    :param secret: the key.
    :param timeout: seconds that a request may wait for the server.
    :param settings: of a client that was given, which hold all of the above.
    """

    host: str
    port: int
    tls: bool
    tenant: str | None = None
    name: str | None = None
    secret: str | None = field(default=None, repr=False)
    timeout: float | None = 10.0
    settings: Settings | None = field(default=None, repr=False)
    replicas: dict[tuple[str, bool], Replica] = field(default_factory=dict, repr=False)
    _client: ClientAPI | None = field(default=None, repr=False)

    def address(self, collection: str) -> str:
        """``chroma://HOST:PORT/COLLECTION``."""
        return f"chroma://{self._netloc}/{collection}"

    def exists(self, collection: str) -> bool:  # noqa: ARG002 - nobody but the server knows
        """True: the server has to be asked."""
        return True

    def open(self, collection: str) -> ClientAPI:
        """The client. A given one is not used: it would wait for ever."""
        if self._client is None:
            from retriever_chroma.client import server_client

            self._client = server_client(
                self.settings or self._settings(),
                tenant=self.tenant,
                database=self.name,
                timeout=self.timeout or 0.0,
                where=self.address(collection),
            )
        return self._client

    def check(self, collection: str, collection_id: str) -> None:
        """The server says so itself."""

    def home(self, collection_id: str) -> Path | None:
        """A folder in the user's cache."""
        facts = "\n".join((self._netloc, self.tenant or "", self.name or ""))
        digest = hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()
        return cache_folder() / "chroma" / f"{digest}-{collection_id}"

    def database(self) -> Database | None:
        """None: it is the server's."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self.replicas.clear()
        client, self._client = self._client, None
        if client is not None:
            client.close()  # type: ignore[attr-defined]  # of chromadb's Client, not of its base

    def clear(self) -> None:
        """Close the connections."""
        self.close()

    @property
    def _netloc(self) -> str:
        return f"{self.host}:{self.port}"

    def _settings(self) -> Settings:
        from chromadb.config import Settings

        keyed: dict[str, Any] = {}
        if self.secret:
            header = "X-Chroma-Token" if self.host == CLOUD_HOST else "Authorization"
            keyed = {
                "chroma_client_auth_provider": _TOKENS,
                "chroma_client_auth_credentials": self.secret,
                "chroma_auth_token_transport_header": header,
            }
        return Settings(
            chroma_server_host=self.host,
            chroma_server_http_port=self.port,
            chroma_server_ssl_enabled=self.tls,
            **keyed,
        )


def server_place(
    host: str,
    port: int | None,
    *,
    tenant: str | None = None,
    database: str | None = None,
    api_key: str | None = None,
    tls: bool | None = None,
    timeout: float = 10.0,
) -> Server:
    """A server, with what is not given taken from the environment.

    :param host: its name.
    :param port: None for 8000, in the cloud 443.
    :param tenant: else ``CHROMA_TENANT``.
    :param database: else ``CHROMA_DATABASE``.
    :param api_key: else ``CHROMA_API_KEY``.
    :param tls: else ``CHROMA_TLS``, which is 1 or 0; else on in the cloud, and wherever a key would be sent away.
    :param timeout: seconds that a request may wait.
    :raises ConfigurationError: for a key that no header can hold, or another ``CHROMA_TLS``.
    """
    key = api_key or os.environ.get("CHROMA_API_KEY") or None
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError("the API key for Chroma holds characters that no key has: check CHROMA_API_KEY")
    is_cloud = host == CLOUD_HOST
    if tls is None:
        tls = _tls_of_environment()
    if tls is None:
        tls = is_cloud or (key is not None and host not in _LOOPBACK)
    return Server(
        host=host,
        port=port or (443 if is_cloud else 8000),
        tls=tls,
        tenant=tenant or os.environ.get("CHROMA_TENANT") or None,
        name=database or os.environ.get("CHROMA_DATABASE") or None,
        secret=key,
        timeout=timeout,
    )


def given_server(client: ClientAPI, timeout: float) -> Server:
    """The server of a client, without the secrets in what is shown.

    :param client: chromadb's for a server.
    :param timeout: seconds that a request may wait.
    """
    settings = client.get_settings()
    host = str(settings.chroma_server_host)
    url = urlsplit(host if "//" in host else f"//{host}")  # a whole URL is accepted there, with a password even
    port = url.port or settings.chroma_server_http_port or 8000
    return Server(
        host=url.hostname or host,
        port=port,
        tls=bool(settings.chroma_server_ssl_enabled),
        tenant=client.tenant,
        name=client.database,
        secret=settings.chroma_client_auth_credentials or _secret_header(settings.chroma_server_headers),
        timeout=timeout,
        settings=settings,
    )


def _secret_header(headers: dict[str, str] | None) -> str | None:
    for name, value in (headers or {}).items():
        if name.lower() in ("authorization", "x-chroma-token"):
            return value.rpartition(" ")[2]
    return None


def _tls_of_environment() -> bool | None:
    chosen = os.environ.get("CHROMA_TLS", "")
    if chosen not in ("", "0", "1"):
        raise ConfigurationError(f"CHROMA_TLS is 1 or 0, not {chosen!r}")
    return None if not chosen else chosen == "1"
