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
from retriever.batched import batched
from retriever.embedding.hashed import HashedConfig, HashedEmbedding
from retriever.indexing import BATCH, CALIBRATION_CHUNKS
from retriever.keyword.analyser import Analyser
from retriever.manifest import Manifest
from retriever.planning import make_chunk_id
from retriever.recalibrating import calibrate
from retriever.search_options import DEPTH, SearchOptions
from retriever.searching import Searcher
from retriever.stores import Query, Record
from retriever.types import FloatVector
from retriever_qdrant import QdrantStore

TIMES = Bar(at_most=3)
UPSERT = Bar(at_least=0.9)
DIMENSION = 384
WORDS = 100
_QUERY_WORDS = 6
_NOISE = 0.5
WARM_UP = 50
_HITS = 10
OPTIONS = SearchOptions(
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
    :param bare: the engine alone, given the same vectors, sparse vectors and payloads.
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
            manifest = calibrated(retriever.manifest, analyser, chunks)
            store.write_manifest(manifest)
            writing = Writing()
            bare = BareEdge(Path(name) / "bare" / "shard", manifest)
            questions: list[Question] = []
            for batch in corpus(chunks, queries, analyser, questions):
                _write(store, bare, batch, writing)
            bare.close()
            began = time.perf_counter()
            store.optimise()
            writing.optimising = time.perf_counter() - began
            taken = _ask(store, analyser, questions)
    return [*_query_rows(chunks, taken), _write_row(writing)]


def calibrated(manifest: Manifest, analyser: Analyser, chunks: int) -> Manifest:
    """With the calibration that indexing the corpus would give.

    :param manifest: of an empty index.
    :param analyser: counts terms.
    :param chunks: how many the corpus has.
    """
    first = texts(min(chunks, CALIBRATION_CHUNKS), WORDS)
    return manifest.model_copy(update={"calibration": calibrate(first, analyser, 0.0)})


def corpus(chunks: int, queries: int, analyser: Analyser, questions: list[Question]) -> Iterator[list[Record]]:
    """The corpus in batches; questions come from passages all over it.

    :param chunks: how many there are.
    :param queries: how many questions are measured.
    :param analyser: counts terms.
    :param questions: gets the questions, those to warm up with first.
    """
    random = np.random.default_rng(1)
    every = max(1, chunks // (queries + WARM_UP))
    with progress("writing the corpus", chunks) as advance:
        for batch in batched(passages(chunks, WORDS, DIMENSION), BATCH):
            wanted = [passage for passage in batch if passage.number % every == 0]
            questions += [_question(passage, random) for passage in wanted][: queries + WARM_UP - len(questions)]
            yield [_record(passage, analyser) for passage in batch]
            advance(len(batch))


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
    content = bare.content(batch)
    contestants = {"ours": lambda: store.upsert(batch), "bare": lambda: bare.upsert(content)}
    for name, call in turned(contestants, writing.points // BATCH):
        setattr(writing, name, getattr(writing, name) + seconds(call))
    writing.points += len(batch)


def _ask(store: QdrantStore, analyser: Analyser, questions: Sequence[Question]) -> dict[str, list[float]]:
    """Seconds of each query by contestant. The first queries warm up and are not counted."""
    searcher = Searcher(store, analyser)
    store.count()  # opens it
    taken: dict[str, list[float]] = {name: [] for name in (OURS, *_BARE)}
    with progress("asking", len(questions)) as advance:
        for turn, question in enumerate(questions):
            for name, call in turned(_contestants(store, searcher, question), turn):
                spent = seconds(call)
                if turn >= min(WARM_UP, len(questions) // 2):
                    taken[name].append(spent)
            advance(1)
    return taken


def _contestants(store: QdrantStore, searcher: Searcher, question: Question) -> dict[str, Callable[[], object]]:
    terms = searcher.analyser.terms(question.text)
    many = leg_queries(store, Query(DEPTH, question.vector, terms))
    few = leg_queries(store, Query(_HITS, question.vector, terms))
    return {
        OURS: lambda: searcher.search(question.text, question.vector, OPTIONS),
        DENSE: many["semantic"],
        KEYWORD: many["keyword"],
        DENSE_FEW: few["semantic"],
        KEYWORD_FEW: few["keyword"],
    }


def turned(contestants: Mapping[str, Callable[[], object]], turn: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """In an order that changes from turn to turn, as what comes first pays for a cold cache.

    :param contestants: calls by name.
    :param turn: counts from 0.
    """
    items = list(contestants.items())
    first = turn % len(items)
    yield from items[first:] + items[:first]


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes.

    :param call: is called once.
    """
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _query_rows(chunks: int, taken: Mapping[str, Sequence[float]]) -> list[Row]:
    sums = [dense + keyword for dense, keyword in zip(taken[DENSE], taken[KEYWORD], strict=True)]
    few = [dense + keyword for dense, keyword in zip(taken[DENSE_FEW], taken[KEYWORD_FEW], strict=True)]
    figures = {f"p{p}, {name}": percentile(times, p) for name, times in taken.items() for p in (50, 90)}
    reference = "1.4 ms for the two" if chunks == 100_000 else ""
    rows = [
        Row(
            (f"hybrid query at {chunks:,} chunks, p50",),
            percentile(taken[OURS], 50) / percentile(sums, 50),
            "times",
            TIMES,
            reference,
            {
                "ours": both(taken[OURS]),
                "beside it": f"{both(sums)}, two bare queries for {DEPTH} results: the bar's",
            },
            {"queries": len(sums), **figures},
        ),
        Row(
            (f"the same, next to bare queries for {_HITS} results",),
            percentile(taken[OURS], 50) / percentile(few, 50),
            "times",
            shown={
                "ours": both(taken[OURS]),
                "beside it": f"{both(few)}, two bare queries for {_HITS} results; no bar",
            },
        ),
    ]
    for name in _BARE:
        p50 = percentile(taken[name], 50)
        rows.append(Row((f"bare {name}, p50",), p50, "milliseconds", shown={"beside it": both(taken[name])}))
    return rows


def percentile(times: Sequence[float], percent: int) -> float:
    """A percentile in milliseconds.

    :param times: of many calls, in seconds.
    :param percent: from 0 to 100.
    """
    return float(np.percentile(times, percent)) * 1_000


def both(times: Sequence[float]) -> str:
    """Median and 90th percentile for people.

    :param times: of many calls, in seconds.
    """
    p50, p90 = (formatted(percentile(times, percent), "milliseconds") for percent in (50, 90))
    return f"p50 {p50}, p90 {p90}"


def _write_row(writing: Writing) -> Row:
    ours, bare = writing.points / writing.ours, writing.points / writing.bare
    return Row(
        (f"writing {writing.points:,} analysed chunks of {WORDS} words to Edge",),
        ours / bare,
        "share",
        UPSERT,
        shown={
            "ours": f"{formatted(ours, 'rate')} from records",
            "beside it": f"{formatted(bare, 'rate')} by the engine given the same",
        },
        details={"ours": ours, "bare": bare, "seconds to optimise": writing.optimising},
    )
