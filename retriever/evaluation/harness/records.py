"""What is in the folder of a run, for whoever reads one.

manifest.json                       what was run, on what, with what; the checksum of every other file but times
scenario.toml                       the scenario's file, as it stood
configurations.json                 what was compared
summary.json                        every number that is printed
left-out.json                       what could not be measured, and why
queries/DATASET.jsonl               the queries
qrels/DATASET.jsonl                 the judgements
qrels/DATASET.txt                   the same for trec_eval
records/DATASET/CONFIGURATION.jsonl what each query found, how good that is, why it failed
runs/DATASET/CONFIGURATION.trec     the same as a TREC run
times.json                          when, how long, on how busy a machine: differs from run to run
speed.json                          figures of the speed part, if there is one: they, too
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from retriever.errors import InvalidInput
from retriever.evaluation.harness.scenario import Published, Scenario, parse_scenario
from retriever.evaluation.judgements import Judgements, read_judgements
from retriever.evaluation.load.speed import SpeedFigures
from retriever.evaluation.runs import Run, read_run

SCHEMA_VERSION = 1
"""Raised when an older program could misread a newer folder."""

MANIFEST = "manifest.json"
TIMED = ("times.json", "speed.json")
"""Files that differ from run to run."""

FOUND = "found"
UNEXPLAINED = "not looked into"
"""Of a peer, or of hits that were put in another order than the fused one: nothing is known of where they were lost."""
NOTHING_TO_FIND = "nothing to find"
"""No document is relevant."""

_T = TypeVar("_T")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Checksums(_Model):
    """SHA-256 of what was used, whatever file it came from: a line of JSON for each document, query, judged query."""

    corpus: str
    queries: str
    qrels: str


class DatasetRecord(_Model):
    """A dataset that was measured."""

    name: str
    documents: int
    queries: int
    language: str
    checksums: Checksums
    notes: tuple[str, ...] = ()
    """What should be known of it: files that were not read, relevant documents that are not there."""


class Machine(_Model):
    """What it ran on."""

    processor: str
    cores: int
    memory: int
    """Bytes."""
    system: str
    governor: str | None
    """Of the processor's clock, where the system says it."""


class Manifest(_Model):
    """What a run follows from."""

    schema_version: int = SCHEMA_VERSION
    name: str
    measure: str
    """The primary one."""
    seed: int
    version: str
    """Of this package."""
    commit: str | None
    """Of the checkout it was run from; None where it is no checkout."""
    dirty: bool
    """Whether files of the checkout were changed since."""
    python: str
    packages: dict[str, str]
    """Versions of what matters to the figures."""
    machine: Machine
    datasets: tuple[DatasetRecord, ...]
    models: dict[str, dict[str, str]]
    """Fingerprint by embedding function, and by learned sparse model."""
    files: dict[str, str]
    """SHA-256 of each file of the folder that a run with the same results has the same."""


class ConfigurationRecord(_Model):
    """One of the things that are compared."""

    id: str
    """Follows from the settings alone."""
    label: str
    is_peer: bool
    embedding: str | None
    """None where it makes no difference."""
    sparse: str | None = None
    """The learned sparse model that is asked, where there is one."""
    chunker: str
    store: str
    search: dict[str, Any]


class QueryRecord(_Model):
    """What one query found."""

    query: str
    measures: dict[str, float]
    top: tuple[tuple[str, float], ...]
    """The best ten documents, with the scores of the run file."""
    reason: str
    """``found``, or why no relevant document is among the best ten: a reason of
    :mod:`retriever.evaluation.waterfall`, :data:`UNEXPLAINED`, or :data:`NOTHING_TO_FIND`."""
    gold: str | None = None
    """The relevant document that came furthest, where none is among the best ten."""
    ranks: dict[str, int] = {}
    """Best ranks of its chunks: in each leg, fused, and in an exact search."""
    span: tuple[int, int] | None = None
    """Where to look in that document: characters of the best of these chunks."""
    page: str | None = None
    """The page it is on, where the document has pages."""


class Against(_Model):
    """How a configuration differs from the best of ours on the same dataset, by the primary measure."""

    difference: float
    low: float
    high: float
    p: float
    """Of the sign-flip test."""
    p_holm: float
    """The same, adjusted for all comparisons on the dataset."""
    effect_size: float | None
    wins: int
    ties: int
    losses: int
    detectable: float | None
    """The smallest difference that so many queries show in 80 % of cases."""


class Row(_Model):
    """The figures of one configuration on one dataset."""

    dataset: str
    configuration: str
    """Its id."""
    measures: dict[str, float]
    """Means over the queries."""
    low: float
    """95 % interval of the primary measure."""
    high: float
    group: str
    """Letters: configurations that share one cannot be told apart."""
    against: Against | None
    """None for the best of ours itself."""
    reasons: dict[str, int]
    """Queries by what became of them; all of them together are all queries."""
    chunks: int
    """Records in the index."""
    notes: tuple[str, ...] = ()
    """What should be known of it."""
    published: tuple[Published, ...] = ()
    """Figures of others to be printed beside it."""


class BarRecord(_Model):
    """A bar, and what was measured."""

    dataset: str
    configuration: str
    """Its id; empty where nothing was measured that the bar is about."""
    measure: str
    at_least: float | None
    at_most: float | None
    value: float | None
    holds: bool


class Summary(_Model):
    """Every number that is printed. Rows are in the order of the table: the best first."""

    rows: tuple[Row, ...]
    bars: tuple[BarRecord, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was measured and every bar holds."""
        return bool(self.rows) and all(bar.holds for bar in self.bars)


class LeftOut(_Model):
    """What was not measured."""

    what: str
    reason: str


class StepTime(_Model):
    """How long a step took; where its result was there already, how long it took then."""

    step: str
    of: str
    seconds: float
    reused: bool


class Times(_Model):
    """When and how long. Nothing in here is a result."""

    started: str
    """ISO 8601, UTC."""
    seconds: float
    load: float | None
    """Of the machine when the run started, over the last minute: processes that wanted to run."""
    steps: tuple[StepTime, ...]


class SpeedRecord(_Model):
    """Figures of one configuration on one dataset, in one repetition."""

    dataset: str
    configuration: str
    """Its id."""
    repetition: int
    """From 0."""
    figures: SpeedFigures


@dataclass(frozen=True)
class RunFolder:
    """A run, read. Records and run files are read when they are asked for.

    :param path: of the folder.
    :param manifest: what it follows from.
    :param scenario: as it was run.
    :param configurations: by id.
    :param summary: the figures.
    :param left_out: what was not measured.
    :param times: of the run.
    :param speed: of the speed part; empty where there was none.
    """

    path: Path
    manifest: Manifest
    scenario: Scenario
    configurations: Mapping[str, ConfigurationRecord]
    summary: Summary
    left_out: tuple[LeftOut, ...]
    times: Times | None
    speed: tuple[SpeedRecord, ...]

    @cached_property
    def measured(self) -> list[tuple[str, str]]:
        """Dataset and configuration of everything that there are records of."""
        return [(row.dataset, row.configuration) for row in self.summary.rows]

    def records(self, dataset: str, configuration: str) -> list[QueryRecord]:
        """What each query found, in the dataset's order.

        :param dataset: its name.
        :param configuration: its id.
        :raises InvalidInput: where they are not there, or damaged.
        """
        path = self.path / "records" / dataset / f"{configuration}.jsonl"
        return [_parsed(QueryRecord, line, f"{path}, line {n}") for n, line in enumerate(_text(path).splitlines(), 1)]

    def run(self, dataset: str, configuration: str) -> Run:
        """The TREC run, in its order.

        :param dataset: its name.
        :param configuration: its id.
        """
        return read_run(self.path / "runs" / dataset / f"{configuration}.trec")

    def judgements(self, dataset: str) -> Judgements:
        """Queries and what they should find.

        :param dataset: its name.
        """
        return read_judgements(self.path / "queries" / f"{dataset}.jsonl", self.path / "qrels" / f"{dataset}.jsonl")


def read_run_folder(path: Path) -> RunFolder:
    """Read the folder of a run.

    :param path: of the folder.
    :raises InvalidInput: where it is no such folder, is damaged, or of a newer version.
    """
    if not (path / MANIFEST).is_file():
        raise InvalidInput(f"{path} is no folder of a run: it holds no {MANIFEST}")
    version = json.loads(_text(path / MANIFEST)).get("schema_version")
    if version != SCHEMA_VERSION:
        raise InvalidInput(f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}")
    times, speed = path / "times.json", path / "speed.json"
    known = _file(list[ConfigurationRecord], path / "configurations.json")
    return RunFolder(
        path=path,
        manifest=_file(Manifest, path / MANIFEST),
        scenario=parse_scenario(_text(path / "scenario.toml"), str(path / "scenario.toml")),
        configurations={configuration.id: configuration for configuration in known},
        summary=_file(Summary, path / "summary.json"),
        left_out=_file(tuple[LeftOut, ...], path / "left-out.json"),
        times=_file(Times, times) if times.is_file() else None,
        speed=_file(tuple[SpeedRecord, ...], speed) if speed.is_file() else (),
    )


def _file(model: type[_T], path: Path) -> _T:
    return _parsed(model, _text(path), str(path))


def _parsed(model: type[_T], text: str, where: str) -> _T:
    try:
        return TypeAdapter(model).validate_json(text)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise InvalidInput(f"{where} is damaged at {place or 'its beginning'}: {detail['msg']}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
