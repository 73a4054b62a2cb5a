"""How good an index is on judged queries: its legs and their fusion side by side, and where the misses come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypedDict, Unpack, cast

from retriever.errors import InvalidInput
from retriever.evaluation.answering import Advance, Answers, Setting, answer, document_run, quiet, rerank
from retriever.evaluation.judgements import Judgements
from retriever.evaluation.matching import match_documents
from retriever.evaluation.measures import MEASURES, mean, measure
from retriever.evaluation.runs import Run
from retriever.evaluation.spans import span_measures
from retriever.evaluation.statistics import Comparison, compare, groups, holm, interval
from retriever.evaluation.waterfall import Waterfall, explain_failures
from retriever.filters import FilterInput
from retriever.fusion import Fused, Method
from retriever.reranking import RerankInput, resolve_reranker
from retriever.retriever import Retriever
from retriever.search_options import RERANK_DEPTH, SearchOptions, SearchSettings
from retriever.types import Mode


class EvaluateSettings(TypedDict, total=False):
    """How to search; the words of :meth:`retriever.Retriever.search`."""

    mode: Mode
    filter: FilterInput
    depth: int | None
    fusion: Method | None
    keyword_weight: float | None
    sparse_weight: float | None
    rerank: RerankInput | None
    rerank_depth: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One way to search, measured.

    :param name: ``keyword``, ``sparse``, ``semantic``, ``hybrid``, or ``reranked``.
    :param values: by measure, by query.
    :param intervals: 95 % interval of each measure's mean.
    :param run: what was found.
    :param group: letters; ways that share one cannot be told apart by the first measure.
    """

    name: str
    values: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, tuple[float, float]]
    run: Run
    group: str

    @property
    def means(self) -> dict[str, float]:
        """By measure."""
        return {name: mean(values) for name, values in self.values.items()}


@dataclass(frozen=True, slots=True)
class Versus:
    """Two ways to search, compared.

    :param a: name of the one.
    :param b: name of the other.
    :param comparison: b minus a.
    :param adjusted: its p after Holm over all comparisons made here.
    """

    a: str
    b: str
    comparison: Comparison
    adjusted: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What :func:`evaluate` found.

    :param address: of the index.
    :param judgements: with ids as hits show them; only queries that have a relevant document.
    :param setting: how the legs were fused.
    :param ways: what was measured, the last one being what was asked for.
    :param versus: all pairs of them, by the first measure.
    :param waterfall: why the last one's queries failed.
    :param missing: relevant documents that the index does not hold.
    :param skipped: queries without a relevant document.
    """

    address: str
    judgements: Judgements
    setting: Setting
    ways: Sequence[Measured]
    versus: Sequence[Versus]
    waterfall: Waterfall
    missing: Sequence[str]
    skipped: Sequence[str]

    @property
    def primary(self) -> str:
        """The measure to decide by."""
        return next(iter(self.ways[-1].values))

    @property
    def best(self) -> Measured:
        """The way with the best mean of the first measure, certain or not."""
        return max(self.ways, key=lambda way: way.means[self.primary])


def evaluate(
    retriever: Retriever,
    judgements: Judgements,
    *,
    k: int = 10,
    measures: Sequence[str] = MEASURES,
    seed: int = 0,
    exact: bool | None = None,
    progress: Advance = quiet,
    **settings: Unpack[EvaluateSettings],
) -> Evaluation:
    """Measure an index on judged queries.

    Every query is asked once; each leg alone and their fusion are measured on what was found.

    :param retriever: the index.
    :param judgements: from :func:`retriever.evaluation.read_judgements`; ids with or without the source's name.
    :param k: among how many documents the answer has to be, else the query has failed.
    :param measures: names; the first is the one that decides.
    :param seed: of intervals and tests.
    :param exact: whether to compute exact ranks to explain failures; by default where the index is not too large.
    :param progress: told what is being done, how much of it is done, and how much there is.
    :param settings: keyword arguments of :meth:`retriever.Retriever.search`; what is not given is as the index has it.
    :return: values by query, means with intervals, comparisons, and the reasons of failures.
    :raises InvalidInput: where no judged document is in the index, or no query has a relevant one.
    :raises MissingExtra: where the extra ``evaluation`` is not installed.
    """
    measure({}, {}, measures)  # what is missing or misspelt shows before anything is asked
    if k < 1:
        raise InvalidInput(f"k is {k!r}: it is at least 1")
    setting = setting_of(retriever, settings)
    reranker = resolve_reranker(given) if (given := settings.get("rerank")) is not None else None
    judged, missing, skipped = prepare(retriever, judgements)
    asked = answer(
        retriever,
        judged.queries,
        depth=setting.depth,
        mode=setting.mode,
        filter=settings.get("filter"),
        progress=progress,
    )
    rankings: dict[str, Mapping[str, Sequence[Fused]]] = {way.mode: asked.rankings(way) for way in _ways(setting)}
    if reranker is not None:
        depth = settings.get("rerank_depth", RERANK_DEPTH)
        rankings["reranked"] = rerank(
            retriever, asked, rankings[setting.mode], reranker, depth=depth, progress=progress
        )
    ways = _measured(asked, rankings, judged, measures, seed, progress)
    return Evaluation(
        retriever.address,
        judged,
        setting,
        ways,
        _versus(ways, measures[0], seed),
        explain_failures(
            retriever,
            judged,
            asked,
            setting,
            reranked=rankings.get("reranked"),
            filter=settings.get("filter"),
            k=k,
            exact=exact,
            progress=progress,
        ),
        missing,
        skipped,
    )


def prepare(retriever: Retriever, judgements: Judgements) -> tuple[Judgements, Sequence[str], Sequence[str]]:
    """Judgements in the index's words, without queries that have no relevant document.

    :param retriever: the index.
    :param judgements: as they were read.
    :return: those; relevant documents that the index does not hold; queries left out.
    :raises InvalidInput: where nothing is left to measure.
    """
    matched = match_documents(judgements, {entry.document_id for entry in retriever.store.entries()})
    judged = matched.judgements
    skipped = [query for query in judged.queries if not judged.relevant(query)]
    if len(skipped) == len(judged.queries):
        raise InvalidInput(f"none of the {len(skipped):,} queries has a relevant document: grades above 0 are relevant")
    queries = {query: text for query, text in judged.queries.items() if query not in set(skipped)}
    grades = {query: judged.grades[query] for query in queries}
    spans = {query: judged.spans[query] for query in queries if query in judged.spans}
    return Judgements(queries, grades, spans, judgements.unasked), matched.missing, skipped


def setting_of(retriever: Retriever, settings: EvaluateSettings) -> Setting:
    """How the index would search with these arguments.

    :param retriever: the index.
    :param settings: what is not given is as the index has it.
    :raises InvalidInput: naming the one that is out of range.
    """
    return Setting.of(SearchOptions.make(1, cast("SearchSettings", settings), retriever.search_defaults))


def _ways(setting: Setting) -> list[Setting]:
    """The legs that were asked, and what was asked for last."""
    if setting.mode != "hybrid":
        return [setting]
    alone: tuple[Mode, ...] = ("keyword", "sparse", "semantic")
    return [*(replace(setting, mode=leg) for leg in alone if leg in setting.legs), setting]


def _measured(
    asked: Answers,
    named: Mapping[str, Mapping[str, Sequence[Fused]]],
    judged: Judgements,
    measures: Sequence[str],
    seed: int,
    progress: Advance,
) -> list[Measured]:
    runs = {name: document_run(asked, ranked) for name, ranked in named.items()}
    values = {name: measure(run, judged.grades, measures) for name, run in runs.items()}
    letters = groups({name: list(found[measures[0]].values()) for name, found in values.items()}, seed=seed)
    ways: list[Measured] = []
    for name, found in values.items():
        if judged.spans:
            places = {q: [asked.places[f.key] for f in r if f.key in asked.places] for q, r in named[name].items()}
            found |= span_measures(places, judged.spans)
        intervals = {kind: interval(list(numbers.values()), seed=seed) for kind, numbers in found.items()}
        ways.append(Measured(name, found, intervals, runs[name], letters[name]))
        progress("measuring", len(ways), len(values))
    return ways


def _versus(ways: Sequence[Measured], primary: str, seed: int) -> list[Versus]:
    pairs = list(combinations(ways, 2))
    compared = [
        compare(list(a.values[primary].values()), list(b.values[primary].values()), seed=seed) for a, b in pairs
    ]
    adjusted = holm([comparison.p for comparison in compared])
    return [Versus(a.name, b.name, c, p) for (a, b), c, p in zip(pairs, compared, adjusted, strict=True)]
