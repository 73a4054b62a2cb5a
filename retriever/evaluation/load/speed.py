"""One system, from empty to cold start: what it costs to fill, and how it answers under load."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from retriever.errors import InvalidInput
from retriever.evaluation.load import filters
from retriever.evaluation.load.arrivals import Arrivals
from retriever.evaluation.load.capacity import CLIENTS, Capacity, capacity
from retriever.evaluation.load.closed import closed_loop
from retriever.evaluation.load.cold import ColdStart, cold_start
from retriever.evaluation.load.latency import Figure, Latency, latencies
from retriever.evaluation.load.open import TIMEOUT, WORKERS, open_loop
from retriever.evaluation.load.recall import ExactNeighbours
from retriever.evaluation.load.resources import Memory, memory_of
from retriever.evaluation.load.samples import Call
from retriever.evaluation.load.stages import Stages
from retriever.evaluation.systems import Passage, Question, System, Where
from retriever.types import FloatMatrix

Share = Annotated[float, Field(gt=0, le=1)]
Tell = Callable[[str], object]
"""Told what is being measured now."""


class LoadSettings(BaseModel):
    """How speed is measured: the table ``[load]`` of a scenario.

    Every step ends at its count or its time, whichever comes first, so a slow system cannot make a run endless.

    :param k: hits a query.
    :param requests: of a step of the open loop at most; below 1,000 there is no p99.
    :param seconds: of a step of the open loop at most.
    :param capacity_seconds: of a step of the closed loop.
    :param shares: of the capacity, at which the open loop asks.
    :param clients: of the closed loop.
    :param filters: shares of the records that a filter lets through.
    :param queries: that recall, filters and stages are measured with, at most.
    :param warm_up: queries that are not counted, before anything else.
    :param workers: of the open loop: how many requests can be under way.
    :param timeout: seconds after which a request has failed.
    :param arrivals: how requests come.
    :param cold: whether a cold start is measured.
    :param repetitions: of the whole, on an empty system each; whoever runs several systems interleaves them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(10, ge=1)
    requests: int = Field(1_000, ge=1)
    seconds: float = Field(30.0, gt=0)
    capacity_seconds: float = Field(3.0, gt=0)
    shares: Sequence[Annotated[float, Field(gt=0, lt=1)]] = (0.10, 0.25, 0.50, 0.75, 0.90)
    clients: Sequence[Annotated[int, Field(ge=1)]] = Field(CLIENTS, min_length=1)
    filters: Sequence[Share] = (0.01, 0.10, 0.50)
    queries: int = Field(200, ge=1)
    warm_up: int = Field(50, ge=0)
    workers: int = Field(WORKERS, ge=1)
    timeout: float = Field(TIMEOUT, gt=0)
    arrivals: Arrivals = "poisson"
    cold: bool = True
    repetitions: int = Field(5, ge=1)

    def filter_fields(self) -> dict[str, Literal["keyword"]]:
        """The metadata keys that the filters look at: a system with the setting of this name indexes them."""
        return {filters.key(share): "keyword" for share in self.filters}


class Ingest(Figure):
    """Filling an empty system with vectors that are there already.

    :param passages: how many.
    :param acknowledged: seconds until it said that it has them all.
    :param searchable: seconds until all of it is searched as it will be from now on: its graphs are built.
    :param stages: of the time until it returned; None where the system does not say.
    """

    passages: int
    acknowledged: float
    searchable: float
    stages: Stages | None = None

    @property
    def rate(self) -> float:
        """Passages a second, until they were searchable."""
        return self.passages / self.searchable


class AtShare(Figure):
    """Open loop at a share of the capacity.

    :param share: of it.
    :param rate: requests a second that were meant to come.
    :param latency: from when each was due.
    """

    share: float
    rate: float
    latency: Latency


class Filtered(Figure):
    """Searches by a vector with a filter, one after the other.

    :param share: of the records that it lets through.
    :param latency: of the searches.
    :param recall: of the exact nearest among these records.
    """

    share: float
    latency: Latency
    recall: float


class SpeedFigures(Figure):
    """One repetition of one system.

    :param system: its name.
    :param ingest: filling it.
    :param capacity: what it can do at most, and the curve over clients.
    :param load: open loop, by rising share. Empty where nothing at all was answered.
    :param generator: the highest rate once more with a call that does nothing: what measuring adds to each latency.
    :param filtered: by rising share; empty for systems without filters or vectors.
    :param ann_recall: recall@k against exact search of the same vectors, without a filter; None without vectors.
    :param query: stages of the median query; None where the system does not say.
    :param before: memory before anything was written. For an embedded system it is that of this process, with all that
        is loaded in it: what an index takes by itself is rather ``cold.memory``.
    :param memory: after all searches.
    :param disk: bytes, when it was closed; None where they are elsewhere.
    :param cold: None where there is nothing to open, or none was wanted.
    """

    system: str
    ingest: Ingest
    capacity: Capacity
    load: Sequence[AtShare]
    generator: Latency | None = None
    filtered: Sequence[Filtered] = ()
    ann_recall: float | None = None
    query: Stages | None = None
    before: Memory | None = None
    memory: Memory | None = None
    disk: int | None = None
    cold: ColdStart | None = None


def measure_system(
    system: System,
    passages: Sequence[Passage],
    vectors: FloatMatrix | None,
    questions: Sequence[Question],
    settings: LoadSettings,
    seed: int,
    tell: Tell = lambda _: None,
) -> SpeedFigures:
    """Fill a system, load it, close it, and open it cold.

    :param system: new and empty, with ``settings.filter_fields()`` where it takes them. It is closed afterwards.
    :param passages: at least one.
    :param vectors: one row each; None for systems without a semantic leg.
    :param questions: at least one; they are asked in turn, in an order that follows from the seed.
    :param settings: how much of everything.
    :param seed: of arrivals, filters and the order of the questions.
    :param tell: told what comes next, for a progress bar.
    :raises InvalidInput: without passages or questions.
    """
    if not passages or not questions:
        raise InvalidInput("speed is measured with at least one passage and one question")
    asked = [_for(system, questions[row]) for row in np.random.default_rng(seed).permutation(len(questions))]
    before = memory_of(system.processes())
    tell("ingest")
    ingest = _ingest(system, filters.marked(passages, settings.filters, seed), vectors)
    call = _caller(system, asked, settings.k)
    for number in range(settings.warm_up):
        call(number)
    tell("stages and recall")
    some = asked[: settings.queries]
    query = system.query_stages(some, settings.k)
    recall, filtered = _by_vector(system, passages, vectors, some, settings, seed)
    tell("capacity")
    most = capacity(
        call, clients=settings.clients, seconds=settings.capacity_seconds, requests=None, timeout=settings.timeout
    )
    load = []
    for share in sorted(settings.shares) if most.rate else ():
        tell(f"open loop at {share:.0%}")
        load += _at(share, most.rate, call, settings, seed)
    generator = _at(max(settings.shares), most.rate, lambda _: None, settings, seed) if load else []
    memory = memory_of(system.processes())
    system.close()
    disk = system.size_on_disk()
    tell("cold start")
    cold = cold_start(system, asked[0], settings.k) if settings.cold else None
    return SpeedFigures(
        system=system.name,
        ingest=ingest,
        capacity=most,
        load=load,
        generator=generator[0].latency if generator else None,
        filtered=filtered,
        ann_recall=recall,
        query=query,
        before=before,
        memory=memory,
        disk=disk,
        cold=cold,
    )


def _for(system: System, question: Question) -> Question:
    """Only what the system searches by: looking at the rest is not its work."""
    return Question(
        question.text if "keyword" in system.legs else "", question.vector if "semantic" in system.legs else None
    )


def _caller(system: System, asked: Sequence[Question], k: int) -> Call:
    def call(number: int) -> None:
        question = asked[number % len(asked)]
        system.search(question.text, question.vector, k)

    return call


def _ingest(system: System, passages: Sequence[Passage], vectors: FloatMatrix | None) -> Ingest:
    began = time.perf_counter()
    system.ingest(passages, vectors)
    returned = time.perf_counter() - began
    system.settle()
    settled = time.perf_counter() - began
    stages: Mapping[str, float] = system.stages()
    # A system that builds its graphs before it returns had acknowledged when it began to.
    return Ingest(
        passages=len(passages),
        acknowledged=returned - stages.get("optimise", 0.0),
        searchable=settled,
        stages=Stages(wall=returned, seconds=dict(stages)) if stages else None,
    )


def _at(share: float, most: float, call: Call, settings: LoadSettings, seed: int) -> list[AtShare]:
    """One step, or none where not a single request was due in its time."""
    rate = share * most
    samples = open_loop(
        call,
        rate=rate,
        requests=settings.requests,
        seconds=settings.seconds,
        seed=seed + round(1_000 * share),
        arrivals=settings.arrivals,
        workers=settings.workers,
        timeout=settings.timeout,
    )
    return [AtShare(share=share, rate=rate, latency=latencies(samples))] if len(samples) else []


def _by_vector(
    system: System,
    passages: Sequence[Passage],
    vectors: FloatMatrix | None,
    asked: Sequence[Question],
    settings: LoadSettings,
    seed: int,
) -> tuple[float | None, list[Filtered]]:
    if vectors is None or "semantic" not in system.legs or any(question.vector is None for question in asked):
        return None, []
    exact = ExactNeighbours([passage.id for passage in passages], vectors)
    _, recall = _searched(system, exact, asked, settings, None)
    filtered = []
    for share in sorted(settings.filters) if system.filters else ():
        latency, found = _searched(system, exact, asked, settings, (share, seed, len(passages)))
        filtered.append(Filtered(share=share, latency=latency, recall=found))
    return recall, filtered


def _searched(
    system: System,
    exact: ExactNeighbours,
    asked: Sequence[Question],
    settings: LoadSettings,
    filtering: tuple[float, int, int] | None,
) -> tuple[Latency, float]:
    """Latency and recall of searches by vector, one after the other."""
    where: Where | None = None
    among = None
    if filtering is not None:
        share, seed, count = filtering
        where, among = filters.where(share), filters.members(count, share, seed)
    found: list[list[str]] = [[] for _ in asked]

    def call(number: int) -> None:
        hits = system.search("", asked[number].vector, settings.k, where)
        found[number] = [name for name, _ in hits]

    samples = closed_loop(call, clients=1, requests=len(asked), timeout=settings.timeout)
    recalls = [
        exact.recall(names, question.vector, settings.k, among=among)
        for names, question in zip(found, itertools.islice(asked, len(samples)), strict=False)
        if question.vector is not None
    ]
    return latencies(samples), float(np.mean(recalls))
