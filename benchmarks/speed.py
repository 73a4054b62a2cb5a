"""How quick the parts are, each next to what it is made of, in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import chunking
from benchmarks.report import Bar, Result, Row, progress

PARTS = ("chunking", "indexing", "querying", "chroma")

CHUNKING = Bar(at_least=0.6)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    :param rounds: repetitions of chunking and of indexing.
    :param files: to be indexed.
    :param chunks: to be searched; in Chroma half as many.
    :param queries: to be asked.
    """

    rounds: int
    files: int
    chunks: int
    queries: int


def run(data: Path, parts: Sequence[str], sizes: Sizes) -> Result:
    """Measure some parts.

    :param data: folder that holds ``docs/*.tar.gz``.
    :param parts: of :data:`PARTS`.
    :param sizes: how much.
    """
    from benchmarks import chroma_speed, indexing_speed, query_speed  # with packages that other commands do without

    rows: list[Row] = []
    if "chunking" in parts:
        rows += _chunking(data, sizes.rounds)
    if "indexing" in parts:
        rows += indexing_speed.run(data, sizes.files, sizes.rounds)
    if "querying" in parts:
        rows += query_speed.run(sizes.chunks, sizes.queries)
    if "chroma" in parts:
        rows += chroma_speed.run(sizes.chunks // 2, sizes.queries)
    return Result("speed", ("what",), rows, {"parts": list(parts), **asdict(sizes)})


def _chunking(data: Path, rounds: int) -> list[Row]:
    """Ours next to the tokeniser alone; ``python -m benchmarks.chunking`` has other splitters beside it."""
    everybody = chunking.contestants(chunking.bundled_tokenizer())
    those = {name: everybody[name] for name in (chunking.ALONE, chunking.ALONE_EVEN, chunking.OURS)}
    rows: list[Row] = []
    corpora = chunking.read_corpora(data)
    with progress("chunking", len(corpora)) as advance:
        for corpus, texts in corpora.items():
            speeds = {speed.contestant: speed for speed in chunking.speeds(corpus, texts, those, rounds)}
            rows += _chunking_rows(corpus, *(speeds[name] for name in those))
            advance(1)
    return rows


def _chunking_rows(corpus: str, alone: chunking.Speed, even: chunking.Speed, ours: chunking.Speed) -> list[Row]:
    speeds = [speed.megabytes_per_second for speed in (alone, even, ours)]
    whole, parts, own = (speed or 0.0 for speed in speeds)
    if ours.ratio is None or not all(speeds):
        raise RuntimeError("the chunker was not measured")
    return [
        Row(
            (f"chunking {corpus}",),
            ours.ratio,
            "share",
            CHUNKING,
            "aim: 70 %",
            {"ours": f"{own:.2f} MB/s", "beside it": f"{whole:.2f} MB/s by encode_batch alone: the bar's"},
            {"ours": own, "alone": whole},
        ),
        Row(
            ("the same, next to evened texts",),
            own / parts,
            "share",
            shown={
                "ours": f"{own:.2f} MB/s",
                "beside it": f"{parts:.2f} MB/s by encode_batch alone, texts cut to at most 8,000 characters; no bar",
            },
            details={"ours": own, "alone": parts},
        ),
    ]
