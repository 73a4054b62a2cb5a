"""Optimisation in a process of its own.

The engine holds the interpreter's lock while it builds its graphs: 50,000 vectors stopped every thread of the
process for 23 seconds. In a child only those wait who want to search.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from retriever.errors import StoreError

_TAIL = 2_000


def optimise_in_child(shard: Path, where: str) -> None:
    """Optimise a closed shard, and wait for it.

    :param shard: folder of the shard.
    :param where: the store's address, for messages.
    :raises StoreError: with the end of what the child wrote, where it failed.
    """
    _give_memory_back()
    search_path = [entry or str(Path.cwd()) for entry in sys.path]
    # -P: the working folder comes first in no path, so nothing there can pass for a module.
    command = [sys.executable, "-P", "-m", "retriever_qdrant.optimise", str(shard.absolute()), str(os.getpid())]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and this package
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        raise StoreError(f"{where}: cannot start a process for optimisation: {error}") from error
    if done.returncode:
        tail = done.stderr.decode("utf-8", errors="replace").strip()[-_TAIL:]
        raise StoreError(f"{where}: optimisation ended with status {done.returncode}: {tail or 'no message'}")


def _give_memory_back() -> None:
    """What the closed shard had, glibc keeps for later; the child needs it now."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
