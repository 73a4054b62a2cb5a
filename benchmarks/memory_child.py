"""One side of the memory benchmark, in a process of its own: ``python -m benchmarks.memory_child SIDE COUNT FOLDER``.

Both sides write the same records: the same documents one after the other from a generator, embedded and analysed by
the same functions. What differs is the pipeline around them. Prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.bare_edge import BareEdge
from benchmarks.report import progress
from benchmarks.synthetic import texts
from retriever import Chunk, Document, Retriever
from retriever.embedding.hashed import HashedEmbedding
from retriever.identity import make_manifest
from retriever.indexing import BATCH, CALIBRATION_CHUNKS
from retriever.keyword.analyser import Analyser
from retriever.planning import make_chunk_id
from retriever.recalibrating import calibrate
from retriever.stores import Record
from retriever_qdrant import QdrantStore

_WORDS = 60


def documents(count: int) -> Iterator[Document]:
    """A stream of small documents, with a progress bar.

    :param count: how many.
    """
    with progress("documents", count) as advance:
        for number, text in enumerate(texts(count, _WORDS)):
            yield Document(f"document-{number:07d}", text)
            if number % 100 == 99:
                advance(100)


class _Noting(QdrantStore):
    """Notes how much memory was in use when all was written."""

    written = 0.0

    def optimise(self) -> None:
        self.written = peak_megabytes()
        super().optimise()


def ours(count: int, folder: Path) -> dict[str, float]:
    """The package's own pipeline.

    :param count: how many documents.
    :param folder: of the index.
    """
    store = _Noting(folder)
    with Retriever.open(store, embedding="hashed") as retriever:
        began = time.perf_counter()
        report = retriever.index(documents(count))
        seconds = time.perf_counter() - began
        return {"written": store.written, "chunks": store.count(), "seconds": seconds, "failed": len(report.failed)}


def bare(count: int, folder: Path) -> dict[str, float]:
    """The engine alone, given the same records in batches of the same size.

    :param count: how many documents.
    :param folder: of the shard.
    """
    embedding = HashedEmbedding()
    manifest = make_manifest(embedding, None, None, {})
    analyser = Analyser(manifest.analyser)
    began = time.perf_counter()
    first = texts(min(count, CALIBRATION_CHUNKS), _WORDS)
    manifest = manifest.model_copy(update={"calibration": calibrate(first, analyser, 0.0)})
    shard = BareEdge(folder / "shard", manifest)
    stream = documents(count)
    while batch := list(islice(stream, BATCH)):
        vectors = embedding.embed_documents([document.text for document in batch])
        records = [
            Record(_chunk(document), vector, analyser.terms(document.text))
            for document, vector in zip(batch, vectors, strict=True)
        ]
        shard.upsert(shard.content(records))
    written = peak_megabytes()
    shard.optimise()
    seconds = time.perf_counter() - began
    count_there = shard.count()
    shard.close()
    return {"written": written, "chunks": count_there, "seconds": seconds, "failed": 0}


def _chunk(document: Document) -> Chunk:
    text = document.text
    return Chunk(make_chunk_id("", document.id, text, 0), document.id, text, 0, len(text))


def peak_megabytes() -> float:
    """The most memory this process has had resident, in 10^6 bytes.

    Linux's ``ru_maxrss`` begins with that of the process that started this one; ``VmHWM`` does not.
    """
    try:
        status = Path("/proc/self/status").read_text("utf-8")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def main(arguments: list[str]) -> None:
    """Run one side.

    :param arguments: ``ours`` or ``bare``, how many documents, and an empty folder.
    """
    side, count, folder = arguments
    result = {"ours": ours, "bare": bare}[side](int(count), Path(folder))
    print(json.dumps({**result, "peak": peak_megabytes()}))


if __name__ == "__main__":
    main(sys.argv[1:])
