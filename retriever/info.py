"""What an index holds, for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from retriever.identity import describe_embedding
from retriever.manifest import Manifest
from retriever.sparse.recorded import describe_sparse
from retriever.stores import Store


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What an index holds and what built it."""

    address: str
    """Where it is."""
    chunks: int
    """Records in it."""
    documents: int
    """Distinct documents."""
    sources: dict[str, int]
    """Documents by name of their source; ``""`` for those given directly."""
    embedding: str
    """The embedding function, as people call it."""
    dimension: int
    """Of the vectors."""
    sparse: str | None
    """The learned sparse model, as people call it; None where there is none."""
    manifest: Manifest
    """All settings."""


def describe(store: Store, manifest: Manifest) -> IndexInfo:
    """Read the ledger and count.

    :param store: the index.
    :param manifest: its manifest.
    """
    chunks = Counter((entry.source, entry.document_id) for entry in store.entries())
    sources = Counter(source for source, _ in chunks)
    return IndexInfo(
        address=store.address,
        chunks=chunks.total(),
        documents=len(chunks),
        sources=dict(sorted(sources.items())),
        embedding=describe_embedding(manifest.embedding),
        dimension=manifest.embedding.dimension,
        sparse=None if manifest.sparse is None else describe_sparse(manifest.sparse),
        manifest=manifest,
    )
