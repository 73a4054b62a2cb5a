"""JSON and JSON Lines: a document an object."""

from __future__ import annotations

import json
from collections.abc import Iterator

from retriever.loading.decode import is_damaged, lines, open_text, read_text
from retriever.loading.outcome import File, Outcome, ReadError, one_line
from retriever.loading.rows import Rows
from retriever.types import Document


def load_jsonl(file: File) -> Iterator[Outcome]:
    """Read a document a line; a broken line costs only itself.

    :param file: the file.
    :return: documents and broken lines.
    :raises ReadError: if it is not text.
    """
    rows = Rows(file)
    with open_text(file.location, newline="\n") as text:
        for number, line in enumerate(lines(text), start=1):
            if line.strip():
                yield from _line(rows, number, line)
    yield from rows.end()


def _line(rows: Rows, number: int, line: str) -> Iterator[Outcome]:
    if is_damaged(line):
        yield from rows.broken(number, f"line {number} is not valid UTF-8")
        return
    try:
        value = _parse(line)
        if not isinstance(value, dict):
            raise ReadError("not an object in braces")
        outcome = rows.add(number, value)
    except ReadError as error:
        yield from rows.broken(number, f"line {number} is {error.reason}")
        return
    yield outcome


def load_json(file: File) -> Iterator[Outcome]:
    """Read an array of objects as a document each, and anything else as the text it is.

    :param file: the file.
    :return: documents.
    :raises ReadError: if it is not text, or begins as an array and is broken: the rows that were read from it before
        are not to be forgotten for that.
    """
    text = read_text(file.location)
    objects = _objects(text)
    if not objects:
        yield Document(file.path, text, file.metadata())
        return
    rows = Rows(file)
    for number, value in enumerate(objects, start=1):
        yield rows.add(number, value)


def _objects(text: str) -> list[dict[str, object]]:
    if not text[:1000].lstrip().startswith("["):
        return []
    try:
        values = _parse(text)
    except ReadError as error:
        raise ReadError(f"it is {error.reason}") from error
    if isinstance(values, list) and all(isinstance(value, dict) for value in values):
        return values
    return []


def _parse(text: str) -> object:
    """Parse JSON, which raises more than its own errors: on deep nesting, and on numbers of thousands of digits."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"not valid JSON: {one_line(error)}") from error
    return value
