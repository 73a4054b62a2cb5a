"""Results: what was measured with its bar beside it, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from retriever import __version__
from retriever.evaluation.harness.manifest import checkout, package_versions, this_machine

Unit = Literal["score", "share", "times", "count", "seconds", "milliseconds", "megabytes", "rate"]

_FORMS: Mapping[Unit, str] = {
    "score": "{:.3f}",
    "share": "{:.1%}",
    "times": "{:.2f} ×",
    "count": "{:,.0f}",
    "seconds": "{:,.1f} s",
    "milliseconds": "{:.2f} ms",
    "megabytes": "{:,.0f} MB",
    "rate": "{:,.0f}/s",
}
Checkout = tuple[str | None, bool]

_WIDTH = 140  # of a table that goes to a file


def formatted(value: float, unit: Unit) -> str:
    """A figure as people read it.

    :param value: the figure; a share of 0.9 is 90 %.
    :param unit: what it is.
    """
    if unit == "score" and 0 < abs(value) < 0.0005:
        return f"{value:.0e}"  # not 0.000
    return _FORMS[unit].format(value)


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must be.

    :param at_least: lowest value that passes.
    :param at_most: highest value that passes.
    """

    at_least: float | None = None
    at_most: float | None = None

    @classmethod
    def around(cls, middle: float, width: float) -> Bar:
        """A figure that must be met from both sides.

        :param middle: the figure.
        :param width: how far off it may be.
        """
        return cls(middle - width, middle + width)

    def holds(self, value: float) -> bool:
        """Whether a figure, unrounded, passes.

        :param value: what was measured.
        """
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def text(self, unit: Unit) -> str:
        """The bar as people read it.

        :param unit: of the figure.
        """
        if self.at_least is not None and self.at_most is not None:
            middle, width = (self.at_least + self.at_most) / 2, (self.at_most - self.at_least) / 2
            return f"{formatted(middle, unit)} ± {formatted(width, unit)}" if width else formatted(middle, unit)
        if self.at_least is not None:
            return f"≥ {formatted(self.at_least, unit)}"
        return "" if self.at_most is None else f"≤ {formatted(self.at_most, unit)}"


NONE = Bar(0, 0)
"""The bar of what must not happen at all."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    :param labels: what was measured; one for each of the table's first columns.
    :param measured: the figure.
    :param unit: of the figure.
    :param bar: what it must be; None where it is only of interest.
    :param reference: what others have, for comparison.
    :param shown: further cells by the column's heading.
    :param details: further figures, for the JSON alone.
    """

    labels: tuple[str, ...]
    measured: float
    unit: Unit
    bar: Bar | None = None
    reference: str = ""
    shown: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def verdict(self) -> Literal["pass", "miss", ""]:
        """Whether the bar holds; empty without a bar."""
        if self.bar is None:
            return ""
        return "pass" if self.bar.holds(self.measured) else "miss"


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark found.

    :param benchmark: its name on the command line.
    :param heads: headings of the labels.
    :param rows: the figures.
    :param settings: how it was run.
    :param measure: heading of the measured figures.
    """

    benchmark: str
    heads: tuple[str, ...]
    rows: Sequence[Row]
    settings: Mapping[str, object]
    measure: str = "measured"

    @property
    def passed(self) -> bool:
        """Whether something was measured and every bar holds."""
        return bool(self.rows) and all(row.verdict != "miss" for row in self.rows)

    def table(self) -> Table:
        """For people. A column that would be empty is left out."""
        extra = list(dict.fromkeys(head for row in self.rows for head in row.shown))
        cells = [
            (
                *row.labels,
                formatted(row.measured, row.unit),
                row.bar.text(row.unit) if row.bar else "",
                row.reference,
                {"pass": "[green]pass[/]", "miss": "[bold red]miss[/]", "": ""}[row.verdict],
                *(row.shown.get(head, "") for head in extra),
            )
            for row in self.rows
        ]
        heads = [*self.heads, self.measure, "must be", "reference", "verdict", *extra]
        used = [i for i in range(len(heads)) if any(line[i] for line in cells)]
        table = Table(title=self.benchmark)
        for i in used:
            table.add_column(heads[i], justify="right" if heads[i] == self.measure else "left")
        for line in cells:
            table.add_row(*(line[i] for i in used))
        return table

    def as_json(self, began: Checkout | None = None) -> str:
        """For programs.

        :param began: commit when it was begun, and whether files had been changed; by default as now.
        """
        content = {
            "benchmark": self.benchmark,
            "passed": self.passed,
            "settings": self.settings,
            "environment": _environment(began),
            "rows": [_row_content(row, self.heads) for row in self.rows],
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def publish(result: Result, path: Path | None, began: Checkout | None = None) -> int:
    """Print a result, write its JSON where that is wanted, and say how the program ends.

    :param result: what was found.
    :param path: of the JSON file, or None.
    :param began: commit when it was begun, and whether files had been changed; by default as now.
    :return: exit code: 0 where every bar holds, 1 where one does not.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(result.table())
    if path is not None:
        path.write_text(result.as_json(began), "utf-8")
    return 0 if result.passed else 1


def say(message: str) -> None:
    """A line for people, on standard error.

    :param message: the line.
    """
    Console(stderr=True).print(message, highlight=False, markup=False)


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal.

    :param description: of the work.
    :param total: how many steps it has.
    :return: a function that is called with how many steps were done since.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(description, total=total)
        yield lambda steps: bars.advance(task, steps)


def _row_content(row: Row, heads: Sequence[str]) -> dict[str, object]:
    return {
        **dict(zip(heads, row.labels, strict=True)),
        "measured": row.measured,
        "unit": row.unit,
        "at_least": row.bar.at_least if row.bar else None,
        "at_most": row.bar.at_most if row.bar else None,
        "reference": row.reference,
        "verdict": row.verdict,
        "shown": dict(row.shown),
        "details": dict(row.details),
    }


def _environment(began: Checkout | None) -> dict[str, object]:
    """It was a clean commit where it was so from the beginning to the end."""
    ended = checkout()
    commit, dirty = began or ended
    return {
        "version": __version__,
        "commit": commit,
        "dirty": dirty or ended != (commit, dirty),
        "python": platform.python_version(),
        "packages": package_versions(),
        "machine": this_machine().model_dump(),
    }
