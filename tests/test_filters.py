"""What a filter means, and which are refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.errors import FilterError, InvalidInput
from retriever.filters import And, Compare, Exists, In, Not, Or, Reserved, matches, matching, parse_filter
from retriever.types import Chunk


def chunk(metadata, *, document="handbook::intro.md", source="handbook"):
    return Chunk("c", document, "text", 0, 4, metadata, source)


def holds(condition, metadata):
    return matches(parse_filter(condition), chunk(metadata))


MATCHES = {
    # equality
    "a bare value": ({"a": "x"}, {"a": "x"}),
    "$eq": ({"a": {"$eq": "x"}}, {"a": "x"}),
    "1 is 1.0": ({"a": 1}, {"a": 1.0}),
    "1.0 is 1": ({"a": 1.0}, {"a": 1}),
    "0.0 is -0.0": ({"a": 0.0}, {"a": -0.0}),
    "True is True": ({"a": True}, {"a": True}),
    "an empty string is a value": ({"a": ""}, {"a": ""}),
    "any element": ({"a": "y"}, {"a": ["x", "y"]}),
    "any number": ({"a": 2}, {"a": [1.0, 2.0]}),
    "a key with a dot": ({"a.b": 1}, {"a.b": 1}),
    # its complement
    "$ne another value": ({"a": {"$ne": "x"}}, {"a": "y"}),
    "$ne a missing key": ({"a": {"$ne": "x"}}, {}),
    "$ne another family": ({"a": {"$ne": 1}}, {"a": True}),
    "$ne no element": ({"a": {"$ne": "z"}}, {"a": ["x", "y"]}),
    # order
    "$gt": ({"a": {"$gt": 1}}, {"a": 1.5}),
    "$gte": ({"a": {"$gte": 1}}, {"a": 1.0}),
    "$lt": ({"a": {"$lt": 0.3}}, {"a": 0}),
    "$lte": ({"a": {"$lte": -1}}, {"a": -1.0}),
    "$gt any element": ({"a": {"$gt": 5}}, {"a": [1, 9]}),
    "a range": ({"a": {"$gte": 2020, "$lt": 2024}}, {"a": 2023}),
    "a range on a list takes any element for each end": ({"a": {"$gt": 5, "$lt": 3}}, {"a": [1, 9]}),
    # membership
    "$in": ({"a": {"$in": ["x", "y"]}}, {"a": "y"}),
    "$in of several families": ({"a": {"$in": ["1", 1, True]}}, {"a": 1}),
    "$in any element": ({"a": {"$in": ["z", "y"]}}, {"a": ["x", "y"]}),
    "$in a tuple": ({"a": {"$in": ("x",)}}, {"a": "x"}),
    "$in 1.0": ({"a": {"$in": [1.0]}}, {"a": 1}),
    "$nin": ({"a": {"$nin": ["x"]}}, {"a": "y"}),
    "$nin a missing key": ({"a": {"$nin": ["x"]}}, {}),
    "$nin nothing": ({"a": {"$nin": []}}, {"a": "x"}),
    # being there
    "$exists": ({"a": {"$exists": True}}, {"a": False}),
    "$exists an empty string": ({"a": {"$exists": True}}, {"a": ""}),
    "not $exists": ({"a": {"$exists": False}}, {"b": 1}),
    # containing
    "$contains a part of a string": ({"a": {"$contains": "ell"}}, {"a": "hello"}),
    "$contains the whole string": ({"a": {"$contains": "hello"}}, {"a": "hello"}),
    "$contains an empty string": ({"a": {"$contains": ""}}, {"a": "hello"}),
    "$contains an element": ({"a": {"$contains": "x"}}, {"a": ["x", "y"]}),
    "$contains a number": ({"a": {"$contains": 1}}, {"a": [1.0, 2.0]}),
    "$contains a boolean": ({"a": {"$contains": True}}, {"a": [True]}),
    # groups
    "nothing": ({}, {"a": 1}),
    "None": (None, {"a": 1}),
    "several keys are all needed": ({"a": 1, "b": 2}, {"a": 1, "b": 2}),
    "$and": ({"$and": [{"a": 1}, {"b": {"$gt": 1}}]}, {"a": 1, "b": 2}),
    "$and of one": ({"$and": [{"a": 1}]}, {"a": 1}),
    "$or": ({"$or": [{"a": 1}, {"b": 1}]}, {"b": 1}),
    "$or beside a key": ({"c": 3, "$or": [{"a": 1}, {"b": 1}]}, {"b": 1, "c": 3}),
    "$not": ({"$not": {"a": 1}}, {"a": 2}),
    "$not of a missing key": ({"$not": {"a": {"$gt": 1}}}, {}),
    "$not of several": ({"$not": {"a": 1, "b": 2}}, {"a": 1, "b": 3}),
    "$not under a key": ({"a": {"$not": {"$gt": 1}}}, {"a": 1}),
    "$not beside an operator": ({"a": {"$not": {"$eq": 3}, "$gt": 1}}, {"a": 2}),
    # reserved
    "$source": ({"$source": "handbook"}, {}),
    "$document": ({"$document": {"$contains": "intro"}}, {}),
    "$document in": ({"$document": {"$in": ["x", "handbook::intro.md"]}}, {}),
    "$source exists": ({"$source": {"$exists": True}}, {}),
    "a metadata key called source": ({"source": "mine"}, {"source": "mine"}),
}

FAILS = {
    "a missing key": ({"a": "x"}, {}),
    "another case": ({"a": "x"}, {"a": "X"}),
    "True is not 1": ({"a": 1}, {"a": True}),
    "1 is not True": ({"a": True}, {"a": 1}),
    "0 is not False": ({"a": False}, {"a": 0}),
    "1.0 is not True": ({"a": True}, {"a": 1.0}),
    "'1' is not 1": ({"a": 1}, {"a": "1"}),
    "'true' is not True": ({"a": True}, {"a": "true"}),
    "a decomposed letter is another string": ({"a": "é"}, {"a": "e\u0301"}),
    "no element": ({"a": "z"}, {"a": ["x", "y"]}),
    "$ne the value": ({"a": {"$ne": 1}}, {"a": 1.0}),
    "$ne any element": ({"a": {"$ne": "x"}}, {"a": ["x", "y"]}),
    "$gt a missing key": ({"a": {"$gt": 0}}, {}),
    "$lt a missing key": ({"a": {"$lt": 0}}, {}),
    "$gt a string": ({"a": {"$gt": 0}}, {"a": "5"}),
    "$gt True": ({"a": {"$gt": 0}}, {"a": True}),
    "$lt False": ({"a": {"$lt": 1}}, {"a": False}),
    "$lte strings in a list": ({"a": {"$lte": 1}}, {"a": ["0"]}),
    "$gt the same": ({"a": {"$gt": 1}}, {"a": 1.0}),
    "$in a missing key": ({"a": {"$in": ["x"]}}, {}),
    "$in nothing": ({"a": {"$in": []}}, {"a": "x"}),
    "$in another family": ({"a": {"$in": [1, "true"]}}, {"a": True}),
    "$nin any element": ({"a": {"$nin": ["x"]}}, {"a": ["x", "y"]}),
    "$exists": ({"a": {"$exists": True}}, {}),
    "not $exists": ({"a": {"$exists": False}}, {"a": 0}),
    "$contains another case": ({"a": {"$contains": "ELL"}}, {"a": "hello"}),
    "$contains a part of an element": ({"a": {"$contains": "ell"}}, {"a": ["hello"]}),
    "$contains a digit of a number": ({"a": {"$contains": 1}}, {"a": 12}),
    "$contains a number in a string": ({"a": {"$contains": 1}}, {"a": "123"}),
    "$contains True in ones": ({"a": {"$contains": True}}, {"a": [1]}),
    "$contains a missing key": ({"a": {"$contains": ""}}, {}),
    "$and": ({"$and": [{"a": 1}, {"b": 1}]}, {"a": 1}),
    "$or": ({"$or": [{"a": 1}, {"b": 1}]}, {"c": 1}),
    "$not": ({"$not": {"a": 1}}, {"a": 1.0}),
    "$source": ({"$source": ""}, {}),
    "$document": ({"$document": "intro.md"}, {}),
    "$source is not the metadata": ({"$source": "mine"}, {"source": "mine"}),
    "the metadata is not $source": ({"source": "handbook"}, {}),
}


@pytest.mark.parametrize("name", MATCHES)
def test_matches(name):
    assert holds(*MATCHES[name]) is True


@pytest.mark.parametrize("name", FAILS)
def test_does_not_match(name):
    assert holds(*FAILS[name]) is False


def nested(depth):
    condition = {"a": 1}
    for _ in range(depth):
        condition = {"$not": condition}
    return condition


MALFORMED = {
    "a list": ([{"a": 1}], "not a list"),
    "a string": ("a = 1", "not a str"),
    "an unknown operator": ({"a": {"$regex": "x"}}, r"'a': unknown operator \$regex"),
    "an operator without a dollar": ({"a": {"gt": 1}}, "'a': unknown operator gt"),
    "an operator that is no string": ({"a": {1: 2}}, "'a': unknown operator 1"),
    "an unknown group": ({"$nor": [{"a": 1}]}, r"unknown operator \$nor"),
    "an operator in the place of a key": ({"$gt": 1}, r"unknown operator \$gt"),
    "an empty key": ({"": 1}, "'' is not a key"),
    "a key that is no string": ({1: 1}, "1 is not a key"),
    "a key with a lone surrogate": ({"\ud800": 1}, "lone surrogate"),
    "no condition": ({"a": {}}, "'a': an empty dictionary"),
    "a bare list": ({"a": ["x"]}, r"'a': \$eq takes one value, not a list; use \$in"),
    "a bare None": ({"a": None}, r"'a': the operand of \$eq is a NoneType"),
    "a bare set": ({"a": {"x"}}, r"'a'.*\$in"),
    "a list for $ne": ({"a": {"$ne": ["x"]}}, r"'a': \$ne takes one value"),
    "a list for $contains": ({"a": {"$contains": ["x"]}}, r"'a': \$contains takes one value"),
    "NaN": ({"a": math.nan}, r"'a': the operand of \$eq is nan"),
    "infinity": ({"a": {"$lt": math.inf}}, r"'a': the operand of \$lt is inf"),
    "a large integer": ({"a": {"$gt": 2**53 + 1}}, r"'a': the operand of \$gt is an integer beyond"),
    "a lone surrogate": ({"a": {"$contains": "\ud800"}}, r"'a': the operand of \$contains holds a lone surrogate"),
    "$gt of a string": ({"a": {"$gt": "x"}}, r"'a': \$gt compares numbers, not 'x'"),
    "$lte of a boolean": ({"a": {"$lte": True}}, r"'a': \$lte compares numbers, not True"),
    "$in of one value": ({"a": {"$in": "xy"}}, r"'a': \$in takes a list, not 'xy'"),
    "$nin of a dictionary": ({"a": {"$nin": {"x": 1}}}, r"'a': \$nin takes a list"),
    "$in of None": ({"a": {"$in": ["x", None]}}, r"'a': the operand of \$in is a NoneType"),
    "$in of lists": ({"a": {"$in": [["x"]]}}, r"'a': \$in takes one value"),
    "$exists of a number": ({"a": {"$exists": 1}}, r"'a': \$exists takes true or false, not 1"),
    "$and of nothing": ({"$and": []}, r"\$and takes a list of at least one"),
    "$or of nothing": ({"$or": []}, r"\$or takes a list of at least one"),
    "$and of a dictionary": ({"$and": {"a": 1}}, r"\$and takes a list"),
    "$or with an empty filter": ({"$or": [{"a": 1}, {}]}, r"\$or takes filters that are non-empty"),
    "$or with a value": ({"$or": ["a"]}, r"\$or takes filters .* not 'a'"),
    "$not of a list": ({"$not": [{"a": 1}]}, r"\$not takes filters"),
    "$not of nothing": ({"$not": {}}, r"\$not takes filters that are non-empty"),
    "$not of a value under a key": ({"a": {"$not": 1}}, r"'a': \$not takes a dictionary of operators; .* \$ne"),
    "$not of an empty dictionary under a key": ({"a": {"$not": {}}}, "'a': an empty dictionary"),
    "a wrong part deep inside": (
        {"$or": [{"a": 1}, {"$and": [{"b": {"$not": {"$near": 1}}}]}]},
        r"'b': unknown operator \$near",
    ),
    "an unknown operator on a reserved field": ({"$source": {"$like": "x"}}, r"\$source: unknown operator \$like"),
    "a nested dictionary": ({"a": {"b": {"$eq": 1}}}, "'a': unknown operator b"),
    "far too deep": (nested(100_000), "nested too deeply"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_filters_are_refused_by_name(name):
    given_filter, message = MALFORMED[name]
    with pytest.raises(FilterError, match=message) as caught:
        parse_filter(given_filter)
    assert isinstance(caught.value, InvalidInput)


def test_the_trees():
    assert parse_filter({"a": 1}) == Compare("a", "eq", 1)
    assert parse_filter({"a": {"$ne": 1}}) == Not(Compare("a", "eq", 1))
    assert parse_filter({"a": {"$gte": 1, "$lt": 2}}) == And((Compare("a", "gte", 1), Compare("a", "lt", 2)))
    assert parse_filter({"a": {"$nin": [1, "x"]}}) == Not(In("a", (1, "x")))
    assert parse_filter({"a": {"$exists": False}}) == Not(Exists("a"))
    assert parse_filter({"$or": [{"a": 1}, {"$not": {"b": {"$contains": "x"}}}]}) == Or(
        (Compare("a", "eq", 1), Not(Compare("b", "contains", "x")))
    )
    assert parse_filter({"$source": "s", "$document": "d"}) == And(
        (Compare(Reserved.SOURCE, "eq", "s"), Compare(Reserved.DOCUMENT, "eq", "d"))
    )
    assert parse_filter({}) is None
    assert parse_filter(None) is None


def test_trees_are_values():
    assert len({parse_filter({"a": {"$in": [1, 2]}}), parse_filter({"a": {"$in": (1, 2)}})}) == 1


def test_empty_trees():
    assert matches(And(()), chunk({}))
    assert not matches(Or(()), chunk({}))
    assert not matches(In("a", ()), chunk({"a": 1}))


def test_matching_reserved_fields():
    assert matches(matching(["x", "handbook"], Reserved.SOURCE), chunk({}))
    assert not matches(matching(["handbook"], Reserved.DOCUMENT), chunk({}))
    assert not matches(matching([], Reserved.DOCUMENT), chunk({}))


scalars = st.one_of(
    st.sampled_from(["", "a", "ab", "A", "1", "true", "中", "\0"]),
    st.sampled_from([0, 1, 2, -1, 2**53, -(2**53)]),
    st.sampled_from([0.0, -0.0, 1.0, 0.3, 2.5, -1.0, 1e300, 5e-324]),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
)
numbers = st.one_of(
    st.sampled_from([0, 1, 2, -1, 0.0, 1.0, 0.3, 2.5]), st.floats(allow_nan=False, allow_infinity=False)
)
strings = st.sampled_from(["", "a", "ab", "abc", "b", "1", "中"])
names = st.sampled_from(["a", "b", "c.d", "$source", "$document"])
values = st.one_of(
    scalars,
    st.lists(strings, min_size=1, max_size=3),
    st.lists(numbers, min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=1, max_size=2),
)
chunks = st.builds(
    chunk,
    st.dictionaries(st.sampled_from(["a", "b", "c.d"]), values),
    document=st.sampled_from(["a", "ab", "x::a"]),
    source=st.sampled_from(["", "a", "x"]),
)
operators = st.one_of(
    st.builds(lambda value: {"$eq": value}, scalars),
    st.builds(lambda value: {"$ne": value}, scalars),
    st.builds(lambda operator, value: {operator: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), numbers),
    st.builds(lambda some: {"$in": some}, st.lists(scalars, max_size=3)),
    st.builds(lambda some: {"$nin": some}, st.lists(scalars, max_size=3)),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
    st.builds(lambda value: {"$contains": value}, scalars),
)
fields = st.builds(
    lambda name, some: {name: {operator: operand for part in some for operator, operand in part.items()}},
    names,
    st.lists(operators, min_size=1, max_size=2),
)
conditions = st.recursive(
    st.one_of(fields, st.builds(lambda name, value: {name: value}, names, scalars)),
    lambda inner: st.one_of(
        st.builds(lambda some: {"$and": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda some: {"$or": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda one: {"$not": one}, inner),
    ),
    max_leaves=5,
)


def meaning(condition, record):
    """The language once more, straight from its description, over the dictionaries themselves."""
    return all(_entry(key, value, record) for key, value in condition.items())


def _entry(key, value, record):
    if key == "$and":
        return all(meaning(part, record) for part in value)
    if key == "$or":
        return any(meaning(part, record) for part in value)
    if key == "$not":
        return not meaning(value, record)
    reserved = {"$source": record.source, "$document": record.document_id}
    there = reserved if key in reserved else record.metadata
    operators = value if isinstance(value, dict) else {"$eq": value}
    return all(_operator(name, operand, there.get(key)) for name, operand in operators.items())


def _operator(name, operand, value):
    if name in ("$ne", "$nin"):
        return not _operator({"$ne": "$eq", "$nin": "$in"}[name], operand, value)
    if name == "$exists":
        return (value is not None) is operand
    if name == "$in":
        return any(_operator("$eq", one, value) for one in operand)
    elements = [] if value is None else value if isinstance(value, list) else [value]
    if name == "$contains" and isinstance(value, str):
        return isinstance(operand, str) and operand in value
    if name == "$contains" and not isinstance(value, list):
        return False
    if name in ("$eq", "$contains"):
        return any(_kind(one) == _kind(operand) and one == operand for one in elements)
    compared = [one for one in elements if _kind(one) == "number"]
    return any(
        {"$gt": one > operand, "$gte": one >= operand, "$lt": one < operand, "$lte": one <= operand}[name]
        for one in compared
    )


def _kind(value):
    return {bool: "bool", str: "string"}.get(type(value), "number")


@given(conditions, chunks)
def test_the_tree_means_what_the_description_says(condition, record):
    assert matches(parse_filter(condition), record) is meaning(condition, record)


@given(names, scalars, chunks)
def test_equality_is_membership_of_one(name, value, record):
    equal = matches(parse_filter({name: value}), record)
    assert equal == matches(parse_filter({name: {"$eq": value}}), record)
    assert equal == matches(parse_filter({name: {"$in": [value]}}), record)
    assert equal != matches(parse_filter({name: {"$ne": value}}), record)
    assert equal != matches(parse_filter({name: {"$nin": [value]}}), record)


@given(names, st.lists(scalars, max_size=4), chunks)
def test_membership_is_any_equality(name, some, record):
    inside = matches(parse_filter({name: {"$in": some}}), record)
    assert inside == any(matches(parse_filter({name: value}), record) for value in some)
    assert inside != matches(parse_filter({name: {"$nin": some}}), record)


@given(conditions, chunks)
def test_negation_is_an_involution(condition, record):
    plain = matches(parse_filter(condition), record)
    assert matches(parse_filter({"$not": condition}), record) is not plain
    assert matches(parse_filter({"$not": {"$not": condition}}), record) is plain


@given(conditions, conditions, chunks)
def test_de_morgan(one, other, record):
    neither = matches(parse_filter({"$not": {"$or": [one, other]}}), record)
    assert neither is matches(parse_filter({"$and": [{"$not": one}, {"$not": other}]}), record)


@given(conditions)
def test_parsing_a_tree_is_that_tree(condition):
    tree = parse_filter(condition)
    assert parse_filter(tree) is tree
    assert parse_filter(condition) == tree


@given(names, numbers, chunks)
def test_order_is_total_for_a_single_number(name, number, record):
    value = record.metadata.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    below, at, above = (matches(parse_filter({name: {op: number}}), record) for op in ("$lt", "$eq", "$gt"))
    assert [below, at, above].count(True) == 1
    assert matches(parse_filter({name: {"$lte": number}}), record) is (below or at)
    assert matches(parse_filter({name: {"$gte": number}}), record) is (above or at)
