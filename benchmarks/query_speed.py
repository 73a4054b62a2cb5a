"""Hybrid queries and writes through the store, next to the bare engine with the same points.

The corpus is made up: 384 dimensions in clusters, about 100 words with Zipf's frequencies. Every query is asked of
all contestants before the next one, and they change places each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.bare_edge import BareEdge, leg_queries
from benchmarks.report import Bar, Row, formatted, progress
from benchmarks.synthetic import Passage, passages, texts
from retriever import Chunk, Retriever
from retriever.embedding.hashed import HashedConfig, HashedEmbedding
from retriever.indexing import BATCH, CALIBRATION_CHUNKS
from retriever.keyword.analyser import Analyser
from retriever.manifest import Manifest
from retriever.planning import make_chunk_id
from retriever.recalibrating import calibrate
from retriever.searching import DEPTH, Searcher, SearchOptions
from retriever.stores import Query, Record
from retriever.types import FloatVector
from retriever_qdrant import QdrantStore

TIMES = Bar(at_most=3)
DIMENSION = 384
_WORDS = 100
_QUERY_WORDS = 6
_NOISE = 0.5
_WARM_UP = 50
_HITS = 10
_OPTIONS = SearchOptions(
    k=_HITS,
    offset=0,
    mode="hybrid",
    filter=None,
    depth=DEPTH,
    fusion="relative",
    keyword_weight=0.5,
    min_cosine=None,
    mmr=None,
)

OURS = "ours"
DENSE, KEYWORD = (f"{leg}, {DEPTH} results" for leg in ("dense", "keyword"))
DENSE_FEW, KEYWORD_FEW = (f"{leg}, {_HITS} results" for leg in ("dense", "keyword"))
_BARE = (DENSE, KEYWORD, DENSE_FEW, KEYWORD_FEW)


@dataclass(frozen=True, slots=True)
class Question:
    """A query: some words of a passage, and a vector near to its own."""

    text: str
    vector: FloatVector


@dataclass(slots=True)
class Writing:
    """Seconds for the same points.

    :param points: how many.
    :param ours: through the store, from records.
    :param bare: the engine alone, from ready-made points.
    :param optimising: building the graph afterwards, in a child process.
    """

    points: int = 0
    ours: float = 0.0
    bare: float = 0.0
    optimising: float = 0.0


def run(chunks: int, queries: int) -> list[Row]:
    """Fill an index, then ask it and the engine the same questions.

    :param chunks: how many are in the index.
    :param queries: how many are measured.
    """
    with TemporaryDirectory(prefix="retriever-speed-") as name:
        store = QdrantStore(Path(name) / "index")
        embedding = HashedEmbedding(HashedConfig(dimension=DIMENSION))
        with Retriever.open(store, embedding=embedding) as retriever:
            analyser = Analyser(retriever.manifest.analyser)
            manifest = _calibrated(retriever.manifest, analyser, chunks)
            store.write_manifest(manifest)
            writing = Writing()
            bare = BareEdge(Path(name) / "bare" / "shard", manifest)
            questions = _fill(store, bare, analyser, chunks, queries, writing)
            bare.close()
            began = time.perf_counter()
            store.optimise()
            writing.optimising = time.perf_counter() - began
            seconds = _ask(store, analyser, questions)
    return [*_query_rows(chunks, seconds), _write_row(writing)]


def _calibrated(manifest: Manifest, analyser: Analyser, chunks: int) -> Manifest:
    first = texts(min(chunks, CALIBRATION_CHUNKS), _WORDS)
    return manifest.model_copy(update={"calibration": calibrate(first, analyser, 0.0)})


def _fill(
    store: QdrantStore, bare: BareEdge, analyser: Analyser, chunks: int, queries: int, writing: Writing
) -> list[Question]:
    """Write the corpus to both sides in turn; questions come from passages all over it."""
    random = np.random.default_rng(1)
    every = max(1, chunks // (queries + _WARM_UP))
    questions: list[Question] = []
    batch: list[Record] = []
    with progress("writing the corpus", chunks) as advance:
        for passage in passages(chunks, _WORDS, DIMENSION):
            if passage.number % every == 0:
                questions.append(_question(passage, random))
            batch.append(_record(passage, analyser))
            if len(batch) == BATCH or passage.number == chunks - 1:
                _write(store, bare, batch, writing)
                advance(len(batch))
                batch = []
    return questions[: queries + _WARM_UP]


def _question(passage: Passage, random: np.random.Generator) -> Question:
    words = random.choice(passage.text.split(), _QUERY_WORDS, replace=False)
    noise = random.standard_normal(DIMENSION, dtype=np.float32)
    vector = passage.vector + _NOISE * noise / np.linalg.norm(noise)
    return Question(" ".join(words), (vector / np.linalg.norm(vector)).astype(np.float32))


def _record(passage: Passage, analyser: Analyser) -> Record:
    document = f"passage-{passage.number}"
    chunk = Chunk(make_chunk_id("", document, passage.text, 0), document, passage.text, 0, len(passage.text))
    return Record(chunk, passage.vector, analyser.terms(passage.text))


def _write(store: QdrantStore, bare: BareEdge, batch: Sequence[Record], writing: Writing) -> None:
    points = bare.points(batch)
    writing.points += len(batch)
    writing.ours += _seconds(lambda: store.upsert(batch))
    writing.bare += _seconds(lambda: bare.upsert(points))


def _ask(store: QdrantStore, analyser: Analyser, questions: Sequence[Question]) -> dict[str, list[float]]:
    """Seconds of each query by contestant. The first queries warm up and are not counted."""
    searcher = Searcher(store, analyser)
    store.count()  # opens it
    taken: dict[str, list[float]] = {name: [] for name in (OURS, *_BARE)}
    with progress("asking", len(questions)) as advance:
        for turn, question in enumerate(questions):
            for name, call in _turned(_contestants(store, searcher, question), turn):
                seconds = _seconds(call)
                if turn >= min(_WARM_UP, len(questions) // 2):
                    taken[name].append(seconds)
            advance(1)
    return taken


def _contestants(store: QdrantStore, searcher: Searcher, question: Question) -> dict[str, Callable[[], object]]:
    terms = searcher.analyser.terms(question.text)
    many = leg_queries(store, Query(DEPTH, question.vector, terms))
    few = leg_queries(store, Query(_HITS, question.vector, terms))
    return {
        OURS: lambda: searcher.search(question.text, question.vector, _OPTIONS),
        DENSE: many["semantic"],
        KEYWORD: many["keyword"],
        DENSE_FEW: few["semantic"],
        KEYWORD_FEW: few["keyword"],
    }


def _turned(contestants: Mapping[str, Callable[[], object]], turn: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """In an order that changes from turn to turn, as what comes first pays for a cold cache."""
    items = list(contestants.items())
    first = turn % len(items)
    yield from items[first:] + items[:first]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _query_rows(chunks: int, taken: Mapping[str, Sequence[float]]) -> list[Row]:
    sums = [dense + keyword for dense, keyword in zip(taken[DENSE], taken[KEYWORD], strict=True)]
    few = [dense + keyword for dense, keyword in zip(taken[DENSE_FEW], taken[KEYWORD_FEW], strict=True)]
    figures = {f"p{p}, {name}": _percentile(times, p) for name, times in taken.items() for p in (50, 90)}
    reference = "1.4 ms for the two" if chunks == 100_000 else ""
    rows = [
        Row(
            (f"hybrid query at {chunks:,} chunks, p50",),
            _percentile(taken[OURS], 50) / _percentile(sums, 50),
            "times",
            TIMES,
            reference,
            {
                "ours": _both(taken[OURS]),
                "beside it": f"{_both(sums)}, two bare queries for {DEPTH} results: the bar's",
            },
            {"queries": len(sums), **figures},
        ),
        Row(
            (f"the same, next to bare queries for {_HITS} results",),
            _percentile(taken[OURS], 50) / _percentile(few, 50),
            "times",
            shown={
                "ours": _both(taken[OURS]),
                "beside it": f"{_both(few)}, two bare queries for {_HITS} results; no bar",
            },
        ),
    ]
    for name in _BARE:
        p50 = _percentile(taken[name], 50)
        rows.append(Row((f"bare {name}, p50",), p50, "milliseconds", shown={"beside it": _both(taken[name])}))
    return rows


def _percentile(seconds: Sequence[float], percent: int) -> float:
    """In milliseconds."""
    return float(np.percentile(seconds, percent)) * 1_000


def _both(seconds: Sequence[float]) -> str:
    p50, p90 = (formatted(_percentile(seconds, percent), "milliseconds") for percent in (50, 90))
    return f"p50 {p50}, p90 {p90}"


def _write_row(writing: Writing) -> Row:
    ours, bare = writing.points / writing.ours, writing.points / writing.bare
    return Row(
        (f"writing {writing.points:,} chunks",),
        ours / bare,
        "share",
        shown={
            "ours": f"{formatted(ours, 'rate')} from records",
            "beside it": f"{formatted(bare, 'rate')} by the engine, from ready-made points",
        },
        details={"ours": ours, "bare": bare, "seconds to optimise": writing.optimising},
    )
