"""What metadata may be, and how its keys and its changes are kept."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.errors import InvalidInput
from retriever.metadata import (
    MAX_INTEGER,
    check_scalar,
    check_text,
    clean_metadata,
    escape_key,
    family,
    record_hash,
    unescape_key,
)
from retriever.types import Chunk

texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = texts.filter(bool)

CHUNK = Chunk("c", "d", "text", 3, 7, {"a": 1, "b": ["x", "y"]}, "s")

GOOD = [
    *("", "a", "\0", "中", "😀", True, False, 0, -1, 2**53, -(2**53), 0.0, -0.0, 0.3, 1e300, 5e-324),
    *(np.float64(0.5), np.str_("x")),
]
BAD = {
    "NaN": (math.nan, "nan"),
    "infinity": (-math.inf, "-inf"),
    "a large integer": (2**53 + 1, r"±2\*\*53"),
    "a huge integer": (2**70, r"±2\*\*53"),
    "a negative large integer": (-(2**53) - 1, r"±2\*\*53"),
    "a surrogate": ("ab\ud800", "lone surrogate at character 2"),
    "bytes": (b"x", "bytes"),
    "a dictionary": ({"b": 1}, "dict"),
    "a set": ({1}, "set"),
    "a complex number": (1j, "complex"),
    "an array": (np.zeros(2), "ndarray"),
    "a numpy integer": (np.int64(1), "int64"),
    "a numpy boolean": (np.bool_(True), "bool"),
    "a list in a list": ([["a"]], "list"),
    "None in a list": (["a", None], r"\[1\] is a NoneType"),
    "NaN in a list": ([1.0, math.nan], r"\[1\] is nan"),
    "strings and numbers": (["a", 1], "mixes"),
    "numbers and booleans": ([1, True], "mixes"),
    "booleans and floats": ([False, 0.0], "mixes"),
    "strings and booleans": (["a", True], "mixes"),
}


@pytest.mark.parametrize("value", GOOD)
def test_what_a_store_can_hold_is_kept(value):
    kept = check_scalar(value, "it")
    assert kept is value
    assert clean_metadata({"k": value}, "it") == {"k": value}
    assert clean_metadata({"k": [value, value]}, "it") == {"k": [value, value]}


@pytest.mark.parametrize("name", BAD)
def test_what_no_store_can_hold_is_refused_by_name(name):
    value, message = BAD[name]
    with pytest.raises(InvalidInput, match=rf"document 'a\.md': metadata 'key'.*{message}"):
        clean_metadata({"fine": 1, "key": value}, "document 'a.md'")


@pytest.mark.parametrize("key", ["", 1, None, True, ("a",), b"a"])
def test_keys_are_non_empty_strings(key):
    with pytest.raises(InvalidInput, match="non-empty string"):
        clean_metadata({key: 1}, "it")


def test_a_key_with_a_lone_surrogate_is_refused():
    with pytest.raises(InvalidInput, match="it: a metadata key holds a lone surrogate"):
        clean_metadata({"\udfff": 1}, "it")


@pytest.mark.parametrize("metadata", [None, [("a", 1)], "text", 5])
def test_metadata_is_a_dictionary(metadata):
    with pytest.raises(InvalidInput, match=f"it: its metadata is a {type(metadata).__name__}"):
        clean_metadata(metadata, "it")


def test_none_and_empty_lists_mean_absent():
    assert clean_metadata({"a": None, "b": [], "c": (), "d": "", "e": 0, "f": False}, "it") == {
        "d": "",
        "e": 0,
        "f": False,
    }


def test_the_result_is_a_copy_in_the_same_order():
    given_list = ["x"]
    before = {"z": given_list, "a": (1, 2.5)}
    clean = clean_metadata(before, "it")
    assert list(clean.items()) == [("z", ["x"]), ("a", [1, 2.5])]
    given_list.append("y")
    assert clean["z"] == ["x"]
    assert before == {"z": ["x", "y"], "a": (1, 2.5)}


def test_families():
    assert [family(value) for value in (True, False, 1, 0, 1.5, "", "1")] == [
        *("bool", "bool", "number", "number", "number", "string", "string")
    ]


@pytest.mark.parametrize("text", ["\ud800", "a\udc00b", "\udfff" * 3])
def test_lone_surrogates_are_found(text):
    with pytest.raises(InvalidInput, match="the thing holds a lone surrogate"):
        check_text(text, "the thing")


@pytest.mark.parametrize("value", [None, 1, b"a", ["a"]])
def test_a_text_is_a_string(value):
    with pytest.raises(InvalidInput, match=f"the thing is a {type(value).__name__}, not a string"):
        check_text(value, "the thing")


@given(texts)
def test_any_other_text_passes(text):
    check_text(text, "it")


@pytest.mark.parametrize(
    ("key", "escaped"),
    [
        ("lang", "lang"),
        ("a.b", "a%2Eb"),
        ("$source", "%24source"),
        ("#x", "%23x"),
        ("100%", "100%25"),
        ("a%2Eb", "a%252Eb"),
        ('say "x"', "say %22x%22"),
        ("it's", "it%27s"),
        ("a[0]", "a%5B0%5D"),
        ("back\\slash", "back%5Cslash"),
        ("nul\0", "nul%00"),
        ("line\n", "line%0A"),
        ("\x7f", "%7F"),
        ("schlüssel 中", "schlüssel 中"),
    ],
)
def test_keys_are_escaped(key, escaped):
    assert escape_key(key) == escaped
    assert unescape_key(escaped) == key


@given(keys)
def test_escaping_is_reversible(key):
    escaped = escape_key(key)
    assert unescape_key(escaped) == key
    assert not set(escaped) & set("\"'\\.[]$#\0\n\x7f")


@given(st.text("%25aAfF.é", min_size=1))
def test_escaping_is_reversible_for_what_looks_escaped(key):
    assert unescape_key(escape_key(key)) == key


@pytest.mark.parametrize(
    "other",
    [
        replace(CHUNK, start=2),
        replace(CHUNK, end=8),
        replace(CHUNK, source="t"),
        replace(CHUNK, text="other"),
        replace(CHUNK, metadata={}),
        replace(CHUNK, metadata={"a": 1.0, "b": ["x", "y"]}),
        replace(CHUNK, metadata={"a": True, "b": ["x", "y"]}),
        replace(CHUNK, metadata={"a": "1", "b": ["x", "y"]}),
        replace(CHUNK, metadata={"a": [1], "b": ["x", "y"]}),
        replace(CHUNK, metadata={"a": 1, "b": ["y", "x"]}),
        replace(CHUNK, metadata={"a": 1, "b": ["x", "y"], "c": False}),
    ],
)
def test_the_record_hash_changes_with_everything_but_ids(other):
    assert record_hash(other) != record_hash(CHUNK)


@pytest.mark.parametrize(
    "same",
    [
        replace(CHUNK, metadata={"b": ["x", "y"], "a": 1}),
        replace(CHUNK, metadata={"a": 1, "b": ("x", "y")}),
        replace(CHUNK, id="other", document_id="other"),
    ],
)
def test_the_record_hash_does_not_change_with_order_or_identity(same):
    assert record_hash(same) == record_hash(CHUNK)
    assert len(record_hash(same)) == 32


def test_the_largest_integer_is_still_exact_as_a_float():
    assert int(float(MAX_INTEGER)) == MAX_INTEGER
    assert int(float(MAX_INTEGER + 1)) != MAX_INTEGER + 1
