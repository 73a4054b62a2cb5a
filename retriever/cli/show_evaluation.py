"""What ``evaluate`` and ``tune`` print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from retriever.cli.show import defaults_text
from retriever.cli.snippet import printable
from retriever.evaluation.answering import Setting
from retriever.evaluation.evaluating import Evaluation, Measured, Versus
from retriever.evaluation.measures import mean, meaning
from retriever.evaluation.statistics import ALPHA, LEAST, Comparison, detectable, queries_needed
from retriever.evaluation.tuning import Tuning
from retriever.evaluation.waterfall import MEANINGS, TOP, Failure, Waterfall
from retriever.manifest import SearchDefaults

MOST_FAILURES = 10
"""Shown on a terminal; JSON and the file of each query have all."""

_WIDEST = 160
_FULLY_JUDGED = 0.8
_NOTHING = 0.0005
"""A difference that is printed as 0.000."""


def show_evaluation(result: Evaluation, *, as_json: bool) -> None:
    """How good an index is.

    :param result: what was found.
    :param as_json: for programs.
    """
    if as_json:
        _print_json(evaluation_facts(result))
        return
    console = Console(highlight=False)
    relevant = sum(len(result.judgements.relevant(query)) for query in result.judgements.queries)
    console.print(
        Text.assemble(
            (f"{len(result.judgements.queries):,} questions", "bold"),
            f", {relevant:,} relevant documents · {printable(result.address)}",
        )
    )
    console.print(Text(_setting_text(result.setting), "dim"))
    console.print()
    console.print(_measures_table(result))
    console.print(Text(f"{result.primary}: {meaning(result.primary)}. After each figure: its 95 % interval.", "dim"))
    console.print()
    for text in _verdicts(result):
        console.print(text)
    for note in _notes(result):
        console.print(Text(f"note: {note}", "yellow"))
    console.print()
    console.print(_waterfall_table(result.waterfall, result.ways[-1].name))
    _show_failures(console, result.waterfall)


def show_tuning(result: Tuning, *, dry_run: bool, as_json: bool) -> None:
    """What tuning gains.

    :param result: what was found.
    :param dry_run: whether nothing was to be saved.
    :param as_json: for programs.
    """
    if as_json:
        _print_json(tuning_facts(result))
        return
    console, held = Console(highlight=False), result.held_out
    table = Table(box=None, header_style="bold")
    for name in ("", "keyword weight", "fusion", "depth", result.measure):
        table.add_column(name, justify="right" if name not in ("", "fusion") else "left")
    for name, setting in (("before", result.before), ("best on all questions", result.chosen)):
        table.add_row(name, *_cells(setting), f"{result.surface[setting]:.3f}")
    for number, setting in enumerate(result.halves, 1):
        table.add_row(Text(f"best on half {number}", "dim"), *_cells(setting), "")
    console.print(table)
    console.print()
    style = "bold green" if result.certain else "bold yellow"
    console.print(Text(_gain(result), style))
    console.print(
        f"On questions that had no part in the choice: {held.difference:+.3f} ({held.low:+.3f} … {held.high:+.3f}), "
        f"p = {held.p:.4f}; better {held.wins:,}, same {held.ties:,}, worse {held.losses:,}."
    )
    console.print(Text(f"On the questions that chose it: {result.optimistic:+.3f}; such figures flatter.", "dim"))
    if not held.certain:
        console.print(_enough(held))
    console.print(_saved(result, dry_run))


def show_reset(was: SearchDefaults | None, *, as_json: bool) -> None:
    """That what was tuned is forgotten.

    :param was: what it was.
    :param as_json: for programs.
    """
    if as_json:
        _print_json({"reset": None if was is None else was.model_dump()})
    else:
        Console(highlight=False).print("nothing was tuned" if was is None else f"forgotten: {defaults_text(was)}")


def write_per_query(path: Path, result: Evaluation) -> None:
    """A line of JSON for each query.

    :param path: of the file.
    :param result: what was found.
    """
    failures = {failure.query: failure for failure in result.waterfall.failures}
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for query, text in result.judgements.queries.items():
            row: dict[str, Any] = {
                "query": query,
                "text": text,
                "relevant": sorted(result.judgements.relevant(query)),
                "reason": failures[query].reason if query in failures else "found",
                "measures": {
                    way.name: {name: values[query] for name, values in way.values.items() if query in values}
                    for way in result.ways
                },
                "found": [{"document": d, "score": s} for d, s in result.ways[-1].run[query][: result.waterfall.k]],
            }
            if query in failures:
                row["failure"] = _failure_facts(failures[query])
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def evaluation_facts(result: Evaluation) -> dict[str, Any]:
    """All of an evaluation, for JSON.

    :param result: what was found.
    """
    fall = result.waterfall
    return {
        "address": result.address,
        "queries": len(result.judgements.queries),
        "setting": asdict(result.setting),
        "primary": result.primary,
        "ways": [
            {
                "name": way.name,
                "group": way.group,
                "measures": {
                    name: {"mean": value, "low": way.intervals[name][0], "high": way.intervals[name][1]}
                    for name, value in way.means.items()
                },
            }
            for way in result.ways
        ],
        "versus": [
            {"a": v.a, "b": v.b, **asdict(v.comparison), "adjusted": v.adjusted, "certain": v.adjusted <= ALPHA}
            for v in result.versus
        ],
        "waterfall": {"k": fall.k, "exact": fall.exact, "counts": fall.counts, "shares": fall.shares},
        "failures": [_failure_facts(failure) for failure in fall.failures],
        "missing_documents": list(result.missing),
        "queries_without_relevant_document": list(result.skipped),
        "judged_without_query": list(result.judgements.unasked),
    }


def tuning_facts(result: Tuning) -> dict[str, Any]:
    """All of a tuning, for JSON.

    :param result: what was found.
    """
    surface = [{**asdict(setting), result.measure: value} for setting, value in result.surface.items()]
    facts = {name: asdict(getattr(result, name)) for name in ("before", "chosen", "held_out")}
    return {
        "measure": result.measure,
        **facts,
        "halves": [asdict(setting) for setting in result.halves],
        "score": result.score,
        "optimistic": result.optimistic,
        "certain": result.certain,
        "saved": result.saved,
        "surface": surface,
    }


def _measures_table(result: Evaluation) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("")
    for way in result.ways:
        table.add_column(way.name, justify="right")
    for name in result.ways[0].values:
        best = max(way.means[name] for way in result.ways)
        cells = [_cell(way, name, is_best=way.means[name] == best and len(result.ways) > 1) for way in result.ways]
        table.add_row(Text(name, "bold" if name == result.primary else ""), *cells)
    return table


def _cell(way: Measured, name: str, *, is_best: bool) -> Text:
    low, high = way.intervals[name]
    return Text.assemble(
        (f"{way.means[name]:.3f}", "bold green" if is_best else ""), (f" {low:.2f}–{high:.2f}", "dim"), end=""
    )


def _verdicts(result: Evaluation) -> list[Text]:
    if len(result.ways) == 1:
        return []
    best = result.best
    texts = [Text(f"By {result.primary}, {best.name} is best here.", "bold")]
    return texts + [_verdict(versus, best.name) for versus in result.versus if best.name in (versus.a, versus.b)]


def _verdict(versus: Versus, best: str) -> Text:
    found = versus.comparison
    other = versus.a if versus.b == best else versus.b
    sign = 1 if versus.b == best else -1
    low, high = sorted((sign * found.low, sign * found.high))
    wins, losses = (found.wins, found.losses) if sign == 1 else (found.losses, found.wins)
    start = (
        f"  {best} − {other}: {sign * found.difference:+.3f} ({low:+.3f} … {high:+.3f}), p = {versus.adjusted:.4f}, "
    )
    counts = f"better on {wins:,}, same on {found.ties:,}, worse on {losses:,}: "
    if versus.adjusted <= ALPHA:
        return Text.assemble(start, counts, ("certain", "bold green"))
    return Text.assemble(start, counts, ("cannot tell. ", "bold yellow"), _enough(found))


def _enough(found: Comparison) -> str:
    """How much so many queries can show, and how many it would take."""
    if found.detectable is None:
        return f"So few questions cannot tell anything: at least {LEAST}."
    if not found.detectable:
        return "The questions do not differ enough to tell."
    shown = f"{found.queries:,} questions show a difference of {found.detectable:.3f} in 4 of 5 cases"
    if abs(found.difference) < _NOTHING:
        return f"{shown}."
    deviation = found.detectable / detectable(1.0, found.queries)
    needed = queries_needed(deviation, found.difference)
    return f"{shown}; one of {abs(found.difference):.3f} takes about {needed:,}."


def _notes(result: Evaluation) -> list[str]:
    notes: list[str] = []
    judged = result.ways[-1].values.get("Judged@10")
    if judged is not None and mean(judged) < _FULLY_JUDGED:
        notes.append(
            f"only {mean(judged):.0%} of the first ten documents were ever judged. The others count as wrong, so the "
            "true figures may be higher; comparisons are fair as long as both sides have as many unjudged ones"
        )
    if result.missing:
        notes.append(
            f"{len(result.missing):,} relevant documents are not in the index, for example {result.missing[0]!r}"
        )
    if result.skipped:
        notes.append(f"{len(result.skipped):,} questions have no relevant document and were left out")
    if result.judgements.unasked:
        names = result.judgements.unasked
        notes.append(f"{len(names):,} judged questions are not in the file of questions, for example {names[0]!r}")
    return [printable(note) for note in notes]


def _waterfall_table(fall: Waterfall, name: str) -> Table:
    table = Table(box=None, header_style="bold", title_justify="left", title_style="bold")
    table.title = f"Where the answers are lost ({name}, first {fall.k} documents)"
    table.add_column("reason")
    table.add_column("questions", justify="right")
    table.add_column("share", justify="right")
    table.add_column("what it says, what helps", style="dim")
    counts, shares = fall.counts, fall.shares
    for reason, share in shares.items():
        if counts[reason]:
            style = "green" if reason == "found" else ""
            table.add_row(Text(reason, style), f"{counts[reason]:,}", f"{share:.1%}", MEANINGS[reason])
    total = len(fall.found) + len(fall.failures)
    table.add_row("in all", f"{total:,}", f"{sum(shares.values()):.1%}", "", style="bold")
    if not fall.exact:
        table.caption = f"exact search was left out; --exact compares with its top {TOP}"
        table.caption_justify = "left"
    return table


def _show_failures(console: Console, fall: Waterfall) -> None:
    if not fall.failures:
        return
    console.print()
    console.print(Text("Questions to look at", "bold"))
    for failure in fall.failures[:MOST_FAILURES]:
        console.print(Text.assemble((printable(failure.text), "cyan"), f"  {failure.reason}"), soft_wrap=False)
        page = "" if failure.page is None else f", page {failure.page}"
        console.print(Text(f"   {printable(failure.document)}{page} · {_ranks_text(failure.ranks)}", "dim"))
        if failure.chunk is not None:
            text = Text("   " + " ".join(printable(failure.chunk.text).split()))
            text.truncate(min(console.width, _WIDEST), overflow="ellipsis")
            console.print(text)
    if len(fall.failures) > MOST_FAILURES:
        more = f"… and {len(fall.failures) - MOST_FAILURES:,} more; --per-query FILE writes all"
        console.print(Text(more, "dim"))


def _ranks_text(ranks: Mapping[str, int]) -> str:
    """``keyword #5 · semantic – (exact #306) · fused #16``."""
    parts: list[str] = []
    for name in ("keyword", "sparse", "semantic", "fused"):
        rank, exact = ranks.get(name), ranks.get(f"exact {name}")
        if rank is not None or exact is not None:
            aside = f" (exact #{exact:,})" if exact is not None and exact != rank else ""
            parts.append(f"{name} {'–' if rank is None else f'#{rank:,}'}{aside}")
    return " · ".join(parts) or "in no ranking"


def _failure_facts(failure: Failure) -> dict[str, Any]:
    chunk = failure.chunk
    return {
        "query": failure.query,
        "text": failure.text,
        "reason": failure.reason,
        "document": failure.document,
        "ranks": dict(failure.ranks),
        "page": failure.page,
        "chunk": None if chunk is None else {"start": chunk.start, "end": chunk.end, "text": chunk.text},
    }


def _setting_text(setting: Setting) -> str:
    if setting.mode != "hybrid":
        return f"{setting.mode} alone, {setting.depth} candidates"
    part = f", sparse weight {setting.sparse_weight:.2f}" if "sparse" in setting.legs else ""
    weights = f"keyword weight {setting.keyword_weight:.2f}{part}"
    return f"hybrid: {setting.fusion}, {weights}, {setting.depth} candidates a leg"


def _cells(setting: Setting) -> tuple[str, str, str]:
    return f"{setting.keyword_weight:.2f}", setting.fusion, f"{setting.depth}"


def _gain(result: Tuning) -> str:
    if result.certain:
        return f"Tuning gains {result.held_out.difference:.3f} {result.measure}; that is more than chance."
    if result.chosen == result.before:
        return "Nothing is better than what the index does already."
    return "Tuning gains nothing that is certain."


def _saved(result: Tuning, dry_run: bool) -> Text:
    if result.saved:
        return Text(
            "Saved: searches of this index use it where they do not say otherwise. retriever tune --reset", "dim"
        )
    why = "--dry-run" if dry_run else "the gain is not certain; --force saves it all the same"
    return Text(f"Not saved: {why}.", "dim")


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))  # noqa: T201 - raw, whatever the terminal's width
