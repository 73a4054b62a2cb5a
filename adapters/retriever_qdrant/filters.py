"""The filter tree as conditions of Qdrant, with exactly the meaning of :func:`retriever.filters.matches`.

The embedded engine and the server's client have classes of their own for the same conditions: a :class:`Vocabulary`
makes them. What is below decides which conditions mean what, once for both.

Two habits of the engine shape it. A substring is looked for in the elements of a list too, so lists are told apart by
the field ``lists``. Floats that JSON would change are found under ``floats``; asking the indexed field ``split`` first
keeps that free where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from retriever.filters import And, Compare, Exists, Filter, In, Key, Not, Or, Reserved
from retriever.metadata import escape_key, family
from retriever.types import Scalar
from retriever_qdrant.numbers import split
from retriever_qdrant.payload import metadata_path

Condition = Any
"""One of the condition classes of the engine or of the client, which share no base."""

_RESERVED = {Reserved.SOURCE: "source", Reserved.DOCUMENT: "document"}


class Vocabulary(Protocol):
    """The conditions of one Qdrant library. Paths are written as Qdrant writes them."""

    def all_of(self, conditions: Sequence[Condition]) -> Condition:
        """All of them hold; a filter, which is a condition itself."""

    def any_of(self, conditions: Sequence[Condition]) -> Condition:
        """At least one of at least one holds."""

    def none_of(self, conditions: Sequence[Condition]) -> Condition:
        """None of them holds."""

    def has_id(self, ids: Sequence[Any]) -> Condition:
        """The point's id is one of these."""

    def one_of(self, path: str, strings: Sequence[str]) -> Condition:
        """The value, or an element of it, is one of these strings."""

    def is_bool(self, path: str, truth: bool) -> Condition:
        """The value, or an element of it, is this boolean."""

    def number(self, path: str, operator: str, bound: float) -> Condition:
        """The value, or an element of it, is a number that stands in this relation to the bound.

        :param operator: ``eq gt gte lt lte``.
        """

    def is_empty(self, path: str) -> Condition:
        """There is no value."""

    def nested(self, path: str, condition: Condition) -> Condition:
        """An object of the list there satisfies a filter whose paths begin at it."""

    def substring(self, path: str, text: str) -> Condition:
        """The value, or an element of it, is a string that contains this one."""


def bounds(operator: str, bound: float) -> dict[str, float]:
    """The arguments of a range.

    :param operator: ``eq gt gte lt lte``.
    :param bound: a number.
    """
    value = float(bound)
    return {"gte": value, "lte": value} if operator == "eq" else {operator: value}


class FilterCompiler:
    """Filters over the payload of :mod:`retriever_qdrant.payload`.

    :param words: makes the conditions.
    """

    def __init__(self, words: Vocabulary) -> None:
        self.words = words
        self.everything = words.all_of([])
        self.nothing = words.all_of([words.has_id([])])

    def compile(self, condition: Filter | None) -> Condition | None:
        """Compile a filter.

        :param condition: parsed; None matches everything.
        :return: a filter of the library; None where there is none.
        """
        return None if condition is None else self.words.all_of([self._compile(condition)])

    def _compile(self, condition: Filter) -> Condition:
        match condition:
            case And(children):
                return self.words.all_of([self._compile(child) for child in children])
            case Or(children):
                return self.any_of([self._compile(child) for child in children])
            case Not(child):
                return self.words.none_of([self._compile(child)])
            case Exists(key):
                return self.exists(key)
            case In(key, operands):
                return self.is_in(key, operands)
            case Compare(key, "contains", operand):
                return self.contains(key, operand)
            case Compare(key, "eq", operand):
                return self.is_in(key, (operand,))
            case Compare(key, operator, operand):
                return self.nothing if isinstance(operand, str) else self.number(key, operator, operand)

    def any_of(self, conditions: Sequence[Condition]) -> Condition:
        """At least one of them holds.

        :param conditions: none of them would mean everything to Qdrant.
        """
        return self.words.any_of(conditions) if conditions else self.nothing

    def path(self, key: Key) -> str:
        """Where a value is in the payload.

        :param key: of the metadata, or a reserved field.
        """
        return _RESERVED[key] if isinstance(key, Reserved) else metadata_path(key)

    def exists(self, key: Key) -> Condition:
        """The key is there.

        :param key: as in the filter.
        """
        if isinstance(key, Reserved):
            return self.everything
        return self.any_of([self.words.none_of([self.words.is_empty(self.path(key))]), self._listed("split", key)])

    def is_in(self, key: Key, operands: Sequence[Scalar]) -> Condition:
        """Equal to one of them: strings in one condition, since there may be thousands.

        :param key: as in the filter.
        :param operands: of any family.
        """
        strings = [operand for operand in operands if isinstance(operand, str)]
        alternatives = [self._equal(key, operand) for operand in operands if not isinstance(operand, str)]
        if strings:
            alternatives.append(self.words.one_of(self.path(key), strings))
        return self.any_of(alternatives)

    def _equal(self, key: Key, operand: int | float | bool) -> Condition:
        if family(operand) == "number":
            return self.number(key, "eq", operand)
        return self.words.is_bool(self.path(key), bool(operand))

    def contains(self, key: Key, operand: Scalar) -> Condition:
        """A substring of a string, or an element of a list.

        :param key: as in the filter.
        :param operand: of any family.
        """
        substring = self.words.substring(self.path(key), operand) if isinstance(operand, str) else self.nothing
        if isinstance(key, Reserved):
            return substring
        is_list = self.is_list(key)
        element = self.words.all_of([is_list, self.is_in(key, (operand,))])
        return self.any_of([element, self.words.all_of([substring, self.words.none_of([is_list])])])

    def is_list(self, key: str) -> Condition:
        """The value is a list.

        :param key: of the metadata.
        """
        return self._listed("lists", key)

    def number(self, key: Key, operator: str, operand: float) -> Condition:
        """A number stands in a relation to the operand.

        :param key: as in the filter.
        :param operator: ``eq gt gte lt lte``.
        :param operand: a number.
        """
        if isinstance(key, Reserved):
            return self.nothing
        parts = self.words.nested(f'floats."{escape_key(key)}"', self._split_number(operator, operand))
        split_one = self.words.all_of([self._listed("split", key), parts])
        return self.any_of([self.words.number(self.path(key), operator, operand), split_one])

    def _split_number(self, operator: str, operand: float) -> Condition:
        """Order by ``h`` first, and by ``l`` where that is equal."""
        parts, number = split(operand), self.words.number
        level = self.words.all_of([number("h", "eq", parts["h"]), number("l", operator, parts["l"])])
        return level if operator == "eq" else self.any_of([number("h", operator[:2], parts["h"]), level])

    def _listed(self, field: str, key: str) -> Condition:
        """``lists`` or ``split`` names the key."""
        return self.words.one_of(field, [escape_key(key)])
