"""Percentiles, their intervals, and what is not said from too few requests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.evaluation.load.latency import Latency, latencies, percentiles
from retriever.evaluation.load.samples import Request, Samples


def samples(seconds: np.ndarray, failed: int = 0) -> Samples:
    """Requests due every millisecond; the last ones fail."""
    count = len(seconds)
    requests = [
        Request(0.001 * (n + 1), 0.0, 0.001 * (n + 1), 0.001 * (n + 1) + float(value), None)
        for n, value in enumerate(seconds)
    ]
    for request in requests[count - failed :]:
        request.error = "OSError"
    return Samples.of(requests)


@settings(deadline=None)
@given(
    values=st.lists(st.floats(0, 10) | st.just(np.inf), min_size=1, max_size=80),
    quantile=st.sampled_from([0.5, 0.9, 0.99, 1.0]),
)
def test_a_percentile_is_the_least_that_so_many_are_within(values: list[float], quantile: float) -> None:
    (estimate,) = percentiles(np.array(values), [quantile], resamples=20)
    within = sum(value <= estimate.value for value in values)
    below = sum(value < estimate.value for value in values)
    assert estimate.value in values
    assert within >= quantile * len(values) - 1e-6 > below - 1e-6
    assert estimate.low <= estimate.high


def test_high_percentiles_need_many_requests() -> None:
    random = np.random.default_rng(1)
    assert latencies(samples(random.random(999))).p99 is None
    thousand = latencies(samples(random.random(1_000)))
    assert thousand.p99 is not None
    assert thousand.p999 is None
    assert latencies(samples(random.random(10_000))).p999 is not None


def test_failures_count_as_infinite_and_travel_through_json() -> None:
    figures = latencies(samples(np.full(1_000, 0.01), failed=20))
    assert figures.errors == {"OSError": 20}
    assert figures.p90.value == pytest.approx(0.01)
    assert figures.p99 is not None
    assert figures.p99.value == np.inf
    assert Latency.model_validate_json(figures.model_dump_json()) == figures
    assert "Infinity" in figures.model_dump_json()


def test_nothing_but_failures() -> None:
    figures = latencies(samples(np.full(10, 0.01), failed=10))
    assert figures.p50.low == figures.p50.value == figures.p50.high == np.inf
    assert figures.achieved == 0


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """The median of 200 independent requests, 200 times: 95 %, less what an interval of blocks lacks at this size."""
    random = np.random.default_rng(7)
    inside = 0
    for seed in range(200):
        (estimate,) = percentiles(random.exponential(1, 200), [0.5], seed=seed, resamples=200)
        inside += estimate.low <= np.log(2) <= estimate.high
    assert 0.86 <= inside / 200 <= 0.99


def test_requests_that_wait_together_make_intervals_wider() -> None:
    """The same values: shuffled, and in bursts of a hundred, which are hardly more than ten observations."""
    random = np.random.default_rng(3)
    bursts = np.repeat(random.exponential(1, 20), 50)
    (together,) = percentiles(bursts, [0.5])
    (apart,) = percentiles(random.permutation(bursts), [0.5])
    assert together.value == apart.value
    assert together.high - together.low > 1.3 * (apart.high - apart.low)


def test_the_same_seed_gives_the_same_interval() -> None:
    run = samples(np.random.default_rng(2).random(300))
    assert latencies(run, seed=5) == latencies(run, seed=5)


def test_rates_are_by_the_time_that_passed() -> None:
    figures = latencies(samples(np.full(500, 0.5)))
    assert figures.offered == pytest.approx(1_000, rel=0.01)
    assert figures.achieved == pytest.approx(500, rel=0.01)
