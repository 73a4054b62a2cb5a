"""The filter tree as conditions of the engine, with exactly the meaning of :func:`retriever.filters.matches`.

Three habits of the engine shape what is below. ``MatchValue(True)`` means 1, so booleans travel as ``numpy.bool_``. A
substring is looked for in the elements of a list too, so lists are told apart by the field ``lists``. Floats that JSON
would change are found under ``floats``; asking the indexed field ``split`` first keeps that free where there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import qdrant_edge as edge

from retriever.filters import And, Compare, Exists, Filter, In, Key, Not, Or, Reserved
from retriever.metadata import escape_key, family
from retriever.types import Scalar
from retriever_qdrant.numbers import split

Condition = Any
"""One of the engine's condition classes, which share no base."""

_RESERVED = {Reserved.SOURCE: "source", Reserved.DOCUMENT: "document"}


def to_filter(condition: Filter | None) -> edge.Filter | None:
    """Compile a filter.

    :param condition: parsed; None matches everything.
    """
    return None if condition is None else _all(_compile(condition))


def metadata_path(key: str) -> str:
    """Where the value of a metadata key is in the payload, as the engine writes paths.

    :param key: as the user knows it.
    """
    return f'meta."{escape_key(key)}"'


def _compile(condition: Filter) -> Condition:
    match condition:
        case And(children):
            return _all(*map(_compile, children))
        case Or(children):
            return _any(*map(_compile, children))
        case Not(child):
            return _none(_compile(child))
        case Exists(key):
            return _exists(key)
        case In(key, operands):
            return _in(key, operands)
        case Compare(key, "contains", operand):
            return _contains(key, operand)
        case Compare(key, "eq", operand):
            return _in(key, (operand,))
        case Compare(key, operator, operand):
            return _NOTHING if isinstance(operand, str) else _number(key, operator, operand)


def _all(*conditions: Condition) -> edge.Filter:
    return edge.Filter(must=list(conditions))


def _any(*conditions: Condition) -> edge.Filter:
    return edge.Filter(should=list(conditions)) if conditions else _NOTHING  # no alternatives would mean everything


def _none(*conditions: Condition) -> edge.Filter:
    return edge.Filter(must_not=list(conditions))


_NOTHING = edge.Filter(must=[edge.HasIdCondition(set())])
_EVERYTHING = edge.Filter()


def _path(key: Key) -> str:
    return _RESERVED[key] if isinstance(key, Reserved) else metadata_path(key)


def _has(field: str, key: str) -> Condition:
    """``lists`` or ``split`` names the key."""
    return edge.FieldCondition(field, match=edge.MatchValue(escape_key(key)))


def _exists(key: Key) -> Condition:
    if isinstance(key, Reserved):
        return _EVERYTHING
    return _any(_none(edge.IsEmptyCondition(metadata_path(key))), _has("split", key))


def _in(key: Key, operands: Sequence[Scalar]) -> Condition:
    """Equal to one of them: strings in one condition, since there may be thousands."""
    strings = [operand for operand in operands if isinstance(operand, str)]
    alternatives = [_equal(key, operand) for operand in operands if not isinstance(operand, str)]
    if strings:
        alternatives.append(edge.FieldCondition(_path(key), match=edge.MatchAny(strings)))
    return _any(*alternatives)


def _equal(key: Key, operand: int | float | bool) -> Condition:
    if family(operand) == "number":
        return _number(key, "eq", operand)
    truth: Any = np.bool_(operand)
    return edge.FieldCondition(_path(key), match=edge.MatchValue(truth))


def _contains(key: Key, operand: Scalar) -> Condition:
    """A substring of a string, or an element of a list."""
    if isinstance(key, Reserved):
        return _substring(key, operand)
    is_list = _has("lists", key)
    element = _all(is_list, _in(key, (operand,)))
    return _any(element, edge.Filter(must=[_substring(key, operand)], must_not=[is_list]))


def _substring(key: Key, operand: Scalar) -> Condition:
    if not isinstance(operand, str):
        return _NOTHING
    return edge.FieldCondition(_path(key), match=edge.MatchSubstring(operand))


_RANGES: dict[str, Callable[[float], edge.RangeFloat]] = {
    "eq": lambda bound: edge.RangeFloat(gte=bound, lte=bound),
    "gt": lambda bound: edge.RangeFloat(gt=bound),
    "gte": lambda bound: edge.RangeFloat(gte=bound),
    "lt": lambda bound: edge.RangeFloat(lt=bound),
    "lte": lambda bound: edge.RangeFloat(lte=bound),
}


def _number(key: Key, operator: str, operand: float) -> Condition:
    if isinstance(key, Reserved):
        return _NOTHING
    plain = _range(metadata_path(key), operator, operand)
    path = f'floats."{escape_key(key)}"'
    return _any(plain, _all(_has("split", key), edge.NestedCondition(path, _split_number(operator, operand))))


def _split_number(operator: str, operand: float) -> edge.Filter:
    """Order by ``h`` first, and by ``l`` where that is equal."""
    parts = split(operand)
    level = _all(_range("h", "eq", parts["h"]), _range("l", operator, parts["l"]))
    return level if operator == "eq" else _any(_range("h", operator[:2], parts["h"]), level)


def _range(path: str, operator: str, bound: float) -> Condition:
    return edge.FieldCondition(path, range=_RANGES[operator](float(bound)))
