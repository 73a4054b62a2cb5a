"""When requests are due, and what the queue of known service time does with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.errors import InvalidInput
from retriever.evaluation.load.arrivals import arrival_times
from retriever.evaluation.load.stand_in import mean_response, responses


def test_poisson_gaps_are_exponential() -> None:
    from scipy import stats

    moments = arrival_times(200.0, requests=20_000, seed=4)
    gaps = np.diff(moments, prepend=0.0)
    assert stats.kstest(gaps, "expon", args=(0, 1 / 200)).pvalue > 0.01
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.02


@settings(deadline=None)
@given(
    rate=st.floats(0.1, 1e4),
    requests=st.integers(1, 500),
    seconds=st.none() | st.floats(0.01, 100),
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["poisson", "fixed"]),
)
def test_arrivals_ascend_within_bounds_and_follow_from_their_seed(rate, requests, seconds, seed, kind) -> None:
    moments = arrival_times(rate, requests=requests, seconds=seconds, seed=seed, kind=kind)
    assert (np.diff(moments, prepend=0.0) > 0).all()
    assert len(moments) <= requests
    assert seconds is None or (moments <= seconds).all()
    assert seconds is not None or len(moments) == requests
    assert (moments == arrival_times(rate, requests=requests, seconds=seconds, seed=seed, kind=kind)).all()


def test_a_time_alone_gives_as_many_as_the_rate_says() -> None:
    assert len(arrival_times(100.0, seconds=2.0, kind="fixed")) == 200
    assert abs(len(arrival_times(500.0, seconds=20.0, seed=1)) - 10_000) < 4 * 100  # four deviations


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(InvalidInput, match="above 0, of requests a second"):
        arrival_times(rate, requests=1)


def test_neither_count_nor_time_is_refused() -> None:
    with pytest.raises(InvalidInput, match="how many requests"):
        arrival_times(1.0)


@given(gaps=st.lists(st.floats(0, 0.02), min_size=1, max_size=60), service=st.floats(0.001, 0.01))
def test_responses_are_what_a_queue_does(gaps: list[float], service: float) -> None:
    arrivals = np.cumsum(gaps)
    free = 0.0
    for moment, response in zip(arrivals, responses(arrivals, service), strict=True):
        free = max(free, moment) + service
        assert response == pytest.approx(free - moment, abs=1e-9)


@pytest.mark.parametrize("utilisation", [0.3, 0.5, 0.8])
def test_the_formula_is_the_mean_of_many(utilisation: float) -> None:
    """Half a million arrivals: their own error is below half a percent, the bar is one."""
    arrivals = arrival_times(utilisation / 0.004, requests=500_000, seed=11)
    assert responses(arrivals, 0.004).mean() == pytest.approx(mean_response(0.004, utilisation), rel=0.01)
