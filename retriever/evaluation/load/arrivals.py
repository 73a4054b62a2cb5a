"""When requests are due: like customers who know nothing of each other, or like a clock."""

from __future__ import annotations

from typing import Literal

import numpy as np

from retriever.errors import InvalidInput
from retriever.evaluation.load.samples import Seconds

Arrivals = Literal["poisson", "fixed"]


def arrival_times(
    rate: float, *, requests: int | None = None, seconds: float | None = None, seed: int = 0, kind: Arrivals = "poisson"
) -> Seconds:
    """Moments at which requests are due, from 0 on, ascending.

    Poisson arrivals have independent, exponentially distributed gaps; the first request comes after one of them.

    :param rate: requests a second, on average; above 0.
    :param requests: how many at most.
    :param seconds: for how long at most; at least one of the two is needed.
    :param seed: the same seed gives the same moments.
    :param kind: ``poisson``, or ``fixed``: one every ``1 / rate`` seconds.
    :raises InvalidInput: for a rate that is not above 0, or neither a count nor a time.
    """
    if not rate > 0 or not np.isfinite(rate):
        raise InvalidInput(f"the rate is {rate!r}: it is a number above 0, of requests a second")
    if requests is None and seconds is None:
        raise InvalidInput("say how many requests, or for how many seconds")
    if kind == "fixed":
        count = requests if requests is not None else int(np.floor((seconds or 0.0) * rate))
        moments = np.arange(1, count + 1) / rate
    else:
        moments = _poisson(rate, requests, seconds, np.random.default_rng(seed))
    return moments if seconds is None else moments[moments <= seconds]


def _poisson(rate: float, requests: int | None, seconds: float | None, random: np.random.Generator) -> Seconds:
    if requests is not None:
        return np.cumsum(random.exponential(1 / rate, requests))
    moments = np.zeros(0)
    last = 0.0
    while last <= (seconds or 0.0):
        more = last + np.cumsum(random.exponential(1 / rate, 1_024))
        moments = np.concatenate([moments, more])
        last = float(more[-1])
    return moments
