"""What an embedded Chroma keeps in its SQLite file, read without Chroma.

Every record that is written or deleted gets the next number of a sequence, deletions of unknown ids included. So the
last number that reached the metadata of a collection tells in 0.1 ms whether anything happened, and the numbers of
the rows tell what was written since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

FILE = "chroma.sqlite3"

_BUSY = 5.0  # seconds to wait for a writer

_SEGMENT = "(SELECT id FROM segments WHERE collection = ? AND scope = 'METADATA')"


class Found(NamedTuple):
    """A collection.

    :param id: Chroma's id of it.
    :param metadata: those of its metadata that are strings.
    """

    id: str
    metadata: dict[str, str]


class Row(NamedTuple):
    """A record.

    :param number: SQLite's.
    :param id: Chroma's.
    """

    number: int
    id: str


class Database:
    """The SQLite file of a folder, for reading only. Every call opens it anew.

    All methods raise :class:`sqlite3.Error` where the file is not as expected.

    :param folder: Chroma's.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def exists(self) -> bool:
        """Whether there is one."""
        return self.path.is_file()

    def find(self, name: str) -> Found | None:
        """A collection of the default tenant and database.

        :param name: of the collection.
        """
        with self._connected() as connection:
            row = connection.execute(
                "SELECT collections.id FROM collections JOIN databases ON databases.id = database_id"
                " WHERE collections.name = ? AND databases.name = 'default_database' AND tenant_id = 'default_tenant'",
                (name,),
            ).fetchone()
            if row is None:
                return None
            metadata = connection.execute(
                "SELECT key, str_value FROM collection_metadata WHERE collection_id = ? AND str_value IS NOT NULL", row
            )
            return Found(row[0], dict(metadata.fetchall()))

    def named(self, key: str) -> dict[str, str]:
        """Name by id of those collections of the default tenant and database that have some metadata.

        :param key: of the metadata.
        """
        query = (
            "SELECT DISTINCT collections.id, collections.name FROM collections"
            " JOIN databases ON databases.id = database_id"
            " JOIN collection_metadata ON collection_metadata.collection_id = collections.id"
            " WHERE key = ? AND databases.name = 'default_database' AND tenant_id = 'default_tenant'"
        )
        with self._connected() as connection:
            return dict(connection.execute(query, (key,)).fetchall())

    def collections(self) -> int:
        """How many there are, in all databases."""
        return int(self._value("SELECT count(*) FROM collections") or 0)

    def last(self) -> int:
        """The last number of the whole file."""
        queued = self._value("SELECT max(seq_id) FROM embeddings_queue") or 0
        return max(int(queued), int(self._value("SELECT max(seq_id) FROM max_seq_id") or 0))

    def position(self, collection: str) -> int:
        """The last number that reached a collection's metadata; 0 before the first.

        :param collection: its id.
        """
        return int(self._value(f"SELECT max(seq_id) FROM max_seq_id WHERE segment_id IN {_SEGMENT}", collection) or 0)  # noqa: S608

    def changed(self, collection: str, since: int) -> list[str]:
        """Ids of the records that were written after a number, and are still there.

        :param collection: its id.
        :param since: a position.
        """
        query = f"SELECT embedding_id FROM embeddings WHERE segment_id IN {_SEGMENT} AND seq_id > ?"  # noqa: S608
        return self._column(query, collection, since)

    def count(self, collection: str) -> int:
        """How many records there are.

        :param collection: its id.
        """
        return int(self._value(f"SELECT count(*) FROM embeddings WHERE segment_id IN {_SEGMENT}", collection) or 0)  # noqa: S608

    def ids(self, collection: str) -> list[str]:
        """Ids of all records.

        :param collection: its id.
        """
        return self._column(f"SELECT embedding_id FROM embeddings WHERE segment_id IN {_SEGMENT}", collection)  # noqa: S608

    def rows(self, collection: str) -> list[Row]:
        """All records, read at once: others may be written to the same table meanwhile.

        :param collection: its id.
        """
        query = f"SELECT id, embedding_id FROM embeddings WHERE segment_id IN {_SEGMENT}"  # noqa: S608
        with self._connected() as connection:
            return [Row(*row) for row in connection.execute(query, (collection,))]

    def metadata(self, numbers: Sequence[int]) -> list[tuple[int, str, Any]]:
        """Number of the record, key and value, without lists; the document is under a key of Chroma's.

        :param numbers: of some hundred records.
        """
        query = (
            "SELECT id, key, string_value, int_value, float_value, bool_value FROM embedding_metadata"  # noqa: S608
            f" WHERE id IN ({_marks(numbers)})"
        )
        with self._connected() as connection:
            return [(row[0], row[1], _value_of(*row[2:])) for row in connection.execute(query, tuple(numbers))]

    def queued_vectors(self, collection: str, ids: Sequence[str]) -> dict[str, bytes]:
        """The vectors, little-endian float32, of those records that were written last.

        :param collection: its id.
        :param ids: of some hundred records.
        """
        query = (
            "SELECT id, vector FROM embeddings_queue WHERE topic LIKE ? AND encoding = 'FLOAT32'"  # noqa: S608
            f" AND id IN ({_marks(ids)}) ORDER BY seq_id"
        )
        with self._connected() as connection:
            return dict(connection.execute(query, (f"%/{collection}", *ids)).fetchall())

    def _value(self, query: str, *parameters: object) -> Any:  # noqa: ANN401 - whatever SQLite holds
        with self._connected() as connection:
            return connection.execute(query, parameters).fetchone()[0]

    def _column(self, query: str, *parameters: object) -> list[str]:
        with self._connected() as connection:
            return [row[0] for row in connection.execute(query, parameters)]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        uri = f"file:{quote(str(self.path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY)) as connection:
            yield connection


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _value_of(text: str | None, integer: int | None, number: float | None, truth: int | None) -> Any:  # noqa: ANN401
    if truth is not None:
        return bool(truth)
    return next((value for value in (text, integer, number) if value is not None), None)
