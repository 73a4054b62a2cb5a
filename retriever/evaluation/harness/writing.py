"""Writing the folder of a run: all of it beside its place first, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from retriever.errors import InvalidInput
from retriever.evaluation.harness.answers import TOP, Answered, Loss
from retriever.evaluation.harness.configurations import Configuration
from retriever.evaluation.harness.datasets import Dataset
from retriever.evaluation.harness.manifest import make_manifest
from retriever.evaluation.harness.records import (
    FOUND,
    MANIFEST,
    TIMED,
    ConfigurationRecord,
    LeftOut,
    QueryRecord,
    SpeedRecord,
    Times,
)
from retriever.evaluation.harness.scenario import Scenario
from retriever.evaluation.harness.summary import summarise
from retriever.evaluation.judgements import Judgements, write_qrels
from retriever.evaluation.measures import measure
from retriever.evaluation.runs import Run, read_run, write_run


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a run has found.

    :param datasets: that were measured.
    :param answered: by name of the dataset and configuration.
    :param models: fingerprint by embedding function, and by learned sparse model.
    :param left_out: what was not measured.
    :param speed: figures of the speed part.
    """

    datasets: Sequence[Dataset]
    answered: Mapping[tuple[str, Configuration], Answered]
    models: Mapping[str, Mapping[str, str]]
    left_out: Sequence[LeftOut]
    speed: Sequence[SpeedRecord]


def check_out(out: Path) -> None:
    """Refuse to replace what is no run.

    :param out: where the folder is to be.
    :raises InvalidInput: where something else is there.
    """
    if out.exists() and not (out.is_dir() and ((out / MANIFEST).is_file() or not any(out.iterdir()))):
        raise InvalidInput(f"{out} is there and is no folder of a run: give another one")


def write_run_folder(out: Path, scenario: Scenario, text: str, findings: Findings, times: Times) -> None:
    """Write everything; see :mod:`retriever.evaluation.harness.records`.

    :param out: where the folder is to be; that of an earlier run is replaced.
    :param scenario: as run.
    :param text: of the scenario's file.
    :param findings: what was found.
    :param times: of the run.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    building, former = (out.with_name(f".{out.name}.{os.getpid()}{end}") for end in ("", ".old"))
    shutil.rmtree(building, ignore_errors=True)
    try:
        _write_all(building, scenario, text, findings, times)
        if out.exists():
            out.replace(former)  # whole, whenever this ends
        building.replace(out)
        shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_all(folder: Path, scenario: Scenario, text: str, findings: Findings, times: Times) -> None:
    for part in ("queries", "qrels"):
        (folder / part).mkdir(parents=True)
    (folder / "scenario.toml").write_text(text, "utf-8", newline="\n")
    for dataset in findings.datasets:
        _write_judgements(folder, dataset.name, dataset.judgements)
    configurations = {c.id: _configuration(c) for _, c in findings.answered}
    judged = {dataset.name: dataset.judgements for dataset in findings.datasets}
    measured = {
        (name, c.id): _write_answers(folder, name, c, answered, judged[name])
        for (name, c), answered in findings.answered.items()
    }
    facts = {(name, c.id): (answered.chunks, answered.notes) for (name, c), answered in findings.answered.items()}
    summary = summarise(scenario, configurations, measured, facts)
    _write_json(folder / "configurations.json", [c.model_dump(mode="json") for c in configurations.values()])
    _write_json(folder / "summary.json", summary.model_dump(mode="json"))
    _write_json(folder / "left-out.json", [left.model_dump(mode="json") for left in findings.left_out])
    _write_json(folder / "times.json", times.model_dump(mode="json"))
    if findings.speed:
        _write_json(folder / "speed.json", [speed.model_dump(mode="json") for speed in findings.speed])
    manifest = make_manifest(scenario, findings.datasets, findings.models, file_hashes(folder))
    _write_json(folder / MANIFEST, manifest.model_dump(mode="json"))


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of a run that do not hold times, by their path in it.

    :param folder: of the run.
    """
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if name not in (*TIMED, MANIFEST)
    }


def query_records(
    run: Run, judgements: Judgements, losses: Mapping[str, Loss], spans: Mapping[str, Mapping[str, float]]
) -> list[QueryRecord]:
    """Measure every query.

    :param run: as its file has it.
    :param judgements: what should have been found.
    :param losses: why queries failed.
    :param spans: measures of gold spans, by measure and query.
    """
    values = {**measure(run, judgements.grades), **spans}
    return [
        QueryRecord(
            query=query,
            measures={name: found[query] for name, found in values.items() if query in found},
            top=tuple(run.get(query, ())[:TOP]),
            **losses.get(query, Loss(reason=FOUND)).model_dump(),
        )
        for query in judgements.queries
    ]


def _write_answers(
    folder: Path, dataset: str, configuration: Configuration, answered: Answered, judgements: Judgements
) -> list[QueryRecord]:
    path = folder / "runs" / dataset / f"{configuration.id}.trec"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_run(path, answered.run, configuration.id)
    records = query_records(read_run(path), judgements, answered.losses, answered.spans)
    _write_lines(folder / "records" / dataset / f"{configuration.id}.jsonl", records)
    return records


def _configuration(configuration: Configuration) -> ConfigurationRecord:
    return ConfigurationRecord(
        id=configuration.id,
        label=configuration.label,
        is_peer=configuration.is_peer,
        embedding=configuration.embedding if configuration.depends_on_embedding else None,
        sparse=configuration.sparse or None,
        chunker=configuration.chunker.label,
        store=configuration.store,
        search=configuration.search.settings,
    )


def _write_judgements(folder: Path, name: str, judgements: Judgements) -> None:
    queries = [{"_id": query, "text": text} for query, text in judgements.queries.items()]
    rows: list[dict[str, Any]] = []
    for query, grades in judgements.grades.items():
        rows += [{"query": query, "document": document, "grade": grade} for document, grade in grades.items()]
        for span in judgements.spans.get(query, ()):
            grade = grades[span.document]
            rows.append(
                {"query": query, "document": span.document, "grade": grade, "start": span.start, "end": span.end}
            )
    _write_lines(folder / "queries" / f"{name}.jsonl", queries)
    _write_lines(folder / "qrels" / f"{name}.jsonl", rows)
    write_qrels(folder / "qrels" / f"{name}.txt", judgements.grades)


def _write_lines(path: Path, rows: Iterable[BaseModel | Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            content = row.model_dump(mode="json", exclude_defaults=True) if isinstance(row, BaseModel) else row
            file.write(json.dumps(content, ensure_ascii=False) + "\n")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8", newline="\n")
