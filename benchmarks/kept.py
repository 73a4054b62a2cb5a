"""``python -m benchmarks keep`` and ``tables``: results of this project, and the tables of its pages made from them.

Files in ``benchmarks/results`` are written by ``keep`` alone, from runs that ``verify`` finds nothing in.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.promises import keep_promise, read_promises, summary, whole
from retriever.errors import InvalidInput
from retriever.evaluation.harness.records import ConfigurationRecord, LeftOut, Manifest, Row, read_run_folder
from retriever.evaluation.harness.scenario import Published
from retriever.evaluation.harness.verifying import verify_run
from retriever.evaluation.report.markdown import plain, table
from retriever.evaluation.report.numbers import score

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results")
PAGES = ("README.md", "README.zh.md", "benchmarks/README.md")

_MARKED = re.compile(r"(<!-- results:(?P<name>[\w-]+) -->\n).*?(<!-- /results:(?P=name) -->)", re.DOTALL)
_MODEL = "all-MiniLM-L6-v2, whole, edge"
_LEGS = ("whole, edge, keyword", f"{_MODEL}, semantic", f"{_MODEL}, hybrid relative")
_SETS: Mapping[str, tuple[str, str]] = {
    "scifact": ("SciFact (English, {} queries)", "SciFact（英文，{} 个查询）"),
    "cmrc2018-dev": ("CMRC 2018 dev (Chinese, {})", "CMRC 2018 dev（中文，{}）"),
    "xquad-zh": ("XQuAD-zh (Chinese, {})", "XQuAD-zh（中文，{}）"),
    "xquad-de": ("XQuAD-de (German, {})", "XQuAD-de（德文，{}）"),
    "msvc-errors": ("MSVC error pages (identifiers, {})", "MSVC 错误页（标识符，{}）"),
}
_HEADS = (
    ["nDCG@10, all judged queries", "keyword", "semantic", "hybrid", "elsewhere"],
    ["nDCG@10，全部有标注的查询", "关键词", "语义", "混合", "参照"],
)
_CHINESE = {
    "exact BM25": "精确 BM25",
    "exact BM25 with English stemming": "英文词干的精确 BM25",
    "BM25 with a word tokeniser": "按词切分的 BM25",
    "measured outside this project": "在本项目之外测得",
    "measured outside this project, 600 queries": "在本项目之外测得，600 个查询",
}


class Kept(BaseModel):
    """A run in short: what tables are made from, and what it follows from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: Manifest
    """Without the checksums of the run's files, which are not kept."""
    configurations: tuple[ConfigurationRecord, ...]
    rows: tuple[Row, ...]
    published: dict[str, tuple[Published, ...]]
    """Figures of others, by dataset."""
    left_out: tuple[LeftOut, ...]


def keep(options: argparse.Namespace) -> int:
    """Keep the results of a run, or what a benchmark wrote with ``--json``.

    :param options: of the command line.
    :return: exit code: 1 where the run does not verify.
    """
    if options.run.is_file():
        print(f"kept: {keep_promise(options.run)}; now: python -m benchmarks tables")
        return 0
    if found := verify_run(options.run):
        print("\n".join([*found, f"{options.run} is not kept: its numbers are not those of its records"]))
        return 1
    folder = read_run_folder(options.run)
    kept = Kept(
        manifest=folder.manifest.model_copy(update={"files": {}}),
        configurations=tuple(folder.configurations.values()),
        rows=folder.summary.rows,
        published={spec.name: spec.published for spec in folder.scenario.datasets if spec.published},
        left_out=folder.left_out,
    )
    path = RESULTS / f"{folder.manifest.name}.json"
    path.parent.mkdir(exist_ok=True)
    content = kept.model_dump(mode="json", exclude_defaults=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8", newline="\n")
    print(f"kept: {path}; now: python -m benchmarks tables")
    return 0


def tables(options: argparse.Namespace) -> int:
    """Write the tables of the pages anew, or say which are not what the results give.

    :param options: of the command line.
    :return: exit code: 1 where ``--check`` finds a difference.
    """
    status = 0
    for page in PAGES:
        path = ROOT / page
        text = path.read_text("utf-8")
        made = written(text, is_chinese=page.endswith(".zh.md"))
        if made == text:
            continue
        if options.check:
            status = 1
            print(f"{page}: its tables are not what benchmarks/results gives: python -m benchmarks tables")
        else:
            path.write_text(made, "utf-8", newline="\n")
            print(f"written: {page}")
    return status


def written(text: str, *, is_chinese: bool = False) -> str:
    """A page with the tables that the results give.

    :param text: of the page.
    :param is_chinese: its language.
    :raises InvalidInput: where it names a table that there is not.
    """
    results, promises = read_results(), read_promises()

    def filled(match: re.Match[str]) -> str:
        name = match["name"]
        if name == "quality":
            lines = list(_quality(results, is_chinese=is_chinese))
        elif name == "promises":
            lines = list(summary(promises, is_chinese=is_chinese))
        elif name in promises:
            lines = list(whole(promises[name]))
        elif any(row.dataset == name for kept in results.values() for row in kept.rows):
            lines = list(_dataset(results, name))
        else:
            raise InvalidInput(
                f"there is no table {name}: quality, promises, or what results are kept of, a dataset or a promise"
            )
        return match[1] + "\n".join(lines) + "\n" + match[3]

    return _MARKED.sub(filled, text)


def read_results(folder: Path = RESULTS) -> dict[str, Kept]:
    """What is kept, by name of the run.

    :param folder: with the files.
    :raises InvalidInput: where one is damaged.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path.stem] = Kept.model_validate_json(path.read_text("utf-8"))
        except ValidationError as error:
            raise InvalidInput(f"{path} is damaged: {error}") from error
    return found


def _quality(results: Mapping[str, Kept], *, is_chinese: bool) -> Iterator[str]:
    """One line a set: both legs and their fusion, next to the figures of others."""
    rows = []
    for dataset, names in _SETS.items():
        kept = _of_dataset(results, dataset)
        labels = {c.id: c.label for c in kept.configurations}
        found = {labels[row.configuration]: row for row in kept.rows if row.dataset == dataset}
        queries = next(d.queries for d in kept.manifest.datasets if d.name == dataset)
        published = [p for p in kept.published.get(dataset, ()) if p.measure == kept.manifest.measure]
        rows.append(
            [
                names[is_chinese].format(f"{queries:,}"),
                *(score(found[leg].measures["nDCG@10"]) if leg in found else "" for leg in _LEGS),
                ("；" if is_chinese else "; ").join(_elsewhere(p, is_chinese=is_chinese) for p in published),
            ]
        )
    yield from table(_HEADS[is_chinese], rows)


def _elsewhere(published: Published, *, is_chinese: bool) -> str:
    name, source = published.name, published.source
    if is_chinese:
        return f"{_CHINESE.get(name, name)} {published.value:g}（{_CHINESE.get(source, source)}）"
    return f"{name} {published.value:g} ({source})"


def _dataset(results: Mapping[str, Kept], dataset: str) -> Iterator[str]:
    """Every configuration on a set."""
    kept = _of_dataset(results, dataset)
    labels = {c.id: c.label for c in kept.configurations}
    measure = kept.manifest.measure
    others = ("Recall@10", "Recall@100", "MRR@10", "Success@1")
    yield from table(
        ["group", "configuration", measure, "95 %", *others, "published"],
        [
            [
                row.group,
                plain(labels[row.configuration]),
                score(row.measures[measure]),
                f"{score(row.low)} to {score(row.high)}",
                *(score(row.measures[name]) for name in others),
                "; ".join(f"{p.name} {p.measure} {p.value:g} ({p.source})" for p in row.published),
            ]
            for row in kept.rows
            if row.dataset == dataset
        ],
    )


def _of_dataset(results: Mapping[str, Kept], dataset: str) -> Kept:
    found = (kept for kept in results.values() if any(row.dataset == dataset for row in kept.rows))
    kept = next(found, None)
    if kept is None:
        raise InvalidInput(f"no results of {dataset} are kept in {RESULTS}")
    return kept
