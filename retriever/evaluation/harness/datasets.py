"""Datasets: documents, queries and judgements, from wherever a scenario says they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retriever.errors import ConfigurationError, InvalidInput, MissingExtra
from retriever.evaluation.harness.download import fetched
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.records import Checksums
from retriever.evaluation.harness.scenario import DatasetSpec, expand
from retriever.evaluation.judgements import Judgements, read_judgements
from retriever.loading import Unloaded, load
from retriever.types import Document


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is searched, and what should be found.

    :param spec: as the scenario has it.
    :param documents: each id once.
    :param judgements: of queries; at least one.
    :param checksums: of all three.
    :param notes: what should be known of it.
    """

    spec: DatasetSpec
    documents: list[Document]
    judgements: Judgements
    checksums: Checksums
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As the scenario has it."""
        return self.spec.name


def read_dataset(spec: DatasetSpec, folder: Path, cache: Path, progress: Progress) -> Dataset:
    """Read a dataset, or fetch it.

    :param spec: where it is.
    :param folder: of the scenario's file.
    :param cache: folder for what is fetched.
    :param progress: shows what is fetched.
    :raises ConfigurationError: where it is not to be had here.
    :raises InvalidInput: where it is there, but a line of it cannot be read, or nothing in it fits together.
    """
    if spec.folder is not None:
        documents, judgements, notes = _own(spec, folder)
    elif spec.ir_datasets is not None:
        documents, judgements, notes = *_from_ir_datasets(spec.ir_datasets, spec.limit), []
    else:
        place = _beir_folder(spec, folder, cache, progress)
        documents = list(_corpus(place / "corpus.jsonl"))
        judgements = read_judgements(place / "queries.jsonl", place / "qrels" / f"{spec.split}.tsv", limit=spec.limit)
        notes = []
    notes += _check(spec.name, documents, judgements)
    return Dataset(spec, documents, judgements, _checksums(documents, judgements), tuple(notes))


def _beir_folder(spec: DatasetSpec, folder: Path, cache: Path, progress: Progress) -> Path:
    reason = ""
    if spec.path is not None:
        try:
            place = expand(spec.path, folder)
            if (place / "corpus.jsonl").is_file():
                return place
            reason = f"{spec.path} holds no corpus.jsonl"
        except ConfigurationError as error:
            reason = str(error)
    if spec.url is None or spec.sha256 is None:
        raise ConfigurationError(reason)
    try:
        return fetched(spec.url, spec.sha256, cache, progress)
    except ConfigurationError as error:
        raise ConfigurationError("; ".join(filter(None, [reason, str(error)]))) from error


def _corpus(path: Path) -> Iterator[Document]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _document(line, f"{path}, line {number}")


def _document(line: str, where: str) -> Document:
    try:
        row = json.loads(line)
        name, title, text = row["_id"], row.get("title") or "", row["text"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput(f'{where}: a document is {{"_id": …, "title": …, "text": …}}: {error!r}') from error
    if not (isinstance(name, str) and isinstance(title, str) and isinstance(text, str)):
        raise InvalidInput(f"{where}: _id, title and text are strings")
    return Document(name, f"{title} {text}".strip())


def _own(spec: DatasetSpec, folder: Path) -> tuple[list[Document], Judgements, list[str]]:
    """A user's files. Ids are paths relative to the folder, as the search shows them behind the source's name."""
    given = [text or "" for text in (spec.folder, spec.queries, spec.qrels)]
    places = [expand(text, folder) for text in given]
    if missing := [text for text, place in zip(given, places, strict=True) if not place.exists()]:
        raise ConfigurationError(f"there is nothing at {', '.join(missing)}")  # a run may be shown to others
    documents, notes = [], []
    for outcome in load(places[0]):
        if isinstance(outcome, Unloaded):
            notes.append(f"{outcome.path} was not read: {outcome.reason}")
        else:
            documents.append(outcome)
    return documents, read_judgements(places[1], places[2], limit=spec.limit), notes


def _from_ir_datasets(name: str, limit: int | None) -> tuple[list[Document], Judgements]:
    try:
        import ir_datasets
    except ModuleNotFoundError as error:
        raise MissingExtra(f"the dataset {name}", "datasets") from error
    try:
        found = ir_datasets.load(name)
        documents = [Document(str(row.doc_id), row.default_text()) for row in found.docs_iter()]
        texts = {str(row.query_id): row.default_text() for row in found.queries_iter()}
        grades: dict[str, dict[str, int]] = {}
        for row in found.qrels_iter():
            grades.setdefault(str(row.query_id), {})[str(row.doc_id)] = int(row.relevance)
    except Exception as error:  # its own kinds of error are many: it fetches, unpacks and parses
        raise ConfigurationError(f"ir_datasets has no {name} here: {error!r}") from error
    return documents, _limited(texts, grades, limit)


def _limited(texts: Mapping[str, str], grades: Mapping[str, Mapping[str, int]], limit: int | None) -> Judgements:
    chosen = [query for query in texts if query in grades][:limit]
    return Judgements({query: texts[query] for query in chosen}, {query: grades[query] for query in chosen})


def _check(name: str, documents: list[Document], judgements: Judgements) -> list[str]:
    """Refuse what cannot be measured; say what is odd."""
    known = {document.id for document in documents}
    if len(known) < len(documents):
        raise InvalidInput(f"dataset {name}: {len(documents) - len(known)} documents have the id of another one")
    if not judgements.queries:
        raise InvalidInput(f"dataset {name}: no query is judged")
    relevant = {document for query in judgements.queries for document in judgements.relevant(query)}
    if not relevant & known:
        raise InvalidInput(
            f"dataset {name}: no relevant document is in the corpus. Ids of documents are like {_examples(known)}, "
            f"those in the judgements like {_examples(relevant)}"
        )
    missing = sorted(relevant - known)
    return [f"{len(missing)} relevant documents are not in the corpus: {_examples(missing)}"] if missing else []


def _examples(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)[:3])


def _checksums(documents: list[Document], judgements: Judgements) -> Checksums:
    """Of what is used, whatever file it came from: lines of JSON."""
    corpus = _hash([document.id, document.text, dict(document.metadata)] for document in documents)
    queries, qrels = judgement_hashes(judgements)
    return Checksums(corpus=corpus, queries=queries, qrels=qrels)


def judgement_hashes(judgements: Judgements) -> tuple[str, str]:
    """Checksums of the queries and of what they should find.

    :param judgements: of a dataset.
    """
    spans = {query: [(s.document, s.start, s.end) for s in found] for query, found in judgements.spans.items()}
    rows = ([query, sorted(grades.items()), spans.get(query, [])] for query, grades in judgements.grades.items())
    return _hash(judgements.queries.items()), _hash(rows)


def _hash(rows: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
