"""The filter tree as a query of tantivy over :mod:`retriever.keyword.facts`.

The meaning is that of :func:`retriever.filters.matches`, but for substrings of very long strings: there the query finds
more than the filter, never less. So that this holds under ``Not`` too, negations are pushed down to the leaves, and
a leaf is widened or narrowed according to the side on which it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tantivy import Occur, Query, Schema

from retriever.filters import And, Compare, Exists, Filter, In, Key, Not, Operator, Or
from retriever.keyword import facts
from retriever.types import Scalar


class FilterCompiler:
    """Makes queries for one schema.

    :param schema: of the index.
    :param field: the one that holds the facts.
    """

    def __init__(self, schema: Schema, field: str) -> None:
        self._schema = schema
        self._field = field

    def query(self, condition: Filter) -> Query:
        """What finds every record that satisfies a filter.

        :param condition: parsed.
        """
        return self._compile(condition, negated=False)

    def token(self, fact: str) -> Query:
        """What finds the records that have a fact.

        :param fact: from :mod:`retriever.keyword.facts`.
        """
        return Query.term_query(self._schema, self._field, fact, "basic")

    def _compile(self, condition: Filter, *, negated: bool) -> Query:
        match condition:
            case Not(child):
                return self._compile(child, negated=not negated)
            case And(children) | Or(children):
                parts = [self._compile(child, negated=negated) for child in children]
                return self._any(parts) if isinstance(condition, Or) != negated else self._all(parts)
            case _:
                leaf = self._leaf(condition, certain=negated)
                return self._all([], without=leaf) if negated else leaf

    def _leaf(self, condition: Compare | In | Exists, *, certain: bool) -> Query:
        """Where it cannot be told: none of the doubtful records if ``certain``, otherwise all of them."""
        match condition:
            case Exists(key):
                return self.token(facts.exists(key))
            case In(key, operands):
                return self._equal(key, operands)
            case Compare(key, "eq", operand):
                return self._equal(key, [operand])
            case Compare(key, "contains", operand):
                return self._contains(key, operand, certain=certain)
            case Compare(key, operator, operand):
                return self._ordered(key, operator, operand)

    def _equal(self, key: Key, operands: Iterable[Scalar]) -> Query:
        tokens = [facts.equal(key, operand) for operand in operands]
        return Query.term_set_query(self._schema, self._field, tokens) if tokens else Query.empty_query()

    def _ordered(self, key: Key, operator: Operator, operand: Scalar) -> Query:
        if isinstance(operand, str):
            return Query.empty_query()
        return self._pattern(facts.range_pattern(key, operator, operand))

    def _contains(self, key: Key, operand: Scalar, *, certain: bool) -> Query:
        """An element of a list, or a substring of a string."""
        is_list = self.token(facts.is_list(key))
        element = self._all([is_list, self._equal(key, [operand])])
        if not isinstance(operand, str):
            return element
        substring = self._substring(key, operand, certain=certain)
        return self._any([element, self._all([substring], without=is_list)])

    def _substring(self, key: Key, operand: str, *, certain: bool) -> Query:
        pattern = self._pattern(facts.substring_pattern(key, operand))
        if not certain:
            return self._any([pattern, self.token(facts.is_long(key))])
        return pattern if len(operand) <= facts.LONGEST_SUBSTRING else Query.empty_query()

    def _pattern(self, pattern: str) -> Query:
        return Query.regex_query(self._schema, self._field, pattern)

    def _any(self, queries: Sequence[Query]) -> Query:
        return Query.boolean_query([(Occur.Should, query) for query in queries]) if queries else Query.empty_query()

    def _all(self, queries: Sequence[Query], without: Query | None = None) -> Query:
        parts = [(Occur.Must, query) for query in queries or [self.token(facts.RECORD)]]
        return Query.boolean_query(parts if without is None else [*parts, (Occur.MustNot, without)])


def is_exact(condition: Filter | None, is_known: Callable[[str], bool]) -> bool:
    """Whether a compiled filter finds nothing but what satisfies it.

    :param condition: parsed; None is exact.
    :param is_known: whether any record has a fact.
    """
    match condition:
        case Not(child):
            return is_exact(child, is_known)
        case And(children) | Or(children):
            return all(is_exact(child, is_known) for child in children)
        case Compare(key, "contains", str(operand)):
            return len(operand) <= facts.LONGEST_SUBSTRING and not is_known(facts.is_long(key))
        case _:
            return True
