"""The filter tree as conditions of Qdrant, with exactly the meaning of :func:`retriever.filters.matches`.

The embedded engine and the server's client have classes of their own for the same conditions: a :class:`Vocabulary`
makes them. What is below decides which conditions mean what, once for both.

Three habits of the engine shape it. A substring is looked for in the elements of a list too, so lists are told apart
by the field ``lists``. Floats that JSON would change are found under ``floats``; asking the indexed field ``split``
first keeps that free where there are none. Of strings it takes thousands in one condition, but numbers that may be
whole or not only one by one, so many of them are asked for in a tree of ranges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from retriever.filters import And, Compare, Exists, Filter, In, Key, Not, Or, Reserved
from retriever.metadata import escape_key
from retriever.types import Scalar
from retriever_qdrant.numbers import split, survives_json
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

    def number(self, path: str, **bounds: float) -> Condition:
        """The value, or an element of it, is a number within these bounds.

        :param bounds: by ``gt gte lt lte``.
        """

    def is_empty(self, path: str) -> Condition:
        """There is no value."""

    def nested(self, path: str, condition: Condition) -> Condition:
        """An object of the list there satisfies a filter whose paths begin at it."""

    def substring(self, path: str, text: str) -> Condition:
        """The value, or an element of it, is a string that contains this one."""


_FANOUT = 8  # branches of a node in a tree of ranges: few enough to ask one by one, many enough to keep it low


class _Node(NamedTuple):
    """Part of a tree of ranges: its least and its greatest number, and the condition that it is."""

    low: float
    high: float
    condition: Condition


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
        """Equal to one of them: of each family in one condition, since there may be thousands.

        :param key: as in the filter.
        :param operands: of any family.
        """
        strings = [operand for operand in operands if isinstance(operand, str)]
        truths = {operand for operand in operands if isinstance(operand, bool)}
        numbers = {float(operand) for operand in operands if not isinstance(operand, str | bool)}
        alternatives = [self.words.is_bool(self.path(key), truth) for truth in truths]
        if strings:
            alternatives.append(self.words.one_of(self.path(key), strings))
        if numbers:
            alternatives.append(self.is_number(key, sorted(numbers)))
        return self.any_of(alternatives)

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

    def is_number(self, key: Key, numbers: Sequence[float]) -> Condition:
        """Equal to one of these numbers.

        A float is split or not by its value alone, so each operand is looked for where it would be. An integer is
        never split, but may equal a float that is.

        :param key: as in the filter.
        :param numbers: distinct, in rising order.
        """
        if isinstance(key, Reserved):
            return self.nothing
        kept = [number for number in numbers if number.is_integer() or survives_json(number)]
        divided = [split(number) for number in numbers if not survives_json(number)]
        alternatives = [self.among(self.path(key), kept)] if kept else []
        if divided:
            nodes = [self._node(parts["h"], self._parts("eq", parts)) for parts in divided]
            alternatives.append(self._divided(key, self._tree("h", nodes)))
        return self.any_of(alternatives)

    def number(self, key: Key, operator: str, operand: float) -> Condition:
        """A number that is greater or less than the operand, or equal to it.

        :param key: as in the filter.
        :param operator: ``gt gte lt lte``.
        :param operand: a number.
        """
        if isinstance(key, Reserved):
            return self.nothing
        parts = split(operand)
        # Ordered by ``h`` first, and by ``l`` where that is equal.
        beyond = self.words.number("h", **{operator[:2]: float(parts["h"])})
        divided = self._divided(key, self.any_of([beyond, self._parts(operator, parts)]))
        return self.any_of([self.words.number(self.path(key), **{operator: float(operand)}), divided])

    def among(self, path: str, numbers: Sequence[float]) -> Condition:
        """The value, or an element of it, is one of these numbers.

        :param path: as Qdrant writes it.
        :param numbers: in rising order, at least one.
        """
        return self._tree(path, [self._node(number, self._equal(path, number)) for number in numbers])

    def _tree(self, path: str, nodes: Sequence[_Node]) -> Condition:
        """One of the nodes holds. Whatever is outside of the range of a branch is done with it."""
        while len(nodes) > _FANOUT:
            nodes = [self._branch(path, nodes[start : start + _FANOUT]) for start in range(0, len(nodes), _FANOUT)]
        return self.any_of([node.condition for node in nodes])

    def _branch(self, path: str, nodes: Sequence[_Node]) -> _Node:
        low, high = nodes[0].low, nodes[-1].high
        one = self.any_of([node.condition for node in nodes])
        return _Node(low, high, self.words.all_of([self.words.number(path, gte=low, lte=high), one]))

    def _node(self, number: float, condition: Condition) -> _Node:
        return _Node(float(number), float(number), condition)

    def _equal(self, path: str, number: float) -> Condition:
        return self.words.number(path, gte=float(number), lte=float(number))

    def _parts(self, operator: str, parts: Mapping[str, int]) -> Condition:
        """The same ``h``, and an ``l`` in this relation."""
        low = parts["l"]
        last = self._equal("l", low) if operator == "eq" else self.words.number("l", **{operator: float(low)})
        return self.words.all_of([self._equal("h", parts["h"]), last])

    def _divided(self, key: str, condition: Condition) -> Condition:
        """A float is split there whose parts satisfy a filter."""
        parts = self.words.nested(f'floats."{escape_key(key)}"', condition)
        return self.words.all_of([self._listed("split", key), parts])

    def _listed(self, field: str, key: str) -> Condition:
        """``lists`` or ``split`` names the key."""
        return self.words.one_of(field, [escape_key(key)])
