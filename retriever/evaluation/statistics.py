"""Whether a difference is certain: paired bootstrap, sign-flip test, Holm, and how much the queries can show at all.

Smucker, Allan and Carterette, "A comparison of statistical significance tests for information retrieval evaluation",
CIKM 2007, is why there is no Wilcoxon and no sign test: randomisation of the mean is what asks the right question.
"""

from __future__ import annotations

import math
import string
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retriever.errors import InvalidInput
from retriever.registry import raise_missing

ALPHA = 0.05
RESAMPLES = 10_000
LEAST = 6
"""Queries with a difference, below which the sign-flip test cannot call anything certain: 2 / 2⁵ is more than 5 %."""
_BLOCK = 1 << 21
"""Numbers that are drawn at a time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How b differs from a on the same queries.

    :param queries: how many.
    :param difference: mean of b minus mean of a.
    :param low: lower end of the difference's 95 % interval.
    :param high: its upper end.
    :param p: of the two-sided sign-flip test: how often chance alone gives so large a difference.
    :param effect_size: Cohen's dz, the difference in its own standard deviations; None where all are the same.
    :param wins: queries on which b is better.
    :param ties: queries on which both are the same.
    :param losses: queries on which a is better.
    :param detectable: the smallest difference that so many queries show in 80 % of cases; None below :data:`LEAST`
        queries (or clusters), which show none.
    """

    queries: int
    difference: float
    low: float
    high: float
    p: float
    effect_size: float | None
    wins: int
    ties: int
    losses: int
    detectable: float | None

    @property
    def certain(self) -> bool:
        """Whether the test alone calls it more than chance, at 5 %; among several comparisons see :func:`holm`."""
        return self.p <= ALPHA


def compare(
    a: Sequence[float],
    b: Sequence[float],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    clusters: Sequence[Hashable] | None = None,
) -> Comparison:
    """Compare two systems on the same queries.

    The interval is Efron's percentile bootstrap of the mean difference; p is that of the sign-flip randomisation test,
    (c + 1) / (n + 1), exact where there are fewer than ``resamples`` ways to flip.

    :param a: one value a query.
    :param b: the same queries in the same order.
    :param seed: of the random numbers.
    :param resamples: how many.
    :param clusters: for each query what it belongs to, for example its document: queries of one are then resampled
        and flipped together, since they are no independent evidence.
    :raises InvalidInput: where there are no queries, or not the same number.
    """
    difference = _values(b) - _values(a) if len(a) == len(b) else None
    if difference is None or not len(difference):
        raise InvalidInput(f"compare needs the same queries of both systems, at least one; got {len(a)} and {len(b)}")
    totals, sizes = _clustered(difference, clusters)
    low, high = _bootstrap(totals, sizes, np.random.default_rng([seed, 1]), resamples)
    p = float(sign_flip(totals[:, None], seed=seed, resamples=resamples)[0])
    spread = _deviation(totals, sizes)
    mean = float(difference.mean())
    return Comparison(
        queries=len(difference),
        difference=mean,
        low=low,
        high=high,
        p=p,
        effect_size=mean / spread if spread else None,
        wins=int((difference > 0).sum()),
        ties=int((difference == 0).sum()),
        losses=int((difference < 0).sum()),
        detectable=detectable(spread, len(difference), clusters=len(totals)) if len(totals) >= LEAST else None,
    )


def interval(values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % interval of a mean over queries, by percentile bootstrap.

    :param values: one a query.
    :param seed: of the random numbers.
    :param resamples: how many.
    :raises InvalidInput: where there are none.
    """
    given = _values(values)
    if not len(given):
        raise InvalidInput("an interval needs at least one value")
    return _bootstrap(given, np.ones(len(given)), np.random.default_rng([seed, 1]), resamples)


def sign_flip(differences: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Floats:
    """The p values of the two-sided sign-flip test, for several comparisons at once.

    If the two systems are the same, a difference is as likely as its opposite. So signs are flipped at random, the
    same for all comparisons, and it is counted how often the sum is at least as large as the one seen.

    :param differences: shape ``(queries, comparisons)``.
    :param seed: of the random numbers.
    :param resamples: how many.
    :return: shape ``(comparisons,)``; (c + 1) / (resamples + 1), never 0.
    """
    matrix = np.asarray(differences, dtype=np.float64)
    matrix = matrix[np.any(matrix != 0, axis=1)]  # flipping a zero changes nothing
    # Sums in another order are not quite the same: off by a share of what was added, not of the sum.
    seen = np.abs(matrix.sum(axis=0)) - 1e-12 * np.abs(matrix).sum(axis=0)
    if len(matrix) < 62 and 2 ** len(matrix) <= resamples:
        return np.asarray((np.abs(_all_signs(len(matrix)) @ matrix) >= seen).mean(axis=0), dtype=np.float64)
    count = np.ones(matrix.shape[1])
    rng = np.random.default_rng([seed, 2])
    for size in _blocks(resamples, max(matrix.shape)):
        signs = rng.integers(0, 2, (size, len(matrix)), dtype=np.int8) * np.float64(2) - 1
        count += (np.abs(signs @ matrix) >= seen).sum(axis=0)
    return count / (resamples + 1)


def holm(p: Sequence[float]) -> list[float]:
    """The p values of a family, adjusted so that one in twenty families at most has a false "certain".

    Holm, "A simple sequentially rejective multiple test procedure", 1979.

    :param p: of each comparison.
    :return: adjusted, in the same order; at most 1.
    """
    adjusted = [0.0] * len(p)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, p[place] * (len(p) - rank)))
        adjusted[place] = largest
    return adjusted


def detectable(
    deviation: float, queries: int, power: float = 0.8, alpha: float = ALPHA, *, clusters: int | None = None
) -> float:
    """The smallest true difference that a two-sided test of so many queries finds with this power.

    ``(t(1 - alpha/2) + t(power)) · deviation / √queries`` with quantiles of Student's t.

    :param deviation: standard deviation of the difference of one query.
    :param queries: how many; at least 2.
    :param power: share of cases in which it is found.
    :param alpha: share of cases in which something is found where nothing is.
    :param clusters: how many independent ones they are, where that is less: the degrees of freedom are theirs.
    :raises MissingExtra: where SciPy is not installed.
    """
    try:
        from scipy.special import stdtrit
    except ModuleNotFoundError as error:
        raise_missing("evaluation", error)
    if queries < 2:
        raise InvalidInput(f"{queries} queries can show no difference: at least 2")
    freedom = (queries if clusters is None else clusters) - 1
    quantiles = float(stdtrit(freedom, 1 - alpha / 2)) + float(stdtrit(freedom, power))
    return quantiles * deviation / math.sqrt(queries)


def queries_needed(deviation: float, difference: float, power: float = 0.8, alpha: float = ALPHA) -> int:
    """How many queries it takes to find a difference: at least :data:`LEAST`.

    :param deviation: standard deviation of the difference of one query.
    :param difference: to be found; its sign does not matter.
    :param power: share of cases in which it is found.
    :param alpha: share of cases in which something is found where nothing is.
    :raises InvalidInput: for a difference of 0, which no number of queries finds.
    """
    if not difference:
        raise InvalidInput("no number of queries finds a difference of 0")
    low, high = LEAST, 2 * LEAST
    while detectable(deviation, high, power, alpha) > abs(difference):
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if detectable(deviation, middle, power, alpha) > abs(difference):
            low = middle + 1
        else:
            high = middle
    return low


def groups(scores: Mapping[str, Sequence[float]], *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, str]:
    """Letters for systems: those that share one cannot be told apart. All pairs are compared, with Holm.

    Piepho, "An algorithm for a letter-based representation of all-pairwise comparisons", 2004.

    :param scores: by system, one value a query, in the same order.
    :param seed: of the random numbers.
    :param resamples: how many at least; so many more that Holm's correction leaves a p below 5 % within reach.
    :return: letters by system; ``a`` has the best mean.
    """
    names = sorted(scores, key=lambda name: -float(np.mean(scores[name])))
    pairs = list(combinations(range(len(names)), 2))
    apart: list[tuple[int, int]] = []
    if pairs:
        matrix = np.stack([_values(scores[name]) for name in names], axis=1)
        differences = np.stack([matrix[:, i] - matrix[:, j] for i, j in pairs], axis=1)
        resamples = max(resamples, math.ceil(2 * len(pairs) / ALPHA))
        adjusted = holm(sign_flip(differences, seed=seed, resamples=resamples).tolist())
        apart = [pair for pair, p in zip(pairs, adjusted, strict=True) if p <= ALPHA]
    columns: list[frozenset[int]] = [frozenset(range(len(names)))] if names else []
    for i, j in apart:
        split = [part for c in columns for part in ((c - {i}, c - {j}) if {i, j} <= c else (c,))]
        columns = [c for c in dict.fromkeys(split) if not any(c < other for other in split)]
    columns.sort(key=sorted)
    return {name: "".join(_letter(n) for n, c in enumerate(columns) if i in c) for i, name in enumerate(names)}


def _letter(number: int) -> str:
    letters = string.ascii_letters
    return letters[number] if number < len(letters) else chr(0x0391 + number - len(letters))


def _values(given: Sequence[float]) -> Floats:
    values = np.asarray(given, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InvalidInput("a measure is NaN or infinite for some query")
    return values


def _clustered(difference: Floats, clusters: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """Sum and number of queries of each cluster, in the order in which they first appear."""
    if clusters is None:
        return difference, np.ones(len(difference))
    if len(clusters) != len(difference):
        raise InvalidInput(f"there are {len(difference)} queries, but {len(clusters)} say what they belong to")
    number = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    place = np.array([number[cluster] for cluster in clusters])
    return np.bincount(place, difference).astype(np.float64), np.bincount(place).astype(np.float64)


def _deviation(totals: Floats, sizes: Floats) -> float:
    """Standard deviation of one query's difference; with clusters that which gives the mean's true variance."""
    if len(totals) < 2:
        return 0.0
    queries, count = sizes.sum(), len(totals)
    residuals = totals - sizes * (totals.sum() / queries)
    if np.allclose(residuals, 0, atol=1e-15):
        return 0.0
    return math.sqrt(float((residuals**2).sum()) * count / (count - 1) / queries)


def _bootstrap(totals: Floats, sizes: Floats, rng: np.random.Generator, resamples: int) -> tuple[float, float]:
    means: list[Floats] = []
    for size in _blocks(resamples, len(totals)):
        chosen = rng.integers(0, len(totals), (size, len(totals)))
        means.append(totals[chosen].sum(axis=1) / sizes[chosen].sum(axis=1))
    low, high = np.percentile(np.concatenate(means), [100 * ALPHA / 2, 100 * (1 - ALPHA / 2)])
    return float(low), float(high)


def _blocks(resamples: int, width: int) -> Iterator[int]:
    """Resamples in parts, so that memory stays bounded."""
    size = max(1, _BLOCK // max(1, width))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def _all_signs(count: int) -> Floats:
    ways = np.arange(2**count)[:, None]
    return ((ways >> np.arange(count)) & 1) * np.float64(2) - 1
