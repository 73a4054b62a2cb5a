"""Every number of a report: JSON, Markdown and HTML are made from this and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from retriever.evaluation.harness.records import (
    FOUND,
    NOTHING_TO_FIND,
    UNEXPLAINED,
    Against,
    BarRecord,
    LeftOut,
    Manifest,
    Row,
    RunFolder,
    StepTime,
)
from retriever.evaluation.harness.scenario import Published
from retriever.evaluation.report.costs import Cost, Prices, costs
from retriever.evaluation.report.differences import MOST_FATES, Queries, queries_of
from retriever.evaluation.statistics import ALPHA
from retriever.evaluation.waterfall import REASONS

MEASURES = ("Recall@5", "Recall@10", "Recall@100", "MRR@10", "MAP", "Success@1", "Judged@10")
"""Shown beside the primary one, where they were measured; those of gold spans follow them."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Line(_Model):
    """A configuration on a dataset, as it stands in the table."""

    number: int
    """From 1, the best first; plots name configurations by it."""
    configuration: str
    """Its id."""
    label: str
    is_peer: bool
    beats_us: bool
    """A peer that is better than the best of ours, and that is certain."""
    measures: dict[str, float]
    low: float
    high: float
    group: str
    against: Against | None
    """Next to the best of ours; None for that one itself."""
    reasons: dict[str, int]
    chunks: int
    notes: tuple[str, ...]
    published: tuple[Published, ...]


class DatasetFigures(_Model):
    """All about one dataset."""

    name: str
    documents: int
    queries: int
    language: str
    notes: tuple[str, ...]
    measures: tuple[str, ...]
    """The primary one first."""
    lines: tuple[Line, ...]
    reasons: tuple[str, ...]
    """What can become of a query, as it happened here: found first, then from the latest loss to the earliest."""
    published: tuple[Published, ...]
    """Figures of others that stand beside no line."""
    by_query: Queries | None
    """None where there is only one configuration."""

    @property
    def ours(self) -> Line | None:
        """The best of ours."""
        return next((line for line in self.lines if not line.is_peer), None)


class Timed(_Model):
    """What differs from run to run."""

    started: str | None
    seconds: float | None
    load: float | None
    steps: tuple[StepTime, ...]
    costs: tuple[Cost, ...]


class Report(_Model):
    """A run, for people. All that depends on time is in ``times``."""

    name: str
    description: str
    measure: str
    manifest: Manifest
    """Without the checksums of the run's files."""
    datasets: tuple[DatasetFigures, ...]
    bars: tuple[BarRecord, ...]
    labels: dict[str, str]
    """Of the configurations, by id."""
    left_out: tuple[LeftOut, ...]
    currency: str | None
    times: Timed


def report_figures(folder: RunFolder, *, prices: Prices | None = None, chosen: Sequence[str] = ()) -> Report:
    """Collect them.

    :param folder: of the run.
    :param prices: None where there are none.
    :param chosen: up to two configurations whose answers are compared query by query: ids, or patterns of labels.
    :raises InvalidInput: where there is no such configuration.
    """
    measured = [d for d in folder.manifest.datasets if any(row.dataset == d.name for row in folder.summary.rows)]
    most = MOST_FATES // max(1, len(measured))
    return Report(
        name=folder.manifest.name,
        description=folder.scenario.description,
        measure=folder.manifest.measure,
        manifest=folder.manifest.model_copy(update={"files": {}}),
        datasets=tuple(_dataset(folder, d.name, chosen, most) for d in measured),
        bars=folder.summary.bars,
        labels={name: configuration.label for name, configuration in folder.configurations.items()},
        left_out=folder.left_out,
        currency=prices.currency if prices else None,
        times=_timed(folder, prices),
    )


def _dataset(folder: RunFolder, name: str, chosen: Sequence[str], most: int) -> DatasetFigures:
    rows = [row for row in folder.summary.rows if row.dataset == name]
    record = next(d for d in folder.manifest.datasets if d.name == name)
    spec = next(d for d in folder.scenario.datasets if d.name == name)
    shown = {published for row in rows for published in row.published}
    order = [row.configuration for row in rows]
    return DatasetFigures(
        name=name,
        documents=record.documents,
        queries=record.queries,
        language=record.language,
        notes=record.notes,
        measures=tuple(_measures(folder.manifest.measure, rows)),
        lines=tuple(_line(folder, number, row) for number, row in enumerate(rows, 1)),
        reasons=tuple(_reasons(rows)),
        published=tuple(published for published in spec.published if published not in shown),
        by_query=queries_of(folder, name, order, chosen, most // len(order)) if len(order) > 1 else None,
    )


def _measures(primary: str, rows: Sequence[Row]) -> Iterator[str]:
    known = dict.fromkeys(name for row in rows for name in row.measures)
    yield primary
    yield from (name for name in MEASURES if name in known and name != primary)
    yield from (name for name in known if name not in MEASURES and name != primary)


def _line(folder: RunFolder, number: int, row: Row) -> Line:
    configuration = folder.configurations[row.configuration]
    is_certain = row.against is not None and row.against.difference > 0 and row.against.p_holm <= ALPHA
    shared = set(Line.model_fields) & set(Row.model_fields)
    return Line(
        number=number,
        label=configuration.label,
        is_peer=configuration.is_peer,
        beats_us=is_certain and configuration.is_peer,
        **{name: getattr(row, name) for name in shared},
    )


def _reasons(rows: Sequence[Row]) -> list[str]:
    order = [*reversed(REASONS), UNEXPLAINED, NOTHING_TO_FIND]
    there = {reason for row in rows for reason, count in row.reasons.items() if count}
    return [reason for reason in order if reason in there or reason == FOUND] + sorted(there - set(order))


def _timed(folder: RunFolder, prices: Prices | None) -> Timed:
    times = folder.times
    return Timed(
        started=times.started if times else None,
        seconds=times.seconds if times else None,
        load=times.load if times else None,
        steps=times.steps if times else (),
        costs=costs(folder, prices),
    )
