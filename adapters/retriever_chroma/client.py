"""Clients of chromadb with a system of their own.

chromadb's shares the state of all clients in memory, and validates a server with requests that nothing ends.
"""

from __future__ import annotations

from typing import cast

from chromadb.api import ServerAPI
from chromadb.api.client import Client
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings, System
from chromadb.telemetry.product import ProductTelemetryClient

from retriever_chroma.http import IMPLEMENTATION, TimedFastAPI

_ANY = "*"


class OwnClient(Client):
    """A client that shares nothing. Making one asks no server.

    :param settings: of the client.
    :param tenant: on the server.
    :param database: of the tenant.
    """

    def __init__(
        self, settings: Settings, tenant: str | None = None, database: str | None = None
    ) -> None:  # the base class would make a shared system, and ask the server
        self.tenant = tenant or DEFAULT_TENANT
        self.database = database or DEFAULT_DATABASE
        self._own = System(settings)
        self._own.instance(ProductTelemetryClient)  # type: ignore[type-abstract]
        self._server = self._own.instance(ServerAPI)  # type: ignore[type-abstract]
        self._own.start()

    @property
    def _system(self) -> System:
        return self._own

    def close(self) -> None:
        """Stop the system: files and connections are let go of."""
        if not self._closed:
            self._closed = True
            self._own.stop()


def memory_client() -> Client:
    """A client whose collections are its own and end with it."""
    return OwnClient(Settings(anonymized_telemetry=False, is_persistent=False))


def server_client(settings: Settings, tenant: str | None, database: str | None, timeout: float, where: str) -> Client:
    """A client of a server that gives up in time. Where there is a key, it tells the tenant and the database.

    :param settings: with host, port, TLS and headers.
    :param tenant: None for the key's, else the default.
    :param database: None for the key's only one, else the default.
    :param timeout: seconds without a byte.
    :param where: the server's address, for messages.
    """
    settings = settings.model_copy(update={"chroma_api_impl": IMPLEMENTATION, "anonymized_telemetry": False})
    client = OwnClient(settings, tenant, database)
    cast("TimedFastAPI", client._server).limit(timeout, where)
    if settings.chroma_client_auth_credentials and not (tenant and database):
        try:
            _ask_identity(client, tenant, database)
        except BaseException:
            client.close()
            raise
    return client


def _ask_identity(client: OwnClient, tenant: str | None, database: str | None) -> None:
    identity = client._server.get_user_identity()
    client.tenant = tenant or _certain([identity.tenant or _ANY]) or client.tenant
    client.database = database or _certain(list(identity.databases or ())) or client.database


def _certain(names: list[str]) -> str | None:
    """The only one of them."""
    return names[0] if len(names) == 1 and names[0] != _ANY else None
