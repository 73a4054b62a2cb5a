"""The keyword index beside a collection, and how it stays in step. Chroma is the truth; the index can be thrown away.

What the store itself writes goes into both, and is committed to the index when somebody asks for it: a process that
dies before loses nothing, because the next sync finds out. What other programs write is noticed before a search:

* in a folder, by the sequence number in Chroma's SQLite file, which every write moves: all changes are seen;
* elsewhere, by the number of records and the id of the last one, asked for at most once a second on a server: an update
  in place by another program stays unseen until :meth:`Replica.sync` is called with ``deep``. Updates by this package
  are noted beside a server's index until it has followed: see :mod:`retriever_chroma.unsettled`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Collection as Ids
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from retriever.batched import batched
from retriever.errors import StoreDamaged
from retriever.filters import Filter
from retriever.keyword.analyser import Analyser
from retriever.keyword.index import KeywordIndex, KeywordRecord, Matches
from retriever.sparse.vector import SparseVector
from retriever.stores import Candidate
from retriever_chroma.collection import Collection
from retriever_chroma.convert import Reading
from retriever_chroma.rules import Rules
from retriever_chroma.sqlite import Database
from retriever_chroma.unsettled import Unsettled

T = TypeVar("T")

_PAGE = 1_000  # records whose texts are in memory at once
_MOST_PENDING = 20_000  # records that a kill may leave to the next sync


@dataclass(frozen=True, slots=True)
class Note:
    """What is committed with the index.

    :param analyser: settings of the analyser, and of all else that made it.
    :param position: the sequence number that it is in step with; None where there is none.
    """

    analyser: str
    position: int | None

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"analyser": self.analyser, "position": self.position})


def _parse(text: str | None) -> Note | None:
    try:
        stored = json.loads(text or "")
        return Note(str(stored["analyser"]), stored["position"])
    except (ValueError, KeyError, TypeError):
        return None


class Replica:
    """A keyword index in step with a collection. May be used from several threads.

    :param index: the keyword index.
    :param collection: the truth.
    :param reading: how its records are read.
    :param rules: what it is made by.
    :param database: Chroma's SQLite file; None where it cannot be read.
    :param unsettled: given where other processes use the index, which then is told of every write at once, and looks
        for those of others at most every :data:`INTERVAL` seconds.
    """

    INTERVAL: ClassVar[float] = 1.0

    def __init__(
        self,
        index: KeywordIndex,
        collection: Collection,
        reading: Reading,
        rules: Rules,
        database: Database | None,
        unsettled: Unsettled | None,
    ) -> None:
        self._index = index
        self._collection = collection
        self._reading = reading
        self.rules = rules
        self._analyser = Analyser(rules.analyser)
        self._database = database
        self._unsettled = unsettled
        self._settings = rules.text()
        self._mutex = threading.RLock()
        self._writes = threading.RLock()  # taken before the other, never after
        self._is_behind = False
        self._pending = 0
        self._start: int | None = None
        self._next_look = 0.0

    @contextmanager
    def writing(self, ids: Sequence[str]) -> Iterator[None]:
        """Around a write to the collection and what follows it, so that they come in the same order.

        :param ids: of the records.
        """
        with self._writes:
            if self._unsettled is None:
                yield
                return
            note = self._unsettled.note(ids)
            self._is_behind = False
            try:
                yield
            except BaseException:
                self._is_behind = True  # what failed may have reached the server all the same
                raise
            finally:
                if self._is_behind:
                    self._unsettled.leave(note)
                    self._next_look = 0.0
                else:
                    self._unsettled.settle(note)

    def upsert(self, records: Sequence[KeywordRecord]) -> None:
        """Follow what was just written to the collection.

        :param records: each of them, written once.
        """
        self._follow(lambda: self._index.upsert(records), len(records))

    def delete(self, ids: Sequence[str]) -> None:
        """Follow what was just deleted from the collection.

        :param ids: each of them, also those that were not there.
        """
        self._follow(lambda: self._index.delete(ids), len(ids))

    def terms(self, text: str) -> Mapping[str, int]:
        """How often each term occurs in a text; none where there is no keyword leg.

        :param text: of a record.
        """
        return self._analyser.terms(text) if self.rules.keyword else {}

    def sparse(self, metadata: Mapping[str, object] | None) -> SparseVector | None:
        """The learned sparse vector of a record; None where there is none.

        :param metadata: as Chroma gives it back.
        """
        return None if self.rules.unit is None else self._reading.sparse(metadata)

    def record(self, chunk_id: str, text: str | None, metadata: Mapping[str, object] | None) -> KeywordRecord:
        """What the index keeps of a record.

        :param chunk_id: its id.
        :param text: its document.
        :param metadata: as Chroma gives it back.
        """
        chunk = self._reading.chunk(chunk_id, text, metadata)
        digest = self._reading.entry(chunk_id, text, metadata).hash
        return KeywordRecord(chunk, self.terms(chunk.text), digest, self.sparse(metadata))

    def search(self, terms: Mapping[str, int], depth: int, condition: Filter | None) -> list[Candidate]:
        """The best records by BM25, as far as is known to be in step.

        :param terms: of the query.
        :param depth: how many at most.
        :param condition: holds for all of them where the index can tell.
        """
        return self._whole(lambda: self._index.search(terms, depth, condition))

    def search_sparse(self, vector: SparseVector, depth: int, condition: Filter | None) -> list[Candidate]:
        """The best records by learned sparse vectors with rounded weights; otherwise as :meth:`search`.

        :param vector: of the query.
        :param depth: how many at most.
        :param condition: holds for all of them where the index can tell.
        """
        return self._whole(lambda: self._index.search_sparse(vector, depth, condition))

    def matching(self, condition: Filter, limit: int) -> Matches | None:
        """The records that satisfy a filter, or a few more; None where there are too many.

        :param condition: any filter.
        :param limit: give up beyond so many.
        """
        return self._whole(lambda: self._index.matching(condition, limit))

    def ready(self) -> None:
        """Come in step, where that is needed and nobody else is at it."""
        with self._mutex:
            self.flush()
            if not self._is_in_step():
                self.sync()

    def flush(self) -> None:
        """Make visible what the store wrote."""
        with self._mutex:
            if self._pending:
                expected = None if self._start is None else self._start + self._pending
                self._pending = 0
                # Whoever else wrote meanwhile is found from where this began.
                self._commit(expected if expected == self._position() else self._start)

    def sync(self, *, deep: bool = False) -> None:
        """Compare with the collection, and take over what differs. Nothing happens while another process does so.

        :param deep: compare every record, and not only which there are.
        """
        with self._mutex:
            self.flush()
            if not self._index.lock():
                self._index.refresh()
                return
            try:
                position = self._position()
                left = self._left()
                self._take_over(self._differences(deep=deep).union(*left.values()))
                self._commit(position)
            except BaseException:
                self._index.rollback()
                raise
            if self._unsettled is not None:
                for note in left:
                    self._unsettled.settle(note)
            self._next_look = time.monotonic() + self.INTERVAL

    def close(self) -> None:
        """Make visible what was written, and let go of files."""
        with self._mutex:
            self.flush()
            self._index.close()

    def destroy(self) -> None:
        """Remove the index."""
        with self._mutex:
            self._pending = 0
            self._index.rollback()
            self._index.destroy()
            if self._unsettled is not None:
                self._unsettled.remove()

    def _follow(self, change: Callable[[], None], operations: int) -> None:
        with self._mutex:
            if not self._pending and not self._begin(operations):
                self._is_behind = True
                return  # left to the next sync
            try:
                change()
            except BaseException:
                self._pending = 0
                self._index.rollback()
                raise
            self._pending += operations
            if self._unsettled is not None or self._pending >= _MOST_PENDING:
                self.flush()

    def _begin(self, operations: int) -> bool:
        """Take the lock, if the index was in step before these operations."""
        if not self._index.lock():
            return False
        note, position = self._note(), self._position()
        known = note is not None and (position is None or note.position == position - operations)
        if not known:
            self._index.rollback()
            return False
        self._start = note.position if note is not None else None
        return True

    def _is_in_step(self) -> bool:
        if self._note() is None:
            self._index.refresh()
        position = self._position()
        if position is None:
            return self._seems_in_step()
        return self._is_at(position) or self._is_at_after_refresh(position)

    def _is_at(self, position: int) -> bool:
        note = self._note()
        return note is not None and note.position == position

    def _is_at_after_refresh(self, position: int) -> bool:
        self._index.refresh()
        return self._is_at(position)

    def _seems_in_step(self) -> bool:
        """By count and last id, and not with every search on a server."""
        now = time.monotonic()
        if self._note() is None:
            return False
        if self._unsettled is not None and now < self._next_look:
            return True
        self._next_look = now + self.INTERVAL
        self._index.refresh()
        if self._left():
            return False
        count = self._collection.count()
        if count != self._index.count():
            return False
        last = self._collection.last_id(count) if count else None
        return last is None or bool(self._index.digests([last]))

    def _left(self) -> dict[Path, list[str]]:
        return {} if self._unsettled is None else self._unsettled.left()

    def _differences(self, *, deep: bool) -> set[str]:
        """Ids of the records that may be different from what the index holds, or gone."""
        note = self._note()
        if note is None:
            self._index.clear()
            return set(self._ids())
        if self._database is not None and note.position is not None and not deep:
            try:
                return self._changed_since(note.position, self._database)
            except sqlite3.Error:
                pass  # of another version: compare all ids
        known = self._index.digests()
        if deep:
            rows = self._collection.all_rows(self._reading.ledger, page=_PAGE)
            found = {row.id: self._reading.entry(*row).hash for row in rows}
            return {key for key, _ in found.items() ^ known.items()}
        return known.keys() ^ self._ids()

    def _changed_since(self, position: int, database: Database) -> set[str]:
        changed = database.changed(self._collection.id, position)
        new = len(changed) - len(self._index.digests(changed))
        if self._index.count() + new == database.count(self._collection.id):
            return set(changed)
        return (self._index.digests().keys() ^ database.ids(self._collection.id)).union(changed)

    def _ids(self) -> list[str]:
        if self._database is not None:
            try:
                return self._database.ids(self._collection.id)
            except sqlite3.Error:
                pass
        return [row.id for row in self._collection.all_rows([])]

    def _take_over(self, ids: Ids[str]) -> None:
        """Look at each of the records: one that seemed gone may have slipped from one page to another meanwhile."""
        for page in batched(ids, _PAGE):
            missing = set(page)
            self._index.upsert(self._records(page, missing))
            self._index.delete(missing)

    def _records(self, ids: Sequence[str], missing: set[str]) -> Iterator[KeywordRecord]:
        for row in self._collection.rows(ids, ["metadatas", "documents"]):
            missing.discard(row.id)
            yield self.record(*row)

    def _whole(self, ask: Callable[[], T]) -> T:
        """Ask the index, and make it anew where its files turn out to be damaged."""
        try:
            return ask()
        except StoreDamaged:
            with self._mutex:
                self.sync()
            return ask()

    def _commit(self, position: int | None) -> None:
        self._index.commit(Note(self._settings, position).text())

    def _note(self) -> Note | None:
        """The note of the index; None where there is none, or it was made with another analyser."""
        note = _parse(self._index.position())
        return note if note is not None and note.analyser == self._settings else None

    def _position(self) -> int | None:
        if self._database is None:
            return None
        try:
            return self._database.position(self._collection.id)
        except sqlite3.Error:
            return None
