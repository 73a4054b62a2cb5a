"""Seeing whether code touches files or the network."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TOUCHING = ("open", "os.", "socket.", "sqlite3.", "shutil.", "subprocess.")
_watchers: dict[int, list[str]] = {}


@contextmanager
def touches() -> Iterator[list[str]]:
    """Collect what this thread's Python code opens, makes, removes, starts and connects to.

    What native code does by itself is not seen.
    """
    if touches not in _installed:
        _installed.append(touches)
        sys.addaudithook(_hear)
    seen: list[str] = []
    _watchers[threading.get_ident()] = seen
    try:
        yield seen
    finally:
        del _watchers[threading.get_ident()]


_installed: list[object] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    seen = _watchers.get(threading.get_ident())
    if seen is not None and event.startswith(_TOUCHING):
        seen.append(f"{event}{arguments!r}")
