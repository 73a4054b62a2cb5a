"""The embedding cache: vectors on disk by fingerprint, role and text, shared by all processes of a user."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from retriever.batched import batched
from retriever.cache_folder import cache_folder
from retriever.errors import ConfigurationError
from retriever.types import FloatMatrix

SETTING = "RETRIEVER_EMBEDDING_CACHE"
"""Variable of the environment: how many megabytes the cache may take; 0 switches it off."""

DEFAULT_MEGABYTES = 2_000

T = TypeVar("T")

_ASKED_AT_ONCE = 250  # keys a query; more are no quicker
_KEY = 16  # bytes
_DAY = 86_400  # seconds
_PATIENCE = 0.2  # seconds that a call waits for another process's write; then it does without the cache
_MOST_DROPPED = 5_000  # rows at once, since others wait
_PAGE = 8_192  # bytes; five vectors of 384 dimensions
_LOG_SHARE = 8  # the log may take this part of the limit
_WRITTEN_AT_ONCE = 16 * 2**20  # bytes of vectors at most
_ROW = 120  # bytes that a vector takes beside its own, in both tables and the index
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# Mapped into memory the file is read half as fast again.
_SETTINGS = f"pragma page_size={_PAGE}; pragma journal_mode=wal; pragma synchronous=normal; pragma mmap_size={2**31};"
# Use is kept beside the key: where a vector is used again on another day, the vector is not written anew.
# A number is looked up twice as fast as the key that it begins; the checksum tells two apart that begin alike.
# The tables that are dropped are those of other versions: they would take the room for good.
_SCHEMA = """
drop table if exists vectors;
drop table if exists embeddings;
drop table if exists keys;
create table if not exists floats (id integer primary key, vector blob not null);
create table if not exists texts (number integer primary key, id integer not null, used integer not null);
create index if not exists texts_by_use on texts (used, id);
"""
# In the order asked, which is half as quick again as "where number in".
_ASKED = """
with asked (asked_number) as (values {})
select vector, used from asked left join texts on number = asked_number left join floats using (id)
"""


class EmbeddingCache:
    """Vectors in one SQLite file, float32 and exact.

    A key is a hash of what made the vector (the fingerprint), of the role and of the text, so documents and queries,
    and two models, never share one. Texts are not kept. Beyond the limit those go that were not used for longest, by
    days. Several threads and processes of one machine may use one file. The cache never makes work fail: where its file
    cannot be read or written, a warning says so once and nothing is cached; where others write for long, it is passed
    over. A damaged vector is not found. Processes that run another version of this package should have another folder.

    :param path: of the file; its folder is made when it is first written.
    :param limit: most bytes that it may take, its log included.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._log = limit // _LOG_SHARE
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._broken = False
        _caches.add(self)

    def find(self, keys: Sequence[bytes], vectors: FloatMatrix) -> list[int]:
        """Fill in what is there.

        :param keys: of texts.
        :param vectors: float32, shape ``(len(keys), dimension)``; rows that are found are written.
        :return: the numbers of the rows that were not found.
        """
        return self._guarded(lambda database: self._found(database, keys, vectors), list(range(len(keys))))

    def add(self, keys: Sequence[bytes], vectors: FloatMatrix) -> None:
        """Keep vectors.

        :param keys: of texts.
        :param vectors: float32, shape ``(len(keys), dimension)``.
        """
        self._guarded(lambda database: self._written(database, keys, vectors), None)

    def close(self) -> None:
        """Let go of the file. The next call opens it again."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _found(self, database: sqlite3.Connection, keys: Sequence[bytes], vectors: FloatMatrix) -> list[int]:
        size, today = (vectors.shape[1] + 1) * vectors.itemsize, _today()
        missing: list[int] = []
        stale: list[int] = []
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            page = keys[start : start + _ASKED_AT_ONCE]
            numbers = _numbers(page)
            rows = database.execute(_ASKED.format(", ".join(["(?)"] * len(page))), numbers).fetchall()
            stale += [
                number for number, (_, used) in zip(numbers, rows, strict=True) if used is not None and used < today
            ]
            packed = [given if given is not None and len(given) == size else None for given, _ in rows]
            missing += [start + n for n in _unpack(page, packed, vectors[start : start + len(page)])]
        for some in batched(stale, _MOST_DROPPED):
            with suppress(sqlite3.OperationalError), database:  # another process writes: another time, then
                database.executemany("update texts set used = ? where number = ?", [(today, number) for number in some])
        return missing

    def _written(self, database: sqlite3.Connection, keys: Sequence[bytes], vectors: FloatMatrix) -> None:
        row = vectors.shape[1] * vectors.itemsize + _ROW
        some = max(1, min(_WRITTEN_AT_ONCE, self._log // 8) // row)
        for start in range(0, len(keys), some):
            page = keys[start : start + some]
            with database:
                database.execute("begin immediate")
                if self._has_room(database, len(page), row):
                    _insert(database, page, vectors[start : start + some])
            if not self._is_log_short(database):
                return

    def _has_room(self, database: sqlite3.Connection, rows: int, size: int) -> bool:
        """Whether so many more fit in, after those that were not used for longest are gone; not too many at once."""
        each = _PAGE // (_PAGE // size) if size <= _PAGE else -(-size // _PAGE) * _PAGE  # none lies on two pages
        most = self._limit - self._log - rows * each
        dropped = 0
        while (surplus := _size(database) - most) > 0 and dropped < _MOST_DROPPED:
            oldest = database.execute(
                "select id, number from texts order by used, id limit ?", (min(_MOST_DROPPED, surplus // each + 1),)
            ).fetchall()
            if not oldest:
                break
            database.executemany("delete from floats where id = ?", [(row,) for row, _ in oldest])
            database.executemany("delete from texts where number = ?", [(number,) for _, number in oldest])
            dropped += len(oldest)
        return surplus <= 0

    def _is_log_short(self, database: sqlite3.Connection) -> bool:
        """It is emptied when it grows long, unless another process reads: then nothing more is written for now."""
        log = self._path.with_name(f"{self._path.name}-wal")
        if log.stat().st_size <= self._log:
            return True
        database.execute("pragma wal_checkpoint(truncate)").fetchall()
        return log.stat().st_size <= self._log

    def _guarded(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            if self._broken:
                return otherwise
            try:
                return work(self._opened())
            except (sqlite3.Error, OSError) as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
                    return otherwise
                self._broken = True
                self._let_go()
                warnings.warn(
                    f"the embedding cache {self._path} is not used ({error}): delete it if it is damaged, or set "
                    f"{SETTING}=0",
                    RuntimeWarning,
                    stacklevel=4,
                )
                return otherwise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
            try:
                connection.executescript(
                    f"{_SETTINGS} pragma wal_autocheckpoint={min(1_000, 1 + self._log // 2 // _PAGE)}; {_SCHEMA}"
                )
            except sqlite3.Error:  # another process may be making it: without its table it is of no use
                connection.close()
                raise
            self._connection = connection
        return self._connection


_caches: weakref.WeakSet[EmbeddingCache] = weakref.WeakSet()
_held: list[EmbeddingCache] = []


def _before_fork() -> None:
    """A connection must not be forked along, nor a lock that another thread holds: so all are closed and held."""
    _held[:] = list(_caches)
    for cache in _held:
        cache._lock.acquire()
        cache._let_go()


def _after_fork() -> None:
    for cache in _held:
        cache._lock.release()
    _held.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def text_keys(fingerprint: Mapping[str, str], role: str, texts: Sequence[str]) -> list[bytes]:
    """The keys of texts.

    :param fingerprint: of the embedding function.
    :param role: ``document`` or ``query``.
    :param texts: valid UTF-8.
    """
    start = hashlib.sha256(hashlib.sha256(repr((sorted(fingerprint.items()), role)).encode()).digest())

    def key(text: str) -> bytes:
        whole = start.copy()
        whole.update(text.encode())
        return whole.digest()[:_KEY]

    return [key(text) for text in texts]


def default_cache() -> EmbeddingCache | None:
    """The user's cache; None where it is switched off.

    :raises ConfigurationError: where the environment's setting is no whole number.
    """
    given = (os.environ.get(SETTING) or str(DEFAULT_MEGABYTES)).strip()
    if not given.isdecimal():
        raise ConfigurationError(f"{SETTING} is {given!r}: it is a number of megabytes, 0 for no cache")
    if not int(given):
        return None
    try:
        folder = cache_folder()
    except RuntimeError:  # nobody's home: a service may have none
        return None
    return _cache_at(folder / "embeddings.sqlite", int(given) * 2**20)


@lru_cache(maxsize=8)
def _cache_at(path: Path, limit: int) -> EmbeddingCache:
    return EmbeddingCache(path, limit)


def _unpack(keys: Sequence[bytes], found: Sequence[bytes | None], vectors: FloatMatrix) -> list[int]:
    """Write the vectors of keys into their rows.

    :return: the rows of those that were not found, or whose checksum says that they are damaged.
    """
    rows = [row for row, packed in enumerate(found) if packed is not None]
    if not rows:
        return list(range(len(keys)))
    table = np.frombuffer(b"".join([packed for packed in found if packed is not None]), np.uint32)
    table = table.reshape(len(rows), -1)
    sound = table[:, -1] == _checksums([keys[row] for row in rows], table[:, :-1])
    if len(rows) == len(keys) and sound.all():
        vectors[:] = table[:, :-1].view(np.float32)
        return []
    written = np.array(rows)[sound]
    vectors[written] = table[sound, :-1].view(np.float32)
    return sorted({*range(len(keys))} - {*written.tolist()})


def _insert(database: sqlite3.Connection, keys: Sequence[bytes], vectors: FloatMatrix) -> None:
    packed = np.empty((len(keys), vectors.shape[1] + 1), np.uint32)
    packed[:, :-1] = np.ascontiguousarray(vectors, np.float32).view(np.uint32)
    packed[:, -1] = _checksums(keys, packed[:, :-1])
    numbers = _numbers(keys)
    (last,) = database.execute("select coalesce(max(id), 0) from floats").fetchone()
    rows = range(last + 1, last + 1 + len(keys))
    database.executemany(
        "delete from floats where id = (select id from texts where number = ?)", [(number,) for number in numbers]
    )
    database.executemany("insert into floats values (?, ?)", zip(rows, (row.tobytes() for row in packed), strict=True))
    today = _today()
    database.executemany(
        "insert or replace into texts values (?, ?, ?)",
        ((number, row, today) for number, row in zip(numbers, rows, strict=True)),
    )


def _numbers(keys: Sequence[bytes]) -> list[int]:
    """What each key begins with, as the tables have it."""
    numbers: list[int] = np.frombuffer(b"".join(keys), np.int64)[:: _KEY // 8].tolist()
    return numbers


def _checksums(keys: Sequence[bytes], vectors: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Of each vector under its key: the sum of their 32-bit words."""
    names = np.frombuffer(b"".join(keys), np.uint32).reshape(len(keys), -1)
    sums: NDArray[np.uint32] = names.sum(axis=1, dtype=np.uint32) + vectors.sum(axis=1, dtype=np.uint32)
    return sums


def _size(database: sqlite3.Connection) -> int:
    """Bytes that are in use, in the file or in its log."""
    (pages,) = database.execute("pragma page_count").fetchone()
    (free,) = database.execute("pragma freelist_count").fetchone()
    return int((pages - free) * _PAGE)


def _today() -> int:
    return int(time.time()) // _DAY
