"""Indexing: load, chunk, plan, embed, upsert, prune. The store is the ledger.

Documents flow in windows, so that memory stays bounded whatever the stream. Within a window everything new is written
before anything old is deleted, and what is new is found by asking the store. So a run may be killed at any moment:
running it again finishes the work.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from retriever.batched import batched
from retriever.chunking import Chunked, Chunker, Span
from retriever.embedding.base import EmbeddingFunction
from retriever.errors import InvalidInput, RecordsRefused, StoreError
from retriever.filters import And, Compare, Filter, Reserved, matching
from retriever.keyword.analyser import Analyser
from retriever.loading import Unloaded
from retriever.pictures import Picture
from retriever.planning import ChunkedDocument, Plan, check_document, make_chunks, make_plan, qualified_id
from retriever.recalibrating import calibrate, drift_notes, recalibrate, unknown_among
from retriever.report import IndexReport, Problem
from retriever.sparse import SparseFunction, SparseVector
from retriever.stores import Record, Store
from retriever.types import Chunk, Document
from retriever.vectors import embed_chunks

WINDOW_CHARACTERS = 2_000_000
"""A window is full at this size or at WINDOW_DOCUMENTS; a greater document is a window of its own."""
WINDOW_DOCUMENTS = 2_048
PICTURE_BYTES = 64
"""So many bytes of pictures that are given in memory count as a character."""
BATCH = 256
"""Chunks that are embedded and written together: twice as many are what a kill can cost."""
CALIBRATION_CHUNKS = 10_000
"""The average length is measured on the first so many chunks."""
CALIBRATION_BYTES = 2**28
"""Or, where pictures are given in memory, on fewer: those that are held meanwhile."""
DRIFT_CHUNKS = 200
"""Fewer new chunks than this say nothing about drift."""

_END = object()
_LEVEL = re.compile(r"[/#]")

WITHOUT_HEADINGS = ("code", "csv", "log")
"""Values of a document's ``format`` in which a line that looks like a Markdown heading is none."""

Progress = Callable[[IndexReport], None]
"""Called whenever the report has changed; it must not change it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pipeline is made of."""

    store: Store
    embedding: EmbeddingFunction
    chunker: Chunker
    analyser: Analyser
    sparse: SparseFunction | None = None
    keyword: bool = True

    def terms(self, text: str) -> Mapping[str, int]:
        """What the keyword leg finds a text by.

        :param text: of a chunk.
        """
        return self.analyser.terms(text) if self.keyword else {}


class _Seen:
    """Which documents a run has met, at some 70 bytes each: 64 bits of a hash instead of the id."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def add(self, document_id: str) -> bool:
        """Note a document; False where it was met before."""
        before = len(self._hashes)
        self._hashes.add(self._hash(document_id))
        return len(self._hashes) > before

    def __contains__(self, document_id: str) -> bool:
        return self._hash(document_id) in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    @staticmethod
    def _hash(document_id: str) -> int:
        return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), "big")


class IndexRun:
    """One run over one source.

    :param parts: store, embedding function, chunker, analyser.
    :param source: name of the source; checked.
    :param progress: told of every change of the report.
    """

    def __init__(self, parts: Parts, source: str, progress: Progress | None = None) -> None:
        self._parts = parts
        self._source = source
        self._progress = progress or (lambda _: None)
        self._seen = _Seen()
        self._pictures: dict[str, Picture] = {}
        self._unread: set[str] = set()
        self._protected: set[str] = set()
        self._terms = 0
        self._count = 0
        self._unknown = 0
        self.report = IndexReport(source)

    def run(self, items: Iterable[Document | Unloaded], *, prune: bool, file: str | None = None) -> IndexReport:
        """Bring the index in step with a stream of documents.

        :param items: read once, a window at a time.
        :param prune: delete documents of this source that the stream does not have.
        :param file: id of the only file that the stream is about: prune only what was in it.
        :return: what was done.
        :raises EmbeddingError: where the embedding function fails; what was written before stays.
        :raises StoreError: where the store fails.
        """
        self._count = self._parts.store.count()
        for window in self._calibrated(self._windows(items)):
            self._apply(window)
            self._recalibrate_small_index()
        if prune:
            self._prune(file)
        self._check_drift()
        self._optimise()
        self._progress(self.report)
        return self.report

    def _windows(self, items: Iterable[Document | Unloaded]) -> Iterator[list[ChunkedDocument]]:
        window: list[Document] = []
        size = 0
        for document in self._documents(items):
            window.append(document)
            size += len(document.text)
            if document.picture is not None:
                size += document.picture.bytes_held // PICTURE_BYTES
            if size >= WINDOW_CHARACTERS or len(window) >= WINDOW_DOCUMENTS:
                yield self._chunked(window)
                window, size = [], 0
        if window:
            yield self._chunked(window)

    def _documents(self, items: Iterable[Document | Unloaded]) -> Iterator[Document]:
        """The documents that can be indexed; the others go to the report."""
        stream: Iterator[Any] = iter(items)
        while True:
            with self.report.timed("load"):
                item = next(stream, _END)
            if item is _END:
                return
            if isinstance(item, Unloaded):
                self._note(item)
                continue
            document = self._checked(item)
            if document is not None:
                yield document

    def _note(self, item: Unloaded) -> None:
        """Whatever could not be loaded is never pruned."""
        self._protected.add(qualified_id(self._source, item.path))
        problems = self.report.failed if item.kind == "failed" else self.report.ignored
        problems.append(Problem(item.path, item.reason))

    def _checked(self, given: object) -> Document | None:
        name = getattr(given, "id", None)
        name = name if isinstance(name, str) else repr(given)[:80]
        try:
            document = check_document(cast("Document", given))
            if document.picture is not None and not self._parts.embedding.reads_images:
                raise InvalidInput(f"it is a picture, and {self._parts.embedding.name} reads none")
            if not self._seen.add(qualified_id(self._source, document.id)):
                raise InvalidInput("a document with this id came before in the same run; the first one was kept")
        except InvalidInput as error:
            shown = name.encode(errors="backslashreplace").decode()
            self.report.failed.append(Problem(shown, str(error)))
            self._protected.add(qualified_id(self._source, name))
            return None
        self.report.documents += 1
        return document

    def _chunked(self, window: Sequence[Document]) -> list[ChunkedDocument]:
        with self.report.timed("chunk"):
            texts = [document for document in window if document.picture is None]
            markdown = [document.metadata.get("format") not in WITHOUT_HEADINGS for document in texts]
            split = iter(self._parts.chunker.split([document.text for document in texts], markdown))
            results = [next(split) if document.picture is None else _picture_span(document) for document in window]
            self.report.tokens += sum(result.tokens for result in results)
            self._unknown += sum(result.unknown for result in results)
            return self._made(window, results)

    def _made(self, window: Sequence[Document], results: Sequence[Chunked]) -> list[ChunkedDocument]:
        empty = [document.id for document in window if document.picture is None and not document.text.strip()]
        self.report.ignored += [Problem(name, "empty") for name in empty]
        return [make_chunks(d, result, self._source) for d, result in zip(window, results, strict=True)]

    def _calibrated(self, windows: Iterator[list[ChunkedDocument]]) -> Iterator[list[ChunkedDocument]]:
        """The same windows, but before the first one the index has its calibration."""
        manifest = self._parts.store.read_manifest()
        if manifest is None or manifest.calibration is not None:
            return windows
        head: list[list[ChunkedDocument]] = []
        count = held = 0
        for window in windows:
            head.append(window)
            count += sum(len(document.chunks) for document in window)
            held += sum(document.picture.bytes_held for document in window if document.picture)
            if count >= CALIBRATION_CHUNKS or held >= CALIBRATION_BYTES:
                break
        if count:
            chunks = [chunk for window in head for document in window for chunk in document.chunks]
            with self.report.timed("plan"):
                rate = self._unknown / max(1, self.report.tokens)
                calibration = calibrate((chunk.text for chunk in chunks), self._parts.analyser, rate)
                if self._parts.sparse is not None:
                    rate = unknown_among(chunks, self._parts.sparse)
                    calibration = calibration.model_copy(update={"sparse_unknown_rate": rate})
                self._parts.store.write_manifest(manifest.model_copy(update={"calibration": calibration}))
        return chain(head, windows)

    def _recalibrate_small_index(self) -> None:
        """An index that was calibrated on few chunks is calibrated anew each time it has doubled.

        That ends at CALIBRATION_CHUNKS, so it never rewrites more than some 20,000 records in all. An interrupted
        recalibration is finished here too.
        """
        manifest = self._parts.store.read_manifest()
        if manifest is None or manifest.calibration is None:
            return
        calibration = manifest.calibration
        count = self._count + self.report.added - self.report.deleted
        if calibration.complete and (calibration.chunks >= CALIBRATION_CHUNKS or count < 2 * calibration.chunks):
            return
        with self.report.timed("store"):
            parts = self._parts
            recalibrate(parts.store, manifest, parts.embedding, parts.analyser, parts.sparse)

    def _apply(self, window: Sequence[ChunkedDocument]) -> None:
        with self.report.timed("plan"):
            plan = self._planned(window)
            self._pictures = {d.chunks[0].id: d.picture for d in window if d.picture is not None}
            self._unread = set()
        self.report.skipped += plan.unchanged
        room = self._parts.embedding.room("document")
        self.report.truncated += 0 if room is None else sum(tokens > room for tokens in plan.tokens)
        self._progress(self.report)
        self._write(_longest_first(plan))
        self._rewrite(plan.changed)
        self._delete(self._spared(plan.stale))

    def _planned(self, window: Sequence[ChunkedDocument]) -> Plan:
        ledger = self._parts.store.entries(self._of_documents([document.id for document in window]))
        return make_plan(window, ledger)

    def _of_documents(self, document_ids: Sequence[str]) -> Filter:
        return And((self._of_source(), matching(document_ids, Reserved.DOCUMENT)))

    def _of_source(self) -> Filter:
        return Compare(Reserved.SOURCE, "eq", self._source)

    def _write(self, batches: Iterable[Sequence[Chunk]]) -> None:
        """One batch is stored, in another thread, while the next one is embedded."""
        with ThreadPoolExecutor(1, thread_name_prefix="retriever-store") as storing:
            before: Future[list[Record]] | None = None
            try:
                for chunks in batches:
                    records = self._embedded(chunks)
                    done, before = before, None
                    if done is not None:
                        self._note_written(self._waited(done))
                    before = storing.submit(self._stored, records)
            finally:
                if before is not None:  # it is written also where embedding the next one failed
                    self._note_written(self._waited(before))

    def _embedded(self, chunks: Sequence[Chunk]) -> list[Record]:
        with self.report.timed("embed"):  # what is too long is counted in the report
            made = embed_chunks(self._parts.embedding, chunks, lambda chunk: self._pictures[chunk.id])
            for chunk in chunks:
                if chunk.id in made.problems:
                    self._unread.add(chunk.document_id)
                    self.report.failed.append(Problem(chunk.document_id, made.problems[chunk.id]))
            there = [chunk for chunk in chunks if chunk.id in made.vectors]
            sparse = self._encoded(list(dict.fromkeys(chunk.text for chunk in there)))
            return [
                Record(chunk, made.vectors[chunk.id], self._parts.terms(chunk.text), sparse.get(chunk.text))
                for chunk in there
            ]

    def _encoded(self, texts: Sequence[str]) -> Mapping[str, SparseVector]:
        """By the learned sparse model, where there is one. Pictures by their words."""
        function = self._parts.sparse
        if function is None:
            return {}
        self.report.sparse_truncated += sum(function.cut(texts))
        return dict(zip(texts, function.encode_documents(texts, warn=False), strict=True))

    def _stored(self, records: Sequence[Record]) -> list[Record]:
        """Those that were written."""
        refused = self._upsert(records)
        return [record for record in records if record.chunk.id not in refused]

    def _waited(self, storing: Future[list[Record]]) -> list[Record]:
        """What was written, once it is. What embedding hides of the storing costs no time and is not counted."""
        with self.report.timed("store"):
            return storing.result()

    def _note_written(self, written: Sequence[Record]) -> None:
        self._terms += sum(sum(record.terms.values()) for record in written)
        self.report.added += len(written)
        self._progress(self.report)

    def _upsert(self, records: Sequence[Record]) -> set[str]:
        """Ids of the chunks that the store does not take; they are reported and tried again by the next run."""
        try:
            self._parts.store.upsert(records)
        except RecordsRefused as error:
            refused = set(error.chunk_ids)
            documents = dict.fromkeys(r.chunk.document_id for r in records if r.chunk.id in refused)
            self.report.failed += [Problem(document, str(error)) for document in documents]
            return refused
        return set()

    def _rewrite(self, chunks: Sequence[Chunk]) -> None:
        with self.report.timed("store"):
            for batch in batched(chunks, BATCH):
                self._parts.store.rewrite(batch)
                self.report.updated += len(batch)

    def _delete(self, chunk_ids: Sequence[str]) -> None:
        with self.report.timed("store"):
            for batch in batched(chunk_ids, BATCH):
                self._parts.store.delete(batch)
                self.report.deleted += len(batch)
        self._progress(self.report)

    def _spared(self, stale: Sequence[str]) -> Sequence[str]:
        """Without the former picture of a document whose new one could not be read."""
        if not self._unread:
            return stale
        kept = {entry.chunk_id for entry in self._parts.store.entries(self._of_documents(sorted(self._unread)))}
        return [chunk_id for chunk_id in stale if chunk_id not in kept]

    def _prune(self, file: str | None) -> None:
        if not len(self._seen) or qualified_id(self._source, ".") in self._protected:
            self.report.warnings.append("the source is empty or could not be read: nothing was pruned")
            return
        with self.report.timed("plan"):
            stale = [
                entry.chunk_id
                for entry in self._parts.store.entries(self._of_source())
                if self._is_of(file, entry.document_id)
                and entry.document_id not in self._seen
                and not self._is_protected(entry.document_id)
            ]
        self._delete(stale)

    def _is_of(self, file: str | None, document_id: str) -> bool:
        """Whether a document is the file, or one of several in it."""
        if file is None:
            return True
        whole = qualified_id(self._source, file)
        return document_id == whole or document_id.startswith(f"{whole}#")

    def _optimise(self) -> None:
        """Only speed depends on it, so its failure does not fail a run that is finished."""
        try:
            with self.report.timed("optimise"):
                self._parts.store.optimise()
        except StoreError as error:
            self.report.warnings.append(f"searches may be slow: {error}")

    def _is_protected(self, document_id: str) -> bool:
        """Whether it, or the folder or the file of many documents that it lies in, could not be loaded."""
        ends = (match.start() for match in _LEVEL.finditer(document_id))
        return document_id in self._protected or any(document_id[:end] in self._protected for end in ends)

    def _check_drift(self) -> None:
        manifest = self._parts.store.read_manifest()
        if manifest is None or manifest.calibration is None or self.report.added < DRIFT_CHUNKS or not manifest.keyword:
            return
        self.report.warnings += drift_notes(self._terms / self.report.added, manifest.calibration)


def _picture_span(document: Document) -> Chunked:
    """One chunk; its words are not what is embedded, so no tokens are counted."""
    return Chunked([Span(0, len(document.text), 0, ())], 0, 0)


def _longest_first(plan: Plan) -> Iterator[list[Chunk]]:
    """Batches of chunks of like length, so that a model pads little."""
    order = sorted(range(len(plan.missing)), key=lambda i: -plan.tokens[i])
    for batch in batched(order, BATCH):
        yield [plan.missing[i] for i in batch]
