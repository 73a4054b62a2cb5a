"""Every number of a run but times, computed again from what each query found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import Any

from retriever.errors import RetrieverError
from retriever.evaluation.harness.answers import TOP
from retriever.evaluation.harness.datasets import judgement_hashes
from retriever.evaluation.harness.records import FOUND, NOTHING_TO_FIND, QueryRecord, RunFolder, read_run_folder
from retriever.evaluation.harness.summary import summarise
from retriever.evaluation.harness.writing import file_hashes
from retriever.evaluation.judgements import Judgements
from retriever.evaluation.measures import measure
from retriever.evaluation.runs import Scored
from retriever.evaluation.spans import SPAN_MEASURES

_NEAR = 1e-9


def verify_run(path: Path) -> list[str]:
    """Compare a run's numbers with its records, these with its TREC runs, and all files with their checksums.

    :param path: of the run's folder.
    :return: what differs; empty where everything fits.
    """
    try:
        folder = read_run_folder(path)
        return [*_files(folder), *_manifest(folder), *_records(folder), *_summary(folder)]
    except RetrieverError as error:
        return [str(error)]


def _files(folder: RunFolder) -> Iterator[str]:
    found, recorded = file_hashes(folder.path), folder.manifest.files
    for name in sorted(found.keys() | recorded.keys()):
        if name not in found:
            yield f"{name} is not there"
        elif name not in recorded:
            yield f"{name} was not there when the run ended"
        elif found[name] != recorded[name]:
            yield f"{name} was changed: its checksum is not the one in the manifest"


def _manifest(folder: RunFolder) -> Iterator[str]:
    """What it repeats of the scenario, what it says of the judgements, and that no configuration was dropped."""
    manifest, scenario = folder.manifest, folder.scenario
    said = {"name": manifest.name, "measure": manifest.measure, "seed": manifest.seed}
    yield from _differences("manifest", said, {key: getattr(scenario, key) for key in said})
    for dataset in manifest.datasets:
        judgements = folder.judgements(dataset.name)
        queries, qrels = judgement_hashes(judgements)
        found = {"queries": len(judgements.queries), "checksums": {"queries": queries, "qrels": qrels}}
        said = dataset.model_dump(include={"queries": True, "checksums": {"queries", "qrels"}})
        yield from _differences(f"manifest: {dataset.name}", said, found)
    there = {(path.parent.name, path.stem) for path in folder.path.glob("records/*/*.jsonl")}
    for name, configuration in sorted(there - set(folder.measured)):
        yield f"records/{name}/{configuration}.jsonl is of no row of the summary"


def _records(folder: RunFolder) -> Iterator[str]:
    """Each record against the TREC run and the judgements."""
    judged = {dataset.name: folder.judgements(dataset.name) for dataset in folder.manifest.datasets}
    for dataset, configuration in folder.measured:
        where = f"{dataset}, {folder.configurations[configuration].label}"
        records, judgements = folder.records(dataset, configuration), judged[dataset]
        if [record.query for record in records] != list(judgements.queries):
            yield f"{where}: the records are not those of the dataset's queries"
            continue
        run = folder.run(dataset, configuration)
        values = measure(run, judgements.grades)
        for record in records:
            expected = {name: found[record.query] for name, found in values.items()}
            for difference in _of_record(record, expected, run.get(record.query, ()), judgements):
                yield f"{where}, query {record.query}: {difference}"


def _of_record(
    record: QueryRecord,
    expected: Mapping[str, float],
    found: Sequence[Scored],
    judgements: Judgements,
) -> Iterator[str]:
    own = {name: value for name, value in record.measures.items() if name.partition("@")[0] not in SPAN_MEASURES}
    yield from _differences("", own, dict(expected))
    if list(record.top) != list(found[:TOP]):
        yield "its best documents are not those of the run file"
    relevant = judgements.relevant(record.query)
    is_found = any(document in relevant for document, _ in found[:TOP])
    if (record.reason == FOUND) != is_found or (record.reason == NOTHING_TO_FIND) != (not relevant):
        yield f"the run file does not bear out {record.reason!r}"


def _summary(folder: RunFolder) -> Iterator[str]:
    """The summary against the records."""
    measured = {key: folder.records(*key) for key in folder.measured}
    facts = {(row.dataset, row.configuration): (row.chunks, row.notes) for row in folder.summary.rows}
    again = summarise(folder.scenario, folder.configurations, measured, facts)
    yield from _differences("summary", folder.summary.model_dump(mode="json"), again.model_dump(mode="json"))


def _differences(place: str, found: Any, expected: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Where two values differ, with the path to each place."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in dict.fromkeys([*found, *expected]):
            yield from _differences(f"{place}.{key}".lstrip("."), found.get(key), expected.get(key))
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for n, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from _differences(f"{place}[{n}]", one, other)
    elif not _same(found, expected):
        yield f"{place} is {found!r}, computed again it is {expected!r}"


def _same(found: object, expected: object) -> bool:
    if isinstance(found, float) and isinstance(expected, float):
        return isclose(found, expected, rel_tol=_NEAR, abs_tol=_NEAR)
    return type(found) is type(expected) and found == expected
