"""Filters of langchain-chroma and langchain-qdrant users: equal meaning, or a refusal that names the construct."""

from datetime import UTC, datetime
from itertools import count
from uuid import UUID

import chromadb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from retriever.errors import FilterError
from retriever.filters import Compare, matches, parse_filter
from retriever.types import Chunk
from retriever_langchain.filters import to_filter

IDS = [str(UUID(int=number)) for number in range(1, 9)]
KEYS = ["a", "b", "with space", "dotted.key", "名"]
STRINGS = ["x", "y", "xy", "", "名"]

string, integer = st.sampled_from(STRINGS), st.integers(-2, 2)
# A float never equals an integer in Qdrant; here 1.0 is 1. So no whole ones.
fraction = st.sampled_from([-1.5, 0.25, 0.5, 1.75])
number = st.one_of(integer, fraction)
value = st.one_of(
    string,
    number,
    st.booleans(),
    st.lists(string, min_size=1, max_size=3),
    st.lists(number, min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=1, max_size=2),
)
payload = st.dictionaries(st.sampled_from(KEYS), value, max_size=len(KEYS))
payloads = st.lists(payload, min_size=1, max_size=len(IDS))


def path(key):
    return f"metadata.{key}" if key.isascii() and key.isidentifier() else f'metadata."{key}"'


paths = st.one_of(st.sampled_from(KEYS).map(path), st.sampled_from(KEYS).map(lambda key: f'metadata."{key}"'))
match = st.one_of(
    st.builds(lambda operand: models.MatchValue(value=operand), st.one_of(string, integer, st.booleans())),
    st.builds(lambda operands: models.MatchAny(any=operands), st.one_of(st.lists(string), st.lists(integer))),
)
bound = st.builds(
    lambda name, operand: models.Range(**{name: operand}), st.sampled_from(["gt", "gte", "lt", "lte"]), number
)
field = st.one_of(
    st.builds(lambda key, part: models.FieldCondition(key=key, match=part), paths, match),
    st.builds(lambda key, part: models.FieldCondition(key=key, range=part), paths, bound),
    st.builds(lambda key, part: models.FieldCondition(key=key, is_empty=part), paths, st.booleans()),
    st.builds(lambda key: models.IsEmptyCondition(is_empty=models.PayloadField(key=key)), paths),
    st.builds(
        lambda ids, plain: models.HasIdCondition(has_id=[UUID(name).hex if plain else name for name in ids]),
        st.lists(st.sampled_from(IDS)),
        st.booleans(),
    ),
)


def groups(condition):
    several = st.one_of(st.none(), condition, st.lists(condition, max_size=3))
    least = st.builds(
        lambda conditions, least: models.MinShould(conditions=conditions, min_count=least),
        st.lists(condition, max_size=4),
        st.integers(1, 5),
    )
    return st.builds(
        lambda must, should, must_not, min_should: models.Filter(
            must=must, should=should, must_not=must_not, min_should=min_should
        ),
        several,
        several,
        several,
        st.one_of(st.none(), least),
    )


filters = groups(st.recursive(field, groups, max_leaves=8))


@pytest.fixture(scope="module")
def found_by_qdrant():
    """What qdrant-client's own evaluation finds, in collections as langchain-qdrant makes them."""
    client, names = QdrantClient(":memory:"), count()

    def found(metadatas, condition):
        name = f"c{next(names)}"
        client.create_collection(name, vectors_config={})
        points = [
            models.PointStruct(id=key, vector={}, payload={"page_content": "x", "metadata": metadata})
            for key, metadata in zip(IDS, metadatas, strict=False)
        ]
        client.upsert(name, points)
        records, _ = client.scroll(name, scroll_filter=condition, limit=len(IDS))
        client.delete_collection(name)
        return {record.id for record in records}

    yield found
    client.close()


def found_here(metadatas, condition):
    chunks = [Chunk(key, key, "x", 0, 1, metadata) for key, metadata in zip(IDS, metadatas, strict=False)]
    parsed = parse_filter(to_filter(condition))
    return {chunk.id for chunk in chunks if matches(parsed, chunk)}


@given(payloads, filters)
def test_a_qdrant_filter_finds_what_qdrant_finds(found_by_qdrant, metadatas, condition):
    assert found_here(metadatas, condition) == found_by_qdrant(metadatas, condition)


@given(payloads, field)
def test_so_does_a_condition_by_itself(found_by_qdrant, metadatas, condition):
    assert found_here(metadatas, condition) == found_by_qdrant(metadatas, models.Filter(must=condition))


scalars = st.dictionaries(st.sampled_from(KEYS), st.one_of(string, number, st.booleans()), max_size=len(KEYS))
ranges = st.builds(
    lambda **bounds: models.Range(**bounds),
    **{name: st.one_of(st.none(), number) for name in ("gt", "gte", "lt", "lte")},
).filter(lambda range_: any(bound is not None for bound in range_.model_dump().values()))


@given(st.lists(scalars, min_size=1, max_size=len(IDS)), paths, ranges)
def test_so_does_a_range_with_several_bounds_on_values_that_are_no_lists(found_by_qdrant, metadatas, key, range_):
    condition = models.Filter(must=[models.FieldCondition(key=key, range=range_)])
    assert found_here(metadatas, condition) == found_by_qdrant(metadatas, condition)


def test_on_a_list_each_bound_may_be_met_by_another_element(found_by_qdrant):
    """As in our own language; documented."""
    condition = models.Filter(must=models.FieldCondition(key="metadata.a", range=models.Range(gt=3, lt=5)))
    metadatas = [{"a": [1, 10]}, {"a": [4, 10]}, {"a": [5]}, {"a": 4}]
    assert found_by_qdrant(metadatas, condition) == {IDS[1], IDS[3]}
    assert found_here(metadatas, condition) == {IDS[0], IDS[1], IDS[3]}


def test_one_and_one_point_zero_are_equal_here(found_by_qdrant):
    """As in our own language; documented."""
    condition = models.Filter(must=models.FieldCondition(key="metadata.a", match=models.MatchValue(value=1)))
    metadatas = [{"a": 1}, {"a": 1.0}, {"a": True}]
    assert found_by_qdrant(metadatas, condition) == {IDS[0]}
    assert found_here(metadatas, condition) == {IDS[0], IDS[1]}


def test_except_is_refused_because_of_lists(found_by_qdrant):
    """Nothing in our language says 'an element that is none of these'."""
    condition = models.FieldCondition(key="metadata.a", match=models.MatchExcept(**{"except": ["x"]}))
    metadatas = [{"a": "x"}, {"a": "y"}, {"a": ["x", "y"]}, {"a": ["x"]}, {}]
    assert found_by_qdrant(metadatas, models.Filter(must=condition)) == {IDS[1], IDS[2]}
    with pytest.raises(FilterError, match="MatchExcept"):
        to_filter(condition)
    advised = models.Filter(
        must_not=[
            models.FieldCondition(key="metadata.a", match=models.MatchAny(any=["x"])),
            models.IsEmptyCondition(is_empty=models.PayloadField(key="metadata.a")),
        ]
    )
    assert found_here(metadatas, advised) == {IDS[1]}


SAMPLE = [{}, {"a": 1}, {"a": 1, "b": "x"}, {"a": 1, "b": "x", "c": True}, {"b": ["x", "y"]}, {"c": False}]


def equal(key, operand):
    return models.FieldCondition(key=f"metadata.{key}", match=models.MatchValue(value=operand))


THREE = [equal("a", 1), equal("b", "x"), equal("c", True)]
EXAMPLES = {
    "must": (models.Filter(must=THREE[:2]), [2, 3]),
    "must of one": (models.Filter(must=THREE[0]), [1, 2, 3]),
    "must_not": (models.Filter(must_not=THREE[:2]), [0, 5]),
    "should": (models.Filter(should=THREE), [1, 2, 3, 4]),
    "should beside must": (models.Filter(must=THREE[0], should=THREE[1:]), [2, 3]),
    "an empty should beside must": (models.Filter(must=THREE[0], should=[]), [1, 2, 3]),
    "an empty filter within": (models.Filter(must_not=[models.Filter()]), []),
    "1 of 3": (models.Filter(min_should=models.MinShould(conditions=THREE, min_count=1)), [1, 2, 3, 4]),
    "2 of 3": (models.Filter(min_should=models.MinShould(conditions=THREE, min_count=2)), [2, 3]),
    "3 of 3": (models.Filter(min_should=models.MinShould(conditions=THREE, min_count=3)), [3]),
    "4 of 3": (models.Filter(min_should=models.MinShould(conditions=THREE, min_count=4)), []),
    "empty": (models.FieldCondition(key="metadata.a", is_empty=True), [0, 4, 5]),
    "not empty": (models.FieldCondition(key="metadata.a", is_empty=False), [1, 2, 3]),
    "any of a list": (models.FieldCondition(key="metadata.b", match=models.MatchAny(any=["y", "z"])), [4]),
    "any of none": (models.FieldCondition(key="metadata.b", match=models.MatchAny(any=[])), []),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_construct_by_example(found_by_qdrant, name):
    condition, places = EXAMPLES[name]
    expected = {IDS[place] for place in places}
    assert found_by_qdrant(SAMPLE, models.Filter(must=condition)) == expected
    assert found_here(SAMPLE, condition) == expected


def test_an_empty_filter_finds_everything():
    for empty in (models.Filter(), models.Filter(must=[], should=[], must_not=[])):
        assert found_here([{}, {"a": 1}], empty) == set(IDS[:2])
    nothing = models.Filter(min_should=models.MinShould(conditions=[], min_count=1))
    assert found_here([{}, {"a": 1}], nothing) == set()


def test_ids_are_taken_as_they_are_and_as_qdrant_spells_them():
    own = Chunk("doc-1", "doc-1", "x", 0, 1, {})
    assert matches(to_filter(models.HasIdCondition(has_id=["doc-1"])), own)
    assert matches(to_filter(models.HasIdCondition(has_id=[7])), Chunk("7", "7", "x", 0, 1, {}))
    shouted = IDS[0].upper()
    assert matches(to_filter(models.HasIdCondition(has_id=[shouted])), Chunk(IDS[0], IDS[0], "x", 0, 1, {}))
    assert not matches(to_filter(models.HasIdCondition(has_id=[])), own)


def on(**condition):
    return models.FieldCondition(key="metadata.a", **condition)


POINT = models.GeoPoint(lat=1, lon=1)
RING = models.GeoLineString(points=[POINT, models.GeoPoint(lat=1, lon=2), models.GeoPoint(lat=2, lon=2), POINT])

REFUSED = {
    "MatchText": on(match=models.MatchText(text="x")),
    "MatchTextAny": on(match=models.MatchTextAny(text_any="x")),
    "MatchPhrase": on(match=models.MatchPhrase(phrase="x")),
    "MatchPrefix": on(match=models.MatchPrefix(prefix="x")),
    "MatchSubstring": on(match=models.MatchSubstring(substring="x")),
    "MatchExcept": on(match=models.MatchExcept(**{"except": ["x"]})),
    "DatetimeRange": on(range=models.DatetimeRange(gt=datetime(2020, 1, 1, tzinfo=UTC))),
    "Range": on(range=models.Range()),
    "values_count": on(values_count=models.ValuesCount(gt=1)),
    "geo_radius": on(geo_radius=models.GeoRadius(center=POINT, radius=1)),
    "geo_bounding_box": on(geo_bounding_box=models.GeoBoundingBox(top_left=POINT, bottom_right=POINT)),
    "geo_polygon": on(geo_polygon=models.GeoPolygon(exterior=RING)),
    "is_null": on(is_null=True),
    "not 0": on(),
    "not 2": on(is_empty=True, match=models.MatchValue(value=1)),
    "IsNullCondition": models.IsNullCondition(is_null=models.PayloadField(key="metadata.a")),
    "NestedCondition": models.NestedCondition(nested=models.Nested(key="metadata.a", filter=models.Filter())),
    "HasVectorCondition": models.HasVectorCondition(has_vector="x"),
    "SliceCondition": models.SliceCondition(slice=models.Slice(total=2, index=0)),
    "min_count is 0": models.Filter(min_should=models.MinShould(conditions=[on(is_empty=True)], min_count=0)),
    "too many alternatives": models.Filter(
        min_should=models.MinShould(conditions=[on(is_empty=True)] * 20, min_count=10)
    ),
    "MinShould": models.MinShould(conditions=[], min_count=1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_equal_is_refused_by_its_name_wherever_it_stands(name):
    condition = REFUSED[name]
    with pytest.raises(FilterError, match=name):
        to_filter(condition)
    if name != "MinShould":
        for place in ("must", "should", "must_not"):
            with pytest.raises(FilterError, match=name):
                to_filter(models.Filter(must=[on(is_empty=False), models.Filter(**{place: [condition]})]))


def test_every_condition_that_the_client_knows_is_translated_or_refused():
    """A new one of another version is refused too, by the same rule."""
    parts = {name for name in models.FieldCondition.model_fields if name != "key"}
    assert parts == {"match", "range", "is_empty"} | (parts & set(REFUSED))
    made = {kind.__name__ for kind in models.Match.__args__}
    assert made == {"MatchValue", "MatchAny"} | (made & set(REFUSED))
    conditions = {kind.__name__ for kind in models.Condition.__args__}
    translated = {"Filter", "FieldCondition", "IsEmptyCondition", "HasIdCondition"}
    assert conditions == translated | (conditions & set(REFUSED))


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "page_content",
        "metadata",
        "metadata.",
        "metadata.a.b",
        "metadata.a[]",
        "metadata.a[0]",
        'metadata."a',
        "meta.a",
    ],
)
def test_a_key_that_is_not_of_the_metadata_is_refused(key):
    with pytest.raises(FilterError, match=r"metadata\.KEY"):
        to_filter(models.FieldCondition(key=key, match=models.MatchValue(value=1)))


@pytest.mark.parametrize("operand", [2**60, "\ud800"])
def test_an_operand_that_no_store_can_hold_is_refused(operand):
    with pytest.raises(FilterError, match="operand"):
        to_filter(on(match=models.MatchValue.model_construct(value=operand)))


def test_a_filter_without_end_is_refused():
    condition = models.Filter(must=[on(is_empty=True)])
    for _ in range(5000):
        condition = models.Filter.model_construct(must=[condition], must_not=None, should=None, min_should=None)
    with pytest.raises(FilterError, match="too deeply"):
        to_filter(condition)


def test_our_own_language_passes_unchanged():
    given = {"year": {"$gte": 2020, "$lt": 2024}, "$or": [{"tag": {"$in": ["a"]}}, {"draft": {"$exists": False}}]}
    assert to_filter(given) is given
    parsed = Compare("a", "eq", 1)
    assert to_filter(parsed) is parsed
    assert to_filter(None) is None


@pytest.mark.parametrize("bad", ["year > 2020", 7, ["a"], lambda document: True])
def test_anything_else_is_refused(bad):
    with pytest.raises(FilterError, match="a filter is a dictionary"):
        to_filter(bad)


def test_where_document_is_refused_with_what_to_do():
    with pytest.raises(FilterError, match=r"where_document.*mode='keyword'"):
        to_filter(None, where_document={"$contains": "x"})
    assert to_filter({"a": 1}, where_document=None) == {"a": 1}
    assert to_filter({"a": 1}, where_document={}) == {"a": 1}


CHROMA_IDS = [str(number) for number in range(60)]
CHROMA = [
    {
        key: cell
        for key, cell in {
            "a": STRINGS[place % 5],
            "b": place % 4 - 2,
            "c": bool(place % 2),
            "d": [0.25, 0.5, 1.75][place % 3],
        }.items()
        if (place * 7 + len(key) * ord(key)) % 5
    }
    for place in range(60)
]

whole = st.tuples(st.just("b"), integer)
of_key = st.one_of(
    st.tuples(st.just("a"), string), whole, st.tuples(st.just("c"), st.booleans()), st.tuples(st.just("d"), fraction)
)
where_leaf = st.one_of(
    of_key.map(lambda given: {given[0]: given[1]}),
    st.builds(lambda given, operator: {given[0]: {operator: given[1]}}, of_key, st.sampled_from(["$eq", "$ne"])),
    st.builds(
        lambda given, operator: {given[0]: {operator: given[1]}},
        st.one_of(whole, st.tuples(st.just("d"), fraction)),
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]),
    ),
    st.builds(
        lambda key, operator, operands: {key: {operator: operands}},
        st.just("a"),
        st.sampled_from(["$in", "$nin"]),
        st.lists(string, min_size=1),
    ),
)
where = st.recursive(
    where_leaf,
    lambda inner: st.builds(
        lambda operator, parts: {operator: parts},
        st.sampled_from(["$and", "$or"]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def chroma_collection():
    client = chromadb.EphemeralClient()
    collection = client.create_collection("filters", embedding_function=None)
    for key, metadata in zip(CHROMA_IDS, CHROMA, strict=True):
        collection.add(ids=[key], embeddings=[[1.0, 0.0]], metadatas=[metadata or None], documents=["x"])
    yield collection
    client.delete_collection("filters")


@given(where)
def test_a_where_of_chroma_means_the_same_here(chroma_collection, condition):
    parsed = parse_filter(to_filter(condition))
    chunks = [Chunk(key, key, "x", 0, 1, cells) for key, cells in zip(CHROMA_IDS, CHROMA, strict=True)]
    found = {chunk.id for chunk in chunks if matches(parsed, chunk)}
    assert found == set(chroma_collection.get(where=condition, include=[])["ids"])
