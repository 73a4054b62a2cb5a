"""Random metadata and random filters that meet often: both draw from the same few keys and values."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from retriever.filters import And, Compare, Exists, Filter, In, Not, Or, Reserved

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
"""Floats that the engine's JSON would change."""

NUMBERS: list[int | float] = [
    *(0, 1, -1, 2, 2**53, -(2**53), 2**53 - 1, 0.0, -0.0, 1.0, 0.3, 1.5, 5e-324, 1e22, 1e23, 1.7976931348623157e308),
    *DRIFTING,
    *(math.nextafter(value, math.inf) for value in DRIFTING),
    *(math.nextafter(value, -math.inf) for value in DRIFTING),
]

texts = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=4))
numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(texts, numbers, st.booleans())
values: st.SearchStrategy[Any] = st.one_of(
    scalars, *(st.lists(elements, min_size=1, max_size=3) for elements in (texts, numbers, st.booleans()))
)
keys = st.sampled_from(KEYS[:4]) | st.sampled_from(KEYS)
metadata = st.dictionaries(keys, values, max_size=4)

DOCUMENTS = ["doc", "src::doc", "src::other", ""]
SOURCES = ["", "src", "中"]


def filters(drawn_from: list[dict[str, Any]]) -> st.SearchStrategy[Filter]:
    """Filters whose operands are often values of the records.

    :param drawn_from: metadata of the records.
    """
    seen = [element for data in drawn_from for value in data.values() for element in _elements(value)]
    operands = scalars | st.sampled_from(seen) if seen else scalars
    reserved = st.sampled_from(Reserved)
    key = st.one_of(keys, keys, keys, reserved)
    bounds = st.one_of(numbers, st.sampled_from([n for n in seen if _is_number(n)] or [0]))
    substrings = st.one_of(operands, st.sampled_from([t[:1] for t in seen if isinstance(t, str)] or [""]))
    near = st.sampled_from([*DOCUMENTS, *SOURCES, "d", "::"])
    leaves: st.SearchStrategy[Filter] = st.one_of(
        st.builds(Compare, key, st.just("eq"), operands),
        st.builds(Compare, key, st.sampled_from(["gt", "gte", "lt", "lte"]), bounds),
        st.builds(Compare, key, st.just("contains"), substrings),
        st.builds(In, key, st.lists(operands, max_size=4).map(tuple)),
        st.builds(Exists, key),
        st.builds(Compare, reserved, st.sampled_from(["eq", "contains"]), near),
        st.builds(In, reserved, st.lists(near, max_size=3).map(tuple)),
    )
    return st.recursive(
        leaves,
        lambda child: st.one_of(
            st.builds(Not, child),
            st.builds(And, st.lists(child, max_size=3).map(tuple)),
            st.builds(Or, st.lists(child, max_size=3).map(tuple)),
        ),
        max_leaves=6,
    )


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
