"""Proof that the load generator measures what is there: a server of known behaviour, next to what theory says of it.

The server is busy with each request for a fixed time, and requests come at random: an M/D/1 queue, whose mean response
time is S + rho S / (2 (1 - rho)) (Pollaczek and Khinchine). The bar is 2 % of it. What client, network and waking up
take is measured first, where nothing queues, and taken off. How far the mean of these very arrivals is from that of all
possible ones is known exactly (Lindley's recursion) and taken off as well: ``plain`` is the figure before that.

Then the server stands still for two seconds, once, and both loops look at it. The figures need an idle machine.
"""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from retriever.evaluation.load.closed import closed_loop
from retriever.evaluation.load.latency import Latency, latencies
from retriever.evaluation.load.open import open_loop
from retriever.evaluation.load.stand_in import Behaviour, Client, mean_response, responses, stand_in

UTILISATIONS = (0.5, 0.6, 0.7, 0.8)
SERVICE = 0.005
BAR = 0.02
STALL = Behaviour(service=0.002, stall_after=2.0, stall=2.0)
_STALL_RATE = 100.0
_WORKERS = 32
"""Each opens a connection with its first request, which takes half a millisecond more."""
_FEW = 4
"""As many as are needed where nothing queues: then those first requests do not touch the median."""


class Agreement(NamedTuple):
    """One utilisation; times in seconds.

    :param utilisation: arrival rate times service time.
    :param requests: how many were sent.
    :param theory: mean response time by the formula.
    :param plain: mean of the measured ones, less what client and network take.
    :param measured: the same, less the sampling error of the arrivals.
    :param error: standard error of ``measured``.
    :param late: longest wait for a free worker.
    """

    utilisation: float
    requests: int
    theory: float
    plain: float
    measured: float
    error: float
    late: float

    @property
    def difference(self) -> float:
        """Of the measured from the theory, as a share of it."""
        return self.measured / self.theory - 1


def agreement(utilisation: float, seconds: float, seed: int) -> Agreement:
    """Ask the server at one utilisation.

    :param utilisation: below 1.
    :param seconds: for how long.
    :param seed: of the arrivals.
    """
    with stand_in(Behaviour(service=SERVICE)) as port, Client(port) as client:
        before = overhead(client)
        samples = open_loop(client, rate=utilisation / SERVICE, seconds=seconds, seed=seed, workers=_WORKERS)
        after = overhead(client)
    taken = samples.latency - min(before, after)
    beyond = taken - responses(samples.intended, SERVICE)
    blocks = np.array([block.mean() for block in np.array_split(beyond, 30)])
    theory = mean_response(SERVICE, utilisation)
    return Agreement(
        utilisation,
        len(samples),
        theory,
        float(taken.mean()),
        theory + float(beyond.mean()),
        float(blocks.std(ddof=1) / np.sqrt(len(blocks))),
        float(samples.late.max()),
    )


def overhead(client: Client) -> float:
    """Seconds that client, network and waking up take of a request, where none has to wait for another.

    :param client: of a server that takes as long as all of these.
    """
    samples = open_loop(client, rate=0.4 / SERVICE, requests=100, arrivals="fixed", workers=_FEW)
    return float(np.median(samples.latency)) - SERVICE


def stalled() -> tuple[Latency, Latency]:
    """Open and closed loop, as many requests each, on a server that stands still once."""
    with stand_in(STALL) as port, Client(port) as client:
        opened = open_loop(client, rate=_STALL_RATE, seconds=30, workers=300)
    with stand_in(STALL) as port, Client(port) as client:
        closed = closed_loop(client, clients=1, requests=len(opened))
    return latencies(opened), latencies(closed)


def main() -> int:
    """Prove it; exit code 1 where a difference is beyond the bar and its own error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for each utilisation, by default 60")
    parser.add_argument("--seed", type=int, default=0, help="of the arrivals, by default 0")
    options = parser.parse_args()
    console = Console()
    if hasattr(os, "getloadavg"):
        console.print(f"load of this machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    results = [agreement(utilisation, options.seconds, options.seed) for utilisation in UTILISATIONS]
    table = Table("rho", "requests", "theory ms", "measured ms", "difference", "plain ms", "late ms")
    for result in results:
        times = [result.theory, result.measured, result.plain, result.late]
        theory, measured, plain, late = (f"{1_000 * seconds:.3f}" for seconds in times)
        difference = f"{result.difference:+.2%} ± {result.error / result.theory:.2%}"
        table.add_row(f"{result.utilisation:.0%}", f"{result.requests:,}", theory, measured, difference, plain, late)
    console.print(table)
    table = Table("a stall of 2 s", "requests", "p50 ms", "p90 ms", "p99 ms")
    for name, latency in zip(("open loop", "closed loop"), stalled(), strict=True):
        figures = [latency.p50, latency.p90, latency.p99]
        shown = [f"{1_000 * figure.value:.1f}" if figure else "" for figure in figures]
        table.add_row(name, f"{latency.requests:,}", *shown)
    console.print(table)
    return int(any(abs(r.difference) - 2 * r.error / r.theory > BAR for r in results))


if __name__ == "__main__":
    raise SystemExit(main())
