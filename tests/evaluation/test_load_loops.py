"""Open and closed loop against a server whose answers are known: what queueing theory says, a stall, errors, hangs."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from benchmarks.load_proof import agreement
from retriever.errors import InvalidInput
from retriever.evaluation.load.capacity import capacity
from retriever.evaluation.load.closed import closed_loop
from retriever.evaluation.load.latency import latencies
from retriever.evaluation.load.open import open_loop
from retriever.evaluation.load.stand_in import Behaviour, Client, stand_in


def test_open_loop_measures_what_queueing_theory_says() -> None:
    """Mean response time of an M/D/1 queue at a utilisation of 0.6, in short; ``make load-proof`` is longer.

    The bar of 2 % is widened by the error of so few requests. A busy machine can only add to it, so the best of three
    runs counts; a generator that leaves waiting out is 40 % too low in each.
    """
    seen = []
    for seed in range(3):
        result = agreement(0.6, seconds=5, seed=seed)
        seen.append(result)
        if abs(result.difference) < 0.02 + 3 * min(result.error / result.theory, 0.03):
            return
    pytest.fail(f"beyond the error of sampling: {seen}")


def test_a_stall_is_seen_by_the_open_loop_and_hardly_by_the_closed_one() -> None:
    stalls = Behaviour(service=0.001, stall_after=0.5, stall=1.0)
    with stand_in(stalls) as port, Client(port) as client:
        opened = open_loop(client, rate=300, requests=1_050, seed=2, workers=400)
    with stand_in(stalls) as port, Client(port) as client:
        closed = closed_loop(client, clients=1, requests=1_100)
    ours, theirs = latencies(opened), latencies(closed)
    assert ours.p99 is not None
    assert theirs.p99 is not None
    assert ours.p99.value > 0.8  # of a second
    assert ours.late == 0
    assert theirs.p99.value < 0.1
    assert closed.latency.max() > 0.95  # it was there, once


def test_failures_are_in_the_percentiles() -> None:
    with stand_in(Behaviour(service=0.001, fail_every=5)) as port, Client(port) as client:
        samples = open_loop(client, rate=200, requests=200, seed=1)
    figures = latencies(samples)
    assert figures.errors == {"StoreUnavailable": 40}
    assert figures.p90.value == np.inf
    assert np.isfinite(figures.p50.value)
    assert figures.achieved < 0.9 * figures.offered


def test_what_takes_too_long_has_failed() -> None:
    def call(number: int) -> None:
        time.sleep(0.15 if number == 3 else 0)

    samples = open_loop(call, rate=50, requests=20, arrivals="fixed", timeout=0.1)
    assert samples.errors == {"TimeoutError": 1}
    assert samples.failed.tolist() == [number == 3 for number in range(20)]
    assert samples.latency[3] == np.inf


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_what_never_comes_back_does_not_hold_up_the_run(loop: str) -> None:
    hangs = threading.Event()

    def call(number: int) -> None:
        if number == 5:
            hangs.wait(60)

    began = time.perf_counter()
    try:
        if loop == "open":
            samples = open_loop(call, rate=100, requests=20, timeout=0.5, workers=4)
        else:
            samples = closed_loop(call, clients=4, requests=20, timeout=0.2)
    finally:
        hangs.set()
    assert time.perf_counter() - began < 20
    assert len(samples) == 20
    assert samples.errors == {"unfinished": 1}
    assert np.isinf(samples.ended).sum() == np.isinf(samples.latency).sum() == 1


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_nothing_is_asked_once_a_run_has_ended(loop: str) -> None:
    """A server that cannot keep up: what is measured next must not share it with the rest of the queue."""
    asked: list[int] = []

    def call(number: int) -> None:
        asked.append(number)
        time.sleep(0.05)

    if loop == "open":
        samples = open_loop(call, rate=1_000, requests=200, workers=2, timeout=0.2)
        assert samples.errors["unfinished"] > 100
    else:
        samples = closed_loop(call, clients=2, requests=20, timeout=0.02)
        assert samples.failed.all()
    time.sleep(0.1)  # those that are under way come back
    count = len(asked)
    time.sleep(0.15)
    assert len(asked) == count < 20


def test_too_few_workers_are_noticed() -> None:
    def call(number: int) -> None:
        time.sleep(0.03)

    few = open_loop(call, rate=100, requests=60, arrivals="fixed", workers=1)
    assert (few.late > 0).mean() > 0.8
    assert few.late.max() == pytest.approx(few.latency.max() - 0.03, abs=0.02)
    assert (few.started >= few.intended).all()
    many = open_loop(call, rate=100, requests=60, arrivals="fixed", workers=30)
    assert latencies(many).late < 0.2


def test_each_request_is_made_once() -> None:
    made: list[int] = []
    assert len(open_loop(made.append, rate=2_000, requests=300, workers=8)) == 300
    assert sorted(made) == list(range(300))
    made.clear()
    assert len(closed_loop(made.append, clients=8, requests=300)) == 300
    assert sorted(made) == list(range(300))


def test_a_closed_loop_ends_in_time() -> None:
    samples = closed_loop(lambda _: time.sleep(0.01), clients=3, seconds=0.5)
    assert 3 <= len(samples) <= 150
    assert (samples.intended < 0.5).all()
    assert (np.diff(samples.intended) >= 0).all()
    with pytest.raises(InvalidInput, match="how many requests"):
        closed_loop(lambda _: None, clients=1)


def test_capacity_stops_where_more_clients_bring_no_more() -> None:
    """Two of them can be inside at once, for 10 ms each: at most 200 a second, from two clients on."""
    room = threading.Semaphore(2)

    def call(number: int) -> None:
        with room:
            time.sleep(0.01)

    most = capacity(call, clients=(1, 2, 4, 8, 16), seconds=1.0)
    assert [step.clients for step in most.curve][:2] == [1, 2]
    assert len(most.curve) < 5
    assert 100 < most.rate <= 210
    assert most.clients >= 2


def test_capacity_of_what_always_fails_is_none() -> None:
    def call(number: int) -> None:
        raise OSError

    most = capacity(call, clients=(1, 2), requests=20)
    assert most.rate == 0
    assert most.curve[0].latency.errors == {"OSError": 20}
