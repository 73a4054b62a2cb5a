"""The keyword replica on tantivy: an inverted index in the process, in a folder or in memory.

The engine's BM25 is Okapi's with k1 = 1.2 and b = 0.75. It keeps the length of a record in one byte, and counts
deleted records until their segment is merged: scores are near those of :mod:`retriever.keyword.bm25`, not equal.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from retriever.errors import StoreDamaged, StoreError, StoreLocked
from retriever.filters import Filter
from retriever.keyword import facts, impacts
from retriever.keyword.index import KeywordRecord, Matches
from retriever.registry import raise_missing
from retriever.sparse.vector import SparseVector
from retriever.stores import Candidate

try:
    from tantivy import Document, Index, IndexWriter, Occur, Query, Searcher
except ModuleNotFoundError as missing:
    raise_missing("the keyword index", missing)

from retriever.keyword import tantivy_document as documents
from retriever.keyword.tantivy_errors import engine_errors
from retriever.keyword.tantivy_filter import FilterCompiler, is_exact
from retriever.keyword.tantivy_home import FolderHome, Home, MemoryHome

_HEAP = 64_000_000
"""Bytes for records that are not written yet, with one indexing thread: so memory is bounded."""


@dataclass(frozen=True, slots=True)
class _View:
    """One commit; it stays as it is while others write."""

    index: Index
    searcher: Searcher
    state: bytes
    position: str | None
    count: int


class TantivyIndex:
    """A :class:`retriever.keyword.index.KeywordIndex`.

    An index that cannot be read is treated as one that is not there: its position is None, and the next writer makes
    it anew. Where records of equal score are cut at the depth, the engine's order decides which of them are found.

    :param folder: for its files; None keeps it in memory.
    :param unit: of the weights of learned sparse vectors, see :mod:`retriever.keyword.impacts`.
    """

    def __init__(self, folder: Path | str | None = None, unit: float = 2.0**-6) -> None:
        self._unit = unit
        self._schema = documents.schema()
        self._home: Home = MemoryHome(self._schema) if folder is None else FolderHome(Path(folder), self._schema)
        self._filters = FilterCompiler(self._schema, "facts")
        self._changes = threading.RLock()  # held for as long as a change takes; taken before the other, never after
        self._looking = threading.RLock()  # held while another commit takes the place of the one seen
        self._seen: _View | None = None
        self._writer: IndexWriter | None = None
        self._damaged: str | None = None  # the generation in which a search met damage

    def position(self) -> str | None:
        """The note of the last commit seen."""
        view = self._view()
        return view.position if view else None

    def count(self) -> int:
        """How many records there are."""
        view = self._view()
        return view.count if view else 0

    def lock(self) -> bool:
        """Become the only writer.

        :raises NotAStore: where files of somebody else are in the way.
        :raises StoreError: where the folder cannot be written.
        """
        if self._writer is not None:  # without waiting for a change of another thread
            return False
        with self._changes:
            if self._writer is not None or not self._home.acquire():
                return False
            try:
                with self._writing():
                    self._writer = self._new_writer()
            except BaseException:
                self._home.release()
                raise
            return True

    def upsert(self, records: Iterable[KeywordRecord]) -> None:
        """Add or replace records."""
        with self._changing() as writer:
            for record in records:
                writer.delete_documents_by_term("key", documents.key(record.chunk.id))
                writer.add_document(documents.document(record, self._unit))

    def delete(self, chunk_ids: Iterable[str]) -> None:
        """Remove records."""
        with self._changing() as writer:
            for chunk_id in chunk_ids:
                writer.delete_documents_by_term("key", documents.key(chunk_id))

    def clear(self) -> None:
        """Remove all records."""
        with self._changing() as writer:
            writer.delete_documents_by_term("facts", facts.RECORD)

    def commit(self, position: str) -> None:
        """Make the changes visible. Segments are merged before it returns, so that there are never many.

        :raises StoreError: where it fails; the lock is free then, too.
        """
        with self._changes:
            try:
                with self._changing() as writer:
                    writer.delete_documents_by_term("key", documents.NOTE)
                    writer.add_document(documents.note(position))
                    writer.commit()
            finally:
                self._let_go()
                self._reload()

    def rollback(self) -> None:
        """Forget the changes."""
        with self._changes:
            self._let_go()

    def refresh(self) -> None:
        """See the newest commit."""
        with self._looking:
            if self._seen is not None and self._seen.state != self._home.state():
                self._reload()

    def search(self, terms: Mapping[str, int], depth: int, condition: Filter | None = None) -> list[Candidate]:
        """The best records by the engine's BM25.

        :raises StoreDamaged: where its files turn out to be; from then on there is no index.
        """
        return self._found([self._term(text, count) for text, count in terms.items()], depth, condition)

    def search_sparse(self, vector: SparseVector, depth: int, condition: Filter | None = None) -> list[Candidate]:
        """The best records by the dot product with rounded weights.

        :raises StoreDamaged: as :meth:`search` does.
        """
        return self._found(
            [self._impact(token, score) for token, score in impacts.clauses(vector, self._unit)], depth, condition
        )

    def matching(self, condition: Filter, limit: int | None = None) -> Matches | None:
        """The records that satisfy a filter.

        :raises StoreDamaged: as :meth:`search` does.
        """
        view = self._view()
        if view is None:
            return Matches([], exact=True)
        with self._reading():
            found = _hits(view, self._unscored(condition), view.count if limit is None else limit + 1)
            ids = [_text(document, "id") for _, document in found]
        return Matches(ids, self._is_exact(view, condition)) if limit is None or len(ids) <= limit else None

    def is_exact(self, condition: Filter | None) -> bool:
        """Whether nothing that is found has to be looked at again."""
        view = self._view()
        return view is None or self._is_exact(view, condition)

    def digests(self, chunk_ids: Sequence[str] | None = None) -> dict[str, str]:
        """Digests by chunk id.

        :raises StoreDamaged: as :meth:`search` does.
        """
        view = self._view()
        if view is None:
            return {}
        query = self._filters.token(facts.RECORD)
        if chunk_ids is not None:
            query = Query.term_set_query(self._schema, "key", [documents.key(chunk_id) for chunk_id in chunk_ids])
        with self._reading():
            found = _hits(view, query, view.count)
            return {_text(document, "id"): _text(document, "digest") for _, document in found}

    def destroy(self) -> None:
        """Remove the index.

        :raises StoreLocked: where another process or object is writing it.
        """
        with self._changes:
            if self._writer is None and not self._home.acquire():
                raise StoreLocked(f"{self._home.name} is being written by another process; destroy it later")
            self._end_writer()
            with self._looking:
                self._seen = None
            self._home.remove()

    def close(self) -> None:
        """Let go of files."""
        with self._changes:
            self._let_go()
            with self._looking:
                self._seen = None

    def _view(self) -> _View | None:
        """The commit that was seen last, or the newest where none was."""
        seen = self._seen  # once: another thread may change it
        if seen is not None:
            return seen
        with self._looking:
            if self._seen is None:
                self._seen = self._load()
            return self._seen

    def _new_writer(self) -> IndexWriter:
        """A killed writer may leave a file of deletions whose name the next commit needs, and would stop at."""
        writer = self._newest().index.writer(_HEAP, 1)
        writer.garbage_collect_files()
        return writer

    def _newest(self) -> _View:
        """For the holder of the lock; makes the index where there is none.

        Never through an open object: that remembers its files, and would forget those that other processes wrote.
        """
        with self._looking:
            self._seen = self._load() or self._load(self._home.make())
            if self._seen is None:
                raise StoreError(f"{self._home.name} cannot be read although it was just made; look at its disk")
            return self._seen

    def _load(self, index: Index | None = None) -> _View | None:
        """Look at the newest commit; None where there is no index, or none that can be read."""
        generation = self._home.generation()
        if generation is None or generation == self._damaged:
            return None
        with suppress(StoreDamaged), engine_errors(self._damage):
            state = self._home.state()  # before it is loaded: a commit in between is seen by the next look
            index = index or self._home.open()
            index.reload()
            return self._look(index, state)
        return None

    def _reload(self) -> None:
        with self._looking:
            if self._seen is not None:
                self._seen = self._load(self._seen.index)

    def _look(self, index: Index, state: bytes) -> _View:
        searcher = index.searcher()
        notes = searcher.search(Query.term_query(self._schema, "key", documents.NOTE, "basic"), 1).hits
        position = _text(searcher.doc(notes[0][1]), "position") if notes else None
        return _View(index, searcher, state, position, searcher.num_docs - len(notes))

    def _end_writer(self) -> None:
        """Waiting merges what is committed, drops what is not, and frees the engine's own lock.

        A merge that fails loses nothing: it is tried again after another commit.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(StoreError), self._writing():
                writer.wait_merging_threads()

    def _let_go(self) -> None:
        if self._writer is not None:
            self._end_writer()
            self._home.release()

    @contextmanager
    def _changing(self) -> Iterator[IndexWriter]:
        with self._changes:
            if self._writer is None:
                raise StoreError(f"{self._home.name} is changed without its lock; call lock() first")
            with self._writing():
                yield self._writer

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Note damage that only a search meets, so that the next writer makes the index anew."""
        try:
            with engine_errors(self._damage):
                yield
        except StoreDamaged:
            with self._looking:
                self._damaged = self._home.generation()
                self._seen = None
            raise

    def _writing(self) -> AbstractContextManager[None]:
        return engine_errors(
            lambda error: StoreError(f"{self._home.name} cannot be written: {error}; look at its disk")
        )

    def _damage(self, error: BaseException) -> StoreDamaged:
        return StoreDamaged(f"{self._home.name} cannot be read and is built anew when it is next written: {error}")

    def _found(self, parts: Sequence[Query], depth: int, condition: Filter | None) -> list[Candidate]:
        view = self._view()
        if view is None or not parts:
            return []
        with self._reading():
            found = _hits(view, self._scored(parts, condition), depth)
            candidates = [Candidate(_text(document, "id"), score) for score, document in found]
        return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.key))

    def _scored(self, parts: Sequence[Query], condition: Filter | None) -> Query:
        body = Query.boolean_query([(Occur.Should, part) for part in parts])
        if condition is None:
            return body
        return Query.boolean_query([(Occur.Must, body), (Occur.Must, self._unscored(condition))])

    def _term(self, text: str, count: int) -> Query:
        return Query.boost_query(Query.term_query(self._schema, "body", documents.term(text), "freq"), float(count))

    def _impact(self, token: str, score: float) -> Query:
        return Query.const_score_query(Query.term_query(self._schema, "impacts", token, "basic"), score)

    def _unscored(self, condition: Filter) -> Query:
        return Query.const_score_query(self._filters.query(condition), 0.0)

    def _is_exact(self, view: _View, condition: Filter | None) -> bool:
        return is_exact(condition, lambda fact: view.searcher.doc_freq("facts", fact) > 0)


def _hits(view: _View, query: Query, limit: int) -> Iterator[tuple[float, Document]]:
    """Score and stored fields, best first."""
    limit = max(1, min(limit, view.count))
    for score, address in view.searcher.search(query, limit, count=False).hits:
        yield score, view.searcher.doc(address)


def _text(document: Document, field: str) -> str:
    return bytes(document[field][0]).decode()
