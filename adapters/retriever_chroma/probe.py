"""Opening a folder in a process of its own first: ``python -m retriever_chroma.probe FOLDER COLLECTION``.

What a kill left of a collection can end the process that opens it, or make it read for ever. So a folder that was not
closed in good order is opened, counted, read and searched in a child before this process does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from retriever.errors import StoreDamaged, StoreError

TIME_LIMIT = 120.0
"""Seconds; 100,000 vectors take less than two."""

_TAIL = 500


def probe(folder: Path, collection: str, where: str) -> None:
    """Open a collection in a child process.

    :param folder: Chroma's, which nobody else uses meanwhile.
    :param collection: its name; nothing to do where it is not there.
    :param where: the store's address, for messages.
    :raises StoreDamaged: where the child failed, died or took too long.
    """
    search_path = [entry or str(Path.cwd()) for entry in sys.path]
    # -P: the working folder comes first in no path, so nothing there can pass for a module.
    command = [sys.executable, "-P", "-m", "retriever_chroma.probe", str(folder.resolve()), collection]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and this package
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _damaged(where, f"opening it took more than {TIME_LIMIT:.0f} seconds") from None
    except OSError as error:
        raise StoreError(f"{where}: cannot start a process to look at it: {error}") from error
    if done.returncode:
        tail = done.stderr.decode("utf-8", errors="replace").strip().rpartition("\n")[2][-_TAIL:]
        died = f"opening it ended a process with status {done.returncode}"
        raise _damaged(where, f"{died}: {tail}" if tail else died)


def main(arguments: list[str]) -> None:
    """Open a collection and use all of its parts.

    :param arguments: the folder and the collection's name.
    """
    import chromadb
    from chromadb.config import Settings
    from chromadb.errors import NotFoundError

    folder, name = arguments
    client = chromadb.PersistentClient(folder, Settings(anonymized_telemetry=False))
    try:
        collection = client.get_collection(name, embedding_function=None)
    except NotFoundError:
        return
    collection.count()
    some = collection.get(limit=1, include=["embeddings", "metadatas", "documents"])
    if some["ids"]:
        collection.query(query_embeddings=some["embeddings"], n_results=1, include=["distances"])


def _damaged(where: str, problem: str) -> StoreDamaged:
    return StoreDamaged(f"{where} is damaged: {problem}; run: retriever repair --store {where}")


if __name__ == "__main__":
    main(sys.argv[1:])
