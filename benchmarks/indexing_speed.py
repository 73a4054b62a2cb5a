"""Indexing real files, next to the embedding model alone on the same chunks; then the same files again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.data import FASTAPI_EN, FASTAPI_ZH, MODEL, TLDR, extract
from benchmarks.report import NONE, Bar, Row, formatted, progress
from retriever import Retriever
from retriever.embedding.base import Role
from retriever.embedding.models import model_folder
from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding
from retriever.embedding.tokens import TokenBatch
from retriever.manifest import Manifest
from retriever.stores import Record
from retriever.types import Chunk
from retriever_qdrant import QdrantStore

SHARE = Bar(at_least=0.9)
_WARM_UP = 64
_WARM_UP_CHARACTERS = 200


class CountedModel(SentenceTransformerEmbedding):
    """Notes how often the model is called, and with what."""

    def __init__(self, config: SentenceTransformerConfig) -> None:
        super().__init__(config)
        self.calls = 0
        self.texts: list[str] = []

    def reset(self) -> None:
        """Forget what was noted."""
        self.calls = 0
        self.texts = []

    def _prepare(self, texts: Sequence[str], role: Role) -> Sequence[str] | TokenBatch:
        self.calls += 1
        self.texts.extend(texts)
        return super()._prepare(texts, role)


class CountedStore(QdrantStore):
    """Counts calls that write."""

    writes = 0

    def write_manifest(self, manifest: Manifest) -> None:
        """Counted."""
        self.writes += 1
        super().write_manifest(manifest)

    def upsert(self, records: Sequence[Record]) -> None:
        """Counted."""
        self.writes += 1
        super().upsert(records)

    def rewrite(self, chunks: Sequence[Chunk]) -> None:
        """Counted."""
        self.writes += 1
        super().rewrite(chunks)

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Counted."""
        self.writes += 1
        super().delete(chunk_ids)


@dataclass(frozen=True, slots=True)
class Run:
    """One repetition of one side.

    :param chunks: how many were embedded.
    :param seconds: wall time.
    :param stages: wall time by stage; empty for the model alone.
    """

    chunks: int
    seconds: float
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Chunks a second."""
        return self.chunks / self.seconds


class Contest:
    """Both sides on the same files, each with its own copy of the model, loaded and warm.

    :param files: the folder to index.
    :param indexes: where a new index is made in each round.
    """

    def __init__(self, files: Path, indexes: Path) -> None:
        from sentence_transformers import SentenceTransformer  # seconds, which other benchmarks need not wait
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._files = files
        self._indexes = indexes
        self.embedding = CountedModel(SentenceTransformerConfig(model=MODEL))
        self._model = SentenceTransformer(
            str(model_folder(MODEL)), local_files_only=True, model_kwargs={"dtype": "float32"}
        )
        texts = [path.read_text("utf-8")[:_WARM_UP_CHARACTERS] for path in sorted(files.rglob("*.md"))[:_WARM_UP]]
        self.embedding.embed_documents(texts)
        self._model.encode(texts, show_progress_bar=False)
        self._texts: list[str] = []

    def index(self, turn: int) -> Run:
        """Ours: index the files into a new folder.

        :param turn: number of the round.
        """
        with Retriever.open(self._indexes / f"{turn}", embedding=self.embedding) as retriever:
            self.embedding.reset()
            began = time.perf_counter()
            report = retriever.index(self._files, source="files")
        seconds = time.perf_counter() - began  # closed, so all is flushed
        self._texts = self.embedding.texts
        return Run(report.added, seconds, dict(report.seconds))

    def encode(self) -> Run:
        """The other side: the model alone, on the texts of the last index."""
        began = time.perf_counter()
        self._model.encode(self._texts, show_progress_bar=False)
        return Run(len(self._texts), time.perf_counter() - began)

    def again(self) -> tuple[CountedStore, Run]:
        """Ours once more on the first index, where nothing has changed."""
        store = CountedStore(self._indexes / "0")
        with Retriever.open(store, embedding=self.embedding) as retriever:
            _ = retriever.embedding  # compares the model with the index, by four texts that do not count
            self.embedding.reset()
            began = time.perf_counter()
            report = retriever.index(self._files, source="files")
        return store, Run(report.skipped, time.perf_counter() - began, dict(report.seconds))


def run(data: Path, files: int, rounds: int) -> list[Row]:
    """Index files into a new index in each round, and embed the same chunks with the model alone, in turn.

    From the second round on the sides swap places each time.

    :param data: folder that holds the archives.
    :param files: how many.
    :param rounds: how many repetitions.
    """
    with TemporaryDirectory(prefix="retriever-speed-") as name:
        folder = Path(name)
        paths = extract(data, folder / "files", [FASTAPI_EN, FASTAPI_ZH, TLDR], files)
        contest = Contest(folder / "files", folder / "indexes")
        ours: list[Run] = []
        alone: list[Run] = []
        with progress("indexing, and the model alone", 2 * rounds) as advance:
            for turn in range(rounds):
                if turn % 2 == 0:
                    ours.append(contest.index(turn))
                    alone.append(contest.encode())
                else:
                    alone.append(contest.encode())
                    ours.append(contest.index(turn))
                advance(2)
        return [_row(len(paths), ours, alone), *_again(contest)]


def _row(files: int, ours: Sequence[Run], alone: Sequence[Run]) -> Row:
    stages = {f"seconds: {stage}": median(run.stages[stage] for run in ours) for stage in ours[0].stages}
    rates = median(run.rate for run in ours), median(run.rate for run in alone)
    return Row(
        (f"indexing {files:,} files, {ours[0].chunks:,} chunks",),
        median(mine.rate / other.rate for mine, other in zip(ours, alone, strict=True)),
        "share",
        SHARE,
        shown={
            "ours": f"{formatted(rates[0], 'rate')} end to end",
            "beside it": f"{formatted(rates[1], 'rate')} by SentenceTransformer.encode alone",
        },
        details={"ours": rates[0], "alone": rates[1], "rounds": len(ours), **stages},
    )


def _again(contest: Contest) -> list[Row]:
    store, run = contest.again()
    return [
        Row(("the same files again: embedding calls",), contest.embedding.calls, "count", NONE),
        Row(("the same files again: writes",), store.writes, "count", NONE),
        Row(
            ("the same files again: time",),
            run.seconds,
            "seconds",
            shown={"ours": f"{run.chunks:,} chunks compared"},
            details={f"seconds: {stage}": seconds for stage, seconds in run.stages.items()},
        ),
    ]
