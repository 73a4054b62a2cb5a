"""Looking for damage: whether the index holds what its ledger says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from retriever.batched import batched
from retriever.embedding.base import EmbeddingFunction
from retriever.keyword.analyser import Analyser
from retriever.manifest import Manifest
from retriever.metadata import record_hash
from retriever.recalibrating import drift_notes
from retriever.sparse import SparseFunction
from retriever.sparse.recorded import stored_sparse
from retriever.stores import Entry, Query, Store
from retriever.types import Chunk
from retriever.vectors import embed_chunks

PAGE = 256
SAMPLE = 50
"""Chunks whose stored vector is compared with a new one, and looked up by it."""
MISSES = 0.1
"""Share of the sample that may not be found by its own vector: a sound graph misses up to 1 % of hashed vectors."""
MIN_COSINE = 0.999
"""Below this two vectors of one text are not from the same model."""


@dataclass(slots=True)
class VerifyReport:
    """What was looked at, and what was wrong."""

    chunks: int = 0
    """Records in the ledger."""
    documents: int = 0
    """Distinct documents among them."""
    sampled: int = 0
    """Chunks that were embedded again; pictures only where their files are still there."""
    average_length: float = 0.0
    """Terms a chunk, over the whole index."""
    problems: list[str] = field(default_factory=list)
    """Damage, each with the chunk and what to do. Empty for a sound index."""
    warnings: list[str] = field(default_factory=list)
    """No damage, but worth knowing."""


def verify(
    store: Store,
    manifest: Manifest,
    embedding: EmbeddingFunction,
    analyser: Analyser,
    sparse: SparseFunction | None = None,
) -> VerifyReport:
    """Read every record, and embed a sample again.

    :param store: the index.
    :param manifest: its manifest.
    :param embedding: what it says it was built with.
    :param analyser: what it says it was built with.
    :param sparse: the learned sparse model that it says it was built with.
    """
    report = VerifyReport()
    documents: set[int] = set()
    seen: set[str] = set()
    terms = 0
    sample: list[Chunk] = []
    step = max(1, store.count() // SAMPLE)
    for page in batched(store.entries(), PAGE):
        chunks = store.fetch([store.key(entry.chunk_id) for entry in page])
        for entry in page:
            documents.add(hash(entry.document_id))
            chunk = chunks.get(store.key(entry.chunk_id))
            report.problems += _check_record(entry, chunk, seen)
            if chunk is None:
                continue
            terms += analyser.terms(chunk.text).total()
            if report.chunks % step == 0 and len(sample) < SAMPLE:
                sample.append(chunk)
            report.chunks += 1
    report.documents = len(documents)
    report.problems += _check_count(store, report) + _check_vectors(store, embedding, sample, report)
    if sparse is not None:
        report.problems += _check_sparse(store, manifest, sparse, sample)
    report.average_length = terms / report.chunks if report.chunks else 0.0
    report.warnings += _check_calibration(manifest, report)
    return report


def _check_record(entry: Entry, chunk: Chunk | None, seen: set[str]) -> list[str]:
    name = f"chunk {entry.chunk_id} of {entry.document_id}"
    if entry.chunk_id in seen:
        return [f"{name} is there twice: delete the document and index it again"]
    seen.add(entry.chunk_id)
    if chunk is None:
        return [f"{name} is in the ledger but cannot be read: delete the document and index it again"]
    if chunk.id != entry.chunk_id or record_hash(chunk) != entry.hash:
        return [f"{name}: what is stored is not what was written; index its source again to mend it"]
    if chunk.end - chunk.start != len(chunk.text):
        return [f"{name}: its span and its text differ in length; delete the document and index it again"]
    return []


def _check_count(store: Store, report: VerifyReport) -> list[str]:
    count = store.count()
    if count == report.chunks:
        return []
    return [f"the store counts {count} records, its ledger has {report.chunks}: index the sources again"]


def _check_vectors(
    store: Store, embedding: EmbeddingFunction, sample: Sequence[Chunk], report: VerifyReport
) -> list[str]:
    if not sample:
        return []
    vectors = store.vectors([store.key(chunk.id) for chunk in sample])
    problems = [
        f"chunk {chunk.id} of {chunk.document_id} has no vector: delete the document and index it again"
        for chunk in sample
        if store.key(chunk.id) not in vectors
    ]
    made = embed_chunks(embedding, [chunk for chunk in sample if store.key(chunk.id) in vectors], fresh=True)
    sample = [chunk for chunk in sample if chunk.id in made.vectors]
    report.sampled = len(sample)
    if made.problems:
        first = next(iter(made.problems.values()))
        report.warnings.append(f"{len(made.problems)} pictures of the sample were not embedded again, as {first}")
    if not sample:
        return problems
    fresh = np.stack([made.vectors[chunk.id] for chunk in sample])
    norms = np.linalg.norm(fresh, axis=1, keepdims=True)
    fresh = np.divide(fresh, norms, out=np.zeros_like(fresh), where=norms > 0)
    stored = np.stack([vectors[store.key(chunk.id)] for chunk in sample])
    lost = []
    for chunk, vector, cosine, norm in zip(sample, fresh, (fresh * stored).sum(axis=1), norms[:, 0], strict=True):
        name = f"chunk {chunk.id} of {chunk.document_id}"
        if norm and cosine < MIN_COSINE:
            problems.append(f"{name}: its vector is not what the model gives now (cosine {cosine:.4f})")
        elif norm and not _is_found(store, chunk, vector):
            lost.append(name)
    if len(lost) > MISSES * len(sample):
        problems.append(
            f"{len(lost)} of {len(sample)} chunks are not found by their own vectors, as {lost[0]}: "
            "the graph is damaged, or cannot reach all of many texts that are nearly alike; rebuild it with retriever "
            "repair (Chroma in a folder), or retriever copy elsewhere"
        )
    return problems


def _check_sparse(store: Store, manifest: Manifest, sparse: SparseFunction, sample: Sequence[Chunk]) -> list[str]:
    stored = stored_sparse(store, manifest, [store.key(chunk.id) for chunk in sample])
    fresh = sparse.encode_documents([chunk.text for chunk in sample], warn=False)
    problems = []
    for chunk, vector in zip(sample, fresh, strict=True):
        there = stored.get(store.key(chunk.id))
        if there is None:
            problems.append(
                f"chunk {chunk.id} of {chunk.document_id} has no learned sparse vector: delete the document and index "
                "it again"
            )
        elif not (cosine := there.cosine(vector)) >= MIN_COSINE:
            problems.append(
                f"chunk {chunk.id} of {chunk.document_id}: its learned sparse vector is not what the model gives now "
                f"(cosine {cosine:.4f}); delete the document and index it again"
            )
    return problems


def _is_found(store: Store, chunk: Chunk, vector: np.ndarray) -> bool:
    """Whether a chunk is among the best for its own vector; any number of others may be equal to it."""
    best = store.search(Query(depth=10, vector=vector)).semantic
    return any(candidate.key == store.key(chunk.id) for candidate in best) or (
        bool(best) and best[-1].score >= MIN_COSINE
    )


def _check_calibration(manifest: Manifest, report: VerifyReport) -> list[str]:
    calibration = manifest.calibration
    if calibration is None or not report.chunks:
        return []
    if not manifest.keyword:
        return []
    if not calibration.complete:
        return ["a recalibration was interrupted: run it again"]
    return drift_notes(report.average_length, calibration)
