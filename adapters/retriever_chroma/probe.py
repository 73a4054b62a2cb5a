"""Opening a folder in a process of its own first: ``python -m retriever_chroma.probe FOLDER COLLECTION ...``.

What a kill left of a collection can end the process that opens it, or make it read for ever. So of a folder that was
not closed in good order, every index is opened, counted, read and searched in a child before this process does. The
child prints a line when the folder is open, and one after each collection, which tells how far it came.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from retriever.errors import StoreDamaged, StoreError

if TYPE_CHECKING:
    from chromadb import Collection

TIME_LIMIT = 120.0
"""Seconds; 100,000 vectors take less than two."""

_TAIL = 500


class _End(NamedTuple):
    """How a child ended.

    :param lines: that it printed.
    :param problem: None where all went well.
    """

    lines: int
    problem: str | None


def probe(folder: Path, collections: Sequence[str], where: str) -> dict[str, str]:
    """Open collections in child processes: another for those after one that is damaged.

    :param folder: Chroma's, which nobody else uses meanwhile.
    :param collections: their names.
    :param where: the store's address, for messages.
    :return: what is wrong, by the name of the damaged collection.
    :raises StoreDamaged: where the folder itself cannot be opened.
    """
    damaged: dict[str, str] = {}
    left = list(collections)
    while True:
        end = _tried(folder, left, where)
        if end.problem is None or end.lines > len(left):
            return damaged
        if not end.lines:
            raise damage(where, end.problem)
        damaged[left[end.lines - 1]] = end.problem
        left = left[end.lines :]


def damage(where: str, problem: str) -> StoreDamaged:
    """The error for a collection that a child could not use.

    :param where: the store's address.
    :param problem: what happened.
    """
    return StoreDamaged(f"{where} is damaged: {problem}; run: retriever repair --store {where}")


def _tried(folder: Path, collections: Sequence[str], where: str) -> _End:
    search_path = [entry or str(Path.cwd()) for entry in sys.path]
    # -P: the working folder comes first in no path, so nothing there can pass for a module.
    command = [sys.executable, "-P", "-m", "retriever_chroma.probe", str(folder.resolve()), *collections]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and this package
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return _End((late.stdout or b"").count(b"\n"), f"opening it took more than {TIME_LIMIT:.0f} seconds")
    except OSError as error:
        raise StoreError(f"{where}: cannot start a process to look at it: {error}") from error
    lines = done.stdout.count(b"\n")
    if not done.returncode:
        return _End(lines, None)
    tail = done.stderr.decode("utf-8", errors="replace").strip().rpartition("\n")[2][-_TAIL:]
    died = f"opening it ended a process with status {done.returncode}"
    return _End(lines, f"{died}: {tail}" if tail else died)


def main(arguments: list[str]) -> None:
    """Open collections and use all of their parts.

    :param arguments: the folder and the collections' names.
    """
    import chromadb
    from chromadb.config import Settings

    folder, *names = arguments
    client = chromadb.PersistentClient(folder, Settings(anonymized_telemetry=False))
    _tell()
    for name in names:
        _use(client.get_collection(name, embedding_function=None))
        _tell()


def _tell() -> None:
    sys.stdout.write("\n")
    sys.stdout.flush()


def _use(collection: Collection) -> None:
    collection.count()
    some = collection.get(limit=1, include=["embeddings", "metadatas", "documents"])
    if some["ids"]:
        collection.query(query_embeddings=some["embeddings"], n_results=1, include=["distances"])


if __name__ == "__main__":
    main(sys.argv[1:])
