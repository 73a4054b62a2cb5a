"""The conditions of a Qdrant server, by way of its client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from retriever_qdrant.connection import Connection
from retriever_qdrant.filters import Condition

SUBSTRINGS = (1, 20)
"""The first version of the server with a condition for substrings."""


class ServerVocabulary:
    """Conditions of ``qdrant_client``.

    :param connection: to the server, whose version decides whether substrings can be looked for.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all_of(self, conditions: Sequence[Condition]) -> models.Filter:
        """All of them hold."""
        return models.Filter(must=list(conditions))

    def any_of(self, conditions: Sequence[Condition]) -> models.Filter:
        """At least one holds."""
        return models.Filter(should=list(conditions))

    def none_of(self, conditions: Sequence[Condition]) -> models.Filter:
        """None of them holds."""
        return models.Filter(must_not=list(conditions))

    def has_id(self, ids: Sequence[Any]) -> Condition:
        """The point's id is one of these."""
        return models.HasIdCondition(has_id=list(ids))

    def one_of(self, path: str, strings: Sequence[str]) -> Condition:
        """One of these strings."""
        return models.FieldCondition(key=path, match=models.MatchAny(any=list(strings)))

    def is_bool(self, path: str, truth: bool) -> Condition:
        """The value is this boolean."""
        return models.FieldCondition(key=path, match=models.MatchValue(value=truth))

    def number(self, path: str, **bounds: float) -> Condition:
        """A number within these bounds."""
        return models.FieldCondition(key=path, range=models.Range(**bounds))

    def is_empty(self, path: str) -> Condition:
        """There is no value."""
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=path))

    def nested(self, path: str, condition: Condition) -> Condition:
        """An object of the list there satisfies a filter."""
        return models.NestedCondition(nested=models.Nested(key=path, filter=condition))

    def substring(self, path: str, text: str) -> Condition:
        """A string that contains this one.

        :raises StoreError: where the server is too old: full-text conditions mean something else in some versions.
        """
        self._connection.require(SUBSTRINGS, "$contains")
        return models.FieldCondition(key=path, match=models.MatchSubstring(substring=text))
