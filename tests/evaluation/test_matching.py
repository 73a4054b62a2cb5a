"""Ids in judgements, ids in the index."""

import pytest

from retriever.errors import InvalidInput
from retriever.evaluation.judgements import Judgements, Span
from retriever.evaluation.matching import match_documents


def judged(*documents, grade=1):
    return Judgements({"q": "?"}, {"q": dict.fromkeys(documents, grade)}, {"q": (Span(documents[0], 0, 1),)})


@pytest.mark.parametrize(
    ("named", "known"),
    [
        ("handbook::a/b.md", "handbook::a/b.md"),
        ("a/b.md", "handbook::a/b.md"),
        ("17", "/data/set::corpus.jsonl#17"),
        ("corpus.jsonl#17", "/data/set::corpus.jsonl#17"),
        ("bare", "bare"),
        ("二.md", "文档::二.md"),
    ],
)
def test_with_and_without_the_name_of_the_source(named, known):
    found = match_documents(judged(named), [known, "handbook::other.md"])
    assert found.judgements.grades == {"q": {known: 1}}
    assert found.judgements.spans == {"q": (Span(known, 0, 1),)}
    assert found.missing == ()


def test_a_full_id_goes_before_a_short_one():
    assert match_documents(judged("a"), ["a", "source::a"]).judgements.grades == {"q": {"a": 1}}


def test_two_names_of_one_document_agree_or_are_refused():
    same = Judgements({"q": "?"}, {"q": {"a": 1, "s::a": 1}})
    assert match_documents(same, ["s::a"]).judgements.grades == {"q": {"s::a": 1}}
    for grades in ({"a": 1, "s::a": 0}, {"s::a": 0, "a": 1}):
        with pytest.raises(InvalidInput, match=r"query 'q': '.*a' is another name of document 's::a', with grade"):
            match_documents(Judgements({"q": "?"}, {"q": grades}), ["s::a"])


def test_what_is_not_there_stays_and_is_named():
    found = match_documents(judged("a", "gone"), ["s::a"])
    assert found.judgements.grades == {"q": {"s::a": 1, "gone": 1}}
    assert found.missing == ("gone",)


def test_missing_documents_that_nobody_wants_do_not_matter():
    grades = {"q": {"a": 1, "gone": 0}}
    assert match_documents(Judgements({"q": "?"}, grades), ["a"]).missing == ()


def test_an_id_that_may_be_several():
    with pytest.raises(InvalidInput, match=r"'a', which may be any of 'one::a', 'two::a': write the ids as"):
        match_documents(judged("a"), ["two::a", "one::a"])


def test_no_id_at_all_shows_both_sides():
    with pytest.raises(InvalidInput, match=r"none of the 1 .* like 'doc-1', ids in the index like 's::a', 's::b'"):
        match_documents(judged("doc-1"), ["s::b", "s::a"])
    with pytest.raises(InvalidInput, match="nothing, since it is empty"):
        match_documents(judged("doc-1"), [])
