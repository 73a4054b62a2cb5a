"""Transformers on torch, OpenVINO and ONNX Runtime, next to sentence-transformers' own ``encode`` in the same run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import MODEL, JudgedSet, read_set
from benchmarks.query_speed import percentile, seconds, turned
from benchmarks.report import Bar, Result, Row, Unit, formatted, progress, say
from retriever.chunking import Chunker, ChunkerConfig
from retriever.embedding import EmbeddingFunction, resolve_embedding
from retriever.embedding.base import Role
from retriever.embedding.cache import DEFAULT_MEGABYTES, SETTING, default_cache
from retriever.embedding.models import model_folder
from retriever.evaluation.measures import measure
from retriever.types import FloatMatrix

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ENCODE = "encode"
TORCH, OPENVINO, ONNX = MODEL, f"openvino:{MODEL}", f"onnx:{MODEL}"
OPENVINO_INT8, ONNX_INT8 = f"{OPENVINO}@int8", f"{ONNX}@int8"
KINDS = (TORCH, OPENVINO, OPENVINO_INT8, ONNX, ONNX_INT8)
SHOWN = {
    TORCH: "torch",
    OPENVINO: "OpenVINO fp32",
    OPENVINO_INT8: "OpenVINO int8",
    ONNX: "ONNX fp32",
    ONNX_INT8: "ONNX int8",
}

SPEED = {OPENVINO: Bar(at_least=1.3), OPENVINO_INT8: Bar(at_least=3.0), ONNX_INT8: Bar(at_least=1.8)}
EQUAL = Bar(at_most=1e-5)
QUERY = Bar(at_most=0.6)
CACHE = Bar(at_least=200_000)
QUALITY = {OPENVINO_INT8: Bar(at_least=0.640)}

_SIZE = 176  # tokens of a chunk: on average these passages have 130 then
_BATCH = 32  # of encode
_WARM_UP = 5
_CACHED = 100_000  # texts, and
_ASKED = (_CACHED, 256)  # so many with one call: as a user may, and as indexing does
_CACHE_ROUNDS = 5


def run(data: Path, passages: int, queries: int, rounds: int, quality: bool) -> Result:
    """Embed the same passages with everybody in turn, then queries one at a time, then judge the answers.

    :param data: folder with ``scifact``.
    :param passages: how many.
    :param queries: how many.
    :param rounds: how often everybody embeds all the passages.
    :param quality: whether SciFact is embedded whole by int8 models, and judged.
    """
    from sentence_transformers import SentenceTransformer

    judged = read_set(data / "scifact")
    with _setting(SETTING, "0"):
        embeddings = {kind: resolve_embedding(kind) for kind in KINDS}
        texts, tokens = _passages(judged, embeddings[TORCH], passages)
        library = SentenceTransformer(str(model_folder(MODEL)), device="cpu", local_files_only=True)
        rows = _speed_rows(library, embeddings, texts, tokens, rounds)
        rows += _query_rows(library, embeddings, list(judged.queries.values())[:queries])
        if quality:
            rows += [_quality_row(kind, embeddings[kind], judged) for kind in (OPENVINO_INT8, ONNX_INT8)]
    rows += _cache_rows(texts)
    settings = {"model": MODEL, "passages": len(texts), "tokens": fmean(tokens), "queries": queries, "rounds": rounds}
    return Result("embedding", ("what", "through"), rows, settings)


@contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


class _Numbers(EmbeddingFunction):
    """As wide as the model, and made in no time: what is measured is the cache."""

    kind = "numbers"
    dimension = 384
    is_cached = True
    batch_size = 1024

    def _embed(self, texts: Sequence[str], role: Role) -> FloatMatrix:  # noqa: ARG002 - both alike
        return np.random.default_rng(len(texts)).random((len(texts), self.dimension), dtype=np.float32)


def _cache_rows(passages: Sequence[str]) -> list[Row]:
    """Texts a second where all vectors are there, from the call to the vectors: checks, hashes, reading, copying."""
    texts = [f"{n} {passages[n % len(passages)]}" for n in range(_CACHED)]
    with (
        TemporaryDirectory() as folder,
        _setting("RETRIEVER_CACHE", folder),
        _setting(SETTING, str(DEFAULT_MEGABYTES)),
    ):
        embedding, cache = _Numbers(), default_cache()
        if cache is None:
            raise RuntimeError("the cache is off")
        say("filling the cache")
        wanted = embedding.embed_documents(texts)

        def ask(at_once: int) -> None:
            for start in range(0, _CACHED, at_once):
                found = embedding.embed_documents(texts[start : start + at_once])
                if (found[0] != wanted[start]).any():
                    raise RuntimeError("the cache gave another vector")

        rates = {n: _CACHED / median([seconds(lambda n=n: ask(n)) for _ in range(_CACHE_ROUNDS)]) for n in _ASKED}  # type: ignore[misc]
        cache.close()
    return [
        Row(
            ("the cache, all hits", f"{at_once:,} at a time"),
            rate,
            "rate",
            CACHE if at_once == _CACHED else None,
            shown={"ours": f"{rate:,.0f} texts/s"},
        )
        for at_once, rate in rates.items()
    ]


def _passages(judged: JudgedSet, embedding: EmbeddingFunction, count: int) -> tuple[list[str], list[int]]:
    """The first passages of SciFact, and their tokens."""
    if embedding.tokeniser is None:
        raise RuntimeError(f"{embedding.name} has no tokeniser")
    texts = [document.text for document in judged.documents[:count]]
    chunker = Chunker(embedding.tokeniser, ChunkerConfig(size=_SIZE, overlap=0), max_tokens=embedding.max_tokens)
    spans = [
        (text[span.start : span.end], span.tokens)
        for text, chunked in zip(texts, chunker.split(texts, [False] * len(texts)), strict=True)
        for span in chunked.spans
    ][:count]
    return [text for text, _ in spans], [tokens for _, tokens in spans]


def _speed_rows(
    library: SentenceTransformer,
    embeddings: dict[str, EmbeddingFunction],
    texts: Sequence[str],
    tokens: Sequence[int],
    rounds: int,
) -> list[Row]:
    vectors: dict[str, FloatMatrix] = {}

    def embed(name: str) -> None:
        vectors[name] = (
            np.asarray(library.encode(list(texts), batch_size=_BATCH, show_progress_bar=False))
            if name == ENCODE
            else embeddings[name].embed_documents(texts)
        )

    contestants: dict[str, Callable[[], None]] = {}
    for name in (ENCODE, *KINDS):
        contestants[name] = lambda name=name: embed(name)  # type: ignore[misc]
        if name != ENCODE:
            say(f"warming up {name}")
            embeddings[name].embed_documents(texts[:_BATCH])
    library.encode(list(texts[:_BATCH]), show_progress_bar=False)
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    with progress("embedding", rounds * len(contestants)) as advance:
        for turn in range(rounds):
            for name, call in turned(contestants, turn):
                taken[name].append(seconds(call))
                advance(1)
    # Each next to encode in its own round: a machine is not as quick in each.
    ratios = {
        name: median(own / other for own, other in zip(taken[ENCODE], taken[name], strict=True)) for name in KINDS
    }
    rates = {name: sum(tokens) / median(spent) for name, spent in taken.items()}
    speeds = [
        _row(f"{len(texts):,} passages of {fmean(tokens):.0f} tokens", name, ratios[name], "times", SPEED.get(name))
        for name in KINDS
    ]
    speeds = [
        Row(
            row.labels,
            row.measured,
            row.unit,
            row.bar,
            shown={"ours": f"{rates[name]:,.0f} tokens/s", "beside it": f"{rates[ENCODE]:,.0f} tokens/s by encode"},
            details={"tokens/s": rates[name], "tokens/s of encode": rates[ENCODE]},
        )
        for row, name in zip(speeds, KINDS, strict=True)
    ]
    return speeds + [_difference(name, vectors[name], vectors[ENCODE]) for name in KINDS]


def _difference(name: str, ours: FloatMatrix, theirs: FloatMatrix) -> Row:
    cosine = float((ours * theirs).sum(axis=1).mean())
    if "int8" in name:
        return _row("mean cosine to encode", name, cosine, "score")
    most = float(np.abs(ours - theirs).max())
    row = _row("largest difference to encode", name, most, "score", EQUAL)
    return Row(row.labels, most, "score", EQUAL, shown={"ours": f"{most:.1e}"})


def _query_rows(
    library: SentenceTransformer, embeddings: dict[str, EmbeddingFunction], queries: Sequence[str]
) -> list[Row]:
    taken: dict[str, list[float]] = {name: [] for name in (ENCODE, *KINDS)}
    with progress("asking", len(queries)) as advance:
        for turn, query in enumerate(queries):
            contestants: dict[str, Callable[[], object]] = {
                name: lambda name=name, query=query: embeddings[name].embed_query(query)  # type: ignore[misc]
                for name in KINDS
            }
            contestants[ENCODE] = lambda query=query: library.encode(query, show_progress_bar=False)  # type: ignore[misc]
            for name, call in turned(contestants, turn):
                taken[name].append(seconds(call))
            advance(1)
    p50 = {name: percentile(spent[min(_WARM_UP, len(spent) // 2) :], 50) for name, spent in taken.items()}
    best = min(KINDS, key=lambda name: p50[name])
    return [
        Row(
            ("short queries, p50, to encode's", SHOWN[name]),
            p50[name] / p50[ENCODE],
            "times",
            QUERY if name == best else None,
            shown={
                "ours": formatted(p50[name], "milliseconds"),
                "beside it": f"{formatted(p50[ENCODE], 'milliseconds')} by encode",
            },
        )
        for name in KINDS
    ]


def _quality_row(kind: str, embedding: EmbeddingFunction, judged: JudgedSet) -> Row:
    """Exact search over whole documents, one vector each."""
    say(f"SciFact through {kind}")
    documents = embedding.embed_documents([document.text for document in judged.documents], warn=False)
    queries = embedding.embed_queries(list(judged.queries.values()), warn=False)
    cosines = queries @ documents.T
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :10]
    run = {
        query: [(judged.documents[n].id, float(cosines[i, n])) for n in best[i]]
        for i, query in enumerate(judged.queries)
    }
    gains = measure(run, judged.judgements, ["nDCG@10"])["nDCG@10"]
    return _row("SciFact, semantic, nDCG@10", kind, fmean(gains.values()), "score", QUALITY.get(kind))


def _row(what: str, kind: str, measured: float, unit: Unit, bar: Bar | None = None) -> Row:
    return Row((what, SHOWN[kind]), measured, unit, bar)
