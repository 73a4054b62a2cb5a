"""Rebuilding an index whose engine cannot open it any more, from what can still be read of its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

from retriever.batched import batched
from retriever.embedding import EmbeddingFunction
from retriever.errors import ConfigurationError, StoreDamaged, StoreNotFound
from retriever.identity import resolve_recorded, verify_canaries
from retriever.indexing import BATCH
from retriever.keyword.analyser import Analyser
from retriever.manifest import Manifest
from retriever.metadata import record_hash
from retriever.opening import PathInput, resolve_store
from retriever.sparse import SparseFunction, SparseVector
from retriever.sparse.recorded import resolve_recorded_sparse, verify_sparse_canaries
from retriever.stores import Record, Store
from retriever.types import Chunk, FloatVector
from retriever.vectors import ChunkVectors, embed_chunks


class Salvaged(NamedTuple):
    """A record that could be read.

    :param chunk: whole.
    :param vector: None where it is lost; the text, or the picture from its file, is embedded again.
    :param sparse: None where it is lost; the text is encoded again where the index has a learned sparse model.
    """

    chunk: Chunk
    vector: FloatVector | None
    sparse: SparseVector | None = None


@dataclass(frozen=True, slots=True)
class Salvage:
    """What could be read without the engine.

    :param manifest: of the index.
    :param records: in no stated order, each once.
    """

    manifest: Manifest
    records: Iterator[Salvaged]


class Repair(Protocol):
    """The parts of a repair that a store knows how to do."""

    def salvage(self) -> Salvage | None:
        """Read without the engine; None where there is no index, or :meth:`replace` was interrupted.

        :raises StoreDamaged: where not even that can be read.
        """

    def replacement(self) -> Store:
        """The store that shall take the damaged one's place; it may hold what an interrupted repair wrote."""

    def replace(self) -> bool:
        """Put the replacement in its place; False where there is none. Can be interrupted and repeated."""


@runtime_checkable
class Repairable(Protocol):
    """What a store adds to the protocol of stores if its indexes can be rebuilt."""

    def repair(self) -> Repair:
        """How to rebuild this index; nothing is opened yet.

        :raises ConfigurationError: where it cannot be done from here.
        """


@dataclass(slots=True)
class RepairReport:
    """What a repair did. Counts are chunks."""

    chunks: int = 0
    """Read from the files and in the index now."""
    embedded: int = 0
    """Of these, embedded again because their vectors were lost."""
    lost: list[str] = field(default_factory=list)
    """Pictures whose vectors are lost and whose files could not be read again, each with the reason: they are not in
    the index."""


RepairProgress = Callable[[RepairReport], None]
"""Called whenever the report has changed; it must not change it."""


def repair_index(store: PathInput | Store, *, progress: RepairProgress | None = None) -> RepairReport:
    """Rebuild an index beside itself, then let the new one take its place. Nothing else may have it open.

    May be interrupted at any moment: running it again finishes the work, and until the end the damaged index stays.

    :param store: as for :meth:`retriever.Retriever.open`.
    :param progress: called with the report whenever it has changed.
    :return: what was done.
    :raises StoreNotFound: where there is no index.
    :raises ConfigurationError: where the store has no repair.
    :raises StoreDamaged: where nothing can be read any more: index the sources again.
    """
    place = resolve_store(store)
    try:
        if not isinstance(place, Repairable):
            raise ConfigurationError(
                f"{place.address} has no repair: look with retriever verify; if it is damaged, restore a backup, or "
                "delete it and index the sources again"
            )
        return _rebuild(place.repair(), place.address, progress or (lambda _: None))
    finally:
        place.close()


def _rebuild(repair: Repair, address: str, progress: RepairProgress) -> RepairReport:
    report = RepairReport()
    salvage = repair.salvage()
    if salvage is not None:
        replacement = repair.replacement()
        try:
            _Rebuilding(replacement, salvage, address, report, progress).run()
        finally:
            replacement.close()
    if not repair.replace():
        raise StoreNotFound(f"there is no index at {address}")
    return report


class _Rebuilding:
    """Fills the replacement.

    :param target: to be filled.
    :param salvage: what there is.
    :param address: of the damaged index, for messages.
    :param report: to be kept up to date.
    :param progress: told of every change of it.
    """

    def __init__(
        self, target: Store, salvage: Salvage, address: str, report: RepairReport, progress: RepairProgress
    ) -> None:
        self._target = target
        self._salvage = salvage
        self._address = address
        self._report = report
        self._progress = progress
        self._analyser = Analyser(salvage.manifest.analyser)

    def run(self) -> None:
        """Write what the target lacks, and remove what an earlier attempt wrote that is not in the index any more."""
        there = self._begun()
        for batch in batched(self._salvage.records, BATCH):
            lacking = [
                salvaged for salvaged in batch if there.pop(salvaged.chunk.id, "") != record_hash(salvaged.chunk)
            ]
            self._report.chunks += len(batch) - self._write(lacking)
            self._progress(self._report)
        self._target.delete(list(there))

    def _begun(self) -> dict[str, str]:
        """Hashes of what the target holds, by chunk id. What a kill damaged, or another index left, is begun anew."""
        with suppress(StoreDamaged):
            if self._target.read_manifest() == self._salvage.manifest:
                return {entry.chunk_id: entry.hash for entry in self._target.entries()}
        self._target.destroy()
        self._target.create(self._salvage.manifest)
        return {}

    def _write(self, batch: Sequence[Salvaged]) -> int:
        """Says how many could not be embedded again."""
        lost = [chunk for chunk, vector, _ in batch if vector is None]
        made = embed_chunks(self._embedding, lost) if lost else ChunkVectors()
        self._report.embedded += len(made.vectors)
        self._report.lost += [f"{c.document_id}: {made.problems[c.id]}" for c in lost if c.id in made.problems]
        vectors = made.vectors | {chunk.id: vector for chunk, vector, _ in batch if vector is not None}
        there = [salvaged for salvaged in batch if salvaged.chunk.id in vectors]
        encoded = self._encoded(there)
        self._target.upsert(
            [
                Record(
                    chunk,
                    vectors[chunk.id],
                    self._analyser.terms(chunk.text) if self._salvage.manifest.keyword else {},
                    encoded.get(chunk.text) if sparse is None else sparse,
                )
                for chunk, _, sparse in there
            ]
        )
        return len(made.problems)

    def _encoded(self, batch: Sequence[Salvaged]) -> dict[str, SparseVector]:
        """What is lost of the learned sparse vectors, by text."""
        lost = list(dict.fromkeys(chunk.text for chunk, _, sparse in batch if sparse is None))
        if not lost or self._sparse is None:
            return {}
        return dict(zip(lost, self._sparse.encode_documents(lost, warn=False), strict=True))

    @cached_property
    def _embedding(self) -> EmbeddingFunction:
        """Loaded only where vectors are lost."""
        function = resolve_recorded(self._salvage.manifest.embedding, self._address)
        verify_canaries(self._salvage.manifest.embedding, function, self._address)
        return function

    @cached_property
    def _sparse(self) -> SparseFunction | None:
        """Loaded only where learned sparse vectors are lost."""
        recorded = self._salvage.manifest.sparse
        if recorded is None:
            return None
        function = resolve_recorded_sparse(recorded, self._address)
        verify_sparse_canaries(recorded, function, self._address)
        return function
