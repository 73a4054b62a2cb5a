"""The process that is killed: ``python -m benchmarks.kill_child FILES STORE PAUSE``.

It indexes a folder with an embedding function that is as slow as a model, and tells on standard output how far it is:
``stored N`` when N chunks are known to be in the index, ``optimise`` and ``optimised`` around the building of graphs,
``recalibrating`` and ``recalibrated`` around the rewriting of a small index's keyword weights. An index that the last
kill damaged is repaired first; then it says ``repaired``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from retriever import ChunkerConfig, IndexReport, Retriever, StoreDamaged, repair_index
from retriever.address import parse_address
from retriever.embedding.base import Role
from retriever.embedding.hashed import HashedEmbedding
from retriever.manifest import Manifest
from retriever.registry import register
from retriever.stores import Store
from retriever.types import FloatMatrix
from retriever_chroma import ChromaStore
from retriever_qdrant import QdrantStore

SOURCE = "files"
CHUNKER = ChunkerConfig(size=64, overlap=8)
"""Small chunks, so that a thousand files give enough of them for graphs to be built."""


class SlowEmbedding(HashedEmbedding):
    """Hashed words at the pace of a model."""

    kind = "slow-hashed"
    batch_size = 32
    pause: ClassVar[float] = 0.0
    """Seconds a batch."""

    def _embed(self, texts: Sequence[str], role: Role) -> FloatMatrix:
        time.sleep(self.pause)
        return super()._embed(texts, role)


def register_embedding() -> Callable[[], None]:
    """Let indexes rebuild the slow embedding function.

    :return: a function that takes it away again.
    """
    return register("retriever.embeddings", SlowEmbedding.kind, SlowEmbedding)


class _Announcing:
    """Says when it builds graphs, and when keyword weights are rewritten. Goes before a store among the bases."""

    _recalibrating = False

    def write_manifest(self, manifest: Manifest) -> None:
        if manifest.calibration is not None and not manifest.calibration.complete:
            self._recalibrating = True
            tell("recalibrating")
        super().write_manifest(manifest)  # type: ignore[misc]  # the store's
        if self._recalibrating and manifest.calibration is not None and manifest.calibration.complete:
            self._recalibrating = False
            tell("recalibrated")

    def optimise(self) -> None:
        tell("optimise")
        super().optimise()  # type: ignore[misc]
        tell("optimised")


class _AnnouncingQdrant(_Announcing, QdrantStore):
    pass


class _AnnouncingChroma(_Announcing, ChromaStore):
    pass


def _announcing(address: str) -> Store:
    """A store at an address that tells what it does.

    :param address: of Qdrant or Chroma.
    """
    parsed = parse_address(address)
    return (_AnnouncingChroma if parsed.scheme == "chroma" else _AnnouncingQdrant).from_address(parsed)


def tell(line: str) -> None:
    """Write a line that arrives at once.

    :param line: the line.
    """
    print(line, flush=True)


def main(arguments: list[str]) -> None:
    """Index a folder.

    :param arguments: the folder, the store's address, and seconds a batch of 32 chunks.
    """
    files, address, pause = arguments
    register_embedding()
    SlowEmbedding.pause = float(pause)
    try:
        report = _index(Path(files), address)
    except StoreDamaged:
        repair_index(address)
        tell("repaired")
        report = _index(Path(files), address)
    if report.failed:
        sys.exit(f"could not be indexed: {report.failed[:3]}")


def _index(files: Path, address: str) -> IndexReport:
    told = -1

    def progress(report: IndexReport) -> None:
        nonlocal told
        stored = report.added + report.skipped
        if stored != told:
            told = stored
            tell(f"stored {stored}")

    with Retriever.open(_announcing(address), embedding=SlowEmbedding(), chunker=CHUNKER) as retriever:
        return retriever.index(files, source=SOURCE, progress=progress)


if __name__ == "__main__":
    main(sys.argv[1:])
