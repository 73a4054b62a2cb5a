"""``python -m benchmarks compare`` and ``report``: a thin command line over :mod:`retriever.evaluation.report`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from retriever.errors import InvalidInput
from retriever.evaluation.harness.comparing import compare_runs, match_runs
from retriever.evaluation.harness.gate import MARGIN, judge
from retriever.evaluation.harness.records import read_run_folder
from retriever.evaluation.report.costs import read_prices
from retriever.evaluation.report.figures import Report, report_figures
from retriever.evaluation.report.markdown import as_markdown
from retriever.evaluation.report.page import as_html
from retriever.evaluation.report.terminal import Form, show_compared

FORMS = ("html", "markdown", "json")
_NAMES = {"html": "report.html", "markdown": "report.md", "json": "report.json"}


def add_compare(parser: argparse.ArgumentParser) -> None:
    """The options of ``compare``.

    :param parser: of the command.
    """
    what = "folder of a run, or a file of retriever evaluate --per-query"
    parser.add_argument("before", type=Path, help=what)
    parser.add_argument("after", type=Path, help="as well")
    parser.add_argument("--measure", help="by default the primary one of the first run")
    parser.add_argument("--configuration", default="*", metavar="PATTERN", help="only those whose label fits")
    parser.add_argument("--gate", action="store_true", help="exit code 0: no loss, 1: a loss, 2: cannot tell")
    parser.add_argument("--margin", type=float, default=MARGIN, help=f"what may be lost, by default {MARGIN:g}")
    parser.add_argument("--seed", type=int, default=0, help="of intervals and tests, by default 0")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request")


def compare(options: argparse.Namespace) -> int:
    """Compare two runs.

    :param options: of the command line.
    :return: exit code: that of the gate, where it was asked for.
    """
    matched = match_runs(options.before, options.after, options.measure, options.configuration)
    compared = compare_runs(options.before, options.after, matched, seed=options.seed)
    gate = judge(matched, options.margin, seed=options.seed) if options.gate else None
    form: Form = "json" if options.json else "markdown" if options.markdown else "table"
    show_compared(compared, gate, form)
    return int(gate.verdict) if gate else 0


def add_report(parser: argparse.ArgumentParser) -> None:
    """The options of ``report``.

    :param parser: of the command.
    """
    parser.add_argument("run", type=Path, help="folder that run has written")
    parser.add_argument("--out", type=Path, help="folder to write; by default the run's with -report at its end")
    for form in FORMS:
        parser.add_argument(f"--{form}", action="store_true", help=f"write {_NAMES[form]}; without any, all three")
    parser.add_argument(
        "--compare", nargs=2, default=(), metavar="CONFIGURATION", help="show these two query by query: ids or patterns"
    )
    parser.add_argument("--prices", type=Path, help="TOML with currency, machine_hour and [[models]]")


def report(options: argparse.Namespace) -> int:
    """Write the report of a run.

    :param options: of the command line.
    :return: exit code: always 0.
    """
    folder = read_run_folder(options.run)
    prices = read_prices(options.prices) if options.prices else None
    figures = report_figures(folder, prices=prices, chosen=options.compare)
    made: dict[str, Callable[[Report], str]] = {
        "html": as_html,
        "markdown": as_markdown,
        "json": lambda report: report.model_dump_json(indent=1) + "\n",
    }
    wanted = [form for form in FORMS if getattr(options, form)] or FORMS
    out = options.out or options.run.with_name(f"{options.run.resolve().name}-report")
    texts = {out / _NAMES[form]: made[form](figures) for form in wanted}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise InvalidInput(f"the report cannot be written to {out}: {error}") from error
    for path in texts:
        print(f"written: {path}")
    return 0
