"""Where lines, points and bars of the plots stand, in the units of their drawing; the page draws them as SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from retriever.evaluation.harness.records import FOUND
from retriever.evaluation.report.costs import Cost, Part, Step
from retriever.evaluation.report.figures import DatasetFigures, Line
from retriever.evaluation.report.numbers import duration, money, percent, rate, score, size

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 16, 48
REST = "the rest"
_STEPS = (1, 2, 5)
_MOST_TICKS = 6
_NEAR = 16
_NOUGHTS = re.compile(r"(\.\d*?[1-9])0+(?!\d)|\.0+(?!\d)")


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Point:
    """A configuration in a plot.

    :param x: of its middle.
    :param y: of its middle.
    :param low: y of the lower end of its interval.
    :param high: y of the upper end.
    :param name: number of the configuration; those of all that stand in its place, or nothing where another says it.
    :param title: what it says when it is pointed at.
    :param kind: ``front``, ``peer`` or nothing.
    """

    x: float
    y: float
    low: float
    high: float
    name: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Pareto:
    """Quality against a cost. What is up and to the left is better.

    :param title: of the plot.
    :param x_name: of the axis.
    :param y_name: of the axis.
    :param points: configurations.
    :param front: the path through those that nothing beats in both.
    :param x_ticks: marks.
    :param y_ticks: marks.
    """

    title: str
    x_name: str
    y_name: str
    points: Sequence[Point]
    front: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]


@dataclass(frozen=True, slots=True)
class Curve:
    """A percentile over the load.

    :param name: ``p50``, ``p90`` or ``p99``.
    :param path: of the line.
    :param dots: its points, with what they say.
    """

    name: str
    path: str
    dots: Sequence[tuple[float, float, str]]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latency of one configuration against the load that was offered.

    :param label: of the configuration.
    :param curves: percentiles.
    :param x_ticks: marks.
    :param y_ticks: marks.
    """

    label: str
    curves: Sequence[Curve]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar.

    :param name: what it stands for.
    :param kind: number of its colour.
    :param start: where it begins, in percent of the bar.
    :param width: in percent.
    :param text: what it says when it is pointed at.
    """

    name: str
    kind: int
    start: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """From figures to places.

    :param low: figure at the beginning.
    :param high: figure at the end.
    :param start: place of the beginning.
    :param end: place of the end.
    :param log: whether distances stand for ratios.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a figure; one that is off the axis stands at its end."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        share = 0.5 if high == low else (min(max(value, low), high) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, label: Callable[[float], str]) -> list[Tick]:
        """Round figures on it."""
        steps = _decades(self.low, self.high) if self.log else _rounded(self.low, self.high)
        return [Tick(self.at(value), _NOUGHTS.sub(r"\1", label(value))) for value in steps]


def paretos(dataset: DatasetFigures, costs: Mapping[str, Cost], currency: str | None) -> list[Pareto]:
    """Quality against the slowest answers, memory and price, as far as they are known.

    :param dataset: with the quality.
    :param costs: by configuration.
    :param currency: of prices; None where there are none.
    """
    timed = [line for line in dataset.lines if line.configuration in costs]
    known = [cost.shown.p99 for cost in costs.values() if cost.shown]
    name = "p99" if known and all(value is not None for value in known) else "p90"
    kinds: list[tuple[str, Callable[[Cost], float | None], Callable[[float], str]]] = [
        (f"{name} latency at half of the capacity", lambda c: getattr(c.shown, name, None), duration),
        ("resident memory", lambda c: c.memory, size),
        ("price of a million queries", lambda c: c.million_queries, lambda v: money(v, currency or "")),
    ]
    plots = [_pareto(dataset, timed, costs, title, of, label) for title, of, label in kinds]
    return [plot for plot in plots if plot is not None]


def latency_plots(dataset: DatasetFigures, costs: Mapping[str, Cost]) -> list[Latencies]:
    """One for each configuration that was loaded at two rates at least; all with the same axis of latency.

    :param dataset: with the labels.
    :param costs: by configuration.
    """
    drawn = [(line, costs[line.configuration].steps) for line in dataset.lines if line.configuration in costs]
    drawn = [(line, steps) for line, steps in drawn if len(steps) > 1]
    values = [v for _, steps in drawn for step in steps for v in _percentiles(step).values() if math.isfinite(v)]
    if not values:
        return []
    y = _log_axis(values, HEIGHT - BOTTOM, TOP)
    return [_latencies(f"{line.number}. {line.label}", steps, y) for line, steps in drawn]


def waterfall(dataset: DatasetFigures, line: Line) -> list[Piece]:
    """What became of the queries of a configuration: a bar of 100 %.

    :param dataset: with the order of the reasons.
    :param line: of the configuration.
    """
    counts = {reason: line.reasons.get(reason, 0) for reason in dataset.reasons}
    kinds = {reason: kind_of(dataset, reason) for reason in counts}
    return _stacked(counts, kinds, lambda n: f"{n:,.0f} ({percent(n / dataset.queries)})")


def kind_of(dataset: DatasetFigures, reason: str) -> int:
    """The colour of a reason: 0 is that of what was found.

    :param dataset: with the order of the reasons.
    :param reason: one of them.
    """
    return 0 if reason == FOUND else 1 + [r for r in dataset.reasons if r != FOUND].index(reason)


def stages(part: Part, names: Sequence[str]) -> list[Piece]:
    """Times by stage: a bar of 100 %.

    :param part: what was timed.
    :param names: of all stages, so that each has the same colour in every bar.
    """
    seconds = dict(part.seconds)
    unexplained = part.wall - sum(seconds.values())
    if unexplained > 0:
        seconds[REST] = unexplained
    kinds = {name: number for number, name in enumerate([*names, REST])}
    return _stacked(seconds, kinds, lambda s: f"{duration(s)} ({percent(s / part.wall)})")


def _stacked(values: Mapping[str, float], kinds: Mapping[str, int], text: Callable[[float], str]) -> list[Piece]:
    """Widths that add up to 100 to the last digit, since ends are rounded and not widths."""
    total, so_far, pieces = sum(values.values()), 0.0, []
    for name, value in values.items():
        start, so_far = so_far, so_far + value
        begin, end = round(100 * start / total, 3), round(100 * so_far / total, 3)
        if value:
            pieces.append(Piece(name, kinds[name], begin, round(end - begin, 3), text(value)))
    return pieces


def _pareto(
    dataset: DatasetFigures,
    timed: Sequence[Line],
    costs: Mapping[str, Cost],
    title: str,
    of: Callable[[Cost], float | None],
    label: Callable[[float], str],
) -> Pareto | None:
    found = [(line, value) for line in timed if (value := of(costs[line.configuration])) and math.isfinite(value)]
    if len(found) < 2:
        return None
    measure = dataset.measures[0]
    x = _log_axis([value for _, value in found], LEFT, WIDTH - RIGHT)
    lows, highs = [line.low for line, _ in found], [line.high for line, _ in found]
    y = Axis(min(lows), max(highs), HEIGHT - BOTTOM, TOP)
    front = _front([(value, line.measures[measure]) for line, value in found])
    points = [
        Point(
            x=x.at(value),
            y=y.at(line.measures[measure]),
            low=y.at(line.low),
            high=y.at(line.high),
            name=f"{line.number}",
            title=f"{line.number}. {line.label}: {measure} {score(line.measures[measure])}, {label(value)}",
            kind="peer" if line.is_peer else "front" if n in front else "",
        )
        for n, (line, value) in enumerate(found)
    ]
    corners = sorted(((points[n].x, points[n].y) for n in front), key=lambda at: at[0])
    return Pareto(
        title=f"{measure} against {title}",
        x_name=title,
        y_name=measure,
        points=_named(points),
        front=_path(corners),
        x_ticks=x.ticks(label),
        y_ticks=y.ticks(lambda v: f"{v:.2f}"),
    )


def _named(points: Sequence[Point]) -> list[Point]:
    """Names that would be printed over each other become one: 1 and 3 are not 13."""
    named: list[Point] = []
    for point in points:
        for n, other in enumerate(named):
            if other.name and abs(point.x - other.x) < _NEAR and abs(point.y - other.y) < _NEAR:
                named[n] = replace(other, name=f"{other.name}, {point.name}")
                named.append(replace(point, name=""))
                break
        else:
            named.append(point)
    return named


def _front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Those that no other is both cheaper and better than."""
    return [
        n
        for n, (cost, value) in enumerate(points)
        if not any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)
    ]


def _latencies(label: str, steps: Sequence[Step], y: Axis) -> Latencies:
    x = Axis(0, max(step.offered for step in steps), LEFT, WIDTH - RIGHT)
    curves = []
    for name in ("p50", "p90", "p99"):
        found = [(step, value) for step in steps if (value := _percentiles(step).get(name)) is not None]
        if found:
            dots = [
                (x.at(s.offered), y.at(v), f"{name} {duration(v)} at {rate(s.offered)} queries/s") for s, v in found
            ]
            curves.append(Curve(name, _path([(a, b) for a, b, _ in dots]), dots))
    return Latencies(label, curves, x.ticks(rate), y.ticks(duration))


def _percentiles(step: Step) -> dict[str, float]:
    values = {"p50": step.p50, "p90": step.p90, "p99": step.p99}
    return {name: value for name, value in values.items() if value is not None}


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if n else 'M'}{x:g},{y:g}" for n, (x, y) in enumerate(places))


def _log_axis(values: Sequence[float], start: float, end: float) -> Axis:
    return Axis(min(values) / 1.3, max(values) * 1.3, start, end, log=True)


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside = [v for power in powers for step in _STEPS if low <= (v := step * 10.0**power) <= high]
    if len(inside) <= _MOST_TICKS:
        return inside or [math.sqrt(low * high)]
    return [v for v in inside if math.isclose(10 ** round(math.log10(v)), v)]


def _rounded(low: float, high: float) -> list[float]:
    if high <= low:
        return [low]
    raw = (high - low) / (_MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (*_STEPS, 10) if s * power >= raw)
    return list(_multiples(low, high, step))


def _multiples(low: float, high: float, step: float) -> Iterator[float]:
    for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield number * step
