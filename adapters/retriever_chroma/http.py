"""A client of a Chroma server that gives up in time, and sees the status of every answer.

chromadb's own waits for ever, and of an answer such as 503 it keeps the text only.
"""

from __future__ import annotations

import httpx
from chromadb.api.fastapi import FastAPI
from chromadb.config import System
from overrides import override

from retriever.errors import AccessDenied, NotAStore, RecordsRefused, StoreUnavailable

IMPLEMENTATION = f"{__name__}.TimedFastAPI"
"""What ``Settings.chroma_api_impl`` is set to."""

_BUSY = {408, 425, 429, 502, 503, 504}
_DENIED = {401, 403}
_TOO_LARGE = 413
_REDIRECTS = range(300, 400)
_MOST_WAIT = 3600.0


class TimedFastAPI(FastAPI):
    """chromadb's client of a server, whose requests end. A timeout is set with :meth:`limit`."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self._session.event_hooks = {"response": [self._look]}

    def limit(self, timeout: float, where: str) -> None:
        """Set how long a request may wait for the server.

        :param timeout: seconds without a byte.
        :param where: the server's address, for messages.
        """
        self._session.timeout = httpx.Timeout(timeout)
        self._where = where

    @override
    def stop(self) -> None:
        """Close the connections."""
        super().stop()
        self._session.close()

    def _look(self, response: httpx.Response) -> None:
        status = response.status_code
        what = f"{self._where}: the server answered {status} {response.reason_phrase}"
        if status in _BUSY:
            raise StoreUnavailable(what, _retry_after(response))
        if status in _DENIED:
            raise AccessDenied(f"{what}: check the API key, for example in CHROMA_API_KEY")
        if status == _TOO_LARGE:
            raise RecordsRefused(what, [])
        if status in _REDIRECTS:
            raise NotAStore(f"{what}, a redirect: check host, port and TLS")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; the form with a date is not worth a clock of the server's."""
    try:
        return min(max(0.0, float(response.headers["retry-after"])), _MOST_WAIT)
    except (KeyError, ValueError):
        return None
