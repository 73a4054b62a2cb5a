"""Evaluating: both legs beside their fusion, on ids as people write them."""

import sys

import pytest

from retriever import Document
from retriever.errors import ConfigurationError, InvalidInput, MissingExtra
from retriever.evaluation import MEASURES, Judgements, Span, evaluate, measure, tune
from retriever.evaluation.statistics import holm
from retriever.manifest import SearchDefaults


@pytest.fixture
def judged(build):
    texts = {f"d{i}": f"rare{i}x common{i % 3} common{i % 5} common{i % 7} and more words" for i in range(40)}
    queries = {f"q{i}": f"rare{i}x common{i % 5}" if i % 2 else f"common{i % 7} common{i % 3} words" for i in range(30)}
    return build(texts), Judgements(queries, {f"q{i}": {f"d{i}": 1} for i in range(30)})


def test_the_legs_beside_their_fusion(judged):
    retriever, judgements = judged
    result = evaluate(retriever, judgements)
    assert [way.name for way in result.ways] == ["keyword", "semantic", "hybrid"]
    assert (result.primary, list(result.ways[0].values)) == ("nDCG@10", list(MEASURES))
    for way in result.ways:
        hits = {q: retriever.search(t, 200, mode=way.name) for q, t in judgements.queries.items()}
        run = {q: [(hit.document_id, hit.score) for hit in found] for q, found in hits.items()}
        grades = {q: {f"s::{d}": g for d, g in known.items()} for q, known in judgements.grades.items()}
        assert way.values == measure(run, grades)
        assert way.intervals["nDCG@10"][0] <= way.means["nDCG@10"] <= way.intervals["nDCG@10"][1]
    assert [(v.a, v.b) for v in result.versus] == [
        ("keyword", "semantic"),
        ("keyword", "hybrid"),
        ("semantic", "hybrid"),
    ]
    assert [v.adjusted for v in result.versus] == holm([v.comparison.p for v in result.versus])
    assert result.best.means["nDCG@10"] == max(way.means["nDCG@10"] for way in result.ways)
    assert result == evaluate(retriever, judgements)


def test_a_tuned_depth_is_measured_as_it_is_searched(judged):
    retriever, judgements = judged
    retriever.set_search_defaults(
        SearchDefaults(
            keyword_weight=0.5, fusion="relative", depth=10, measure="MAP", queries=40, gain=1, low=1, high=1
        )
    )
    result = evaluate(retriever, judgements)
    assert result.setting.depth == 10
    for query, text in judgements.queries.items():
        hits = retriever.search(text, 10)
        assert result.ways[-1].run[query][:10] == [(hit.document_id, hit.score) for hit in hits]


def test_one_leg_alone_and_a_reranker(judged, longest):
    retriever, judgements = judged
    assert [way.name for way in evaluate(retriever, judgements, mode="keyword").ways] == ["keyword"]
    result = evaluate(retriever, judgements, rerank="longest", rerank_depth=20)
    assert [way.name for way in result.ways] == ["keyword", "semantic", "hybrid", "reranked"]
    assert len(result.versus) == 6
    assert len(result.ways[-1].run["q1"]) == 20


def test_what_is_left_out_is_said(judged):
    retriever, judgements = judged
    grades = {**judgements.grades, "q0": {"d0": 0}, "q1": {"d1": 1, "gone": 1}}
    result = evaluate(retriever, Judgements(judgements.queries, grades, unasked=("lost",)))
    assert (result.skipped, result.missing, result.judgements.unasked) == (["q0"], ("gone",), ("lost",))
    assert "q0" not in result.ways[0].values["MAP"]
    assert result.ways[-1].values["Recall@100"]["q1"] == 0.5
    with pytest.raises(InvalidInput, match="none of the 1 queries has a relevant document"):
        evaluate(retriever, Judgements({"q": "x"}, {"q": {"d0": 0}}))


def test_gold_spans_are_measured_in_characters(build):
    retriever = build({"d": "the signing key rotates", "e": "cake with eggs"})
    judgements = Judgements({"q": "signing key"}, {"q": {"d": 1}}, {"q": [Span("d", 4, 15)]})
    means = evaluate(retriever, judgements).ways[0].means
    assert means["CharRecall@10"] == 1.0
    assert means["CharPrecision@10"] == pytest.approx(11 / 23)


def test_more_than_one_chunk_a_document(build):
    text = " ".join(f"word{i}" for i in range(400))
    retriever = build({"long": text, "short": "word3 cake"}, chunker=None)
    retriever.index([Document("other", "cake")], source="s")
    result = evaluate(retriever, Judgements({"q": "word3"}, {"q": {"short": 1}}))
    assert sorted(d for d, _ in result.ways[-1].run["q"]) == ["s::long", "s::other", "s::short"]


def test_mistakes_show_before_anything_is_asked(judged):
    retriever, judgements = judged
    with pytest.raises(InvalidInput, match="unknown measure 'P@5'"):
        evaluate(retriever, judgements, measures=["P@5"])
    with pytest.raises(ConfigurationError, match="nothing-like-it"):
        evaluate(retriever, judgements, rerank="cross-encoder:/nothing-like-it")
    with pytest.raises(InvalidInput, match="unknown mode 'both'"):
        evaluate(retriever, judgements, mode="both")
    with pytest.raises(InvalidInput, match="depth is 0"):
        evaluate(retriever, judgements, depth=0)
    with pytest.raises(InvalidInput, match="k is 0"):
        evaluate(retriever, judgements, k=0)
    with pytest.raises(InvalidInput, match="search takes no color"):
        evaluate(retriever, judgements, color="red")


@pytest.mark.parametrize("module", ["ir_measures", "pytrec_eval"])
def test_a_missing_extra_is_named_before_anything_is_asked(judged, monkeypatch, module):
    retriever, judgements = judged
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(retriever, "_store", None)
    with pytest.raises(MissingExtra, match=r"pip install 'hybrid-retriever\[evaluation\]'"):
        evaluate(retriever, judgements)
    with pytest.raises(MissingExtra, match="evaluation"):
        tune(retriever, judgements)
