"""Moving an index to another store, or to another embedding function, without its sources.

The target's ledger says what is there already, so an interrupted copy goes on where it stopped when it is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from retriever.batched import batched
from retriever.embedding import EmbeddingFunction, EmbeddingInput, resolve_embedding
from retriever.errors import IndexMismatch, InvalidInput, RecordsRefused, StoreNotFound
from retriever.identity import check_settings, describe_embedding, make_manifest, verify_canaries
from retriever.indexing import BATCH, CALIBRATION_CHUNKS
from retriever.keyword.analyser import Analyser
from retriever.manifest import Calibration, Manifest
from retriever.opening import PathInput, resolve_store
from retriever.pictures import is_picture
from retriever.recalibrating import calibrate, unknown_rate
from retriever.sparse import SparseFunction, SparseInput, SparseVector, resolve_sparse
from retriever.sparse.recorded import (
    check_keeps_sparse,
    check_sparse,
    resolve_recorded_sparse,
    sparse_manifest,
    stored_sparse,
    verify_sparse_canaries,
)
from retriever.stores import Entry, Record, Store
from retriever.types import Chunk, FloatVector
from retriever.vectors import embed_chunks


@dataclass(slots=True)
class CopyReport:
    """What a copy did. Counts are chunks."""

    chunks: int = 0
    """In the source, as far as it was read."""
    copied: int = 0
    """Written to the target."""
    present: int = 0
    """In the target already, just so."""
    extra: int = 0
    """In the target but not in the source; they were left alone."""
    lost: int = 0
    """Not copied, because the source could not give their text or their vector; or the picture that they are, which is
    read again from its file where it is to be embedded."""
    refused: int = 0
    """Not copied, because the target does not take them, for example for their size."""
    truncated: int = 0
    """Copied with a new embedding function, or learned sparse model, that does not read their ends."""
    problems: list[str] = field(default_factory=list)
    """What the target said of those that it refused, and why pictures could not be embedded; each names them."""


CopyProgress = Callable[[CopyReport], None]
"""Called whenever the report has changed; it must not change it."""


def copy_index(
    source: PathInput | Store,
    target: PathInput | Store,
    *,
    embedding: EmbeddingInput | None = None,
    sparse: SparseInput | None = None,
    progress: CopyProgress | None = None,
) -> CopyReport:
    """Copy an index from one store to another, of any kind. Both are closed afterwards.

    May be interrupted at any moment: running it again finishes the work. The ledger of the target is kept in memory
    meanwhile, some 250 bytes a chunk.

    :param source: as for :meth:`retriever.Retriever.open`. It is only read; nobody should write to it meanwhile.
    :param target: an empty place, or what an earlier copy began.
    :param embedding: embed every chunk again with this function. Without it the vectors are copied as they are.
    :param sparse: encode every chunk with this learned sparse model, in place of the source's if it has one. Without
        it the source's learned sparse vectors are copied as they are.
    :param progress: called with the report whenever it has changed.
    :return: what was done.
    :raises ConfigurationError: where the target keeps no learned sparse vectors, and there are some.
    :raises StoreNotFound: where there is no index at the source.
    :raises IndexMismatch: where the target holds an index that something else built.
    :raises InvalidInput: where source and target are one.
    """
    origin, place = resolve_store(source), resolve_store(target)
    if origin.address == place.address:
        raise InvalidInput(f"{origin.address} cannot be copied onto itself: name another target")
    try:
        function = None if embedding is None else resolve_embedding(embedding)
        terms = None if sparse is None else resolve_sparse(sparse)
        return _Copy(origin, place, function, terms, progress).run()
    finally:
        origin.close()
        place.close()


class _Copy:
    """One copy.

    :param source: to be read.
    :param target: to be written.
    :param embedding: None where vectors are copied.
    :param sparse: None where learned sparse vectors are copied, if there are any.
    :param progress: told of every change of the report.
    """

    def __init__(
        self,
        source: Store,
        target: Store,
        embedding: EmbeddingFunction | None,
        sparse: SparseFunction | None,
        progress: CopyProgress | None,
    ) -> None:
        self._source = source
        self._target = target
        self._embedding = embedding
        self._sparse = sparse
        self._progress = progress or (lambda _: None)
        self._report = CopyReport()

    def run(self) -> CopyReport:
        """Copy what the target lacks."""
        manifest = self._source.read_manifest()
        if manifest is None:
            raise StoreNotFound(f"there is no index at {self._source.address}: nothing to copy")
        analyser = Analyser(manifest.analyser)
        if self._sparse is not None or manifest.sparse is not None:
            check_keeps_sparse(self._target)
        self._prepare(manifest, analyser)
        self._manifest = manifest
        there = {entry.chunk_id: entry.hash for entry in self._target.entries()}
        for page in batched(self._source.entries(), BATCH):
            self._copy_page(page, there, analyser)
        self._report.extra = len(there)
        self._target.optimise()
        self._progress(self._report)
        return self._report

    def _prepare(self, manifest: Manifest, analyser: Analyser) -> None:
        """Make the target's index, or see that it is one that this copy can go on with."""
        present = self._target.read_manifest()
        if present is None:
            made = manifest if self._embedding is None else self._embedded_manifest(manifest, self._embedding)
            if self._sparse is not None:
                made = made.model_copy(update={"sparse": sparse_manifest(self._sparse)})
            self._target.create(made.model_copy(update={"calibration": self._calibration(manifest, analyser)}))
            return
        self._check(manifest, present)
        if present.calibration is None:
            calibration = self._calibration(manifest, analyser)
            self._target.write_manifest(present.model_copy(update={"calibration": calibration}))

    def _check(self, manifest: Manifest, present: Manifest) -> None:
        if present.analyser != manifest.analyser or present.chunker != manifest.chunker:
            raise IndexMismatch(
                f"{self._target.address} holds an index with another chunker or analyser than {self._source.address}: "
                "copy to an empty place"
            )
        self._check_sparse(manifest, present)
        if self._embedding is not None:
            check_settings(present, self._target.address, self._embedding, None, None)
            verify_canaries(present.embedding, self._embedding, self._target.address)
        elif present.embedding.fingerprint != manifest.embedding.fingerprint:
            raise IndexMismatch(
                f"{self._target.address} was built with {describe_embedding(present.embedding)}, "
                f"{self._source.address} with {describe_embedding(manifest.embedding)}: copy to an empty place, or say "
                "which embedding function to use (--embedding on the command line)"
            )

    def _check_sparse(self, manifest: Manifest, present: Manifest) -> None:
        where = self._target.address
        if self._sparse is not None:
            check_sparse(present, where, self._sparse, manifest.keyword)
            if present.sparse is not None:
                verify_sparse_canaries(present.sparse, self._sparse, where)
            return
        check_sparse(present, where, None, manifest.keyword)
        there, here = (made.sparse and made.sparse.fingerprint for made in (present, manifest))
        if there != here:
            raise IndexMismatch(
                f"{where} holds an index with another learned sparse model than {self._source.address}: copy to an "
                "empty place, or say which one to use (--sparse on the command line)"
            )

    @staticmethod
    def _embedded_manifest(manifest: Manifest, embedding: EmbeddingFunction) -> Manifest:
        """The source's settings with another embedding function."""
        made = make_manifest(embedding, manifest.chunker, manifest.analyser.language, manifest.filter_fields)
        return made.model_copy(
            update={"analyser": manifest.analyser, "sparse": manifest.sparse, "keyword": manifest.keyword}
        )

    def _calibration(self, manifest: Manifest, analyser: Analyser) -> Calibration | None:
        """The source's, which new models may know other words of; measured where a collection was only attached.

        Terms are counted anew and written with it, so it is complete, whatever befell the source.
        """
        calibration = manifest.calibration
        if calibration is not None and self._embedding is None and self._sparse is None:
            return calibration.model_copy(update={"complete": True})
        head = islice(self._source.entries(), CALIBRATION_CHUNKS)
        keys = [self._source.key(entry.chunk_id) for entry in head]
        if not keys:
            return None
        if calibration is None:
            texts = (chunk.text for page in batched(keys, BATCH) for chunk in self._source.fetch(page).values())
            calibration = calibrate(texts, analyser, 0.0)
        readers = {"unknown_rate": self._embedding, "sparse_unknown_rate": self._sparse}
        rates = {
            name: unknown_rate(self._source, keys, reader) for name, reader in readers.items() if reader is not None
        }
        return calibration.model_copy(update={**rates, "complete": True})

    def _copy_page(self, page: list[Entry], there: dict[str, str], analyser: Analyser) -> None:
        wanted = [entry for entry in page if there.pop(entry.chunk_id, None) != entry.hash]
        chunks = list(self._source.fetch([self._source.key(entry.chunk_id) for entry in wanted]).values())
        vectors = self._vectors(chunks)
        chunks = [chunk for chunk in chunks if chunk.id in vectors]
        sparse = self._sparse_vectors(chunks)
        records = [
            Record(c, vectors[c.id], analyser.terms(c.text) if self._manifest.keyword else {}, sparse[c.id])
            for c in chunks
            if c.id in sparse
        ]
        refused = self._write(records)
        self._report.chunks += len(page)
        self._report.present += len(page) - len(wanted)
        self._report.copied += len(records) - refused
        self._report.lost += len(wanted) - len(records)
        self._progress(self._report)

    def _write(self, records: list[Record]) -> int:
        """Says how many were refused: they must not keep those behind them from being copied."""
        try:
            self._target.upsert(records)
        except RecordsRefused as error:
            self._report.refused += len(error.chunk_ids)
            self._report.problems.append(str(error))
            return len(error.chunk_ids)
        return 0

    def _vectors(self, chunks: list[Chunk]) -> dict[str, FloatVector]:
        if self._embedding is None:
            keys = {self._source.key(chunk.id): chunk.id for chunk in chunks}
            return {keys[key]: vector for key, vector in self._source.vectors(list(keys)).items()}
        self._report.truncated += sum(self._embedding.cut([c.text for c in chunks if not is_picture(c.metadata)]))
        made = embed_chunks(self._embedding, chunks)
        self._report.problems += [f"{c.document_id}: {made.problems[c.id]}" for c in chunks if c.id in made.problems]
        return made.vectors

    def _sparse_vectors(self, chunks: list[Chunk]) -> Mapping[str, SparseVector | None]:
        """By chunk id; None for each where there is no learned sparse model."""
        if self._sparse is not None:
            texts = list(dict.fromkeys(chunk.text for chunk in chunks))
            self._report.truncated += sum(self._sparse.cut([chunk.text for chunk in chunks]))
            encoded = dict(zip(texts, self._sparse.encode_documents(texts, warn=False), strict=True))
            return {chunk.id: encoded[chunk.text] for chunk in chunks}
        if self._manifest.sparse is None:
            return dict.fromkeys(chunk.id for chunk in chunks)
        keys = {self._source.key(chunk.id): chunk.id for chunk in chunks}
        found = stored_sparse(self._source, self._manifest, list(keys))
        vectors = {keys[key]: vector for key, vector in found.items()}
        lost = [chunk for chunk in chunks if chunk.id not in vectors]  # another program wrote them into the source
        if lost and self._recorded is not None:
            texts = [chunk.text for chunk in lost]
            self._report.truncated += sum(self._recorded.cut(texts))
            fresh = self._recorded.encode_documents(texts, warn=False)
            vectors |= {chunk.id: vector for chunk, vector in zip(lost, fresh, strict=True)}
        return vectors

    @cached_property
    def _recorded(self) -> SparseFunction | None:
        """The source's learned sparse model, loaded only where vectors are lost."""
        recorded = self._manifest.sparse
        if recorded is None:
            return None
        function = resolve_recorded_sparse(recorded, self._source.address)
        verify_sparse_canaries(recorded, function, self._source.address)
        return function
