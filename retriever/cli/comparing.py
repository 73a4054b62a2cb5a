"""The command that compares two evaluations, and says whether a change may go in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

_WRONG_USAGE = 2


class GateCommand(TyperCommand):
    """Ends with 1 where the arguments make no sense: 2 is what the gate says when it cannot tell."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - typer's own
        """As usual, but for the exit code.

        :param arguments: of the method that this stands for.
        :param named: as well.
        """
        try:
            return super().make_context(*arguments, **named)
        except Exception as error:
            if getattr(error, "exit_code", None) == _WRONG_USAGE:
                error.exit_code = 1  # type: ignore[attr-defined]
            raise


def compare(
    before: Annotated[Path, typer.Argument(help="A file of evaluate --per-query, or the folder of a benchmark run.")],
    after: Annotated[Path, typer.Argument(help="The same after a change.")],
    measure: Annotated[str | None, typer.Option(help="Default: nDCG@10, or that of the run.")] = None,
    configuration: Annotated[str, typer.Option(help="Of runs: only those whose label fits this pattern.")] = "*",
    gate: Annotated[bool, typer.Option("--gate", help="Exit code 0: no loss. 1: a loss. 2: cannot tell.")] = False,
    margin: Annotated[float, typer.Option(help="What may be lost.")] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Of intervals and tests.")] = 0,
    form: Annotated[Literal["table", "json", "markdown"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """What a change made better or worse on judged questions, and whether it may go in."""
    from retriever.evaluation.harness.comparing import compare_runs, match_runs
    from retriever.evaluation.harness.gate import judge
    from retriever.evaluation.report.terminal import show_compared

    matched = match_runs(before, after, measure, configuration)
    compared = compare_runs(before, after, matched, seed=seed)
    judged = judge(matched, margin, seed=seed) if gate else None
    show_compared(compared, judged, form)
    if judged is not None and judged.verdict:
        raise typer.Exit(int(judged.verdict))
