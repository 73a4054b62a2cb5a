"""The filter language: its tree, its parser and its meaning.

A filter is a Mongo-like dictionary over flat metadata::

    {"lang": "en"}                                     equal
    {"year": {"$gte": 2020, "$lt": 2024}}              all of the operators
    {"$or": [{"tag": {"$in": ["a", "b"]}}, {"draft": {"$exists": False}}]}
    {"$source": "handbook"}, {"$document": "handbook::intro.md"}

What the operators mean, on every store:

* A **missing key** satisfies no operator but ``$ne``, ``$nin``, ``$not`` and ``{"$exists": False}``.
* Values of **different families** (string, number, boolean) are never equal and never ordered; ``1`` equals
  ``1.0``; ``True`` is not ``1``.
* On a **list** a scalar operator holds if it holds for any element. So ``$ne`` holds if no element is equal.
* ``$gt $gte $lt $lte`` compare numbers; another operand is an error.
* ``$ne`` is the complement of ``$eq``, ``$nin`` of ``$in``. ``$in`` with an empty list matches nothing.
* ``$contains`` is Python's ``in``: a substring of a string (case matters), or an element of a list.
* ``{}`` matches everything. ``$and`` and ``$or`` need at least one filter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from retriever.errors import FilterError, InvalidInput
from retriever.metadata import check_scalar, check_text, family
from retriever.types import Chunk, Scalar


class Reserved(Enum):
    """Fields that every record has beside its metadata."""

    SOURCE = "$source"
    DOCUMENT = "$document"


Key = str | Reserved
"""A metadata key, or one of the reserved fields."""

Operator = Literal["eq", "gt", "gte", "lt", "lte", "contains"]


@dataclass(frozen=True, slots=True)
class Compare:
    """The value of a key, or any element of it, stands in a relation to an operand."""

    key: Key
    operator: Operator
    operand: Scalar


@dataclass(frozen=True, slots=True)
class In:
    """The value of a key, or any element of it, equals one of the operands."""

    key: Key
    operands: tuple[Scalar, ...]
    _known: frozenset[tuple[str, Scalar]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", frozenset((family(operand), operand) for operand in self.operands))

    def has(self, value: Scalar) -> bool:
        """Whether a value equals one of the operands, of which there may be thousands.

        :param value: not a list.
        """
        return (family(value), value) in self._known


@dataclass(frozen=True, slots=True)
class Exists:
    """The key is there."""

    key: Key


@dataclass(frozen=True, slots=True)
class Not:
    """The complement of a filter."""

    child: Filter


@dataclass(frozen=True, slots=True)
class And:
    """All of the filters; every record if there are none."""

    children: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the filters."""

    children: tuple[Filter, ...]


Filter = Compare | In | Exists | Not | And | Or
"""A parsed filter."""

FilterInput = Mapping[str, object] | Filter | None
"""What public functions accept as a filter."""


def parse_filter(given: FilterInput) -> Filter | None:
    """Parse a filter.

    :param given: a dictionary in the language above, an already parsed filter, or None.
    :return: its tree; None where every record matches.
    :raises FilterError: naming the part that is wrong.
    """
    if given is None or isinstance(given, Compare | In | Exists | Not | And | Or):
        return given
    if not isinstance(given, Mapping):
        raise FilterError(f"a filter is a dictionary, not a {type(given).__name__}")
    if not given:
        return None
    try:
        return _parse_all(given)
    except RecursionError:
        raise FilterError("the filter is nested too deeply") from None


def matching(keys: Iterable[str], reserved: Reserved) -> Filter:
    """The records whose reserved field is one of the keys.

    :param keys: document ids or source names.
    :param reserved: which field.
    """
    return In(reserved, tuple(keys))


def _parse_all(given: Mapping[str, object]) -> Filter:
    parts = [_parse_entry(key, value) for key, value in given.items()]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _parse_entry(key: object, value: object) -> Filter:
    if not isinstance(key, str) or not key:
        raise FilterError(f"{key!r} is not a key: keys are non-empty strings")
    try:
        check_text(key, f"the key {key!r}")
    except InvalidInput as error:
        raise FilterError(str(error)) from None
    if key in ("$and", "$or"):
        return _parse_group(key, value)
    if key == "$not":
        return Not(_parse_part(key, value))
    if key.startswith("$"):
        return _parse_field(_reserved(key), value)
    return _parse_field(key, value)


def _reserved(key: str) -> Reserved:
    try:
        return Reserved(key)
    except ValueError:
        raise FilterError(
            f"unknown operator {key}: beside keys there are $and, $or, $not, $source and $document"
        ) from None


def _parse_group(key: str, value: object) -> Filter:
    if not isinstance(value, list | tuple) or not value:
        raise FilterError(f"{key} takes a list of at least one filter")
    children = tuple(_parse_part(key, part) for part in value)
    return And(children) if key == "$and" else Or(children)


def _parse_part(key: str, part: object) -> Filter:
    if not isinstance(part, Mapping) or not part:
        raise FilterError(f"{key} takes filters that are non-empty dictionaries, not {part!r}")
    return _parse_all(part)


def _parse_field(key: Key, value: object) -> Filter:
    if not isinstance(value, Mapping):
        return Compare(key, "eq", _operand(key, "$eq", value))
    if not value:
        raise FilterError(f"{_name(key)}: an empty dictionary is not a condition")
    parts = [_parse_operator(key, str(operator), operand) for operator, operand in value.items()]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _parse_operator(key: Key, operator: str, operand: object) -> Filter:
    if operator == "$not":
        if not isinstance(operand, Mapping):
            raise FilterError(f"{_name(key)}: $not takes a dictionary of operators; for a value use $ne")
        return Not(_parse_field(key, operand))
    build = _OPERATORS.get(operator)
    if build is None:
        raise FilterError(f"{_name(key)}: unknown operator {operator}; known are {', '.join(_OPERATORS)}, $not")
    return build(key, operand)


def _operand(key: Key, operator: str, value: object) -> Scalar:
    if isinstance(value, list | tuple | set):
        raise FilterError(f"{_name(key)}: {operator} takes one value, not a list; use $in")
    try:
        return check_scalar(value, f"{_name(key)}: the operand of {operator}")
    except InvalidInput as error:
        raise FilterError(str(error)) from None


def _ordered(operator: Operator) -> Callable[[Key, object], Filter]:
    def build(key: Key, value: object) -> Filter:
        operand = _operand(key, f"${operator}", value)
        if family(operand) != "number":
            raise FilterError(f"{_name(key)}: ${operator} compares numbers, not {operand!r}")
        return Compare(key, operator, operand)

    return build


def _in(key: Key, value: object, operator: str = "$in") -> Filter:
    if not isinstance(value, list | tuple | set | frozenset):
        raise FilterError(f"{_name(key)}: {operator} takes a list, not {value!r}")
    return In(key, tuple(_operand(key, operator, item) for item in value))


def _exists(key: Key, value: object) -> Filter:
    if not isinstance(value, bool):
        raise FilterError(f"{_name(key)}: $exists takes true or false, not {value!r}")
    return Exists(key) if value else Not(Exists(key))


_OPERATORS: dict[str, Callable[[Key, object], Filter]] = {
    "$eq": lambda key, value: Compare(key, "eq", _operand(key, "$eq", value)),
    "$ne": lambda key, value: Not(Compare(key, "eq", _operand(key, "$ne", value))),
    "$gt": _ordered("gt"),
    "$gte": _ordered("gte"),
    "$lt": _ordered("lt"),
    "$lte": _ordered("lte"),
    "$in": _in,
    "$nin": lambda key, value: Not(_in(key, value, "$nin")),
    "$contains": lambda key, value: Compare(key, "contains", _operand(key, "$contains", value)),
    "$exists": _exists,
}


def _name(key: Key) -> str:
    return key.value if isinstance(key, Reserved) else repr(key)


def matches(condition: Filter | None, chunk: Chunk) -> bool:
    """Whether a chunk satisfies a filter: the meaning that every compiled filter is tested against.

    :param condition: a parsed filter; None matches everything.
    :param chunk: with clean metadata.
    """
    match condition:
        case None:
            return True
        case And(children):
            return all(matches(child, chunk) for child in children)
        case Or(children):
            return any(matches(child, chunk) for child in children)
        case Not(child):
            return not matches(child, chunk)
        case Exists(key):
            return bool(_values(key, chunk)[0])
        case In(key):
            return any(map(condition.has, _values(key, chunk)[0]))
        case Compare(key, operator, operand):
            return _compare(*_values(key, chunk), operator, operand)


def _values(key: Key, chunk: Chunk) -> tuple[Sequence[Scalar], bool]:
    """The elements under a key (none where it is missing), and whether it is a list."""
    if isinstance(key, Reserved):
        return [chunk.source if key is Reserved.SOURCE else chunk.document_id], False
    value = chunk.metadata.get(key)
    if value is None:
        return [], False
    if isinstance(value, str | int | float):
        return [value], False
    return value, True


def _equal(value: Scalar, operand: Scalar) -> bool:
    return family(value) == family(operand) and value == operand


_ORDER: dict[str, Callable[[float, float], bool]] = {
    "gt": lambda value, operand: value > operand,
    "gte": lambda value, operand: value >= operand,
    "lt": lambda value, operand: value < operand,
    "lte": lambda value, operand: value <= operand,
}


def _compare(values: Sequence[Scalar], is_list: bool, operator: Operator, operand: Scalar) -> bool:
    if operator == "eq" or (operator == "contains" and is_list):
        return any(_equal(value, operand) for value in values)
    if operator == "contains":
        return any(isinstance(v, str) and isinstance(operand, str) and operand in v for v in values)
    if isinstance(operand, str):
        return False
    holds = _ORDER[operator]
    return any(not isinstance(v, str) and family(v) == "number" and holds(v, operand) for v in values)
