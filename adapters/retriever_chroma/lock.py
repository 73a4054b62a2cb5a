"""Who uses a folder with an embedded Chroma: one process, and in it one client for all stores.

A second process is kept out altogether, readers too. Chroma takes no lock of its own. Two that write lose vectors
without a word, and one that only reads writes as well: opening rewrites ``chroma.sqlite3``, and the first search was
seen to rewrite the files of the vector index beside the process that was writing them.

What lies in ``FOLDER/.retriever``::

    lock           held by the process
    owner          its id, for the message that others get
    clean          Chroma's last sequence number when the folder was closed; gone while it is open
    made           there if this package made the folder
    COLLECTION_ID  the keyword index of a collection
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from retriever.errors import StoreError, StoreLocked
from retriever_chroma.sqlite import Database

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from retriever_chroma.replica import Replica

HOME = ".retriever"

guard = threading.RLock()
"""Held while a folder is opened or closed, so that no other thread opens it meanwhile."""


class Holding:
    """A folder that this process holds, for as long as a store of it needs it.

    :param folder: resolved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client: ClientAPI | None = None
        self.replicas: dict[tuple[str, bool], Replica] = {}
        self.damaged: dict[str, str] = {}
        """What is wrong, by the id of the collection, as found when the folder was opened."""
        self.users = 0
        self._is_open = False
        self._home = folder / HOME
        self._owner = self._home / "owner"
        self._clean = self._home / "clean"
        self._made = self._home / "made"
        self._database = Database(folder)
        # Not local to a thread: whichever thread closes the last store lets go of the lock.
        self._lock = FileLock(self._home / "lock", thread_local=False)

    def acquire(self) -> None:
        """Take the lock.

        :raises StoreLocked: where another process has it.
        """
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._owner.write_text(str(os.getpid()))
        except Timeout:
            raise StoreLocked(
                f"chroma:{self.folder} is held by {self._holder()}; close it there first, or share it as a server: "
                "chroma run"
            ) from None
        except OSError as error:
            raise StoreError(
                f"chroma:{self.folder}: {error.filename}: {error.strerror}; the folder has to be readable and writable"
            ) from error

    def was_closed_cleanly(self) -> bool:
        """Whether nothing happened since this package closed the folder in good order, or nothing ever did."""
        if not self._database.exists():
            return True
        try:
            return int(self._clean.read_text("ascii")) == self._database.last()
        except (OSError, ValueError, sqlite3.Error):
            return False

    def mark_open(self) -> None:
        """From now on, until :meth:`release`, the folder counts as not closed."""
        self._clean.unlink(missing_ok=True)
        self._is_open = True

    def mark_made(self) -> None:
        """All of the folder is this package's."""
        self._made.touch()

    def is_made(self) -> bool:
        """Whether all of the folder is this package's."""
        return self._made.exists()

    def is_idle(self) -> bool:
        """Whether nothing is kept here but this object's own files."""
        return not any(entry.is_dir() for entry in self._home.iterdir())

    def release(self) -> None:
        """Let go of the lock. A client of this package was closed in good order, if there was one."""
        with suppress(OSError, sqlite3.Error):
            if self._is_open and not self.damaged and self._database.exists():
                self._clean.write_text(str(self._database.last()), "ascii")
        with suppress(OSError):
            self._owner.unlink()
        self._lock.release()

    def remove(self) -> None:
        """Remove these files, and let go of the lock."""
        for file in (self._owner, self._clean, self._made):
            file.unlink(missing_ok=True)
        lock = Path(self._lock.lock_file)
        if os.name != "nt":  # while it is held, so that nobody who waits gets a lock without a name
            lock.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":
            lock.unlink(missing_ok=True)
        with suppress(OSError):
            self._home.rmdir()

    def _holder(self) -> str:
        try:
            process = int(self._owner.read_text("utf-8"))
        except (OSError, ValueError):
            return "another process"
        return f"process {process}" if is_alive(process) else "another process"


_held: dict[tuple[Path, int], Holding] = {}


def hold(folder: Path) -> Holding:
    """The holding of a folder, made or shared; give it back with :func:`let_go`.

    :param folder: resolved.
    :raises StoreLocked: where another process has it.
    """
    with guard:
        holding = _held.get((folder, os.getpid()))
        if holding is None:
            holding = Holding(folder)
            holding.acquire()
            _held[folder, os.getpid()] = holding
        holding.users += 1
        return holding


def let_go(holding: Holding) -> bool:
    """One store less needs it.

    :param holding: from :func:`hold`.
    :return: whether it was the last: then the caller closes what is in it, and releases it.
    """
    with guard:
        holding.users -= 1
        if holding.users:
            return False
        _held.pop((holding.folder, os.getpid()), None)
        return True


def is_alive(process: int) -> bool:
    """Whether a process runs: a note by a holder that was killed must not blame one that is gone.

    :param process: its id.
    """
    if os.name == "nt":  # where signal 0 is not a question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
