"""Open loop: requests come when they are due, whether or not the earlier ones have been answered.

That is how users behave who do not know of each other. A closed loop stops asking while the server stalls, and so
hardly sees the stall; here every request that was due meanwhile has waited.
"""

from __future__ import annotations

import itertools
import threading
import time

from retriever.evaluation.load.arrivals import Arrivals, arrival_times
from retriever.evaluation.load.samples import Call, Request, Samples

WORKERS = 64
TIMEOUT = 10.0
_HEAD_START = 0.05
"""Seconds until the run begins, so that all workers are there."""


def open_loop(
    call: Call,
    *,
    rate: float,
    requests: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    arrivals: Arrivals = "poisson",
    workers: int = WORKERS,
    timeout: float = TIMEOUT,
) -> Samples:
    """Send requests at a rate and measure each from the moment when it was due.

    Each of the workers takes the next request that is due, waits for its moment, and makes it. Where all of them are
    busy, a request is taken after its moment: its ``late`` says by how much, and its latency contains it.

    :param call: makes one request.
    :param rate: requests a second.
    :param requests: how many at most.
    :param seconds: for how long at most; one of the two is needed.
    :param seed: of the moments.
    :param arrivals: ``poisson`` or ``fixed``.
    :param workers: how many requests can be under way at once.
    :param timeout: what takes longer than so many seconds, from when it was due, has failed; also how long the last
        ones are waited for.
    :return: all that were due; those that did not come back, or could not be sent in time, count as failed.
    """
    intended = arrival_times(rate, requests=requests, seconds=seconds, seed=seed, kind=arrivals)
    noted = [Request(moment) for moment in intended.tolist()]
    numbers = itertools.count()
    end = float(intended.max(initial=0.0)) + timeout
    began = time.perf_counter() + _HEAD_START

    def clock() -> float:
        return time.perf_counter() - began

    def work() -> None:
        while (number := next(numbers)) < len(noted) and clock() < end:  # what is measured next has the system alone
            request = noted[number]
            ahead = request.intended - clock()
            if ahead > 0:
                time.sleep(ahead)
            else:
                request.late = -ahead
            request.send(number, call, clock, timeout)

    run_threads([threading.Thread(target=work, daemon=True) for _ in range(workers)], _HEAD_START + end)
    return Samples.of(noted)


def run_threads(threads: list[threading.Thread], patience: float) -> None:
    """Run threads until they end; those that hang are left behind.

    :param threads: not started; daemons, so that one that hangs does not keep the process.
    :param patience: seconds for all of them.
    """
    until = time.perf_counter() + patience
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.perf_counter()))
