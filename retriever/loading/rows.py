"""Files that hold many documents: the ids of their rows, and what may be forgotten when a row is broken."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping

from retriever.loading.outcome import File, Outcome, Unloaded, parsing
from retriever.types import Document, Scalar

_ID_FIELDS = ("id", "_id")
_TEXT_FIELDS = ("text", "content", "body", "page_content")

LONGEST_VALUE = 1000
"""Characters beyond which a value or its name is not metadata, stored again with every chunk, but text."""

MOST_KEYS = 64
"""Fields of a row that become metadata; those after them are in its text."""

LARGEST_INT = 2**53
"""Beyond it integers are not exact in the stores, which keep them as floats or as 64 bits."""

_REPORTED = 100


class Rows:
    """The documents of one file, made row by row.

    A row is named by its own id, if it has one that no row before it has, and by its number otherwise.

    :param file: the file.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._taken: set[str] = set()
        self._named = False
        self._broken = 0
        self._last_is_broken = False

    def add(self, number: int, row: Mapping[str, object], *, text_fields: bool = True) -> Document | Unloaded:
        """Make the document of a row.

        :param number: of the row, from 1.
        :param row: its fields.
        :param text_fields: whether one field may be the text, the others then being about it.
        :return: the document, or why its id cannot be given to it.
        :raises ReadError: if its values nest too deeply to be written out.
        """
        self._last_is_broken = False
        row_id = self._id(number, row)
        if row_id is None:
            return self._unloaded(number, "its number is the id of a row above")
        field = _text_field(row) if text_fields else None
        about, rest = _metadata({key: value for key, value in row.items() if key != field})
        if field is None:
            with parsing("row"):
                text = _lines(row)
        else:
            text = _with_rest(_titled(row, field), rest)
        return Document(row_id, text, {**about, **self._file.metadata()})

    def broken(self, number: int, reason: str) -> Iterator[Unloaded]:
        """Report a row that cannot be read; after many of them only :meth:`end` says so.

        :param number: of the row, from 1.
        :param reason: one line for people.
        :return: what to report now.
        """
        self._last_is_broken = True
        self._broken += 1
        if self._broken <= _REPORTED:
            yield self._unloaded(number, reason)

    def end(self) -> Iterator[Outcome]:
        """Finish the file.

        Whoever forgets documents that are gone must know which ones may just not have been read. A broken row may
        have had any id, in a file whose rows have ids or may have; and a file that ends in a broken row may have been
        cut short, so that any number of rows is missing. Then the whole file is reported.

        :return: what is left to report. A file without rows is a blank document, as an empty text file is.
        """
        if not self._taken and not self._broken:
            yield Document(self._file.path, "", self._file.metadata())
        numbered = bool(self._taken) and not self._named
        if self._broken and not (numbered and not self._last_is_broken and self._broken <= _REPORTED):
            rows = "1 row is" if self._broken == 1 else f"{self._broken} rows are"
            yield Unloaded(self._file.path, f"{rows} broken, so nothing of the file is forgotten", "failed")

    def _unloaded(self, number: int, reason: str) -> Unloaded:
        return Unloaded(f"{self._file.path}#{number}", reason, "failed")

    def _id(self, number: int, row: Mapping[str, object]) -> str | None:
        own = _own_id(row)
        self._named = self._named or bool(own)
        for name in (own, str(number)):
            row_id = f"{self._file.path}#{name}"
            if name and row_id not in self._taken:
                self._taken.add(row_id)
                return row_id
        return None


def _own_id(row: Mapping[str, object]) -> str:
    for field in _ID_FIELDS:
        value = row.get(field)
        if isinstance(value, str | int) and not isinstance(value, bool):
            name = str(value)
            if name.strip() and len(name) <= LONGEST_VALUE:
                return name
    return ""


def _text_field(row: Mapping[str, object]) -> str | None:
    return next((field for field in _TEXT_FIELDS if isinstance(row.get(field), str)), None)


def _titled(row: Mapping[str, object], field: str) -> str:
    """The text of a row, under its title."""
    text, title = str(row[field]), row.get("title")
    if not isinstance(title, str) or not title.strip():
        return text
    return f"{title}\n\n{text}" if text.strip() else title


def _lines(row: Mapping[str, object]) -> str:
    return "\n".join(f"{key}: {_shown(value)}" for key, value in row.items() if value not in (None, "", [], {}))


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _metadata(row: Mapping[str, object]) -> tuple[dict[str, Scalar], dict[str, Scalar]]:
    """The fields that become metadata, and those that could but are too long or too many."""
    kept: dict[str, Scalar] = {}
    rest: dict[str, Scalar] = {}
    for key, field in row.items():
        value = _scalar(field)
        if not key or value is None:
            continue
        too_long = len(key) > LONGEST_VALUE or (isinstance(value, str) and len(value) > LONGEST_VALUE)
        (rest if too_long or len(kept) == MOST_KEYS else kept)[key] = value
    return kept, rest


def _with_rest(text: str, rest: Mapping[str, Scalar]) -> str:
    """The text, and below it the fields that are not metadata; long values only if it does not have them."""
    left = {key: value for i, (key, value) in enumerate(rest.items()) if not _is_in(text, value, i)}
    return "\n\n".join(part for part in (text, _lines(left)) if part)


def _is_in(text: str, value: Scalar, number: int) -> bool:
    # Only for so many: to look through the text for each would take time quadratic in the size of the row.
    return isinstance(value, str) and len(value) > LONGEST_VALUE and number < MOST_KEYS and value in text


def _scalar(value: object) -> Scalar | None:
    """A value as metadata can have it. Not a number and infinity are no values that a filter could find."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INT else str(value)
    return value if isinstance(value, float) and math.isfinite(value) else None
