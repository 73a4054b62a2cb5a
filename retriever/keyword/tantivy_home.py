"""Where a tantivy index lives, and who may write it.

lock             held by the process that writes
tantivy/         the engine's own files
  replica.json   written before them, and marks the folder as ours: the version of the schema, and which index it is
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout
from tantivy import Index, Schema, TextAnalyzerBuilder, Tokenizer

from retriever.errors import NotAStore, RetrieverError, StoreError
from retriever.keyword.tantivy_document import BODY_TOKENIZER

_VERSION = 2
"""Of the schema and of the facts. Raised when either changes: an index of another version is built anew."""


class Home(Protocol):
    """A place for one index. Constructing one touches no disk."""

    name: str
    """For messages."""

    def generation(self) -> str | None:
        """Which index is here: another text each time it is made. None where there is none of this version."""

    def state(self) -> bytes:
        """What changes with each commit of another process."""

    def open(self) -> Index:
        """The index that is here, through a new object where the place is shared."""

    def make(self) -> Index:
        """A new, empty index in place of whatever index is here; needs the lock."""

    def acquire(self) -> bool:
        """Take the lock; False where somebody has it."""

    def release(self) -> None:
        """Let go of the lock."""

    def remove(self) -> None:
        """Remove the index and let go of the lock, which is needed."""


class MemoryHome:
    """In this process only.

    :param schema: of the index.
    """

    name = "the keyword index in memory"

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._index: Index | None = None

    def generation(self) -> str | None:
        """Made or not."""
        return None if self._index is None else str(id(self._index))

    def state(self) -> bytes:
        """There are no other processes here."""
        return b""

    def open(self) -> Index:
        """What was made."""
        return self._index or self.make()

    def make(self) -> Index:
        """A new one."""
        self._index = _prepared(Index(self._schema))
        return self._index

    def acquire(self) -> bool:
        """There are no other processes here."""
        return True

    def release(self) -> None:
        """Nothing was taken."""

    def remove(self) -> None:
        """Forget it."""
        self._index = None


class FolderHome:
    """In a folder that several processes use.

    :param folder: of the index; made when it is first written.
    :param schema: of the index.
    """

    def __init__(self, folder: Path, schema: Schema) -> None:
        self.name = f"the keyword index in {folder}"
        self._folder = folder
        self._schema = schema
        self._files = folder / "tantivy"
        self._marker = self._files / "replica.json"
        # Not local to a thread: whichever thread commits lets go of the lock.
        self._lock = FileLock(folder / "lock", thread_local=False)

    def generation(self) -> str | None:
        """From the marker."""
        try:
            marker = json.loads(self._marker.read_text("utf-8"))
            return str(marker["made"]) if marker["version"] == _VERSION else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def state(self) -> bytes:
        """The engine's list of its files, which it replaces with each commit and each merge."""
        try:
            return (self._files / "meta.json").read_bytes()
        except OSError:
            return b""

    def open(self) -> Index:
        """The index in the folder."""
        return _prepared(Index.open(str(self._files)))

    def make(self) -> Index:
        """A new one; one that cannot be read, or is of another version, goes."""
        with self._access():
            if self._is_foreign():
                raise NotAStore(f"{self._files} holds other files and no keyword index; choose another folder")
            if self._files.exists():
                shutil.rmtree(self._files)
            self._files.mkdir(parents=True)
            # Before anything else: from now on a leftover is known to be ours.
            self._marker.write_text(json.dumps({"version": _VERSION, "made": uuid.uuid4().hex}), "utf-8")
            return _prepared(Index(self._schema, str(self._files)))

    def acquire(self) -> bool:
        """Take the lock without waiting."""
        with self._access():
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                return False
            return True

    def release(self) -> None:
        """Let go of the lock."""
        self._lock.release()

    def remove(self) -> None:
        """Remove what this package wrote, and the folder if nothing else is in it."""
        with self._access():
            if self._files.exists() and not self._is_foreign():
                shutil.rmtree(self._files)
            self._remove_lock()
            with suppress(OSError):
                self._folder.rmdir()

    def _is_foreign(self) -> bool:
        return self._files.exists() and not self._marker.exists() and any(self._files.iterdir())

    def _remove_lock(self) -> None:
        """While it is held where the system allows that, so that nobody who waits gets a lock without a name."""
        lock = Path(self._lock.lock_file)
        if os.name != "nt":
            lock.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":
            lock.unlink(missing_ok=True)

    @contextmanager
    def _access(self) -> Iterator[None]:
        try:
            yield
        except RetrieverError:
            raise
        except OSError as error:
            where = error.filename or self._folder
            reason = error.strerror or error
            raise StoreError(f"{self.name}: {where}: {reason}; the folder has to be readable and writable") from error


def _prepared(index: Index) -> Index:
    index.register_tokenizer(BODY_TOKENIZER, TextAnalyzerBuilder(Tokenizer.whitespace()).build())
    index.config_reader("manual")  # the other kind reloads by itself, from a thread
    return index
