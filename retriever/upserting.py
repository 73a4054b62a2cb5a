"""Upserting: documents that are their own records, with the caller's ids."""

from __future__ import annotations

from collections.abc import Sequence

from retriever.chunking import Chunked
from retriever.indexing import IndexRun
from retriever.pictures import DIGEST
from retriever.planning import ChunkedDocument, Plan, qualified_id
from retriever.report import Problem
from retriever.types import Chunk, Document


class UpsertRun(IndexRun):
    """One run over documents that are kept whole, blank ones too; a record's id is its document's.

    :param parts: as for :class:`~retriever.indexing.IndexRun`; the chunker is of the kind ``whole`` and only counts.
    :param source: name of the source; checked.
    :param progress: told of every change of the report.
    """

    def _made(self, window: Sequence[Document], results: Sequence[Chunked]) -> list[ChunkedDocument]:
        chunks = [self._whole(document) for document in window]
        return [
            ChunkedDocument(chunk.document_id, [chunk], [result.tokens], document.picture)
            for chunk, result, document in zip(chunks, results, window, strict=True)
        ]

    def _whole(self, document: Document) -> Chunk:
        name = qualified_id(self._source, document.id)
        return Chunk(name, name, document.text, 0, len(document.text), document.metadata, self._source)

    def _planned(self, window: Sequence[ChunkedDocument]) -> Plan:
        """An id says nothing about its text here: what changed is embedded again unless only metadata did."""
        plan = super()._planned(window)
        store = self._parts.store
        stored = store.fetch([store.key(chunk.id) for chunk in (*plan.missing, *plan.changed)])
        tokens = {document.id: document.tokens[0] for document in window}
        kept: list[Chunk] = []
        missing: list[Chunk] = []
        for chunk in (*plan.missing, *plan.changed):
            there = stored.get(store.key(chunk.id))
            if there is not None and there.document_id != chunk.document_id:
                self._refuse(chunk, there)
            elif there is not None and _embedded_from(there) == _embedded_from(chunk):
                kept.append(chunk)
            else:
                missing.append(chunk)
        plan.missing, plan.tokens = missing, [tokens[chunk.document_id] for chunk in missing]
        plan.changed = kept
        return plan

    def _refuse(self, chunk: Chunk, there: Chunk) -> None:
        """Chunks of a document that was cut are that document's: written over, one would be missing there."""
        reason = (
            f"the id {chunk.id!r} is that of a chunk of {there.document_id!r}, which index made: index that document "
            "again, or give this one another id"
        )
        self.report.failed.append(Problem(chunk.document_id, reason))


def _embedded_from(chunk: Chunk) -> tuple[str, object]:
    """A picture with other words is written anew as well: the words are searched for, too."""
    return chunk.text, chunk.metadata.get(DIGEST)
