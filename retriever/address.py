"""Addresses of stores: ``./index``, ``qdrant:./index``, ``qdrant://host:6334/name``, ``memory:``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from retriever.errors import ConfigurationError

DEFAULT_SCHEME = "qdrant"
"""A bare path is a folder with an embedded Qdrant."""

_SCHEME = re.compile(r"([a-z][a-z0-9+-]+):(.*)", re.DOTALL)  # two characters or more: C: is a drive
_SERVER = re.compile(r"//(?P<host>\[[^\]]*\]|[^/:]+)(:(?P<port>\d+))?(/(?P<path>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address.

    :param scheme: which kind of store.
    :param path: of the folder, or the collection's name on a server; may be empty.
    :param host: of a server; None for an embedded store.
    :param port: of a server; None for the kind's own.
    """

    scheme: str
    path: str
    host: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        if self.host is None:
            return f"{self.scheme}:{self.path}"
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}/{self.path}"


def parse_address(text: str) -> Address:
    """Take an address apart.

    :param text: a path, or ``SCHEME:PATH``, or ``SCHEME://HOST[:PORT]/NAME``.
    :raises ConfigurationError: where it is empty, has no host, or carries a secret.
    """
    if not text.strip():
        raise ConfigurationError("the store's address is empty; give a folder, for example ./index")
    match = _SCHEME.fullmatch(text)
    if match is None:
        return Address(DEFAULT_SCHEME, text)
    scheme, rest = match.groups()
    if not rest.startswith("//"):
        return Address(scheme, rest)
    if "@" in rest or "?" in rest:
        raise ConfigurationError(f"a {scheme} address holds no user, password or key: they come from the environment")
    server = _SERVER.fullmatch(rest)
    if server is None:
        raise ConfigurationError(f"{text!r} is not an address: write {scheme}://HOST:PORT/NAME")
    port = server["port"]
    return Address(scheme, server["path"] or "", server["host"], int(port) if port else None)
