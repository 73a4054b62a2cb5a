"""What can be read of a damaged collection: Chroma keeps texts and metadata in SQLite, which a kill leaves whole.

The vectors are in the files of the graph, which are what breaks. The last ones written are in SQLite's queue, too.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retriever.batched import batched
from retriever.errors import StoreDamaged
from retriever.manifest import Manifest, parse_manifest
from retriever.repairing import Salvage, Salvaged
from retriever.types import FloatVector
from retriever_chroma.convert import MANIFEST, Reading
from retriever_chroma.folder import foreign
from retriever_chroma.sqlite import Database

_PAGE = 500
_TEXT = "chroma:document"


def salvage(database: Database, name: str, where: str) -> Salvage | None:
    """Read a collection of ours without Chroma.

    :param database: of the folder.
    :param name: of the collection.
    :param where: the store's address, for messages.
    :return: None where there is no such collection.
    :raises NotAStore: where it is another program's.
    :raises StoreDamaged: where SQLite cannot read the file.
    """
    try:
        if not database.exists():
            return None
        found = database.find(name)
    except sqlite3.Error as error:
        raise _lost(where, error) from error
    if found is None:
        return None
    if MANIFEST not in found.metadata:
        raise foreign(where, name)
    manifest = parse_manifest(found.metadata[MANIFEST], where)
    return Salvage(manifest, _records(database, found.id, manifest, where))


def _records(database: Database, collection: str, manifest: Manifest, where: str) -> Iterator[Salvaged]:
    reading = Reading(verbatim=False)
    try:
        for page in batched(database.rows(collection), _PAGE):
            numbers = [row.number for row in page]
            metadata = _metadata(database, numbers)
            vectors = database.queued_vectors(collection, [row.id for row in page])
            for row in page:
                fields = metadata[row.number]
                text = fields.pop(_TEXT, None)
                sparse = None if manifest.sparse is None else reading.sparse(fields)
                vector = _vector(vectors.get(row.id), manifest.embedding.dimension)
                yield Salvaged(reading.chunk(row.id, text, fields), vector, sparse)
    except sqlite3.Error as error:
        raise _lost(where, error) from error


def _metadata(database: Database, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """By number of the record. Lists are not read: those of ours are in the JSON."""
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for number, key, value in database.metadata(numbers):
        found[number][key] = value
    return found


def _vector(content: bytes | None, dimension: int) -> FloatVector | None:
    if content is None or len(content) != 4 * dimension:
        return None
    vector = np.frombuffer(content, dtype="<f4").astype(np.float32)
    return vector if np.isfinite(vector).all() else None


def _lost(where: str, error: sqlite3.Error) -> StoreDamaged:
    return StoreDamaged(
        f"{where}: its SQLite file cannot be read: {error}; restore a backup, or delete the folder and index again"
    )
