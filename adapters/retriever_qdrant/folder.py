"""What is in the folder of an index, and who may use it.

manifest.json     written last, so that a folder with it is whole
shard/            the engine's own files
retriever.json    written first, and marks the folder as ours; how much was written since the last optimisation
lock              held by the process that uses the index
owner             the process id of the holder, for the message that others get
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from retriever.errors import NotAStore, StoreError, StoreLocked
from retriever.manifest import Manifest, parse_manifest, write_manifest_file
from retriever_qdrant.changes import Changes


class Folder:
    """The folder of one index. Constructing it touches no disk.

    :param path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.address = f"qdrant:{path}"
        self.shard = path / "shard"
        self._manifest = path / "manifest.json"
        self._marker = path / "retriever.json"
        self._owner = path / "owner"
        # Not local to a thread: whichever thread closes the store lets go of the lock.
        self._lock = FileLock(path / "lock", thread_local=False)

    def is_ours(self) -> bool:
        """Whether this package made the folder; False where nothing, or an empty folder, is there.

        :raises NotAStore: where something else is there.
        :raises StoreError: where it cannot be looked at.
        """
        with self._access():
            if not self.path.exists():
                return False
            if not self.path.is_dir():
                raise NotAStore(f"{self.path} is a file; an index is a folder")
            if self._marker.exists() or (self._manifest.exists() and self.shard.exists()):
                return True
            if any(self.path.iterdir()):
                raise NotAStore(f"{self.path} holds other files and no index; choose another folder")
            return False

    def is_whole(self) -> bool:
        """Whether an index was completely made here."""
        with self._access():
            return self._manifest.exists()

    def make(self) -> None:
        """Make the folder, or clear what an interrupted attempt left, and take the lock."""
        self.is_ours()
        with self._access():
            self.path.mkdir(parents=True, exist_ok=True)
            self._marker.touch()  # before anything else: from now on a leftover is known to be ours
        self.acquire()
        if self.is_whole():
            raise StoreError(f"{self.address} holds an index already; destroy it first")
        with self._access():
            if self.shard.exists():
                shutil.rmtree(self.shard)
            self.write_changes(Changes())

    def acquire(self) -> None:
        """Take the lock, or keep it.

        :raises StoreLocked: where another process, or another store of this process, has it.
        """
        if self._lock.is_locked:
            return
        with self._access():
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise StoreLocked(f"{self.address} is held by {self._holder()}; close it there first") from None
            self._owner.write_text(str(os.getpid()))

    def release(self) -> None:
        """Let go of the lock."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._owner.unlink()
            self._lock.release()

    def read_manifest(self) -> Manifest:
        """Read the manifest.

        :raises ManifestUnreadable: where it is damaged or from a newer version.
        """
        with self._access():
            return parse_manifest(self._manifest.read_text("utf-8", errors="replace"), self.address)

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest, all or nothing.

        :param manifest: what to write.
        """
        with self._access():
            write_manifest_file(self._manifest, manifest)

    def check_shard(self) -> None:
        """Look before the engine does, which would begin to make files of its own.

        :raises StoreError: where the engine's files are not there.
        """
        with self._access():
            if not (self.shard / "segments").is_dir() or not (self.shard / "edge_config.json").is_file():
                raise StoreError(self.advice("its data is missing"))

    def advice(self, problem: str) -> str:
        """A message about damage, and what to do about it.

        :param problem: what is wrong.
        """
        return f"{self.address}: {problem}; restore {self.shard} from a backup, or destroy the index and index again"

    def changes(self) -> Changes:
        """What happened since the last optimisation, also in processes that were killed."""
        try:
            stored = json.loads(self._marker.read_text("utf-8"))
            return Changes(int(stored["written"]), int(stored["removed"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Changes()

    def write_changes(self, changes: Changes) -> None:
        """Keep what happened since the last optimisation. Only speed depends on it.

        :param changes: all of it.
        """
        with self._access():
            text = json.dumps({"written": changes.written, "removed": changes.removed})
            self._marker.write_text(text, "utf-8")

    def remove(self) -> None:
        """Remove what this package wrote, and the folder if nothing else is in it; needs the lock."""
        with self._access():
            # The marker goes last: what an interruption leaves is still known to be ours.
            for file in (self._manifest, self._owner, *self.path.glob(".manifest-*")):
                file.unlink(missing_ok=True)
            if self.shard.exists():
                shutil.rmtree(self.shard)
            self._remove_lock()
            self._marker.unlink(missing_ok=True)
            with suppress(OSError):
                self.path.rmdir()

    def _remove_lock(self) -> None:
        """While it is held where the system allows that, so that nobody who waits gets a lock without a name."""
        lock = Path(self._lock.lock_file)
        if os.name != "nt":
            lock.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":
            lock.unlink(missing_ok=True)

    def _holder(self) -> str:
        try:
            process = int(self._owner.read_text("utf-8"))
        except (OSError, ValueError):
            return "another process"
        if process == os.getpid():
            return f"another store object of this process ({process})"
        return f"process {process}" if _is_alive(process) else "another process"

    @contextmanager
    def _access(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            name = error.filename or self.path
            raise StoreError(
                f"{self.address}: {name}: {error.strerror or error}; the folder has to be readable and writable"
            ) from error


def _is_alive(process: int) -> bool:
    """A note by a holder that was killed must not blame a process that is gone."""
    if os.name == "nt":  # where signal 0 is not a question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
