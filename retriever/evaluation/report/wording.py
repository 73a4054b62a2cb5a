"""What a run says, in plain words: which is better, is that certain, where do misses come from, what does it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from retriever.evaluation.report.costs import Cost, by_configuration
from retriever.evaluation.report.differences import lost
from retriever.evaluation.report.figures import DatasetFigures, Line, Report
from retriever.evaluation.report.numbers import chance, duration, money, percent, rate, score, signed, size
from retriever.evaluation.statistics import ALPHA
from retriever.evaluation.waterfall import MEANINGS


def answers(report: Report, dataset: DatasetFigures) -> list[str]:
    """What can be said of a dataset, but for times.

    :param report: all of it.
    :param dataset: one of its datasets.
    """
    first = dataset.lines[0]
    return [
        f"{first.label} answers best: {report.measure} {score(first.measures[report.measure])} "
        f"(95 % interval {score(first.low)} to {score(first.high)}, {dataset.queries:,} queries).",
        *_certain(dataset),
        *_peers(report, dataset),
        *_losses(dataset),
    ]


def price(report: Report, dataset: DatasetFigures) -> list[str]:
    """What it costs.

    :param report: all of it.
    :param dataset: one of its datasets.
    """
    found = by_configuration(report.times.costs, dataset.name)
    if not found:
        return ["What it costs was not measured: the scenario has no table [load], or nothing of this set was timed."]
    return [_costs(line, found[line.configuration], report.currency) for line in _worth_it(dataset.lines, found)] or [
        "The best configurations were not timed."
    ]


def apart(one: Line, other: Line) -> bool:
    """Whether two configurations can be told apart.

    :param one: of a dataset.
    :param other: of the same.
    """
    return not set(one.group) & set(other.group)


def meaning(reason: str) -> str:
    """What a reason of failure says, and what helps; empty where nothing is known.

    :param reason: as records have it.
    """
    return next((text for known, text in MEANINGS.items() if known == reason), "")


def _certain(dataset: DatasetFigures) -> Iterator[str]:
    first, *others = dataset.lines
    if not others:
        return
    equal = [line for line in others if not apart(first, line)]
    limits = [line.against.detectable for line in others if line.against and line.against.detectable]
    if not equal:
        yield f"That is certain: it is better than {_all(len(others))} (sign-flip test, Holm over all pairs, 5 %)."
    else:
        shows = f"; they show differences from {_span(limits)} up in 80 % of cases" if limits else ""
        yield (
            f"It is not certain which of the best {len(equal) + 1} is better: {_names(equal)} cannot be told apart "
            f"from it with these queries{shows}."
        )


def _span(limits: Sequence[float]) -> str:
    low, high = score(min(limits)), score(max(limits))
    return low if low == high else f"{low} to {high}, depending on the configuration,"


def _all(count: int) -> str:
    return "the other one" if count == 1 else f"each of the other {count}"


def _names(lines: Sequence[Line], most: int = 3) -> str:
    names = [line.label for line in lines[:most]]
    rest = len(lines) - len(names)
    return "; ".join(names) + (f"; and {rest} more" if rest else "")


def _peers(report: Report, dataset: DatasetFigures) -> Iterator[str]:
    ours = dataset.ours
    ahead = [line for line in dataset.lines if line.is_peer and line.against and line.against.difference > 0]
    if ours is None or not any(line.is_peer for line in dataset.lines):
        return
    if not ahead:
        yield f"No peer is ahead of the best of ours, {ours.label}."
    for line in ahead:
        if line.against is not None:
            is_certain = "certain" if line.against.p_holm <= ALPHA else "not certain"
            yield (
                f"{line.label} is ahead of the best of ours, {ours.label}, by {signed(line.against.difference)} "
                f"{report.measure} ({is_certain}, p {chance(line.against.p_holm)})."
            )


def _losses(dataset: DatasetFigures) -> Iterator[str]:
    line = dataset.ours or dataset.lines[0]
    failed = lost(line.reasons)
    if not failed:
        yield f"{line.label} has an answer to every query among its first ten documents."
        return
    count = sum(failed.values())
    reason, most = next(iter(failed.items()))
    what = f", {hint}" if (hint := meaning(reason)) else ""
    yield (
        f"{line.label} has no answer among its first ten documents to {count:,} of {dataset.queries:,} queries "
        f"({percent(count / dataset.queries)}); most often: {reason} ({most:,}{what})."
    )


def _worth_it(lines: Sequence[Line], costs: Mapping[str, Cost]) -> list[Line]:
    """The best that was timed, and the fastest of those that cannot be told apart from it."""
    timed = [line for line in lines if line.configuration in costs]
    if not timed:
        return []
    equal = [line for line in timed if line is timed[0] or not apart(timed[0], line)]
    fastest = min(equal, key=lambda line: _speed(costs[line.configuration]))
    return [timed[0]] if fastest is timed[0] else [timed[0], fastest]


def _speed(cost: Cost) -> float:
    return cost.shown.p50 if cost.shown else float("inf")


def _costs(line: Line, cost: Cost, currency: str | None) -> str:
    parts = []
    if cost.shown is not None:
        shown = cost.shown
        slow = f"99 % within {duration(shown.p99)}" if shown.p99 is not None else f"90 % within {duration(shown.p90)}"
        parts.append(
            f"half of its answers within {duration(shown.p50)}, {slow}, at {rate(shown.offered)} queries a second "
            f"({percent(shown.share)} of what it can do)"
        )
    parts.append(f"{rate(cost.searchable)} passages a second until they are searchable")
    parts += [f"{size(cost.memory)} of memory"] if cost.memory else []
    parts += [f"{size(cost.disk)} on disk"] if cost.disk else []
    if cost.million_queries is not None and currency is not None:
        parts.append(f"{money(cost.million_queries, currency)} for a million queries")
    return f"{line.label}: {', '.join(parts)}."
