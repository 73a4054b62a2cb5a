"""How good the answers are, on judged sets: nDCG@10 and Recall@100 through the public interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from benchmarks.data import DataMissing, JudgedSet, read_set
from benchmarks.figures import EXPECTED, MODEL, MODES, SETS, Expected
from benchmarks.metrics import distinct, ndcg, recall
from benchmarks.places import EDGE, place
from benchmarks.report import Bar, Result, Row, formatted, progress, say
from retriever import ChunkerConfig, Document, Retriever
from retriever.types import Mode

DEPTH = 200
HITS = 100
NEAR = 0.005
"""So near have the figures of two stores to be."""
_BATCH = 50


def run(
    data: Path, names: Sequence[str], limit: int | None, everything: bool, stores: Sequence[str] = (EDGE,)
) -> Result:
    """Measure sets that are there. Of those that are not, the ones asked for by name are an error, others are noted.

    Where there are several stores, the first is the one whose figures the others' have to be near to.

    :param data: folder of the sets.
    :param names: which sets; empty for those that have a bar, or all with ``everything``.
    :param limit: how many judged queries of each set; all by default.
    :param everything: all modes, and all sets where none are named.
    :param stores: names of :data:`benchmarks.places.PLACES`.
    :raises DataMissing: where a set that is named is not there, or none at all.
    """
    if missing := [name for name in names if not _is_there(data, name)]:
        raise DataMissing(f"not found under {data}: {', '.join(missing)}")
    rows: list[Row] = []
    for name in names or [name for name, plan in SETS.items() if plan.modes or everything]:
        if not _is_there(data, name):
            say(f"{name} is not in {data}: left out")
            continue
        modes = MODES if everything else SETS[name].modes or MODES
        judged = read_set(data / name, limit)
        for store in stores:
            measured = list(measure(name, judged, modes, store))
            rows += measured if store == stores[0] else _beside(rows, measured, stores[0])
    if not rows:
        raise DataMissing(f"no set found under {data}")
    settings = {"sets": list(names), "limit": limit, "all": everything, "model": MODEL, "depth": DEPTH}
    settings["stores"] = list(stores)
    return Result("quality", ("set", "mode", "store"), rows, settings, "nDCG@10")


def _is_there(data: Path, name: str) -> bool:
    return (data / name / "corpus.jsonl").is_file()


def _beside(rows: Sequence[Row], measured: Sequence[Row], first: str) -> list[Row]:
    """Figures of another store, with a bar around those of the first."""
    firsts = {row.labels[:2]: row.measured for row in rows if row.labels[2] == first}
    return [
        replace(row, bar=Bar.around(firsts[row.labels[:2]], NEAR), reference=f"{first}: {firsts[row.labels[:2]]:.4f}")
        for row in measured
    ]


def measure(name: str, judged: JudgedSet, modes: Sequence[Mode], store: str = EDGE) -> Iterator[Row]:
    """Index a set, one chunk a document, and search it in each mode.

    No model is loaded where only the keyword leg is asked for.

    :param name: of the set.
    :param judged: the set.
    :param modes: which modes.
    :param store: name of the place.
    """
    embedding = "hashed" if set(modes) == {"keyword"} else MODEL
    with (
        place(store) as empty,
        Retriever.open(
            empty,
            embedding=embedding,
            chunker=ChunkerConfig(kind="whole"),
            language=SETS[name].language,
        ) as retriever,
    ):
        with progress(f"{name}: indexing", len(judged.documents)) as advance:
            report = retriever.index(_counted(judged, advance))
        for problem in report.failed:
            say(f"{name}: {problem.item}: {problem.reason}")
        for mode in modes:
            yield _row(name, mode, store, judged, _rankings(retriever, name, judged, mode))


def _counted(judged: JudgedSet, advance: Callable[[int], None]) -> Iterator[Document]:
    for document in judged.documents:
        yield document
        advance(1)


def _rankings(retriever: Retriever, name: str, judged: JudgedSet, mode: Mode) -> dict[str, list[str]]:
    """Documents by query, best first."""
    rankings: dict[str, list[str]] = {}
    items = list(judged.queries.items())
    with progress(f"{name}: {mode}", len(items)) as advance:
        for start in range(0, len(items), _BATCH):
            batch = items[start : start + _BATCH]
            answers = retriever.search_batch([text for _, text in batch], HITS, mode=mode, depth=DEPTH)
            for (query, _), hits in zip(batch, answers, strict=True):
                rankings[query] = distinct(hit.document_id for hit in hits)
            advance(len(batch))
    return rankings


def _row(name: str, mode: Mode, store: str, judged: JudgedSet, rankings: dict[str, list[str]]) -> Row:
    expected = EXPECTED.get((name, mode), Expected(""))
    gains = [ndcg(ranking, judged.judgements[query]) for query, ranking in rankings.items()]
    found = fmean(recall(ranking, judged.judgements[query], HITS) for query, ranking in rankings.items())
    return Row(
        (name, mode, store),
        fmean(gains),
        "score",
        expected.bar,
        expected.reference,
        {f"Recall@{HITS}": formatted(found, "score"), "queries": f"{len(gains):,}"},
        {f"recall@{HITS}": found, "queries": len(gains), "documents": len(judged.documents)},
    )
