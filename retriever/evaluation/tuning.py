"""Weight, method and depth of fusion, chosen on judged queries and tried on others.

The best of many settings on the queries that chose it looks better than it is. So one half of the queries chooses and
the other half judges; then they change places, so that every query judges once and none judges its own choice.
What the two choices gain is the estimate for the one that all queries together choose, which is what is kept.

The two halves are not independent evidence: chance that makes a setting look good in both is counted twice. So chance
is not asked what it does to the chosen setting's differences, but to the whole procedure: signs are flipped query by
query, for all settings alike, and then it is chosen and judged anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retriever.errors import InvalidInput
from retriever.evaluation.answering import HITS, Advance, Answers, Setting, answer, quiet
from retriever.evaluation.evaluating import prepare
from retriever.evaluation.judgements import Grades, Judgements
from retriever.evaluation.measures import measure as measured
from retriever.evaluation.measures import split_name
from retriever.evaluation.refusing import weighted_runs
from retriever.evaluation.runs import Run
from retriever.evaluation.statistics import ALPHA, RESAMPLES, Comparison, Floats, compare
from retriever.filters import FilterInput
from retriever.fusion import Method
from retriever.manifest import SearchDefaults
from retriever.retriever import Retriever
from retriever.search_options import DEPTH, SearchOptions

WEIGHTS = tuple(step / 20 for step in range(21))
"""Shares that are tried: of the keyword leg, or of it and the sparse leg together, or of the sparse leg alone."""

DEPTHS = (50, 100, DEPTH, 400)
"""Candidates a leg that are tried."""

Halves = tuple[NDArray[np.int64], NDArray[np.int64]]

_BLOCK = 1_000
"""Flips at a time."""

_NORMAL = 1.96
"""What a gain of chance exceeds in one of twenty cases, in standard errors, where nothing was chosen."""

LEAST_QUERIES = 20
"""Fewer than these cannot be divided sensibly."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What :func:`tune` found.

    :param measure: by which it was chosen.
    :param before: how the index would search without it.
    :param chosen: the best setting on all queries.
    :param halves: the best setting on each half.
    :param optimistic: mean gain of ``chosen`` on the queries that chose it, which is more than to be expected.
    :param held_out: gain on queries that had no part in the choice.
    :param score: mean of the measure without it.
    :param surface: mean of the measure on all queries, by setting.
    :param saved: whether it is in the index now.
    """

    measure: str
    before: Setting
    chosen: Setting
    halves: tuple[Setting, Setting]
    optimistic: float
    held_out: Comparison
    score: float
    surface: Mapping[Setting, float]
    saved: bool

    @property
    def certain(self) -> bool:
        """Whether it gains more than chance would: both the test and the interval say so."""
        return self.held_out.certain and self.held_out.low > 0

    @property
    def defaults(self) -> SearchDefaults:
        """As the index keeps it."""
        return SearchDefaults(
            keyword_weight=self.chosen.keyword_weight,
            fusion=self.chosen.fusion,
            depth=self.chosen.depth,
            measure=self.measure,
            queries=self.held_out.queries,
            gain=self.held_out.difference,
            low=self.held_out.low,
            high=self.held_out.high,
        )


def tune(
    retriever: Retriever,
    judgements: Judgements,
    *,
    measure: str = "nDCG@10",
    seed: int = 0,
    save: bool = True,
    force: bool = False,
    filter: FilterInput = None,  # noqa: A002 - the field's word
    progress: Advance = quiet,
) -> Tuning:
    """Choose how to fuse, and keep it in the index where the gain is certain.

    Every query is asked once, with the greatest depth; all settings are tried on what was found. What is compared with
    is the package's own default, not what an earlier tuning left. What keyword and sparse leg divide is tuned, how they
    divide it is not.

    :param retriever: the index.
    :param judgements: from :func:`retriever.evaluation.read_judgements`.
    :param measure: to make as large as possible.
    :param seed: of the division into halves and of the tests.
    :param save: keep it in the index's manifest, where :meth:`retriever.Retriever.search` finds it.
    :param force: keep it even where the gain is not certain.
    :param filter: with which to search.
    :param progress: told what is being done, how much of it is done, and how much there is.
    :raises InvalidInput: for fewer than :data:`LEAST_QUERIES` queries with a relevant document.
    :raises MissingExtra: where the extra ``evaluation`` is not installed.
    """
    measured({}, {}, [measure])  # what is missing or misspelt shows before anything is asked
    judged, _, _ = prepare(retriever, judgements)
    if len(judged.queries) < LEAST_QUERIES:
        raise InvalidInput(
            f"tuning needs at least {LEAST_QUERIES} queries with a relevant document, half to choose and half to try; "
            f"there are {len(judged.queries)}"
        )
    before = Setting.of(SearchOptions.make(1, {}, retriever.untuned_defaults))
    asked = answer(retriever, judged.queries, depth=max(DEPTHS), filter=filter, progress=progress)
    settings, values = _values(asked, judged.grades, before, measure, progress)
    halves = split(len(judged.queries), seed)
    picks = [_best(values[:, half]) for half in halves]
    best = _best(values)
    result = Tuning(
        measure=measure,
        before=before,
        chosen=settings[best],
        halves=(settings[picks[0]], settings[picks[1]]),
        optimistic=float((values[best] - values[0]).mean()),
        held_out=held_out(values, halves, seed),
        score=float(values[0].mean()),
        surface=dict(zip(settings, values.mean(axis=1).tolist(), strict=True)),
        saved=False,
    )
    if not save or not (result.certain or force):
        return result
    retriever.set_search_defaults(result.defaults)
    return replace(result, saved=True)


def grid() -> list[tuple[Method, int]]:
    """Methods and depths that are tried, each with all weights; the defaults first, since the first of equals wins."""
    depths = sorted(DEPTHS, key=lambda depth: (abs(depth - DEPTH), depth))
    # Ranks hardly depend on how deep the legs are, scores stretched between the first and the last do.
    return [("relative", depth) for depth in depths] + [("rrf", DEPTH)]


def split(count: int, seed: int) -> Halves:
    """Two halves of the queries, by chance.

    :param count: how many queries.
    :param seed: of the division.
    :return: their numbers, in order.
    """
    order = np.random.default_rng([seed, 3]).permutation(count)
    return np.sort(order[: count // 2]), np.sort(order[count // 2 :])


def held_out(values: Floats, halves: Halves, seed: int, resamples: int = RESAMPLES) -> Comparison:
    """What the choice of each half gains on the other one.

    Cross-fitted: each half chooses for the other. p and interval are those of a sign-flip test of choosing and judging
    together, in which gains are divided by their standard error, as in Student's t: what chance chooses may vary more.

    :param values: of all settings, shape ``(settings, queries)``; the first one is what is compared with.
    :param halves: numbers of the queries.
    :param seed: of the random numbers.
    :param resamples: how many.
    """
    picks = [_best(values[:, half]) for half in halves]
    tuned = np.empty(values.shape[1])
    for pick, other in zip(picks, reversed(halves), strict=True):
        tuned[other] = values[pick, other]
    plain = compare(values[0].tolist(), tuned.tolist(), seed=seed, resamples=resamples)
    gains = values - values[0]
    centred = gains - gains.mean(axis=1, keepdims=True)
    seen = abs(plain.difference) / _error(gains, halves, picks) if plain.difference else 0.0
    quantile = float(np.quantile(_flipped(centred, halves, seed, resamples), 1 - ALPHA))
    width = quantile * _error(centred, halves, picks)
    return replace(
        plain,
        low=plain.difference - width,
        high=plain.difference + width,
        p=float((1 + (_flipped(gains, halves, seed, resamples) >= seen * (1 - 1e-12)).sum()) / (resamples + 1)),
        detectable=None if plain.detectable is None else plain.detectable * max(1.0, quantile / _NORMAL),
    )


def _error(gains: Floats, halves: Halves, picks: Sequence[int]) -> float:
    """Standard error of the mean gain where each half's pick is judged by the other."""
    judged = (gains[pick, other] for pick, other in zip(picks, reversed(halves), strict=True))
    return math.sqrt(sum(float((of_half**2).sum()) for of_half in judged)) / len(gains[0])


def _flipped(gains: Floats, halves: Halves, seed: int, resamples: int) -> Floats:
    """Sizes of gains in standard errors, with the signs of queries flipped by chance before choosing and judging."""
    rng, found = np.random.default_rng([seed, 4]), list[Floats]()
    squares = [(gains[:, half] ** 2).sum(axis=1) for half in halves]
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        one, two = (
            (rng.integers(0, 2, (size, len(half)), dtype=np.int8) * np.float64(2) - 1) @ gains[:, half].T
            for half in halves
        )
        rows, of_one, of_two = np.arange(size), one.argmax(axis=1), two.argmax(axis=1)
        error = np.sqrt(squares[1][of_one] + squares[0][of_two])
        total = np.abs(two[rows, of_one] + one[rows, of_two])
        found.append(np.divide(total, error, out=np.zeros(size), where=error > 0))
    return np.concatenate(found)


def _values(
    asked: Answers, grades: Grades, before: Setting, name: str, progress: Advance
) -> tuple[list[Setting], NDArray[np.float64]]:
    """What is tried, ``before`` first, and its values: shape ``(settings, queries)``."""
    k = split_name(name)[1] or HITS
    settings, rows = [before], [_row(asked.run(before, k), grades, name)]
    for method, depth in grid():
        for setting, run in weighted_runs(asked, replace(before, fusion=method, depth=depth), WEIGHTS, k):
            settings.append(setting)
            rows.append(_row(run, grades, name))
            progress("trying settings", len(rows), 1 + len(grid()) * len(WEIGHTS))
    return settings, np.array(rows)


def _row(run: Run, grades: Grades, name: str) -> list[float]:
    return list(measured(run, grades, [name])[name].values())


def _best(values: NDArray[np.float64]) -> int:
    """The first of those with the greatest mean, so that the default stays where nothing is better."""
    means = values.mean(axis=1)
    return int(np.argmax(means >= means.max() - 1e-12))
