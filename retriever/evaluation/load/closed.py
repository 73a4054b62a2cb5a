"""Closed loop: each client asks, waits for the answer, and asks again. Finds what a system can do at most.

It says nothing of what users would wait: for that see :mod:`retriever.evaluation.load.open`.
"""

from __future__ import annotations

import itertools
import threading
import time

from retriever.errors import InvalidInput
from retriever.evaluation.load.open import TIMEOUT, run_threads
from retriever.evaluation.load.samples import Call, Request, Samples


def closed_loop(
    call: Call,
    *,
    clients: int,
    requests: int | None = None,
    seconds: float | None = None,
    timeout: float = TIMEOUT,
) -> Samples:
    """Keep a number of clients busy. A request is due when its client is free, so it is never late.

    :param call: makes one request.
    :param clients: how many ask at once.
    :param requests: how many at most, by all of them together.
    :param seconds: for how long at most; one of the two is needed.
    :param timeout: what takes longer than so many seconds has failed; also how long the last ones are waited for.
    """
    if requests is None and seconds is None:
        raise InvalidInput("say how many requests, or for how many seconds")
    most = float("inf") if requests is None else requests
    limit = float("inf") if seconds is None else seconds
    noted: list[Request] = []
    numbers = itertools.count()
    patience = limit if requests is None else min(limit, timeout * -(-requests // clients))
    gate = threading.Barrier(clients, action=lambda: moments.append(time.perf_counter()))
    moments: list[float] = []

    def clock() -> float:
        return time.perf_counter() - moments[0]

    def ask() -> None:
        gate.wait()
        while (due := clock()) < patience and (number := next(numbers)) < most:
            request = Request(due)
            noted.append(request)
            request.send(number, call, clock, timeout)

    run_threads([threading.Thread(target=ask, daemon=True) for _ in range(clients)], patience + timeout)
    return Samples.of(list(noted))
