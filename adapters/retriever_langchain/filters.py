"""Filters as users of langchain-chroma and langchain-qdrant write them, in our language.

Chroma's ``where`` is a dictionary, and so is ours: it is passed on as it is, and means the same on values that are no
lists. A Qdrant ``Filter`` is translated. What has no equal meaning here is refused with its name, never approximated.
Two things are as everywhere in this package rather than as in Qdrant: ``1`` equals ``1.0``, and on a list each bound of
a range may be met by another element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any
from uuid import UUID

from retriever.errors import FilterError
from retriever.filters import And, Exists, Filter, FilterInput, Not, Or, Reserved, matching, parse_filter

FilterLike = Any
"""What is accepted: a filter of :mod:`retriever.filters`, or a Qdrant ``Filter``, whose type may not be installed."""

_Condition = Any  # one of qdrant_client.models, which is not imported for this

_NOTHING = matching([], Reserved.DOCUMENT)

_PREFIX = "metadata"  # key of the payload under which langchain-qdrant keeps metadata
_PATH = re.compile(rf'{_PREFIX}\.(?:([^."\[\]]+)|"([^"]+)")')

_COMBINATIONS = 1000  # alternatives that a min_should may become

_REFUSED = {
    "IsNullCondition": "null and absent are the same here: use IsEmptyCondition",
    "NestedCondition": "metadata is flat",
    "HasVectorCondition": "every record has its vector",
    "SliceCondition": "only Qdrant can cut its points into slices",
    "MatchText": "it looks for words in a way of the server's own: for a part of a string use {'key': {'$contains': "
    "'text'}}, for words of the text itself mode='keyword'",
    "MatchTextAny": "it looks for words in a way of the server's own: search for them with mode='keyword'",
    "MatchPhrase": "it looks for words in a way of the server's own: for a part of a string use {'key': {'$contains': "
    "'text'}}",
    "MatchPrefix": "there are no prefixes here: store what you filter by under a key of its own",
    "MatchSubstring": "it also looks into the elements of lists: for strings use {'key': {'$contains': 'text'}}",
    "MatchExcept": "on a list it asks for one element that is none of these. For 'none of these' use must_not with "
    "MatchAny, and must_not with IsEmptyCondition where the key has to be there",
    "DatetimeRange": "dates are strings here: store them as numbers, and use Range",
    "values_count": "lengths of lists are not kept: store them under a key of their own",
    "geo_bounding_box": "there are no places here",
    "geo_radius": "there are no places here",
    "geo_polygon": "there are no places here",
    "is_null": "null and absent are the same here: use is_empty",
}


def to_filter(given: FilterLike, *, where_document: object = None) -> FilterInput:
    """A filter in our language from what a LangChain user passes as ``filter``.

    :param given: a dictionary, which is returned as it is; a parsed filter; a ``Filter`` of ``qdrant_client.models``
        over keys such as ``metadata.year``; or None.
    :param where_document: langchain-chroma's argument of that name.
    :raises FilterError: naming what has no equal meaning here, and saying what to do.
    """
    if where_document:
        raise FilterError(
            "where_document: filters hold for metadata, not for the text. Search for its words with mode='keyword', or "
            "keep the documents whose page_content you want"
        )
    if not _is_qdrant(given):
        return given if isinstance(given, Mapping) else parse_filter(given)
    try:
        return _translated(given)
    except RecursionError:
        raise FilterError("the filter is nested too deeply") from None


def _is_qdrant(given: object) -> bool:
    return type(given).__module__.partition(".")[0] == "qdrant_client"


def _translated(condition: _Condition) -> Filter:
    kind = type(condition).__name__
    translate = _TRANSLATED.get(kind)
    if translate is None:
        raise _refusal(kind)
    return translate(condition)


def _refusal(kind: str) -> FilterError:
    return FilterError(f"{kind} of a Qdrant filter: {_REFUSED.get(kind, 'it has no equal here')}")


def _group(given: _Condition) -> Filter:
    parts = _all_translated(given.must)
    parts += [Not(part) for part in _all_translated(given.must_not)]
    if alternatives := _all_translated(given.should):  # an empty list asks for nothing
        parts.append(_any(alternatives))
    if given.min_should is not None:
        parts.append(_at_least(given.min_should.min_count, _all_translated(given.min_should.conditions)))
    return _all(parts)


def _all_translated(conditions: _Condition) -> list[Filter]:
    if conditions is None:
        return []
    return [_translated(part) for part in (conditions if isinstance(conditions, list | tuple) else [conditions])]


def _all(parts: Sequence[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _any(parts: Sequence[Filter]) -> Filter:
    if not parts:
        return _NOTHING
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _at_least(count: int, parts: Sequence[Filter]) -> Filter:
    if count < 1:
        raise FilterError(f"min_should of a Qdrant filter: its min_count is {count}, and 1 is the least")
    if comb(len(parts), count) > _COMBINATIONS:
        raise FilterError(f"min_should of a Qdrant filter: {count} of {len(parts)} are too many alternatives")
    return _any([_all(chosen) for chosen in combinations(parts, count)])


def _field(given: _Condition) -> Filter:
    asked = [name for name in type(given).model_fields if name != "key" and getattr(given, name) is not None]
    if len(asked) != 1:
        raise FilterError(
            f"FieldCondition of a Qdrant filter: one condition for {given.key!r} is due, not {len(asked)}"
        )
    key, (name,) = _key(given.key), asked
    if name == "is_empty":
        return Not(Exists(key)) if given.is_empty else Exists(key)
    part = getattr(given, name)
    translate = _OF_FIELD.get(type(part).__name__)
    if translate is None:
        raise _refusal(type(part).__name__ if name in ("match", "range") else name)
    return translate(key, part)


def _key(path: str) -> str:
    """The metadata key that a path in the payload leads to."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise FilterError(
            f"the key {path!r} of a Qdrant filter: write {_PREFIX}.KEY, since only metadata is filtered by; it is "
            f'flat, so a dot that belongs to the key needs quotes, as in {_PREFIX}."a.b"'
        )
    return match[1] or match[2]


def _leaf(key: str, operator: str, operand: object) -> Filter:
    """Through the parser, which refuses operands that no store can hold."""
    parsed = parse_filter({key: {operator: operand}})
    assert parsed is not None  # noqa: S101 - it is not empty
    return parsed


def _range(key: str, given: _Condition) -> Filter:
    bounds = {name: getattr(given, name) for name in ("gt", "gte", "lt", "lte")}
    parts = [_leaf(key, f"${name}", bound) for name, bound in bounds.items() if bound is not None]
    if not parts:
        raise FilterError(f"Range of a Qdrant filter: it has no bound for {key!r}")
    return _all(parts)


def _has_id(given: _Condition) -> Filter:
    return matching(dict.fromkeys(name for point in given.has_id for name in _id_names(point)), Reserved.DOCUMENT)


def _id_names(point: int | str | UUID) -> Iterable[str]:
    """As it was given, and as Qdrant spells a UUID."""
    name = str(point)
    try:
        return [name, str(UUID(name))]
    except ValueError:
        return [name]


_TRANSLATED: dict[str, Callable[[_Condition], Filter]] = {
    "Filter": _group,
    "FieldCondition": _field,
    "IsEmptyCondition": lambda given: Not(Exists(_key(given.is_empty.key))),
    "HasIdCondition": _has_id,
}

_OF_FIELD: dict[str, Callable[[str, _Condition], Filter]] = {
    "MatchValue": lambda key, match: _leaf(key, "$eq", match.value),
    "MatchAny": lambda key, match: _leaf(key, "$in", list(match.any)),
    "Range": _range,
}
