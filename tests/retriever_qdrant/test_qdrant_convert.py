"""What is written comes back exactly."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_samples import make_chunk, make_record
from qdrant_strategies import DRIFTING, NUMBERS, metadata

from retriever.metadata import record_hash
from retriever.types import Chunk
from retriever_qdrant import numbers, payload

floats = st.floats(allow_nan=False, allow_infinity=False)
unicode = st.text(st.characters(exclude_categories=["Cs"]))


def exactly(value: object) -> object:
    """Equal only for equal types, too: ``1`` is not ``1.0``, ``-0.0`` is not ``0.0``."""
    if isinstance(value, list | tuple):
        return [exactly(element) for element in value]
    return type(value).__name__, value, str(value)


def same(chunk: Chunk, other: Chunk) -> bool:
    assert {k: exactly(v) for k, v in chunk.metadata.items()} == {k: exactly(v) for k, v in other.metadata.items()}
    assert record_hash(chunk) == record_hash(other)
    return chunk == other


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=unicode, data=metadata, keys=st.dictionaries(unicode.filter(bool), floats), names=st.tuples(unicode, unicode)
)
def test_chunks_come_back(store, text, data, keys, names):
    chunk = make_chunk("c", {**keys, **data}, text=text, document_id=names[0], source=names[1], start=3, end=9)
    store.upsert([make_record("c"), make_record("d")])
    store.rewrite([chunk])
    assert same(store.fetch([store.key("c")])[store.key("c")], chunk)
    [entry] = [entry for entry in store.entries() if entry.chunk_id == "c"]
    assert entry == ("c", names[0], chunk.source, record_hash(chunk))


TEXTS = [
    "",
    "\0",
    "a\0b",
    "😀👩‍👩‍👧",
    "中文。",
    "שלום \u202eabc",
    "e\u0301",
    "\r\n\t",
    "\ufeff\uffff\U0010ffff",
    "x" * 2_000_000,
]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_texts_come_back_after_reopening(store, text):
    store.upsert([make_record("c", text=text, metadata={"k": text, "l": [text, "b"]})])
    store.close()
    [chunk] = store.fetch([store.key("c")]).values()
    assert (chunk.text, chunk.metadata) == (text, {"k": text, "l": [text, "b"]})


def test_numbers_come_back_after_reopening(store):
    choose = random.Random(1)
    some = [*NUMBERS, *(choose.random() for _ in range(500)), *(choose.randrange(2**53) for _ in range(50))]
    chunk = make_chunk("c", {"all": some, **{f"n{i}": value for i, value in enumerate(some)}, "np": np.float64(0.1)})
    store.upsert([make_record("c")])
    store.rewrite([chunk])
    store.close()
    [back] = store.fetch([store.key("c")]).values()
    assert [exactly(v) for v in back.metadata["all"]] == [exactly(v) for v in some]
    assert [exactly(back.metadata[f"n{i}"]) for i in range(len(some))] == [exactly(v) for v in some]
    assert exactly(back.metadata["np"]) == exactly(0.1)


def test_the_engine_does_change_floats(store):
    """The reason for splitting them: if this fails, the engine reads JSON exactly, and the trick may go."""
    import qdrant_edge as edge

    store.count()
    store._shard.update(
        edge.UpdateOperation.upsert_points(
            [edge.Point(payload.point_id("c"), {"dense": [1.0, 0, 0, 0]}, {"floats": DRIFTING})]
        )
    )
    [point] = store._shard.retrieve([payload.point_id("c")], True, False)
    pairs = zip(point.payload["floats"], DRIFTING, strict=True)
    assert all(back != value for back, value in pairs)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(floats.filter(numbers.survives_json), min_size=50, max_size=500))
def test_what_is_not_split_survives(store, values):
    store.upsert([make_record("c", metadata={"all": values})])
    [chunk] = store.fetch([store.key("c")]).values()
    assert struct.pack(f"{len(values)}d", *chunk.metadata["all"]) == struct.pack(f"{len(values)}d", *values)


def test_plain_numbers_are_not_split():
    chunk = make_chunk("c", {"price": 19.99, "year": 2024, "time": 1732190000.25, "none": 0.0, "list": [1.5, -3.25]})
    assert not {"split", "floats"} & set(payload.to_payload(chunk))
    assert not any(map(numbers.survives_json, DRIFTING))


@given(floats, floats)
def test_split_numbers_order_like_floats(one, other):
    first, second = numbers.split(one), numbers.split(other)
    assert numbers.join(first) == one
    assert ((first["h"], first["l"]) < (second["h"], second["l"])) == (one < other)
    assert (first == second) == (one == other)
    assert abs(first["h"]) < 2**53
    assert 0 <= first["l"] < 2**32


def test_keys_are_fixed_for_ever():
    """They are stored: another namespace would lose every record."""
    assert payload.point_id("0123456789abcdef0123456789abcdef") == "e4350b15dd2052ba96b9b42bd35af6d7"
    assert payload.is_point_id(payload.point_id("any"))
    assert not any(
        map(payload.is_point_id, ["", "any", payload.point_id("any").upper(), "{" + payload.point_id("any") + "}"])
    )
