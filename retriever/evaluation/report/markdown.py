"""The short form of a report, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from retriever.evaluation.harness.comparing import Compared
from retriever.evaluation.harness.gate import Gate, Judged, Verdict
from retriever.evaluation.report.figures import DatasetFigures, Report
from retriever.evaluation.report.numbers import chance, score, signed
from retriever.evaluation.report.wording import answers, price

MOST_LINES = 12
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")


def as_markdown(report: Report) -> str:
    """A run in short.

    :param report: its figures.
    """
    lines = [f"# {plain(report.name)}", ""]
    lines += [plain(report.description), ""] if report.description else []
    for dataset in report.datasets:
        lines += _dataset(report, dataset)
    missed = [bar for bar in report.bars if not bar.holds]
    for bar in missed:
        lines.append(
            f"* **missed:** {plain(bar.dataset)}, {plain(report.labels.get(bar.configuration, 'nothing fits'))}: "
            f"{bar.measure} {score(bar.value)}"
        )
    lines += [f"* left out: {plain(left.what)}: {plain(left.reason)}" for left in report.left_out]
    made = report.manifest
    lines += ["", f"retriever {made.version}, commit {(made.commit or 'unknown')[:12]}, seed {made.seed}."]
    return "\n".join(lines) + "\n"


def compared_as_markdown(compared: Compared, gate: Gate | None) -> str:
    """Two runs, compared, in short.

    :param compared: them.
    :param gate: what was decided; None where nothing was to be.
    """
    lines = [f"{compared.measure}, after minus before", ""]
    lines += table(
        ["dataset", "configuration", "before", "after", "difference", "95 %", "p (Holm)", "better / same / worse"],
        [
            [
                plain(pair.dataset),
                plain(pair.label),
                score(pair.before),
                score(pair.after),
                signed(pair.change.difference),
                f"{signed(pair.change.low)} … {signed(pair.change.high)}",
                chance(pair.change.p_holm),
                f"{pair.change.wins:,} / {pair.change.ties:,} / {pair.change.losses:,}",
            ]
            for pair in compared.pairs
        ],
    )
    lines += ["", *(f"* {plain(sentence)}" for sentence in [*remarks(compared), *(verdicts(gate) if gate else ())])]
    return "\n".join(lines).rstrip() + "\n"


def remarks(compared: Compared) -> Iterator[str]:
    """What should be known of a comparison.

    :param compared: two runs.
    """
    yield from compared.notes
    for pair in compared.pairs:
        if pair.missing or pair.added:
            yield (
                f"{pair.dataset}, {pair.label}: {pair.missing:,} queries of the first run are not in the second, "
                f"{pair.added:,} are new; compared are the {pair.queries:,} that both have"
            )
    if compared.unmatched:
        yield f"only in {compared.before}: {'; '.join(compared.unmatched)}"
    if compared.added:
        yield f"only in {compared.after}: {'; '.join(compared.added)}"


def verdicts(gate: Gate) -> Iterator[str]:
    """What the gate says, and why.

    :param gate: the decision.
    """
    words = {Verdict.PASSED: "passed", Verdict.FAILED: "failed", Verdict.UNCLEAR: "cannot tell"}
    yield f"gate: {words[gate.verdict]} (at most {gate.margin:g} {gate.measure} may be lost)"
    worst = min(gate.pairs, key=lambda pair: pair.at_worst)
    for pair in gate.pairs:
        if pair.verdict != Verdict.PASSED or (gate.verdict == Verdict.PASSED and pair is worst):
            yield f"{pair.dataset}, {pair.label}: {_why(pair)}"
    if gate.missing:
        yield f"not measured again, so nothing can be said: {'; '.join(gate.missing)}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; cells are Markdown already.

    :param heads: of the columns.
    :param rows: of cells.
    """
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def plain(text: str) -> str:
    """Foreign text on one line, in which nothing is markup.

    :param text: any.
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _why(pair: Judged) -> str:
    seen = f"{signed(pair.difference)}, at worst {signed(pair.at_worst)} (97.5 %)"
    if pair.verdict == Verdict.PASSED:
        return seen
    if pair.verdict == Verdict.FAILED:
        return f"{seen}; the loss is beyond the margin, p {chance(pair.p)}"
    return (
        f"{seen}. {pair.queries:,} queries are too few"
        + (f": about {pair.needed:,} would tell if the difference stays what it is" if pair.needed else "")
        + (f", {pair.needed_to_pass:,} would let it pass if nothing is lost in truth" if pair.needed_to_pass else "")
    )


def _dataset(report: Report, dataset: DatasetFigures) -> Iterator[str]:
    yield f"## {plain(dataset.name)}"
    yield ""
    for sentence in [*answers(report, dataset), *(price(report, dataset) if report.times.costs else ())]:
        yield f"* {plain(sentence)}"
    yield ""
    others = dataset.measures[1:4]
    rows = [
        [
            line.group,
            f"**{plain(line.label)}**" if line.beats_us else plain(line.label),
            score(line.measures[report.measure]),
            f"{score(line.low)} … {score(line.high)}",
            *(score(line.measures.get(name)) for name in others),
            plain("; ".join(f"{p.measure} {score(p.value)} {p.name} ({p.source})" for p in line.published)),
        ]
        for line in dataset.lines[:MOST_LINES]
    ]
    yield from table(["", "configuration", report.measure, "95 %", *others, "published"], rows)
    yield ""
    yield "Lines that share a letter cannot be told apart." + (
        f" {len(dataset.lines) - MOST_LINES} more are in the full report." if len(dataset.lines) > MOST_LINES else ""
    )
    yield ""
