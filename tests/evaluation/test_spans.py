"""Gold spans in characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.evaluation.judgements import Span
from retriever.evaluation.spans import covers, span_measures

SPANS = st.lists(
    st.builds(lambda d, s, n: Span(d, s, s + n), st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 9)),
    max_size=5,
)


def test_by_hand():
    found = {"q": [Span("a", 0, 10), Span("a", 5, 20), Span("b", 0, 10), Span("a", 90, 99)]}
    gold = {"q": [Span("a", 15, 25), Span("b", 8, 9)], "nothing": [Span("a", 0, 4)]}
    values = span_measures(found, gold, k=3)
    assert values == {  # 30 characters found, 11 gold, 6 of them both
        "CharRecall@3": {"q": pytest.approx(6 / 11), "nothing": 0.0},
        "CharPrecision@3": {"q": pytest.approx(6 / 30), "nothing": 0.0},
        "CharIoU@3": {"q": pytest.approx(6 / 35), "nothing": 0.0},
    }


@given(SPANS, SPANS.filter(bool))
def test_as_sets_of_characters(found, gold):
    def characters(spans):
        return {(span.document, i) for span in spans for i in range(span.start, span.end)}

    read, wanted = characters(found), characters(gold)
    values = [by_query["q"] for by_query in span_measures({"q": found}, {"q": gold}).values()]
    both = len(read & wanted)
    expected = [both / len(wanted), both / len(read) if read else 0.0, both / len(read | wanted)]
    assert values == pytest.approx(expected)


def test_covering_is_the_whole_span_in_the_same_document():
    span = Span("a", 5, 9)
    assert covers(Span("a", 5, 9), span)
    assert not covers(Span("a", 6, 20), span)
    assert not covers(Span("a", 0, 8), span)
    assert not covers(Span("b", 0, 20), span)
