"""The embedded engine's conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import qdrant_edge as edge

from retriever_qdrant.filters import Condition, FilterCompiler


class EdgeVocabulary:
    """Conditions of ``qdrant_edge``."""

    def all_of(self, conditions: Sequence[Condition]) -> edge.Filter:
        """All of them hold."""
        return edge.Filter(must=list(conditions))

    def any_of(self, conditions: Sequence[Condition]) -> edge.Filter:
        """At least one holds."""
        return edge.Filter(should=list(conditions))

    def none_of(self, conditions: Sequence[Condition]) -> edge.Filter:
        """None of them holds."""
        return edge.Filter(must_not=list(conditions))

    def has_id(self, ids: Sequence[Any]) -> Condition:
        """The point's id is one of these."""
        return edge.HasIdCondition(set(ids))

    def one_of(self, path: str, strings: Sequence[str]) -> Condition:
        """One of these strings."""
        return edge.FieldCondition(path, match=edge.MatchAny(list(strings)))

    def is_bool(self, path: str, truth: bool) -> Condition:
        """The value is this boolean; a ``bool`` of Python would mean 1 to the engine."""
        operand: Any = np.bool_(truth)
        return edge.FieldCondition(path, match=edge.MatchValue(operand))

    def number(self, path: str, **bounds: float) -> Condition:
        """A number within these bounds."""
        return edge.FieldCondition(path, range=edge.RangeFloat(**bounds))

    def is_empty(self, path: str) -> Condition:
        """There is no value."""
        return edge.IsEmptyCondition(path)

    def nested(self, path: str, condition: Condition) -> Condition:
        """An object of the list there satisfies a filter."""
        return edge.NestedCondition(path, condition)

    def substring(self, path: str, text: str) -> Condition:
        """A string that contains this one."""
        return edge.FieldCondition(path, match=edge.MatchSubstring(text))


FILTERS = FilterCompiler(EdgeVocabulary())
"""Compiles filters for the embedded engine."""
