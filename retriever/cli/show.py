"""What the commands print: for people on a terminal, or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from retriever.cli.snippet import printable, snippet
from retriever.copying import CopyReport
from retriever.doctor import UNREADABLE, DoctorReport
from retriever.embedding.words.training import TrainedWords
from retriever.info import IndexInfo
from retriever.keyword.analyser import Analyser
from retriever.keyword.config import AnalyserConfig
from retriever.manifest import Manifest, SearchDefaults
from retriever.planning import HEADINGS, SEPARATOR
from retriever.repairing import RepairReport
from retriever.report import IndexReport, Problem
from retriever.retriever import Retriever
from retriever.types import Hit, Leg
from retriever.verifying import VerifyReport

MOST_PROBLEMS = 10
"""Shown on a terminal; JSON has all."""


MOST_TERMS = 12
"""Matched terms shown on a terminal."""


class Output:
    """Prints results in one of two forms.

    :param as_json: JSON on standard output, and nothing else there.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(highlight=False)

    def index_reports(self, reports: Sequence[IndexReport], retriever: Retriever) -> None:
        """What indexing did."""
        if self._as_json:
            self._print_json({"reports": [_report_json(report) for report in reports]})
            return
        table = Table(box=None, header_style="bold")
        table.add_column("source", overflow="fold")
        for name in ("documents", "added", "skipped", "updated", "deleted", "failed", "seconds"):
            table.add_column(name, justify="right")
        for report in reports:
            counts = (report.documents, report.added, report.skipped, report.updated, report.deleted)
            seconds = f"{sum(report.seconds.values()):.1f}"
            table.add_row(Text(printable(report.source)), *(f"{n:,}" for n in (*counts, len(report.failed))), seconds)
        self._console.print(table)
        for report in reports:
            self._problems("failed", "red", report.failed)
            self._problems("ignored", "dim", report.ignored)
            for warning in self._warnings(report):
                self._console.print(Text(f"note: {warning}", "yellow"))
        self._console.print(Text(f"{retriever.store.count():,} chunks in {retriever.address}", "dim"))

    def hits(self, hits: Sequence[Hit], offset: int, analyser: AnalyserConfig) -> None:
        """What was found, and why."""
        if self._as_json:
            self._print_json({"hits": [_hit_json(hit) for hit in hits]})
            return
        if not hits:
            self._console.print("nothing found")
        marker = Analyser(analyser)
        for number, hit in enumerate(hits, offset + 1):
            self._console.print(_title(number, hit))
            self._console.print(snippet(hit, marker), soft_wrap=False)
            self._console.print(_reasons(hit))
            self._console.print()

    def doctor(self, report: DoctorReport) -> None:
        """What a corpus is like, and whether the model can read it."""
        if self._as_json:
            scripts = {name: asdict(script) for name, script in report.scripts.items()}
            rates = {"unknown_rate": report.unknown_rate, "problems": report.problems, "verdict": report.verdict}
            self._print_json({**asdict(report), "scripts": scripts, **rates})
            return
        self._console.print(Text(report.verdict, "bold red" if report.problems else "bold green"))
        for problem in report.problems:
            self._console.print(Text(f"  {problem}"))
        limit = "no limit" if report.max_tokens is None else f"reads {report.max_tokens:,} tokens at once"
        self._console.print(
            Text(
                f"{report.documents:,} documents, {report.tokens:,} tokens, {report.unknown_rate:.1%} unknown · "
                f"{report.too_long:,} longer than the model reads ({limit}) · {report.duplicates:,} duplicates · "
                f"{len(report.near_empty):,} nearly empty · {len(report.unreadable):,} could not be loaded"
            )
        )
        if report.pictures:
            reads = "reads" if report.reads_images else "does not read: they are left out"
            self._console.print(Text(f"{report.pictures:,} pictures, which {report.embedding} {reads}"))
        self._console.print(_scripts_table(report))
        if report.languages:
            spoken = ", ".join(f"{name} {count:,}" for name, count in report.languages.items())
            self._console.print(Text(f"documents by language: {spoken}"))

    def info(self, info: IndexInfo) -> None:
        """What the index holds."""
        if self._as_json:
            without = {name: {"canaries"} for name in ("embedding", "sparse")}
            settings = info.manifest.model_dump(mode="json", exclude=without)
            self._print_json({**asdict(info), "manifest": settings})
            return
        manifest = info.manifest
        table = Table(box=None, show_header=False)
        table.add_column(style="bold")
        table.add_column()
        rows = {
            "index": info.address,
            "chunks": f"{info.chunks:,} of {info.documents:,} documents",
            "embedding": f"{info.embedding}, {info.dimension} dimensions",
            "chunker": _chunker_text(manifest),
            "keyword leg": _keyword_text(manifest),
            "sparse leg": f"{info.sparse}, {manifest.sparse.vocabulary:,} terms" if manifest.sparse else "none",
            **({"search": defaults_text(manifest.search)} if manifest.search else {}),
            "filter fields": ", ".join(f"{k} ({v})" for k, v in manifest.filter_fields.items()) or "none",
            "made with": f"hybrid-retriever {manifest.created_with}",
        }
        for name, value in rows.items():
            table.add_row(name, Text(value))
        for source, count in info.sources.items():
            table.add_row("source", Text(printable(f"{source or '(documents)'}: {count:,} documents")))
        self._console.print(table)

    def verification(self, report: VerifyReport) -> None:
        """Whether the index is sound."""
        if self._as_json:
            self._print_json(asdict(report))
            return
        for problem in report.problems:
            self._console.print(Text(printable(problem), "red"))
        for warning in report.warnings:
            self._console.print(Text(f"note: {warning}", "yellow"))
        word = f"{len(report.problems)} problems" if report.problems else "sound"
        self._console.print(
            f"{word}: {report.chunks:,} chunks of {report.documents:,} documents read, {report.sampled} embedded again"
        )

    def deleted(self, count: int) -> None:
        """How many chunks were deleted."""
        if self._as_json:
            self._print_json({"deleted": count})
        else:
            self._console.print(f"{count:,} chunks deleted")

    def trained(self, report: TrainedWords) -> None:
        """What training word vectors did."""
        if self._as_json:
            self._print_json({**asdict(report), "path": str(report.path)})
            return
        self._console.print(
            f"{report.vocabulary:,} words learnt from {report.texts:,} texts of {report.words:,} words",
            Text(f"→ word-vectors:{report.path}", "dim"),
        )
        if report.unread:
            self._console.print(Text(f"note: {report.unread:,} files gave no text", "yellow"))

    def copied(self, report: CopyReport, target: str) -> None:
        """What a copy did."""
        if self._as_json:
            self._print_json({**asdict(report), "target": target})
            return
        self._console.print(
            f"{report.copied:,} chunks copied, {report.present:,} were there already",
            Text(f"→ {target}", "dim"),
        )
        if report.extra:
            self._console.print(Text(f"note: the target holds {report.extra:,} other chunks; they stay", "yellow"))
        if report.lost:
            lost = f"not copied: {report.lost:,} chunks whose text, vector or picture could not be had; see retriever "
            self._console.print(Text(f"{lost}verify, and index its sources again", "red"))
        for problem in report.problems[:MOST_PROBLEMS]:
            self._console.print(Text(f"not copied: {problem}", "red"))
        if report.truncated:
            self._console.print(Text(f"note: {_cut(report.truncated)}", "yellow"))

    def repaired(self, report: RepairReport, store: str) -> None:
        """What a repair did."""
        if self._as_json:
            self._print_json({**asdict(report), "store": store})
        else:
            self._console.print(
                f"{report.chunks:,} chunks rebuilt, {report.embedded:,} of them embedded again",
                Text(f"in {store}", "dim"),
            )
            for lost in report.lost[:MOST_PROBLEMS]:
                self._console.print(Text(printable(f"lost: {lost}"), "red"))

    def destroyed(self, address: str) -> None:
        """That an index is gone."""
        if self._as_json:
            self._print_json({"deleted": address})
        else:
            self._console.print(Text(f"{address} deleted"))

    def calibration(self, manifest: Manifest) -> None:
        """The new calibration."""
        if self._as_json:
            self._print_json({"calibration": manifest.calibration and manifest.calibration.model_dump()})
        else:
            self._console.print(_keyword_text(manifest))

    def _problems(self, what: str, style: str, problems: Sequence[Problem]) -> None:
        for item, reason in problems[:MOST_PROBLEMS]:
            self._console.print(Text(printable(f"{what}: {item}: {reason}"), style))
        if len(problems) > MOST_PROBLEMS:
            self._console.print(Text(f"… and {len(problems) - MOST_PROBLEMS:,} more {what}; --json lists all", style))

    @staticmethod
    def _warnings(report: IndexReport) -> list[str]:
        unread = f"{report.sparse_truncated:,} texts are longer than the learned sparse model reads"
        return [
            *report.warnings,
            *([_cut(report.truncated)] if report.truncated else []),
            *([f"{unread}; it does not see their ends"] if report.sparse_truncated else []),
        ]

    def _print_json(self, value: dict[str, Any]) -> None:
        print(json.dumps(value, ensure_ascii=False, indent=1))  # noqa: T201 - raw, whatever the terminal's width


def defaults_text(search: SearchDefaults) -> str:
    """What was tuned, in one line.

    :param search: as the index keeps it.
    """
    return (
        f"{search.fusion}, keyword weight {search.keyword_weight:.2f}, depth {search.depth}; tuned on "
        f"{search.queries:,} questions, {search.measure} {search.gain:+.3f} ({search.low:+.3f} … {search.high:+.3f})"
    )


def _cut(count: int) -> str:
    return f"{count:,} chunks are longer than the model reads; their ends are not embedded"


def _report_json(report: IndexReport) -> dict[str, Any]:
    facts = asdict(report)
    for name in ("failed", "ignored"):
        facts[name] = [problem._asdict() for problem in getattr(report, name)]
    return facts


def _hit_json(hit: Hit) -> dict[str, Any]:
    facts = asdict(hit)
    return {**facts.pop("chunk"), **facts}


def _title(number: int, hit: Hit) -> Text:
    source, separator, path = hit.document_id.rpartition(SEPARATOR)
    headings = hit.chunk.metadata.get(HEADINGS, [])
    parts = [Text(f"{number}. ", "bold"), Text(printable(path), "bold cyan")]
    if isinstance(headings, list | tuple) and headings:
        parts.append(Text(printable("  " + " › ".join(map(str, headings))), "bold"))
    parts.append(Text(f"  {hit.score:.3f}", "green"))
    place = f"\n   {printable(source + separator + path)} characters {hit.chunk.start:,} to {hit.chunk.end:,}"
    return Text.assemble(*parts, Text(place, "dim"))


def _reasons(hit: Hit) -> Text:
    legs = [f"{name} {_leg_text(leg)}" for name, leg in hit.legs.items()]
    terms = [*hit.matched_terms[:MOST_TERMS], *(["…"] if len(hit.matched_terms) > MOST_TERMS else [])]
    matched = f"matched {' '.join(terms)}" if terms else "no term matched"
    return Text("   " + " · ".join([*legs, matched]), "dim")


def _scripts_table(report: DoctorReport) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("script")
    for name in ("letters", "words", "tokens a word", "unknown"):
        table.add_column(name, justify="right")
    for name, script in report.scripts.items():
        style = "red" if script.unknown_rate >= UNREADABLE or script.is_spelled else None
        counts = (f"{script.characters:,}", f"{script.words:,}")
        table.add_row(name, *counts, f"{script.tokens_per_word:.2f}", f"{script.unknown_rate:.1%}", style=style)
    return table


def _leg_text(leg: Leg) -> str:
    rank = "beyond depth" if leg.rank is None else f"#{leg.rank}"
    return rank if leg.score is None else f"{rank} ({leg.score:.3f})"


def _chunker_text(manifest: Manifest) -> str:
    chunker = manifest.chunker
    return "one chunk a document" if chunker.kind == "whole" else f"{chunker.size} tokens, overlap {chunker.overlap}"


def _keyword_text(manifest: Manifest) -> str:
    if not manifest.keyword:
        return "none: the sparse leg takes its place"
    language = manifest.analyser.language
    calibration = manifest.calibration
    if calibration is None:
        return f"{language}; not calibrated yet"
    return (
        f"{language}; calibrated on {calibration.chunks:,} chunks: {calibration.average_length:.1f} terms a chunk, "
        f"{calibration.unknown_rate:.1%} of tokens unknown to the model"
    )
