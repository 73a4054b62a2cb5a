"""Two runs, compared, on standard output."""

from __future__ import annotations

import json
import sys
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from retriever.evaluation.harness.comparing import Compared
from retriever.evaluation.harness.gate import Gate
from retriever.evaluation.report.markdown import compared_as_markdown, remarks, verdicts
from retriever.evaluation.report.numbers import chance, score, signed
from retriever.evaluation.statistics import ALPHA

Form = Literal["table", "json", "markdown"]

_SHOWN = 3  # changed queries of a pair
_LONGEST = 70
_WIDTH = 150  # of what goes to a file


def show_compared(compared: Compared, gate: Gate | None, form: Form) -> None:
    """Print it.

    :param compared: two runs.
    :param gate: what was decided; None where nothing was to be.
    :param form: a table for people, JSON for programs, Markdown for a pull request.
    """
    if form == "json":
        shown = compared.model_dump(mode="json") | {"gate": gate.model_dump(mode="json") if gate else None}
        sys.stdout.write(json.dumps(shown, ensure_ascii=False, indent=1) + "\n")
    elif form == "markdown":
        sys.stdout.write(compared_as_markdown(compared, gate))
    else:
        _show(compared, gate)


def _show(compared: Compared, gate: Gate | None) -> None:
    console = _console()
    table = Table(title=f"{compared.measure}, after minus before", title_justify="left")
    for head in ("dataset", "configuration"):
        table.add_column(head, overflow="fold")
    for head in ("before", "after", "difference", "95 %", "p (Holm)", "effect", "better/same/worse", "shows from"):
        table.add_column(head, justify="right")
    for pair in compared.pairs:
        change = pair.change
        is_certain = change.p_holm <= ALPHA
        table.add_row(
            pair.dataset,
            pair.label,
            score(pair.before),
            score(pair.after),
            signed(change.difference),
            f"{signed(change.low)} … {signed(change.high)}",
            chance(change.p_holm),
            "–" if change.effect_size is None else signed(change.effect_size),
            f"{change.wins:,}/{change.ties:,}/{change.losses:,}",
            score(change.detectable),
            style=("green" if change.difference > 0 else "red") if is_certain else "",
        )
    console.print(table)
    for pair in compared.pairs:
        for query in pair.changed[:_SHOWN]:
            where = f"; look at {query.gold}{f', page {query.page}' if query.page else ''}" if query.gold else ""
            line = (
                f"{pair.dataset}, {pair.label}: {score(query.before)} → {score(query.after)} {_short(query.text)}"
                f" ({query.reason_before} → {query.reason_after}{where})"
            )
            console.print(Text(line, "dim"))
    for line in [*remarks(compared), *(verdicts(gate) if gate else ())]:
        console.print(Text(line))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_WIDTH, highlight=False)
