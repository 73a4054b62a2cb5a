"""What a system can do at most: more and more clients at once, until more of them bring no more answers."""

from __future__ import annotations

from collections.abc import Sequence

from retriever.evaluation.load.closed import closed_loop
from retriever.evaluation.load.latency import Figure, Latency, latencies
from retriever.evaluation.load.open import TIMEOUT
from retriever.evaluation.load.samples import Call

CLIENTS = (1, 2, 4, 8, 16, 32)
GROWTH = 1.05
"""The next number of clients has to bring so many times the answers, else the search ends."""


class Step(Figure):
    """Closed loop with one number of clients.

    :param clients: who ask at once.
    :param latency: how long their requests took; of use to compare numbers of clients, not as what users wait.
    """

    clients: int
    latency: Latency


class Capacity(Figure):
    """Answers a second, and how they were found.

    :param rate: measured once more with the number of clients that was best: the best of several runs would be
        flattered by chance.
    :param clients: that number.
    :param curve: all steps, by rising number of clients.
    """

    rate: float
    clients: int
    curve: Sequence[Step]


def capacity(
    call: Call,
    *,
    clients: Sequence[int] = CLIENTS,
    requests: int | None = None,
    seconds: float | None = 5.0,
    timeout: float = TIMEOUT,
) -> Capacity:
    """Find it.

    :param call: makes one request.
    :param clients: numbers of them to try, in ascending order whatever theirs is.
    :param requests: a step, at most.
    :param seconds: a step, at most.
    :param timeout: of a request.
    """

    def step(number: int) -> Step:
        samples = closed_loop(call, clients=number, requests=requests, seconds=seconds, timeout=timeout)
        return Step(clients=number, latency=latencies(samples))

    curve: list[Step] = []
    best: Step | None = None
    for number in sorted(set(clients)):
        curve.append(step(number))
        if best is not None and curve[-1].latency.achieved < GROWTH * best.latency.achieved:
            break
        best = curve[-1]
    assert best is not None  # noqa: S101 - clients is not empty
    return Capacity(rate=step(best.clients).latency.achieved, clients=best.clients, curve=curve)
