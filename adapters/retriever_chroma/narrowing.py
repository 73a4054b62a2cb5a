"""Which records are looked at for a filter.

Of the filter Chroma is asked conditions on source and document, which are always strings and always there.

Its answer holds all that match and some that do not; :func:`retriever.filters.matches` has the last word. Conditions
on the user's metadata are never sent: Chroma cuts the fractions off operands, and knows neither ``$exists`` nor
substrings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from retriever.batched import batched
from retriever.filters import And, Compare, Filter, In, Reserved
from retriever.types import Scalar
from retriever_chroma.collection import Collection, Row
from retriever_chroma.convert import DOCUMENT, HASH, SOURCE, Reading

_MOST_VALUES = 500  # of an $in


class Narrowing(NamedTuple):
    """A field, and the values of which it has one in every record that matches.

    :param field: source or document.
    :param values: distinct.
    """

    field: Reserved
    values: list[str]

    def where(self, values: list[str]) -> Mapping[str, Any]:
        """Chroma's condition for some of the values.

        :param values: at least one.
        """
        return {SOURCE if self.field is Reserved.SOURCE else DOCUMENT: {"$in": values}}


def possible_rows(collection: Collection, reading: Reading, condition: Filter | None) -> Iterator[Row]:
    """The records that may satisfy a filter, each once, with what a line of the ledger needs.

    :param collection: where they are.
    :param reading: how they are read.
    :param condition: a parsed filter.
    """
    narrow = None if reading.verbatim else narrowing(condition)
    if narrow is None:
        yield from collection.all_rows(reading.ledger)
        return
    for values in batched(narrow.values, _MOST_VALUES):
        yield from collection.all_rows(reading.ledger, narrow.where(values))
        # Records of other programs name no document: they are their own.
        yield from (row for row in collection.rows(values, reading.ledger) if HASH not in (row.metadata or {}))


def narrowing(condition: Filter | None) -> Narrowing | None:
    """The narrowest of the conditions that have to hold; None where there is none.

    :param condition: a parsed filter.
    """
    match condition:
        case Compare(Reserved() as field, "eq", operand):
            return _of(field, (operand,))
        case In(Reserved() as field, operands):
            return _of(field, operands)
        case And(children):
            found = [some for child in children if (some := narrowing(child)) is not None]
            return min(found, key=lambda some: len(some.values), default=None)
    return None


def _of(field: Reserved, operands: tuple[Scalar, ...]) -> Narrowing | None:
    values = list(dict.fromkeys(operand for operand in operands if isinstance(operand, str)))
    # Records of other programs have no source: they are read as if it were "".
    return None if field is Reserved.SOURCE and "" in values else Narrowing(field, values)
