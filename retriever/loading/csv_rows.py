"""CSV and its kin: a document a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import TextIO

from retriever.loading.decode import LONGEST_LINE, is_damaged, lines, open_text
from retriever.loading.outcome import File, Outcome, ReadError, one_line
from retriever.loading.rows import Rows

_DELIMITERS = ",;\t|"
_NO_DELIMITER = "\x1f"
"""For a single column, whose cells may well have commas in them."""

_HEAD = 64 * 1024


def load_csv(file: File) -> Iterator[Outcome]:
    """Read a document a row; the first row names the columns.

    :param file: the file.
    :return: documents, and rows that are not valid UTF-8.
    :raises ReadError: if it is not text, or no table.
    """
    # The limit is one for the whole process, so it is only ever raised. The default cuts off at 128 KiB a field.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    rows = Rows(file)
    with open_text(file.location, newline="") as text:
        delimiter = _delimiter(text)
        try:
            yield from _rows(rows, csv.reader(lines(text), delimiter=delimiter))
        except csv.Error as error:
            raise ReadError(f"not a table: {one_line(error)}") from error
    yield from rows.end()


def _rows(rows: Rows, records: Iterator[list[str]]) -> Iterator[Outcome]:
    names = _names(next((record for record in records if any(record)), []))
    for number, record in enumerate(records, start=1):
        if any(map(is_damaged, record)):
            yield from rows.broken(number, f"row {number} is not valid UTF-8")
            continue
        row = dict(_cells(names, record))
        if row:
            yield rows.add(number, row, text_fields=False)


def _cells(names: Sequence[str], record: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Columns that are not empty. A row may be longer than the header."""
    for number, value in enumerate(record):
        if value.strip():
            yield names[number] if number < len(names) else f"column {number + 1}", value


def _names(header: Iterable[str]) -> list[str]:
    """A name for every column, and no name twice."""
    names: dict[str, None] = {}
    for number, cell in zip(count(1), header, strict=False):
        if is_damaged(cell):
            raise ReadError("its header is not valid UTF-8; save it again as UTF-8")
        name = cell.strip() or f"column {number}"
        while name in names:
            name = f"{name} ({number})"
        names[name] = None
    return list(names)


def _delimiter(text: TextIO) -> str:
    """The delimiter under which most rows are as wide as the first, and the first is widest."""
    head = text.read(_HEAD)
    text.seek(0)
    # Most likely the last row was cut.
    whole = head[: head.rfind("\n") + 1] if len(head) == _HEAD and "\n" in head else head
    best = max(_DELIMITERS, key=lambda delimiter: _fit(whole, delimiter))
    return best if _fit(whole, best) > (0, 0) else _NO_DELIMITER


def _fit(text: str, delimiter: str) -> tuple[float, int]:
    records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        widths = [len(record) for record in records if record]
    except csv.Error:
        return 0.0, 0
    if not widths or widths[0] == 1:
        return 0.0, 0
    return sum(width == widths[0] for width in widths) / len(widths), widths[0]
