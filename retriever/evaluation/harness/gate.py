"""Whether a change may go in: a test of non-inferiority asks if it is certain that no more than a margin is lost.

Three answers, since few queries often cannot tell. For each pair of configurations, with d the difference of a query:

passed   the lower bound of the mean of d is at least -margin, on 20 queries or more; or no query changed at all. The
         bound is one-sided, 97.5 %, by Efron's BCa bootstrap (JASA 1987): losses on a few queries make the
         distribution skewed, which the percentile bootstrap misses.
failed   a loss beyond the margin is significant: the sign-flip test of d + margin, Holm over all pairs, p <= 0.05.
unclear  neither.

All pairs have to pass. So however many there are, the gate lets a loss beyond the margin through in about 2.5 % of
cases at most, and it refuses a change that loses no more than the margin in about 2.5 % at most. Simulated with losses
of exactly the margin, on 150 and on 1,000 queries: 3.6 % and 2 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from retriever.errors import InvalidInput
from retriever.evaluation.harness.comparing import Matched, Paired
from retriever.evaluation.statistics import ALPHA, RESAMPLES, Floats, holm, queries_needed, sign_flip
from retriever.registry import raise_missing

MARGIN = 0.01
LEAST = 20
"""Queries below which no bound means anything: none of them lost is no evidence."""
_BLOCK = 1 << 21


class Verdict(IntEnum):
    """The exit code."""

    PASSED = 0
    FAILED = 1
    UNCLEAR = 2


class Judged(BaseModel):
    """One pair, judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    label: str
    verdict: Verdict
    difference: float
    at_worst: float
    """Lower bound of the difference, 97.5 %."""
    p: float = Field(ge=0, le=1)
    """That the loss is not beyond the margin, after Holm."""
    queries: int
    needed: int | None = None
    """Of an unclear one: so many queries in all would tell in 80 % of cases, if the difference stays what it is."""
    needed_to_pass: int | None = None
    """Of an unclear one: so many would let it pass in 80 % of cases, if nothing is lost in truth."""


class Gate(BaseModel):
    """A change, judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    margin: float
    measure: str
    pairs: tuple[Judged, ...]
    missing: tuple[str, ...] = ()
    """What only the first run has: what was not measured again has not passed."""


def judge(matched: Matched, margin: float = MARGIN, *, seed: int = 0, resamples: int = RESAMPLES) -> Gate:
    """Judge a change.

    :param matched: what both runs have.
    :param margin: how much may be lost, of a measure from 0 to 1.
    :param seed: of bootstrap and test.
    :param resamples: of both.
    :raises InvalidInput: for a margin that is not above 0.
    """
    if not 0 < margin < 1:
        raise InvalidInput(f"the margin has to be above 0 and below 1, not {margin:g}: no number of queries shows less")
    differences = [pair.differences for pair in matched.pairs]
    chances = holm([_chance(of_pair, margin, seed, resamples) for of_pair in differences])
    judged = tuple(
        _judged(pair, values, margin, chance, lower_bound(values, seed=seed, resamples=resamples))
        for pair, values, chance in zip(matched.pairs, differences, chances, strict=True)
    )
    return Gate(
        verdict=_overall(judged, matched.unmatched),
        margin=margin,
        measure=matched.measure,
        pairs=judged,
        missing=tuple(matched.unmatched),
    )


def lower_bound(differences: Floats, *, seed: int = 0, resamples: int = RESAMPLES, alpha: float = ALPHA / 2) -> float:
    """What the mean is at least, by the bias-corrected and accelerated bootstrap.

    :param differences: one a query.
    :param seed: of the resampling.
    :param resamples: how many.
    :param alpha: share of cases in which the true mean is lower.
    :raises MissingExtra: where SciPy is not installed.
    """
    try:
        from scipy.special import ndtr, ndtri
    except ModuleNotFoundError as error:
        raise_missing("the gate", error)
    mean = float(differences.mean())
    residuals = differences - mean
    spread = float((residuals**2).sum())
    if spread <= 1e-24 * len(differences):
        return mean
    means = _means(differences, np.random.default_rng([seed, 3]), resamples)
    below = ((means < mean).mean() + (means <= mean).mean()) / 2
    bias = float(ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples)))
    acceleration = float((residuals**3).sum()) / (6 * spread**1.5)
    shifted = bias + float(ndtri(alpha))
    return float(np.quantile(means, float(ndtr(bias + shifted / (1 - acceleration * shifted)))))


def _chance(differences: Floats, margin: float, seed: int, resamples: int) -> float:
    """The p value of "it loses no more than the margin", against "it loses more"."""
    beyond = differences + margin
    return float(sign_flip(beyond[:, None], seed=seed, resamples=resamples)[0]) if beyond.mean() < 0 else 1.0


def _judged(pair: Paired, differences: Floats, margin: float, p: float, bound: float) -> Judged:
    mean = float(differences.mean())
    is_enough = len(differences) >= LEAST or not differences.any()
    passes = bound >= -margin and is_enough
    verdict = Verdict.PASSED if passes else Verdict.FAILED if p <= ALPHA else Verdict.UNCLEAR
    unclear = verdict == Verdict.UNCLEAR and len(differences) > 1
    deviation = float(differences.std(ddof=1)) if unclear else 0.0
    distance = mean + margin
    return Judged(
        dataset=pair.before.dataset,
        label=pair.label,
        verdict=verdict,
        difference=mean,
        at_worst=bound,
        p=p,
        queries=len(differences),
        needed=max(LEAST, queries_needed(deviation, distance)) if unclear and abs(distance) > 1e-9 else None,
        needed_to_pass=max(LEAST, queries_needed(deviation, margin)) if unclear else None,
    )


def _overall(judged: Sequence[Judged], missing: Sequence[str]) -> Verdict:
    verdicts = {pair.verdict for pair in judged}
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED
    return Verdict.UNCLEAR if missing or Verdict.UNCLEAR in verdicts else Verdict.PASSED


def _means(values: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    size = max(1, _BLOCK // len(values))
    parts = [
        values[rng.integers(0, len(values), (min(size, resamples - start), len(values)))].mean(axis=1)
        for start in range(0, resamples, size)
    ]
    return np.concatenate(parts)
