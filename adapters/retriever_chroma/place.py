"""Where a Chroma is: in memory, in a folder, on a server. What differs between them is behind one protocol."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from retriever.errors import ConfigurationError
from retriever_chroma.sqlite import Database

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from retriever_chroma.replica import Replica

DEFAULT_NAME = "retriever"
"""Of a collection in memory or in a folder."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")


def check_name(name: str) -> str:
    """Refuse what Chroma would refuse, before anything is asked of it.

    :param name: of a collection.
    :raises ConfigurationError: where Chroma takes no such name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a Chroma collection: 3 to 512 characters of a-z, A-Z, 0-9, '.', '_' and "
            "'-', the first and the last a letter or a digit"
        )
    return name


def suffix(collection: str) -> str:
    """How an address without a server names a collection.

    :param collection: its name.
    """
    return "" if collection == DEFAULT_NAME else f"#{collection}"


class Place(Protocol):
    """Where a Chroma is. Constructing one touches nothing."""

    @property
    def timeout(self) -> float | None:
        """Seconds for a request; None where there is no network."""

    @property
    def secret(self) -> str | None:
        """What no message may hold."""

    def address(self, collection: str) -> str:
        """What a message shows and ``open`` accepts.

        :param collection: its name.
        """

    def exists(self, collection: str) -> bool:
        """Whether it is worth opening: False only where the collection cannot be there.

        :param collection: its name.
        :raises NotAStore: where something else is at the place.
        """

    def open(self, collection: str) -> ClientAPI:
        """The client, made when first needed.

        :param collection: the one that it is opened for.
        """

    def check(self, collection: str, collection_id: str) -> None:
        """Refuse a collection that is known to be damaged.

        :param collection: its name.
        :param collection_id: Chroma's id.
        :raises StoreDamaged: saying what to do.
        """

    def home(self, collection_id: str) -> Path | None:
        """The folder for what is kept beside a collection; None in memory.

        :param collection_id: Chroma's id.
        """

    def database(self) -> Database | None:
        """Chroma's SQLite file, where it can be read."""

    @property
    def replicas(self) -> dict[tuple[str, bool], Replica]:
        """Those that are open, so that all stores of a process on one folder share one."""

    def close(self) -> None:
        """Let go of the client."""

    def clear(self) -> None:
        """Close, and remove what this package made, where no collection is left in it."""


class Memory:
    """In memory: of this object alone, or of a client.

    :param client: in memory; None for one of its own.
    """

    timeout: float | None = None
    secret: str | None = None

    def __init__(self, client: ClientAPI | None = None) -> None:
        self._client = client
        self.replicas: dict[tuple[str, bool], Replica] = {}

    def address(self, collection: str) -> str:
        """``chroma::memory:``."""
        return "chroma::memory:" + suffix(collection)

    def exists(self, collection: str) -> bool:  # noqa: ARG002 - it is asked for
        """Whether there is a client."""
        return self._client is not None

    def open(self, collection: str) -> ClientAPI:  # noqa: ARG002
        """The client."""
        if self._client is None:
            from retriever_chroma.client import memory_client

            self._client = memory_client()
        return self._client

    def check(self, collection: str, collection_id: str) -> None:
        """There are no files."""

    def home(self, collection_id: str) -> Path | None:  # noqa: ARG002
        """None."""
        return None

    def database(self) -> Database | None:
        """None."""
        return None

    def close(self) -> None:
        """Nothing: closing the client would forget the records, and the replica would have to be built again."""

    def clear(self) -> None:
        """Nothing is left."""
