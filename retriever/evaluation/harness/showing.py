"""A run as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from retriever.evaluation.harness.records import FOUND, ConfigurationRecord, DatasetRecord, Row, RunFolder
from retriever.evaluation.load.speed import SpeedFigures
from retriever.evaluation.statistics import ALPHA

_MEASURES = ("nDCG@10", "Recall@100", "Recall@10", "Judged@10", "MRR@10", "Success@1")
"""Shown beside the primary one, as many as there is room for."""

_PARTS: dict[str, Callable[[ConfigurationRecord], str]] = {
    "embedding": lambda c: (c.embedding or "").removeprefix("sentence-transformers/"),
    "sparse": lambda c: c.sparse or "",
    "chunks": lambda c: c.chunker,
    "store": lambda c: c.store,
    "search": lambda c: c.label.rsplit(", ", 1)[-1],
}
_WIDTH = 180  # of what goes to a file


def show_run(folder: RunFolder) -> None:
    """Print tables on standard output.

    :param folder: of the run.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    for dataset in folder.manifest.datasets:
        rows = [row for row in folder.summary.rows if row.dataset == dataset.name]
        if rows:
            _show_dataset(console, folder, dataset, rows)
    if folder.summary.bars:
        console.print(_bars(folder))
    if folder.speed:
        console.print(_speed(folder))
    for left in folder.left_out:
        console.print(Text(f"left out: {left.what}: {left.reason}", "yellow"))
    for dataset in folder.manifest.datasets:
        for note in dataset.notes:
            console.print(Text(f"{dataset.name}: {note}", "yellow"))


def _show_dataset(console: Console, folder: RunFolder, dataset: DatasetRecord, rows: Sequence[Row]) -> None:
    others = [name for name in _MEASURES if name != folder.manifest.measure and name in rows[0].measures]
    boundless = console.options.update(width=1_000)  # a measured table is never wider than it may be
    for count in range(len(others), -1, -1):
        table = _table(folder, dataset, rows, others[:count])
        if console.measure(table, options=boundless).maximum <= console.width:
            break
    console.print(table)
    lines = [*_detectable(folder, rows), *_published(folder, dataset.name), *_lost(folder, rows), ""]
    console.print(Text("\n".join(lines)))


def _table(folder: RunFolder, dataset: DatasetRecord, rows: Sequence[Row], others: Sequence[str]) -> Table:
    """Parts that all configurations share go into the title."""
    known = [folder.configurations[row.configuration] for row in rows]
    parts = {head: [of(c) for c in known] for head, of in _PARTS.items()}
    shared = [values[0] for values in parts.values() if len(set(values)) == 1 and len(rows) > 1 and values[0]]
    varying = {head: values for head, values in parts.items() if len(set(values)) > 1 or len(rows) == 1}
    title = ", ".join([f"{dataset.name}: {dataset.queries:,} queries", *shared])
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    measure = folder.manifest.measure
    has_published = any(row.published for row in rows)
    table.add_column("", no_wrap=True)
    for head in varying:
        table.add_column(head, overflow="fold")
    for head in (measure, "95 %", *others):
        table.add_column(head, justify="right", no_wrap=True)
    if has_published:
        table.add_column("published", no_wrap=True)
    for n, row in enumerate(rows):
        cells = [row.group, *(values[n] or "-" for values in varying.values())]
        cells += [f"{row.measures[measure]:.3f}", f"{row.low:.3f} … {row.high:.3f}"]
        cells += [f"{row.measures[other]:.3f}" for other in others]
        if has_published:
            cells.append("\n".join(f"{p.measure} {p.value:.3f} {p.name}, {p.source}" for p in row.published))
        table.add_row(*cells, style="bold red" if _beats_us(folder, row) else "")
    return table


def _beats_us(folder: RunFolder, row: Row) -> bool:
    is_better = row.against is not None and row.against.difference > 0 and row.against.p_holm <= ALPHA
    return is_better and folder.configurations[row.configuration].is_peer


def _detectable(folder: RunFolder, rows: Sequence[Row]) -> Iterator[str]:
    against = [row.against for row in rows if row.against is not None]
    if not against:
        return
    limits = [found.detectable for found in against if found.detectable]
    line = "Rows that share a letter cannot be told apart (sign-flip test, Holm)."
    if limits:
        line += (
            f" Next to the best of ours, these queries show differences in {folder.manifest.measure} from "
            f"{min(limits):.3f}, for some configurations only from {max(limits):.3f}, in 80 % of cases."
        )
    yield line


def _published(folder: RunFolder, name: str) -> Iterator[str]:
    """Those that are beside no row."""
    spec = next(dataset for dataset in folder.scenario.datasets if dataset.name == name)
    shown = {published for row in folder.summary.rows if row.dataset == name for published in row.published}
    for published in spec.published:
        if published not in shown:
            yield f"Published: {published.name} {published.measure} {published.value:.3f} ({published.source})"


def _lost(folder: RunFolder, rows: Sequence[Row]) -> Iterator[str]:
    best = next((row for row in rows if not folder.configurations[row.configuration].is_peer), None)
    if best is not None and (lost := {reason: n for reason, n in best.reasons.items() if reason != FOUND}):
        counts = ", ".join(f"{reason} {n:,}" for reason, n in lost.items())
        yield f"Of the best of ours, queries without an answer among the first ten: {counts}."
        yield from best.notes


def _bars(folder: RunFolder) -> Table:
    table = Table(title="Bars", title_justify="left", box=SIMPLE_HEAD)
    for head in ("dataset", "configuration", "measure", "must be", "is", ""):
        table.add_column(head)
    for bar in folder.summary.bars:
        wanted = [f"≥ {bar.at_least:.3f}"] if bar.at_least is not None else []
        wanted += [f"≤ {bar.at_most:.3f}"] if bar.at_most is not None else []
        known = folder.configurations.get(bar.configuration)
        value = "not measured" if bar.value is None else f"{bar.value:.4f}"
        verdict = Text("pass", "green") if bar.holds else Text("miss", "bold red")
        table.add_row(
            bar.dataset, known.label if known else "nothing fits", bar.measure, " and ".join(wanted), value, verdict
        )
    return table


def _speed(folder: RunFolder) -> Table:
    """The median of the repetitions."""
    table = Table(title="Speed, median of the repetitions", title_justify="left", box=SIMPLE_HEAD)
    for head in ("dataset", "configuration"):
        table.add_column(head)
    for head in ("passages/s", "queries/s", "p50", "p99", "at", "ANN recall"):
        table.add_column(head, justify="right")
    found: dict[tuple[str, str], list[SpeedFigures]] = {}
    for record in folder.speed:
        found.setdefault((record.dataset, record.configuration), []).append(record.figures)
    for (dataset, configuration), figures in found.items():
        table.add_row(dataset, folder.configurations[configuration].label, *_speed_cells(figures))
    return table


def _speed_cells(figures: Sequence[SpeedFigures]) -> list[str]:
    steps = [step for f in figures for step in f.load if step.share == _shown_share(f)]
    p50 = [step.latency.p50.value for step in steps]
    p99 = [step.latency.p99.value for step in steps if step.latency.p99 is not None]
    recall = [f.ann_recall for f in figures if f.ann_recall is not None]
    return [
        f"{median(f.ingest.rate for f in figures):,.0f}",
        f"{median(f.capacity.rate for f in figures):,.0f}",
        f"{1_000 * median(p50):.1f} ms" if p50 else "-",
        f"{1_000 * median(p99):.1f} ms" if p99 else "-",
        f"{steps[0].share:.0%}" if steps else "-",
        f"{median(recall):.3f}" if recall else "-",
    ]


def _shown_share(figures: SpeedFigures) -> float:
    """The load that is nearest to half of the capacity."""
    return min((step.share for step in figures.load), key=lambda share: abs(share - 0.5), default=0.0)
