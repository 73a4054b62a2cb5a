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

from retriever.batched import batched
from retriever.cache_folder import cache_folder
from retriever.errors import ConfigurationError
from retriever.types import FloatMatrix

SETTING = "RETRIEVER_EMBEDDING_CACHE"
"""Variable of the environment: how many megabytes the cache may take; 0 switches it off."""

DEFAULT_MEGABYTES = 2_000

T = TypeVar("T")

_PAGE = 500  # keys a query; more at once are no quicker
_SPARED = 0.9  # share of the limit that is left after room was made
_DAY = 86_400  # seconds
_PATIENCE = 0.2  # seconds that a call waits for another process's write; then it does without the cache
_MOST_DROPPED = 5_000  # rows at once, since others wait
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_SETTINGS = "pragma journal_mode=wal; pragma synchronous=normal; pragma journal_size_limit=16777216;"
_SCHEMA = """
create table if not exists vectors (key blob primary key, vector blob not null, used integer not null);
create index if not exists by_use on vectors (used);
"""


class EmbeddingCache:
    """Vectors in one SQLite file, float32 and exact.

    A key is a hash of what made the vector (the fingerprint), of the role and of the text, so documents and queries,
    and two models, never share one. Texts are not kept. Beyond the limit those go that were not used for longest, by
    days. Several threads and processes of one machine may use one file. The cache never makes work fail: where its file
    cannot be read or written, a warning says so once and nothing is cached; where others write for long, it is passed
    over.

    :param path: of the file; its folder is made when it is first written.
    :param limit: most bytes that it may take.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
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

    def clear(self) -> None:
        """Forget everything."""
        self._guarded(lambda database: database.executescript("delete from vectors; vacuum;"), None)

    def close(self) -> None:
        """Let go of the file. The next call opens it again."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _found(self, database: sqlite3.Connection, keys: Sequence[bytes], vectors: FloatMatrix) -> list[int]:
        width, today = vectors.shape[1] * vectors.itemsize, _today()
        missing: list[int] = []
        stale: list[bytes] = []
        start = 0
        for page in batched(keys, _PAGE):
            rows = database.execute(
                f"select key, vector, used from vectors where key in ({','.join('?' * len(page))})",  # noqa: S608 - marks only
                page,
            ).fetchall()
            found: Mapping[bytes, bytes] = {key: vector for key, vector, _ in rows if len(vector) == width}
            stale += [key for key, _, used in rows if used < today]
            lines = [n for n, key in enumerate(page) if key in found]
            if lines:
                joined = b"".join([found[page[n]] for n in lines])
                vectors[[start + n for n in lines]] = np.frombuffer(joined, np.float32).reshape(len(lines), -1)
            if len(lines) < len(page):
                missing += [start + n for n, key in enumerate(page) if key not in found]
            start += len(page)
        if stale:
            with suppress(sqlite3.OperationalError), database:  # another process writes: another time, then
                database.executemany("update vectors set used = ? where key = ?", [(today, key) for key in stale])
        return missing

    def _written(self, database: sqlite3.Connection, keys: Sequence[bytes], vectors: FloatMatrix) -> None:
        rows = zip(keys, (row.tobytes() for row in np.ascontiguousarray(vectors, np.float32)), strict=True)
        today = _today()
        with database:
            database.executemany("insert or replace into vectors values (?, ?, ?)", ((*row, today) for row in rows))
            self._make_room(database)

    def _make_room(self, database: sqlite3.Connection) -> None:
        size = _size(database)
        if size <= self._limit:
            return
        (count,) = database.execute("select count(*) from vectors").fetchone()
        surplus = min(_MOST_DROPPED, int(count * (1 - _SPARED * self._limit / size)) + 1)
        database.execute(
            "delete from vectors where key in (select key from vectors order by used, rowid limit ?)", (surplus,)
        )

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
                connection.executescript(_SETTINGS + _SCHEMA)
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
    start = hashlib.blake2b(repr((sorted(fingerprint.items()), role)).encode(), digest_size=16)
    keys = []
    for text in texts:
        digest = start.copy()
        digest.update(text.encode())
        keys.append(digest.digest())
    return keys


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


def _size(database: sqlite3.Connection) -> int:
    """Bytes that are in use, in the file or in its log."""
    (pages,) = database.execute("pragma page_count").fetchone()
    (free,) = database.execute("pragma freelist_count").fetchone()
    (page,) = database.execute("pragma page_size").fetchone()
    return int((pages - free) * page)


def _today() -> int:
    return int(time.time()) // _DAY
