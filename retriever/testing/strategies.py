"""Random records and random filters that meet often: both draw from the same few keys and values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from retriever.filters import And, Compare, Exists, Filter, In, Key, Not, Or, Reserved
from retriever.sparse.vector import SparseVector
from retriever.testing.samples import DIMENSION, chunk_id, make_chunk, make_record
from retriever.types import Scalar

KEYS = [
    "a",
    "b.c",
    'say "so"',
    "$d",
    "#e",
    "50%",
    "[0]",
    "two words",
    "schlüssel",
    "back\\slash",
    "a%2E",
    "中",
    "a[].b",
]

TEXTS = [
    "",
    "a",
    "ab",
    "abc",
    "A",
    "B",
    "1",
    "1.0",
    "true",
    "é",
    "e\u0301",
    "\0",
    "😀",
    "中文",
    "שלום",
    "a b",
    "%",
    "_",
]

DRIFTING = [
    *(0.9452706955539223, 1705490430.6749477, -1.8139256918356559),
    *(2.7715077941825975e-163, -4.026380313612261e293, 7.928542339716631e205),
]
"""Floats that some readers of JSON change by a unit in the last place."""

NUMBERS: list[int | float] = [
    *(0, 1, -1, 2, 2**53, -(2**53), 2**53 - 1, 0.0, -0.0, 1.0, 0.3, 1.5, 5e-324, 1e22, 1e23, 1.7976931348623157e308),
    *(8030497472662391.0, 1801439850948199.0, -900719925474099.1),
    *DRIFTING,
    *(math.nextafter(value, math.inf) for value in DRIFTING),
    *(math.nextafter(value, -math.inf) for value in DRIFTING),
]

COMMON: list[Scalar] = ["a", "A", "ab", "b", "", "1", "true", 0, 1, 1.0, 2, 0.3, True, False]
"""Values that many records share, and that are easily taken for each other."""

any_text = st.text(st.characters(exclude_categories=["Cs"]))
"""Whatever UTF-8 can hold."""

texts = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=4))
numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
)
common = st.sampled_from(COMMON)
scalars = st.one_of(common, common, texts, numbers, st.booleans())
values: st.SearchStrategy[Any] = st.one_of(
    scalars, *(st.lists(elements, min_size=1, max_size=3) for elements in (texts, numbers, st.booleans()))
)
keys = st.sampled_from(KEYS[:2]) | st.sampled_from(KEYS)
metadata = st.dictionaries(keys, values, max_size=4)
"""Clean metadata; two draws often share a key."""

DOCUMENTS = ["doc", "src::doc", "src::other", ""]
SOURCES = ["", "src", "中"]
places = st.fixed_dictionaries({"document_id": st.sampled_from(DOCUMENTS), "source": st.sampled_from(SOURCES)})

ids = st.sampled_from([chunk_id(str(number)) for number in range(8)])
vectors = st.tuples(*[st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])] * DIMENSION)
"""Ties and zero vectors are frequent among them."""
words = st.sampled_from(["one", "two", "three", "四"])
sentences = st.lists(words, max_size=5).map(" ".join)
queries = st.dictionaries(words, st.integers(1, 3), min_size=1, max_size=2)

weights = st.floats(2.0**-7, 8, width=32) | st.sampled_from([0.5, 1.0])
sparse_vectors = st.dictionaries(st.sampled_from([0, 1, 2, 7, 2**31, 2**32 - 1]), weights, max_size=4).map(
    lambda terms: SparseVector.of(list(terms), list(terms.values()))
)
"""Empty ones, and ones that share a term, are frequent among them."""

records = st.builds(
    lambda name, vector, data, text, place, sparse: replace(
        make_record(name, vector, data, text=text, **place), sparse=sparse
    ),
    *(ids, vectors, metadata, sentences, places, sparse_vectors),
)
"""With learned sparse vectors."""
chunks = st.builds(
    lambda name, data, place, start: make_chunk(name, data, start=start, end=start + 3, **place),
    *(ids, metadata, places, st.integers(0, 9)),
)


def operands_of(drawn_from: Sequence[Mapping[str, Any]]) -> st.SearchStrategy[tuple[str, Scalar]]:
    """Keys and scalars that mostly belong together in a record.

    :param drawn_from: metadata of the records.
    """
    seen = _pairs(drawn_from)
    anything = st.tuples(keys, scalars)
    if not seen:
        return anything
    seen_key, seen_value = (st.sampled_from([pair[part] for pair in seen]) for part in (0, 1))
    return st.one_of(st.sampled_from(seen), st.tuples(seen_key, common | seen_value), anything)


def filters(drawn_from: Sequence[Mapping[str, Any]]) -> st.SearchStrategy[Filter]:
    """Filters that often find some of the records and not others.

    :param drawn_from: metadata of the records.
    """
    pair = operands_of(drawn_from)
    near = st.sampled_from([*DOCUMENTS, *SOURCES, "d", "::"])
    reserved = st.tuples(st.sampled_from(Reserved), near)
    about: st.SearchStrategy[Filter] = st.one_of(pair, pair, pair, reserved).flatmap(lambda two: _about(two[0], two[1]))
    leaves = st.one_of(about, about.map(Not))
    return st.recursive(
        leaves,
        lambda child: st.one_of(
            st.builds(Not, child),
            st.builds(And, st.lists(child, min_size=1, max_size=3).map(tuple)),
            st.builds(Or, st.lists(child, min_size=1, max_size=3).map(tuple)),
        ),
        max_leaves=4,
    )


def _about(key: Key, value: Scalar) -> st.SearchStrategy[Filter]:
    """Conditions on a key with a value that it may have."""
    conditions: list[st.SearchStrategy[Filter]] = [
        st.just(Compare(key, "eq", value)),
        st.just(Compare(key, "contains", value)),
        st.builds(Compare, st.just(key), st.sampled_from(["eq", "contains"]), common),
        st.builds(lambda more: In(key, (value, *more)), st.lists(scalars, max_size=3)),
        st.just(Exists(key)),
    ]
    if isinstance(value, str):
        ends = st.tuples(st.integers(0, len(value)), st.integers(0, len(value))).map(sorted)
        part = ends.map(lambda two: value[two[0] : two[1]])
        conditions.append(st.builds(Compare, st.just(key), st.just("contains"), part | part.map(str.swapcase)))
    elif not isinstance(value, bool):
        bounds = st.just(value) | numbers
        conditions += [st.builds(Compare, st.just(key), st.just(op), bounds) for op in ("gt", "gte", "lt", "lte")]
    return st.one_of(conditions)


def _pairs(drawn_from: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    items = [item for data in drawn_from for item in data.items()]
    return [(key, element) for key, value in items for element in (value if isinstance(value, list) else [value])]
