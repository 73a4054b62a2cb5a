"""Latencies in a few numbers: percentiles of the raw samples, failures among them, with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from retriever.evaluation.load.samples import Samples, Seconds

LEAST_P99 = 1_000
LEAST_P999 = 10_000
"""Requests below which such a percentile rests on fewer than ten of them, and is not given."""
RESAMPLES = 1_000
_CONFIDENCE = 0.95


class Figure(BaseModel):
    """Base of what a run measured. Infinity is written as a word, as JSON has no number for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Estimate(Figure):
    """A figure with its 95 % interval.

    :param value: of all samples.
    :param low: lower end.
    :param high: upper end.
    """

    value: float
    low: float
    high: float


class Latency(Figure):
    """One run. Times are in seconds; ``inf`` where so many failed that no time is known.

    :param requests: how many were due.
    :param offered: of them a second.
    :param achieved: answers a second.
    :param p50: half of the requests were answered within it.
    :param p99: None below 1,000 requests.
    :param p999: None below 10,000 requests.
    :param errors: failures by type; each counts as an infinite latency.
    :param late: share of the requests that had to wait for a free worker of the generator; above 0 it was too small.
    :param latest: the longest such wait.
    """

    requests: int
    offered: float
    achieved: float
    p50: Estimate
    p90: Estimate
    p99: Estimate | None = None
    p999: Estimate | None = None
    errors: Mapping[str, int] = {}
    late: float = 0.0
    latest: float = 0.0


def latencies(samples: Samples, *, seed: int = 0) -> Latency:
    """Sum a run up.

    :param samples: at least one.
    :param seed: of the intervals' resampling.
    """
    seconds = samples.latency
    count = len(seconds)
    wanted = {"p50": 0.5, "p90": 0.9}
    if count >= LEAST_P99:
        wanted["p99"] = 0.99
    if count >= LEAST_P999:
        wanted["p999"] = 0.999
    estimates = percentiles(seconds, list(wanted.values()), seed=seed)
    return Latency(
        requests=count,
        offered=samples.offered,
        achieved=samples.achieved,
        errors=samples.errors,
        late=float((samples.late > 0).mean()),
        latest=float(samples.late.max()),
        **dict(zip(wanted, estimates, strict=True)),
    )


def percentiles(
    seconds: Seconds, quantiles: list[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> list[Estimate]:
    """Percentiles by nearest rank, so that infinity next to a number is never averaged with it.

    Requests that were due one after the other waited in the same queue, so the intervals come from a bootstrap of
    blocks of neighbours (Politis and Romano 1992, circular; length by the rule n^(1/3) of Hall, Horowitz and Jing 1995,
    at least ten).

    :param seconds: in the order in which the requests were due; at least one.
    :param quantiles: each above 0 and at most 1.
    :param seed: of the resampling.
    :param resamples: how many.
    """
    count = len(seconds)
    ranks = np.array([max(0, int(np.ceil(q * count - 1e-9)) - 1) for q in quantiles])
    values = np.sort(seconds)[ranks]
    length = min(count, max(10, round(count ** (1 / 3))))
    random = np.random.default_rng(seed)
    drawn = np.array([_resampled(seconds, length, random)[ranks] for _ in range(resamples)])
    ends = np.array([(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    places = np.clip(np.ceil(ends * resamples).astype(int) - 1, 0, resamples - 1)
    low, high = np.sort(drawn, axis=0)[places]
    return [Estimate(value=float(v), low=float(a), high=float(b)) for v, a, b in zip(values, low, high, strict=True)]


def _resampled(seconds: Seconds, length: int, random: np.random.Generator) -> NDArray[np.float64]:
    """A sample as long as the first, of blocks of neighbours, the end joined to the beginning; sorted."""
    count = len(seconds)
    starts = random.integers(count, size=-(-count // length))
    places = (starts[:, None] + np.arange(length)).ravel()[:count] % count
    return np.sort(seconds[places])
