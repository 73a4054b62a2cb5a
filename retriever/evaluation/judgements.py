"""Queries of which it is known what they should find: grades of documents, and where the answer stands in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retriever.errors import InvalidInput
from retriever.metadata import check_text

PathInput = str | os.PathLike[str]

Grades = Mapping[str, Mapping[str, int]]
"""Grade by document id by query id. Above 0 is relevant, the more the better; 0 or less is judged and not relevant."""

_QUERY = ("query", "query-id", "query_id", "qid")
_DOCUMENT = ("document", "corpus-id", "document_id", "doc_id", "docid")
_GRADE = ("grade", "score", "relevance")
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """Where an answer stands: ``text[start:end]`` of the document, counted in code points.

    :param document: id.
    :param start: offset of the first character.
    :param end: offset after the last one.
    """

    document: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Judgements:
    """A judged set.

    :param queries: text by id, in the file's order; only judged ones.
    :param grades: what is known of each of them.
    :param spans: where the answers stand, for queries of which that is known; their documents are graded 1.
    :param unasked: ids that are judged, but of which there is no query.
    """

    queries: Mapping[str, str]
    grades: Grades
    spans: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    unasked: Sequence[str] = ()

    def relevant(self, query: str) -> frozenset[str]:
        """Ids of the documents that the query should find.

        :param query: its id.
        """
        return frozenset(document for document, grade in self.grades[query].items() if grade > 0)


@dataclass(slots=True)
class _Qrels:
    grades: dict[str, dict[str, int]] = field(default_factory=dict)
    spans: dict[str, list[Span]] = field(default_factory=dict)

    def add(self, query: str, document: str, grade: int, where: str) -> None:
        if not (query.strip() and document.strip()):
            raise InvalidInput(f"{where}: the id of the {'document' if query.strip() else 'query'} is blank")
        if abs(grade) > _MOST:
            raise InvalidInput(f"{where}: grade {grade} is beyond what trec_eval can hold: at most {_MOST:,}")
        known = self.grades.setdefault(query, {})
        if known.setdefault(document, grade) != grade:
            raise InvalidInput(
                f"{where}: document {document!r} has grade {grade} for query {query!r} here and {known[document]} "
                "further up: keep one of the lines"
            )


def read_judgements(queries: PathInput, qrels: PathInput, *, limit: int | None = None) -> Judgements:
    """Read a judged set.

    :param queries: JSON Lines with ``_id`` or ``id``, and ``text``; or a TSV file of id and text.
    :param qrels: BEIR's TSV (a header, then query id, document id, grade); TREC's four columns (query id, anything,
        document id, grade); or JSON Lines with ``query``, ``document`` and, if it is not 1, ``grade``. With ``start``
        and ``end`` such a line is a gold span.
    :param limit: how many of the judged queries, from the first on; all by default.
    :raises InvalidInput: for a file that is not there, or a line that cannot be read; the message has its number.
    """
    texts = dict(_queries(Path(queries)))
    judged = _read_qrels(Path(qrels))
    chosen = [name for name in texts if name in judged.grades][:limit]
    if not chosen:
        raise InvalidInput(
            f"no query of {queries} is judged in {qrels}: ids of queries there are like {_examples(texts)}, "
            f"ids in the judgements like {_examples(judged.grades)}"
        )
    return Judgements(
        {name: texts[name] for name in chosen},
        {name: judged.grades[name] for name in chosen},
        {name: judged.spans[name] for name in chosen if name in judged.spans},
        tuple(name for name in judged.grades if name not in texts),
    )


def write_qrels(path: PathInput, grades: Grades) -> None:
    """Write grades for trec_eval, with ids escaped as :func:`retriever.evaluation.runs.write_run` does it.

    :param path: of the file.
    :param grades: what to write.
    """
    from retriever.evaluation.runs import escape

    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        for query, documents in grades.items():
            for document, grade in documents.items():
                file.write(f"{escape(query)} 0 {escape(document)} {grade}\n")


def _queries(path: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for where, line in _lines(path):
        if line.lstrip().startswith("{"):
            row = _json(line, where)
            name, text = _named(row, ("_id", "id"), where), row.get("text")
        else:
            name, _, text = line.partition("\t")
        if not isinstance(text, str) or not text.strip() or not name.strip():
            raise InvalidInput(f'{where}: a query is {{"_id": …, "text": …}}, or an id, a tab and a text')
        if name in seen:
            raise InvalidInput(f"{where}: query {name!r} is there a second time: ids are unique")
        seen.add(name)
        yield name, _written(text, where)


def _read_qrels(path: Path) -> _Qrels:
    read = _Qrels()
    for number, (where, line) in enumerate(_lines(path)):
        if line.lstrip().startswith("{"):
            _add_json(read, _json(line, where), where)
        elif not (number == 0 and _is_header(line)):
            query, document, grade = _columns(line, where)
            read.add(query, document, _whole(grade, where, "a grade"), where)
    if not read.grades:
        raise InvalidInput(f"{path} holds no judgement")
    return read


def _add_json(read: _Qrels, row: Mapping[str, Any], where: str) -> None:
    query, document = _named(row, _QUERY, where), _named(row, _DOCUMENT, where)
    grade = next((row[key] for key in _GRADE if key in row), 1)
    read.add(query, document, _whole(grade, where, "a grade"), where)
    if "start" in row or "end" in row:
        start, end = (_whole(row.get(key), where, key) for key in ("start", "end"))
        if not 0 <= start < end:
            raise InvalidInput(f"{where}: a span from {start} to {end} is empty: start is from 0, end is greater")
        read.spans.setdefault(query, []).append(Span(document, start, end))


def _is_header(line: str) -> bool:
    """BEIR's first line: its last column is no number, not even one that is refused."""
    columns = line.split("\t")
    if len(columns) != 3:
        return False
    try:
        float(columns[2])
    except ValueError:
        return True
    return False


def _columns(line: str, where: str) -> tuple[str, str, str]:
    tabbed = line.split("\t")
    if len(tabbed) == 3:
        return tabbed[0], tabbed[1], tabbed[2]
    columns = tabbed if len(tabbed) == 4 else line.split()
    if len(columns) == 4:
        return columns[0], columns[2], columns[3]
    raise InvalidInput(
        f"{where}: a judgement is query id, document id and grade with tabs between (BEIR), or query id, 0, document "
        "id and grade (TREC), or a JSON object"
    )


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Lines that are not blank, each with its place."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}, line {number}", line.rstrip("\n")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8: {error}") from error


def _json(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise InvalidInput(f"{where}: not a JSON object")
    return row


def _named(row: Mapping[str, Any], keys: Sequence[str], where: str) -> str:
    for key in keys:
        value = row.get(key)
        if (isinstance(value, str) and value.strip()) or (isinstance(value, int) and not isinstance(value, bool)):
            return _written(str(value), where)
    raise InvalidInput(f"{where}: there is no {' or '.join(keys[:2])}")


def _written(text: str, where: str) -> str:
    check_text(text, f"{where}: {text!r}")
    return text


def _whole(value: object, where: str, what: str) -> int:
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{where}: {what} is a whole number, not {value!r}") from None


def _examples(names: Mapping[str, object]) -> str:
    return ", ".join(repr(name) for name in list(names)[:3])
