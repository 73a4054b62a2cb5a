"""An embedded Chroma: a folder that one process uses at a time."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.errors import NotAStore, StoreLocked
from retriever_chroma.convert import MANIFEST
from retriever_chroma.lock import HOME, Holding, guard, hold, let_go
from retriever_chroma.place import suffix
from retriever_chroma.probe import damage, probe
from retriever_chroma.sqlite import Database

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from retriever_chroma.replica import Replica


class Folder:
    """A place in a folder.

    :param path: of the folder.
    :param client: on that folder; None for one of its own.
    """

    timeout: float | None = None
    secret: str | None = None

    def __init__(self, path: Path, client: ClientAPI | None = None) -> None:
        self.path = path
        self._given = client
        self._database = Database(path)
        self._holding: Holding | None = None

    @property
    def is_given(self) -> bool:
        """Whether the client is somebody else's."""
        return self._given is not None

    def address(self, collection: str) -> str:
        """``chroma:PATH`` or ``chroma:PATH#COLLECTION``."""
        return f"chroma:{self.path}" + (f"#{collection}" if "#" in str(self.path) else suffix(collection))

    def exists(self, collection: str) -> bool:
        """Whether the collection is there, as far as can be told without Chroma, which takes a second to open.

        :raises NotAStore: where other files are in the folder, or the collection is another program's.
        """
        if self._given is not None or self._holding is not None:
            return True
        if not self._database.exists():
            self._refuse_other_files()
            return False
        try:
            found = self._database.find(collection)
        except sqlite3.Error:
            return True  # after a kill, or of another version: Chroma itself has to look
        if found is not None and MANIFEST not in found.metadata:
            raise foreign(self.address(collection), collection)
        return found is not None

    def open(self, collection: str) -> ClientAPI:
        """The client; the folder is probed first where it was not closed in good order.

        :raises StoreDamaged: where nothing in it can be opened; see :meth:`check` for a single collection.
        """
        with guard:
            if self._holding is None:
                self._holding = hold(self.path.resolve())
            if self._given is not None:
                return self._given
            if self._holding.client is None:
                self._holding.client = self._client(self._holding, collection)
            return self._holding.client

    def check(self, collection: str, collection_id: str) -> None:
        """Refuse a collection that the probe found damaged. Deleting and renaming it is safe."""
        problem = None if self._holding is None else self._holding.damaged.get(collection_id)
        if problem is not None:
            raise damage(self.address(collection), problem)

    def home(self, collection_id: str) -> Path | None:
        """A folder in the folder."""
        return self.path.resolve() / HOME / collection_id

    def database(self) -> Database | None:
        """Chroma's file."""
        return self._database

    @property
    def replicas(self) -> dict[tuple[str, bool], Replica]:
        """Those of all stores on this folder."""
        return {} if self._holding is None else self._holding.replicas

    def close(self) -> None:
        """Close the client if no other store of this process needs it, and let go of the folder."""
        with guard:
            holding = self._last_to_let_go()
            if holding is not None:
                holding.release()

    def clear(self) -> None:
        """Close, and remove what this package made if no collection is in it and no other store uses it."""
        with guard:
            holding = self._last_to_let_go()
            if holding is None:
                return
            if holding.is_made() and self._is_empty():
                _remove_chroma(holding.folder)
                holding.remove()
                with suppress(OSError):
                    holding.folder.rmdir()
            elif holding.is_idle() and not holding.is_made():
                holding.remove()
            else:
                holding.release()

    def _client(self, holding: Holding, collection: str) -> ClientAPI:
        import chromadb
        from chromadb.config import Settings

        self._refuse_other_clients()
        if not holding.was_closed_cleanly():
            holding.damaged = self._probed(collection)
        if not self._database.exists():
            holding.mark_made()
        holding.mark_open()
        return chromadb.PersistentClient(holding.folder, Settings(anonymized_telemetry=False))

    def _probed(self, collection: str) -> dict[str, str]:
        """What is wrong, by the id of the collection: of every index, as the folder is then closed in good order."""
        try:
            names = self._database.named(MANIFEST)
        except sqlite3.Error:
            names = {}  # Chroma itself has to look
        problems = probe(self.path, list(names.values()), self.address(collection))
        return {key: problems[name] for key, name in names.items() if name in problems}

    def _last_to_let_go(self) -> Holding | None:
        holding, self._holding = self._holding, None
        if holding is None or not let_go(holding):
            return None
        client, holding.client = holding.client, None
        if client is not None:
            client.close()  # type: ignore[attr-defined]  # of chromadb's Client, not of its base
        return holding

    def _is_empty(self) -> bool:
        try:
            return self._given is None and self._database.collections() == 0
        except sqlite3.Error:
            return False

    def _refuse_other_files(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise NotAStore(f"{self.path} is a file; an index is a folder")
        if self.path.exists() and any(file.name != HOME for file in self.path.iterdir()):
            raise NotAStore(f"{self.path} holds other files and no index; choose another folder")

    def _refuse_other_clients(self) -> None:
        """Another client of this process on the same folder would be as bad as another process."""
        from chromadb.api.shared_system_client import SharedSystemClient

        folder = self.path.resolve()
        for system in list(SharedSystemClient._identifier_to_system.values()):
            if system.settings.is_persistent and Path(system.settings.persist_directory).resolve() == folder:
                raise StoreLocked(
                    f"chroma:{self.path} is open in this process through another client: pass that one, as in "
                    "ChromaStore(client=...), or close it first"
                )


def foreign(where: str, collection: str) -> NotAStore:
    """The error for a collection of another program.

    :param where: the address.
    :param collection: its name.
    """
    return NotAStore(
        f"{where}: the collection {collection!r} was filled by another program: search it as it is with "
        f"ChromaStore.attach(client, {collection!r}), or choose another name"
    )


def _remove_chroma(folder: Path) -> None:
    """Chroma's own files: a folder for each collection stays when the collection is deleted."""
    for entry in folder.iterdir():
        if entry.is_dir() and _is_uuid(entry.name):
            shutil.rmtree(entry)
    for file in folder.glob("chroma.sqlite3*"):  # last: without it the rest would be another program's files
        file.unlink(missing_ok=True)


def _is_uuid(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
