"""Points that another program wrote: their records, and filters over their payload."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from qdrant_client import models

from retriever.errors import FilterError, InvalidInput
from retriever.filters import Key, Reserved
from retriever.metadata import clean_metadata
from retriever.types import Chunk, MetadataValue, Scalar
from retriever_qdrant.collection import PointId
from retriever_qdrant.filters import Condition, FilterCompiler, Vocabulary

_NUMBER = re.compile(r"0|[1-9]\d{0,19}")


@dataclass(frozen=True, slots=True)
class ForeignLayout:
    """Where another program keeps what we need; the defaults are LangChain's.

    :param text_key: of the payload, holds the text.
    :param metadata_key: of the payload, holds the metadata; None where they lie beside the text.
    :param vector: name of the dense vector; empty for the one without a name.
    """

    text_key: str = "page_content"
    metadata_key: str | None = "metadata"
    vector: str = ""

    def text(self, point: models.Record) -> str:
        """The text of a point; empty where it has none.

        :param point: with its payload.
        """
        text = (point.payload or {}).get(self.text_key)
        return text if isinstance(text, str) else ""

    def chunk(self, point: models.Record) -> Chunk:
        """A point as a chunk, and a document of its own. What cannot be metadata here is left out.

        :param point: with its payload.
        """
        payload = point.payload or {}
        if self.metadata_key is None:
            given: Any = {key: value for key, value in payload.items() if key != self.text_key}
        else:
            given = payload.get(self.metadata_key)
        key, text = to_key(point.id), self.text(point)
        metadata = _usable(given) if isinstance(given, Mapping) else {}
        return Chunk(id=key, document_id=key, text=text, start=0, end=len(text), metadata=metadata)

    def path(self, key: str) -> str:
        """Where a metadata key is in the payload, as Qdrant writes paths.

        :param key: as the other program wrote it.
        :raises FilterError: where Qdrant has no way to write it.
        """
        if '"' in key:
            raise FilterError(f"{key!r}: Qdrant cannot look for a key with a quotation mark")
        return f'"{key}"' if self.metadata_key is None else f'"{self.metadata_key}"."{key}"'


def to_key(point_id: object) -> str:
    """The key of a point: a number's digits, or a UUID with hyphens.

    :param point_id: as the client gives it.
    """
    return str(point_id)


def to_id(key: str) -> PointId | None:
    """The id of a point; None where the key cannot be one.

    :param key: any string.
    """
    if _NUMBER.fullmatch(key):
        return int(key) if int(key) < 2**64 else None
    try:
        return key if str(UUID(key)) == key else None
    except ValueError:
        return None


def to_ids(keys: Sequence[str]) -> list[PointId]:
    """The ids of points, without keys that cannot be one.

    :param keys: any strings.
    """
    return [point_id for point_id in map(to_id, keys) if point_id is not None]


def _usable(given: Mapping[Any, Any]) -> dict[str, MetadataValue]:
    metadata: dict[str, MetadataValue] = {}
    for key, value in given.items():
        try:
            metadata |= clean_metadata({key: value}, "a point")
        except InvalidInput:
            continue
    return metadata


class ForeignFilters(FilterCompiler):
    """Filters over another program's payload.

    :param words: makes the conditions.
    :param layout: of the payload.
    """

    def __init__(self, words: Vocabulary, layout: ForeignLayout) -> None:
        super().__init__(words)
        self._layout = layout

    def path(self, key: Key) -> str:
        """Where a value is in the payload."""
        return self._layout.path(str(key))

    def exists(self, key: Key) -> Condition:
        """The key is there."""
        if isinstance(key, Reserved):
            return self.everything
        return self.words.none_of([self.words.is_empty(self.path(key))])

    def is_in(self, key: Key, operands: Sequence[Scalar]) -> Condition:
        """Equal to one of them; a document's id is its point's, and no source has a name."""
        strings = [operand for operand in operands if isinstance(operand, str)]
        if key is Reserved.DOCUMENT:
            return self.words.all_of([self.words.has_id(to_ids(strings))])
        if key is Reserved.SOURCE:
            return self.everything if "" in strings else self.nothing
        return super().is_in(key, operands)

    def contains(self, key: Key, operand: Scalar) -> Condition:
        """A substring of a string, or an element of a list.

        :raises FilterError: for ids of documents: Qdrant looks for whole ones only.
        """
        if key is Reserved.DOCUMENT:
            raise FilterError("$document: an attached collection cannot be asked for a part of an id; use $in")
        if key is Reserved.SOURCE:
            return self.everything if operand == "" else self.nothing
        return super().contains(key, operand)

    def is_list(self, key: str) -> Condition:
        """The value is a list: only then it has elements."""
        return self.words.none_of([self.words.is_empty(f"{self.path(key)}[]")])

    def is_number(self, key: Key, numbers: Sequence[float]) -> Condition:
        """Equal to one of these numbers, none of which is split here."""
        return self.nothing if isinstance(key, Reserved) else self.among(self.path(key), numbers)

    def number(self, key: Key, operator: str, operand: float) -> Condition:
        """A number is in a relation of order to the operand."""
        return (
            self.nothing
            if isinstance(key, Reserved)
            else self.words.number(self.path(key), **{operator: float(operand)})
        )
