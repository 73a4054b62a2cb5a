"""Every compiled filter finds what the Python meaning says; where it may find more, it says so."""

from __future__ import annotations

import math
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.filters import And, Compare, Exists, Filter, In, Not, Or, Reserved, matches, parse_filter
from retriever.keyword.facts import LONGEST_SUBSTRING, LONGEST_VALUE
from retriever.keyword.index import KeywordRecord
from retriever.keyword.tantivy_index import TantivyIndex
from retriever.testing.strategies import NUMBERS, filters, metadata, places
from retriever.types import Chunk


def make_records(everything, **place):
    """One for each metadata; all hold the same term."""
    records = []
    for number, item in enumerate(everything):
        where = {"document_id": "doc", "source": "", **place}
        chunk = Chunk(f"c{number}", where["document_id"], "word", 0, 4, item, where["source"])
        records.append(KeywordRecord(chunk, {"word": 1}, ""))
    return records


def filled(records: list[KeywordRecord]) -> TantivyIndex:
    index = TantivyIndex()
    assert index.lock()
    index.upsert(records)
    index.commit("here")
    return index


def found(index: TantivyIndex, condition: Filter) -> set[str]:
    """By both ways of asking."""
    matched = index.matching(condition)
    assert matched is not None
    assert matched.exact == index.is_exact(condition)
    candidates = index.search({"word": 1}, 100_000, condition)
    assert sorted(candidate.key for candidate in candidates) == sorted(matched.ids)
    return set(matched.ids)


def expected(records: list[KeywordRecord], condition: Filter) -> set[str]:
    return {record.chunk.id for record in records if matches(condition, record.chunk)}


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_filters_mean_what_python_says(data):
    everything = data.draw(st.lists(metadata, max_size=8))
    records = []
    for number, item in enumerate(everything):
        place = data.draw(places)
        chunk = Chunk(f"c{number}", place["document_id"], "word", 0, 4, item, place["source"])
        records.append(KeywordRecord(chunk, {"word": 1}, ""))
    index = filled(records)
    for condition in data.draw(st.lists(filters(everything), min_size=1, max_size=6)):
        assert found(index, condition) == expected(records, condition), condition
        assert index.is_exact(condition)


LONG = "x" * LONGEST_VALUE
LONG_TEXTS = [f"{LONG}needle", f"needle{LONG}", "中" * 400, LONG, "needle", "x", ""]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_long_values_may_be_found_too_often_and_never_too_seldom(data):
    texts = st.sampled_from(LONG_TEXTS)
    everything = data.draw(
        st.lists(st.fixed_dictionaries({}, optional={"a": texts | st.lists(texts, min_size=1, max_size=2), "b": texts}))
    )
    records = make_records(everything)
    index = filled(records)
    operands = st.sampled_from([*LONG_TEXTS, "need", "x" * LONGEST_SUBSTRING, "x" * (LONGEST_SUBSTRING + 1), "中中"])
    leaves = st.builds(Compare, st.sampled_from("ab"), st.sampled_from(["eq", "contains"]), operands)
    trees = st.recursive(
        leaves,
        lambda child: st.one_of(
            st.builds(Not, child),
            st.builds(And, st.lists(child, max_size=3).map(tuple)),
            st.builds(Or, st.lists(child, max_size=3).map(tuple)),
        ),
        max_leaves=5,
    )
    for condition in data.draw(st.lists(trees, min_size=1, max_size=6)):
        answer = expected(records, condition)
        if index.is_exact(condition):
            assert found(index, condition) == answer, condition
        assert found(index, condition) >= answer, condition


def test_only_substrings_of_a_key_with_long_values_are_inexact():
    index = filled(make_records([{"a": LONG + "!"}, {"b": [LONG + "!"]}, {"c": "short"}]))
    assert not index.is_exact(parse_filter({"$or": [{"c": 1}, {"$not": {"a": {"$contains": "x"}}}]}))
    for given_filter in ({"a": LONG + "!"}, {"b": {"$contains": "x"}}, {"c": {"$contains": "x"}}, {"a": {"$ne": "x"}}):
        assert index.is_exact(parse_filter(given_filter)), given_filter
    assert found(index, Compare("a", "eq", LONG + "!")) == {"c0"}
    assert found(index, Compare("b", "contains", LONG + "!")) == {"c1"}
    assert not index.is_exact(Compare("c", "contains", "x" * (LONGEST_SUBSTRING + 1)))
    assert index.is_exact(None)


CHARACTERS = [*map(chr, range(128)), "\x85", "\u2028", "\r\n", "中", "😀", "é", "e\u0301", "\u0301", "\U0010ffff", "ß"]


def test_every_character_is_itself_in_values_and_keys_and_substrings():
    records = make_records([{"k": f"<{c}>", f"key{c}": "v"} for c in CHARACTERS])
    index = filled(records)
    for number, character in enumerate(CHARACTERS):
        assert f"c{number}" in found(index, Compare("k", "contains", character))
        for condition in (
            Compare("k", "contains", character),
            Compare("k", "contains", f"<{character}"),
            Compare("k", "eq", f"<{character}>"),
            Compare(f"key{character}", "contains", "v"),
            Exists(f"key{character}"),
        ):
            assert found(index, condition) == expected(records, condition), condition


@pytest.mark.parametrize(
    "operand",
    ["😀" * 64, "中" * 63 + "字", "é中😀a" * 16, "ab" * 32, string.punctuation * 2],
    ids=["one emoji", "one sign and another", "all widths", "pairs", "punctuation"],
)
def test_the_longest_substring_and_key_fit_the_engines_patterns(operand):
    operand = operand[:LONGEST_SUBSTRING]
    for key in ("😀" * 40, "😀" * 41, "k" * 70_000):
        records = make_records(
            [{key: operand}, {key: f"{operand[1:]}{operand}!"}, {key: operand[1:]}, {"other": operand}]
        )
        index = filled(records)
        for condition in (Compare(key, "contains", operand), Compare(key, "eq", operand), Exists(key)):
            assert found(index, condition) == expected(records, condition)
            assert index.is_exact(condition)


def test_keys_and_values_cannot_pass_for_one_another():
    records = make_records(
        [{"a": "b"}, {"": "x"}, {"1:a": "b"}, {"a1:": "b"}, {"$source:": "b"}, {"ab": ""}, {"a": ["b"]}]
    )
    index = filled(records)
    for key in ("a", "1:a", "a1:", "$source:", "ab", "$source", "#", Reserved.SOURCE):
        for value in ("b", "", "a", ":b", True, 1):
            for condition in (Compare(key, "eq", value), Compare(key, "contains", value), Exists(key)):
                assert found(index, condition) == expected(records, condition), condition


def test_ranges_hold_between_neighbours():
    around = {
        n for v in (*NUMBERS, 2019, 2020, 1.7e9) for n in (v, math.nextafter(v, math.inf), math.nextafter(v, -math.inf))
    }
    numbers = sorted(number for number in around if math.isfinite(number))
    records = make_records([{"a": number} for number in numbers] + [{"a": [-1, 1e9]}, {"a": True}, {"a": "1"}])
    index = filled(records)
    for bound in (*numbers, True):
        for operator in ("eq", "gt", "gte", "lt", "lte"):
            condition = Compare("a", operator, bound)
            assert found(index, condition) == expected(records, condition), condition


def test_thousands_of_operands_and_thousands_of_numbers_are_quick():
    records = make_records([{"id": f"doc {number}", "x": number * 1.1} for number in range(20_000)])
    index = filled(records)
    start = time.perf_counter()
    assert len(found(index, In("id", tuple(f"doc {number}" for number in range(0, 40_000, 2))))) == 10_000
    assert len(found(index, And((Compare("x", "gte", 100), Compare("x", "lt", 20_000))))) == sum(
        100 <= number * 1.1 < 20_000 for number in range(20_000)
    )
    assert time.perf_counter() - start < 2


def test_matching_gives_up_beyond_its_limit():
    index = filled(make_records([{"a": 1}] * 5))
    everything = And(())
    assert index.matching(everything, 4) is None
    assert len(index.matching(everything, 5).ids) == len(index.matching(everything).ids) == 5
    assert index.matching(Exists("b"), 0) == ([], True)
    assert index.matching(everything, 0) is None
