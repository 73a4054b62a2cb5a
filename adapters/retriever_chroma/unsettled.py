"""Notes of writes that the keyword index of a server's collection has not followed yet, in files beside it.

Nothing at the server tells that a record was changed in place. So whoever writes notes the ids first, and drops the
note when the index has followed. Notes of a process that died, or that found the index locked, are left to the next
sync, of whatever process.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from retriever.errors import StoreError
from retriever_chroma.lock import is_alive

_LEFT = "left"
_LONGEST = 3600.0  # seconds, and no write takes so long: another process has the writer's number now


class Unsettled:
    """The notes of one collection.

    :param folder: for the notes; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, ids: Sequence[str]) -> Path:
        """Note what is about to be written.

        :param ids: of the records.
        :return: to be given to :meth:`settle` or :meth:`leave`.
        """
        note = self._folder / f"{os.getpid()}-{uuid.uuid4().hex}"
        with self._access():
            self._folder.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(list(ids)), "utf-8")
        return note

    def settle(self, note: Path) -> None:
        """The index has followed.

        :param note: of the write.
        """
        with self._access():
            note.unlink(missing_ok=True)

    def leave(self, note: Path) -> None:
        """The index has not followed: the next sync has to.

        :param note: of the write.
        """
        with self._access(), suppress(FileNotFoundError):  # thrown away, and so is the index
            note.rename(note.with_name(f"{_LEFT}-{note.name}"))

    def left(self) -> dict[Path, list[str]]:
        """Notes that nobody is going to settle, with their ids."""
        with self._access():
            notes = [note for note in self._notes() if _is_left(note)]
            return {note: _ids(note) for note in notes}

    def remove(self) -> None:
        """Remove all notes."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _notes(self) -> list[Path]:
        try:
            return list(self._folder.iterdir())
        except FileNotFoundError:
            return []

    @contextmanager
    def _access(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{error.filename or self._folder}: {error.strerror}; the folder has to be readable and writable"
            ) from error


def _is_left(note: Path) -> bool:
    process = note.name.partition("-")[0]
    if not process.isdigit() or not is_alive(int(process)):
        return True
    with suppress(FileNotFoundError):
        return time.time() - note.stat().st_mtime > _LONGEST
    return False  # just settled


def _ids(note: Path) -> list[str]:
    """Of a note that was cut short none: then nothing was written to the collection yet."""
    try:
        return [str(key) for key in json.loads(note.read_text("utf-8"))]
    except (FileNotFoundError, ValueError):
        return []
