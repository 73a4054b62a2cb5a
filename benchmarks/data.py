"""Reading the data: judged sets in BEIR layout, and archives of real files."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retriever import Document

VARIABLE = "RETRIEVER_DATA"
"""Environment variable with the folder of the data."""

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
"""Of the semantic leg."""

FASTAPI_EN = "fastapi-docs-en"
FASTAPI_ZH = "fastapi-docs-zh"
TLDR = "tldr-pages-en"


class DataMissing(Exception):
    """What was asked for is not in the folder of the data."""


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """Documents, and queries of which it is known what they should find.

    :param documents: title and text, joined by a space.
    :param queries: text by id, in the file's order; only judged ones.
    :param judgements: grade by document id by query id.
    """

    documents: list[Document]
    queries: dict[str, str]
    judgements: dict[str, dict[str, int]]


def data_folder(given: Path | None) -> Path | None:
    """The folder of the data.

    :param given: on the command line, or None.
    :return: that, else what the environment says; None where neither is set.
    """
    if given is not None:
        return given
    found = os.environ.get(VARIABLE)
    return Path(found) if found else None


def read_set(folder: Path, limit: int | None = None, split: str = "test") -> JudgedSet:
    """Read a set. Queries without judgements are left out.

    :param folder: with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv``.
    :param limit: how many of the judged queries, from the first on; all by default.
    :param split: which judgements.
    """
    documents = [
        Document(line["_id"], f"{line.get('title', '')} {line['text']}".strip())
        for line in _lines(folder / "corpus.jsonl")
    ]
    judgements = _judgements(folder / "qrels" / f"{split}.tsv")
    judged = [line for line in _lines(folder / "queries.jsonl") if line["_id"] in judgements]
    queries = {line["_id"]: line["text"] for line in judged[:limit]}
    return JudgedSet(documents, queries, {query: judgements[query] for query in queries})


def extract(data: Path, target: Path, archives: Sequence[str], count: int | None = None) -> list[Path]:
    """Write the Markdown files of some archives below a folder, always the same ones.

    :param data: folder that holds ``docs/NAME.tar.gz``.
    :param target: where to write; each archive gets a folder of its name.
    :param archives: names, in the order in which files are taken from them.
    :param count: how many files in all; all by default.
    :return: the files.
    """
    written: list[Path] = []
    for name in archives:
        with tarfile.open(data / "docs" / f"{name}.tar.gz") as archive:
            members = [member for member in archive if member.isfile() and member.name.endswith(".md")]
            room = None if count is None else count - len(written)
            for member in sorted(members, key=lambda member: member.name)[:room]:
                archive.extract(member, target / name, filter="data")
                written.append(target / name / member.name)
    return written


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def _judgements(path: Path) -> dict[str, dict[str, int]]:
    judgements: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            query, document, grade = line.rstrip("\n").split("\t")
            judgements.setdefault(query, {})[document] = int(grade)
    return judgements
