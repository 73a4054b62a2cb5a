"""From documents and ledger to a plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.chunking import Chunked
from retriever.chunking.chunker import Span
from retriever.errors import InvalidInput
from retriever.metadata import record_hash
from retriever.planning import (
    HEADINGS,
    check_document,
    check_source,
    make_chunk_id,
    make_chunks,
    make_plan,
    qualified_id,
)
from retriever.stores import Entry
from retriever.types import Document

ids = st.text("ab:/é中\0 ", min_size=1, max_size=6)
sources = ids.filter(lambda source: "::" not in source and not source.endswith(":")) | st.just("")
texts = st.text("ab :中\0", max_size=12)


@st.composite
def chunked(draw, text):
    """Any spans of a text."""
    ends = st.integers(0, len(text))
    pairs = draw(st.lists(st.tuples(ends, ends).map(sorted), max_size=6))
    headings = st.lists(st.sampled_from(["One", "Two"]), max_size=2).map(tuple)
    spans = [Span(start, end, end - start, draw(headings)) for start, end in pairs]
    return Chunked(spans, len(text), 0)


@st.composite
def documents(draw):
    """Source, document and its spans; each document once."""
    keys = draw(st.lists(st.tuples(sources, ids), unique=True, max_size=5))
    made = []
    for source, document_id in keys:
        document = Document(document_id, draw(texts), draw(st.dictionaries(st.sampled_from("kl"), st.integers(0, 2))))
        made.append((source, document, draw(chunked(document.text))))
    return made


def all_chunks(made):
    return [make_chunks(document, spans, source) for source, document, spans in made]


@given(documents())
def test_chunk_ids_are_unique_in_and_across_documents_and_sources(made):
    chunk_ids = [chunk.id for document in all_chunks(made) for chunk in document.chunks]
    assert len(set(chunk_ids)) == len(chunk_ids)
    assert all(len(chunk_id) == 32 and set(chunk_id) <= set("0123456789abcdef") for chunk_id in chunk_ids)


@given(st.lists(st.tuples(sources.filter(bool), ids), unique=True))
def test_document_ids_of_named_sources_are_unique(keys):
    assert len({qualified_id(*key) for key in keys}) == len(keys)


@given(documents())
def test_the_same_input_gives_the_same_chunks(made):
    assert all_chunks(made) == all_chunks(made)


@given(documents())
def test_chunks_are_spans_with_the_documents_facts(made):
    for (source, document, spans), result in zip(made, all_chunks(made), strict=True):
        assert result.id == qualified_id(source, document.id)
        assert result.tokens == [span.tokens for span in spans.spans]
        assert len(result.chunks) == len(spans.spans)
        for chunk, span in zip(result.chunks, spans.spans, strict=True):
            assert document.text[chunk.start : chunk.end] == chunk.text
            assert (chunk.start, chunk.end) == (span.start, span.end)
            assert (chunk.document_id, chunk.source) == (result.id, source)
            expected = dict(document.metadata) | ({HEADINGS: list(span.headings)} if span.headings else {})
            assert chunk.metadata == expected


def one(text="a b a", source="s", document_id="d", metadata=None):
    """Chunks of a text cut at its spaces."""
    spans, start = [], 0
    for word in text.split(" "):
        spans.append(Span(start, start + len(word), 1, ()))
        start += len(word) + 1
    return make_chunks(Document(document_id, text, metadata or {}), Chunked(spans, len(text), 0), source)


def test_equal_texts_in_one_document_stay_apart():
    first, _, third = one().chunks
    assert first.text == third.text
    assert first.id != third.id
    assert first.id == make_chunk_id("s", "s::d", "a", 0)
    assert third.id == make_chunk_id("s", "s::d", "a", 1)


def test_an_id_does_not_depend_on_the_place_or_the_metadata():
    before = {chunk.text: chunk.id for chunk in one("x y z").chunks}
    after = {chunk.text: chunk.id for chunk in one("new x y z", metadata={"k": 1}).chunks}
    assert after.items() >= before.items()


def test_an_id_depends_on_everything_else():
    parts = [
        *(("s", "s::d", "t", 0), ("", "s::d", "t", 0), ("s", "s::e", "t", 0), ("s", "s::d", "u", 0)),
        *(("s", "s::d", "t", 1), ("s", "s::dt", "", 0), ("ss", "::d", "t", 0), ("s", "s::d", "t\0", 0)),
    ]
    assert len({make_chunk_id(*part) for part in parts}) == len(parts)


def test_ids_are_the_same_on_every_machine():
    assert make_chunk_id("handbook", "handbook::intro.md", "Grüße 中", 2) == "b2bd2beec4a73c66077dcd641a04c682"


def test_a_documents_own_headings_are_kept():
    document = Document("d", "text", {HEADINGS: "mine"})
    (chunk,) = make_chunks(document, Chunked([Span(0, 4, 1, ("One",))], 1, 0), "").chunks
    assert chunk.metadata == {HEADINGS: "mine"}


def test_the_documents_metadata_is_not_shared():
    document = Document("d", "a b", {"k": 1})
    spans = [Span(0, 1, 1, ("One",)), Span(2, 3, 1, ())]
    first, second = make_chunks(document, Chunked(spans, 2, 0), "").chunks
    assert HEADINGS in first.metadata
    assert HEADINGS not in second.metadata
    assert document.metadata == {"k": 1}


@given(documents(), st.data())
def test_the_plan_is_the_difference(made, data):
    window = all_chunks(made)
    chunks = [chunk for document in window for chunk in document.chunks]
    state = {chunk.id: data.draw(st.sampled_from(["missing", "changed", "there"])) for chunk in chunks}
    ledger = [
        Entry(chunk.id, chunk.document_id, chunk.source, record_hash(chunk) if state[chunk.id] == "there" else "old")
        for chunk in chunks
        if state[chunk.id] != "missing"
    ]
    gone = [Entry(make_chunk_id("", "gone", "x", n), "gone", "", "h") for n in range(data.draw(st.integers(0, 3)))]
    plan = make_plan(window, data.draw(st.permutations([*ledger, *gone])))
    tokens = {c.id: n for document in window for c, n in zip(document.chunks, document.tokens, strict=True)}
    assert [chunk.id for chunk in plan.missing] == [chunk.id for chunk in chunks if state[chunk.id] == "missing"]
    assert plan.tokens == [tokens[chunk.id] for chunk in plan.missing]
    assert [chunk.id for chunk in plan.changed] == [chunk.id for chunk in chunks if state[chunk.id] == "changed"]
    assert plan.unchanged == sum(what == "there" for what in state.values())
    assert sorted(plan.stale) == sorted(entry.chunk_id for entry in gone)


def entries(document):
    return [Entry(chunk.id, chunk.document_id, chunk.source, record_hash(chunk)) for chunk in document.chunks]


def test_an_edit_above_moves_what_is_below():
    plan = make_plan([one("new a b a")], iter(entries(one("a b a"))))
    assert [chunk.text for chunk in plan.missing] == ["new"]
    assert [(chunk.text, chunk.start) for chunk in plan.changed] == [("a", 4), ("b", 6), ("a", 8)]
    assert plan.stale == []


def test_other_metadata_is_a_change_and_no_new_text():
    plan = make_plan([one(metadata={"k": 1})], entries(one(metadata={"k": 1.0})))
    assert len(plan.changed) == 3
    assert (plan.missing, plan.stale, plan.unchanged) == ([], [], 0)


def test_one_occurrence_less_makes_the_last_one_stale():
    before = one("a b a")
    plan = make_plan([one("a b")], entries(before))
    assert plan.stale == [before.chunks[2].id]
    assert plan.unchanged == 2


def test_an_emptied_document_leaves_only_stale_chunks():
    empty = make_chunks(Document("d", ""), Chunked([], 0, 0), "s")
    plan = make_plan([empty], entries(one()))
    assert sorted(plan.stale) == sorted(chunk.id for chunk in one().chunks)
    assert (plan.missing, plan.changed, plan.unchanged) == ([], [], 0)


def test_nothing_is_planned_for_nothing():
    plan = make_plan([], [])
    assert (plan.missing, plan.tokens, plan.changed, plan.stale, plan.unchanged) == ([], [], [], [], 0)


@pytest.mark.parametrize("source", ["", "handbook", "/var/docs", "C:/docs", "a:b", "https://x", "名"])
def test_sources(source):
    assert check_source(source) == source


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a::b", "'a::b' holds '::'"),
        ("::", "holds '::'"),
        ("a:", "ends with ':'"),
        ("\ud800", "lone surrogate"),
        (5, "the source name 5 is a int"),
        (None, "NoneType"),
    ],
)
def test_sources_that_would_make_ids_ambiguous(source, message):
    with pytest.raises(InvalidInput, match=message):
        check_source(source)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("text", "expected a Document, not a str"),
        (None, "expected a Document, not a NoneType"),
        ({"id": "a", "text": "b"}, "expected a Document, not a dict"),
        (Document("", "text"), "non-empty string, not ''"),
        (Document(5, "text"), "non-empty string, not 5"),
        (Document("a\udc00", "text"), r"document id 'a\\udc00' holds a lone surrogate"),
        (Document("a", None), "document 'a': its text is a NoneType"),
        (Document("a", b"text"), "document 'a': its text is a bytes"),
        (Document("a", "x\ud83d"), "document 'a': its text holds a lone surrogate at character 1"),
        (Document("a", "text", {"k": {"l": 1}}), "document 'a': metadata 'k' is a dict"),
        (Document("a", "text", {"k": float("nan")}), "document 'a': metadata 'k' is nan"),
        (Document("a", "text", {"k": 2**70}), "document 'a': metadata 'k' is an integer beyond"),
        (Document("a", "text", None), "document 'a': its metadata is a NoneType"),
    ],
)
def test_documents_that_no_store_could_hold(document, message):
    with pytest.raises(InvalidInput, match=message):
        check_document(document)


def test_a_checked_document_has_clean_metadata():
    given_metadata = {"a": None, "b": (1, 2), "c": []}
    checked = check_document(Document("a", "\0 text", given_metadata))
    assert checked == Document("a", "\0 text", {"b": [1, 2]})
    assert given_metadata == {"a": None, "b": (1, 2), "c": []}
