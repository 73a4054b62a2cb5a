"""Each reason where it really happens; and whatever happens, they add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever import ChunkerConfig, Document, Retriever
from retriever.evaluation import Judgements, Span, evaluate
from retriever.evaluation.waterfall import MEANINGS, REASONS

QUERY = "rotating signing keys"


def why(retriever, gold, query=QUERY, *, spans=None, **settings):
    """The one failure of one query."""
    given = {"q": [Span(gold, *span) for span in spans]} if spans else {}
    grades = {"q": {gold: 1, "s::filler-0": 0}}
    result = evaluate(retriever, Judgements({"q": query}, grades, given), **settings)
    assert sum(result.waterfall.shares.values()) == pytest.approx(1)
    (failure,) = result.waterfall.failures
    assert result.waterfall.counts[failure.reason] == 1
    return failure


def near(count):
    """Texts that are nearer to the query than a text which has only one of its words."""
    return {f"near-{i}": f"{QUERY} {QUERY} number{i}" for i in range(count)}


def test_the_document_was_deleted(build, filler):
    retriever = build({"gold": QUERY, **filler(20)})
    retriever.delete(documents=["s::gold"])
    failure = why(retriever, "gold", k=3)
    assert (failure.reason, failure.chunk, failure.ranks) == ("not in any chunk", None, {})


def test_the_answer_was_cut_in_two(build, filler):
    text = " ".join(f"word{i}" for i in range(120))
    chunker = ChunkerConfig(size=40, overlap=0)
    retriever = build({"gold": text, **filler(20), **near(20)}, chunker=chunker)
    cut = next(chunk.end for chunk in retriever.store.fetch(keys_of(retriever, "s::gold")).values() if chunk.start == 0)
    assert why(retriever, "gold", spans=[(cut - 8, cut + 8)], k=3).reason == "not in any chunk"
    whole = why(retriever, "gold", spans=[(cut - 8, cut + 8), (2, 9)], k=3)
    assert whole.reason != "not in any chunk"
    assert whole.chunk.start == 0


def keys_of(retriever, document):
    return [retriever.store.key(e.chunk_id) for e in retriever.store.entries() if e.document_id == document]


def test_nothing_is_near(build):
    failure = why(build({"gold": "an unrelated signing pen", **near(150)}), "gold")
    assert failure.reason == "not in the exact top 100"
    assert failure.ranks["exact keyword"] > 100
    assert failure.ranks["keyword"] == failure.ranks["exact keyword"]


def test_the_store_forgets(build, filler, forgetful):
    texts = {"gold": f"{QUERY} forgotten", **filler(30), **near(12)}
    failure = why(build(texts, "forgetful:"), "gold")
    assert failure.reason == "lost by approximate search"
    assert failure.ranks["exact semantic"] <= 13
    assert failure.ranks.keys() == {"exact semantic", "exact keyword"}
    assert why(build(texts, "forgetful:two"), "gold", exact=False).reason == "not among the candidates"


@pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])
def test_the_filter_forbids_it(build, filler, mode):
    retriever = build({"gold": QUERY, **filler(30)}, metadata={f"filler-{i}": {"public": True} for i in range(30)})
    failure = why(retriever, "gold", filter={"public": True}, mode=mode)
    assert failure.reason == "lost by the filter"
    assert {failure.ranks.get("exact semantic", 1), failure.ranks.get("exact keyword", 1)} == {1}


def test_no_leg_has_it_among_its_first(build, filler):
    failure = why(build({"gold": "an unrelated signing pen", **near(20), **filler(20)}), "gold")
    assert failure.reason == "ranked too low"
    assert failure.ranks["fused"] > 10
    assert failure.chunk.document_id == "s::gold"


def test_one_leg_had_it(build):
    # A rare word, which the keyword leg prizes; the semantic leg, which has all the weight, prefers the others.
    texts = {"gold": f"zyzzyva and many other words about {' '.join(f'thing{i}' for i in range(30))}"}
    texts |= {f"near-{i}": f"{QUERY} {QUERY}" + f" n{i}" for i in range(20)}
    retriever = build(texts)
    query = f"{QUERY} zyzzyva zyzzyva zyzzyva"
    failure = why(retriever, "gold", query, keyword_weight=0.0)
    assert failure.reason == "lost by fusion"
    assert failure.ranks["keyword"] <= 10 < failure.ranks["fused"]
    found = evaluate(retriever, Judgements({"q": query}, {"q": {"gold": 1}}), keyword_weight=1.0)
    assert found.waterfall.found == ["q"]


def test_the_reranker_puts_it_down(build, filler, longest):
    retriever = build({"gold": QUERY, **{name: f"{text} keys" for name, text in filler(30).items()}})
    judgements = Judgements({"q": QUERY}, {"q": {"gold": 1}})
    assert evaluate(retriever, judgements).waterfall.found == ["q"]
    failure = why(retriever, "gold", rerank="longest")
    assert failure.reason == "lost by the reranker"
    assert failure.ranks["fused"] == 1


def test_of_several_answers_the_one_that_came_furthest_counts(build, filler):
    retriever = build({"gold": "an unrelated signing pen", **near(20), **filler(20)})
    judgements = Judgements({"q": QUERY}, {"q": {"gone": 2, "gold": 1}})
    (failure,) = evaluate(retriever, judgements).waterfall.failures
    assert (failure.document, failure.reason) == ("s::gold", "ranked too low")


def test_every_reason_has_words():
    assert MEANINGS.keys() == set(REASONS)


@pytest.fixture(scope="module")
def small():
    with Retriever.open("memory:", embedding="hashed", chunker=ChunkerConfig(size=16, overlap=0)) as retriever:
        words = ["ship", "key", "cake", "oak", "river", "stone", "cloud", "lamp"]
        texts = [" ".join(words[(i * 7 + j * j) % 8] for j in range(5 + i % 40)) for i in range(60)]
        retriever.index([Document(f"d{i}", t, {"even": i % 2 == 0}) for i, t in enumerate(texts)], source="s")
        yield retriever


@given(
    st.dictionaries(
        st.sampled_from(["ship key", "cake", "river stone cloud", "lamp oak", "nothing known"]),
        st.dictionaries(st.integers(0, 70).map(lambda i: f"s::d{i}"), st.integers(-1, 2), min_size=1, max_size=5),
        min_size=1,
    ),
    st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["hybrid", "semantic", "keyword"]),
            "fusion": st.sampled_from(["relative", "rrf"]),
            "keyword_weight": st.sampled_from([0.0, 0.3, 1.0]),
            "depth": st.integers(1, 80),
            "filter": st.sampled_from([None, {"even": True}]),
            "exact": st.sampled_from([True, False]),
            "k": st.integers(1, 12),
        }
    ),
)
def test_the_shares_add_up_whatever_happens(small, grades, settings):
    grades = {**grades, "always": {"s::d0": 1}}
    judgements = Judgements({query: "lamp" if query == "always" else query for query in grades}, grades)
    k = settings["k"]
    result = evaluate(small, judgements, measures=[f"Success@{k}"], **settings)
    fall, asked = result.waterfall, [q for q, known in grades.items() if max(known.values()) > 0]
    assert sum(fall.counts.values()) == len(asked) == len(fall.found) + len(fall.failures)
    assert sum(fall.shares.values()) == pytest.approx(1)
    assert sorted([*fall.found, *(failure.query for failure in fall.failures)]) == sorted(asked)
    # trec_eval agrees on what was found.
    assert {q for q, value in result.ways[-1].values[f"Success@{k}"].items() if value} == set(fall.found)
    for failure in fall.failures:
        assert failure.document in judgements.relevant(failure.query)
        assert (failure.chunk is None) == (failure.reason == "not in any chunk")
        assert failure.reason != "lost by approximate search"  # the memory store searches exactly
        if settings["exact"]:
            assert failure.reason != "not among the candidates"
