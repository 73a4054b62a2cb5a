"""Rebuilding a collection in an embedded folder: beside the damaged one, which then makes room."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from retriever.errors import StoreNotFound
from retriever.repairing import Salvage
from retriever_chroma.folder import Folder
from retriever_chroma.salvage import salvage
from retriever_chroma.sqlite import Database

if TYPE_CHECKING:
    from retriever_chroma.store import ChromaStore

_SUFFIX = ".repair"


class FolderRepair:
    """A :class:`retriever.repairing.Repair`.

    Chroma deletes a collection, and renames one, without a look at the files of its graph.

    :param path: of the folder.
    :param name: of the collection.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def salvage(self) -> Salvage | None:
        """What SQLite holds."""
        return salvage(Database(self._path), self._name, Folder(self._path).address(self._name))

    def replacement(self) -> ChromaStore:
        """A collection in the same folder."""
        from retriever_chroma.store import ChromaStore

        return ChromaStore(path=self._path, collection=self._name + _SUFFIX)

    def replace(self) -> bool:
        """Delete the damaged collection, then give its name to the replacement."""
        from retriever_chroma.collection import Calling, open_collection

        folder = Folder(self._path)
        calling = Calling(folder.address(self._name))
        if not folder.exists(self._name + _SUFFIX):
            return False
        try:
            client = calling(lambda: folder.open(self._name + _SUFFIX))
            replacement = open_collection(client, self._name + _SUFFIX, calling)
            if replacement is None:
                return False
            damaged = open_collection(client, self._name, calling)
            if damaged is not None:
                with suppress(StoreNotFound):
                    calling(lambda: client.delete_collection(self._name))
                shutil.rmtree(str(folder.home(damaged.id)), ignore_errors=True)
            replacement.rename(self._name)
        finally:
            folder.close()
        return True
