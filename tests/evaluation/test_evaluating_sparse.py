"""Evaluating and tuning an index with a learned sparse model: beside BM25, and in its place."""

import random

import pytest

from retriever.errors import InvalidInput
from retriever.evaluation import Judgements, evaluate, exact, tune
from retriever.evaluation.answering import Setting, answer
from retriever.evaluation.runs import best_documents
from retriever.filters import parse_filter
from retriever.manifest import SearchDefaults
from retriever.search_options import DEPTH
from retriever.stores import Query

LEGS = {
    "two": {},
    "three": {"sparse": "counting"},
    "no BM25": {"sparse": "counting", "keyword": False},
}
HAS = {
    "two": ["keyword", "semantic"],
    "three": ["keyword", "sparse", "semantic"],
    "no BM25": ["sparse", "semantic"],
}
QUERY = "rotating signing keys"


def corpus(count=40):
    choose = random.Random(5)
    texts = {f"d{i}": f"rare{i}x {' '.join(choose.choices(['oak', 'river', 'lantern'], k=6))}" for i in range(count)}
    queries = {f"q{i}": f"rare{i if i % 3 else i + 1}x oak {'lantern' * (i % 2)}" for i in range(count)}
    # A word that BM25 drops, or nothing that anybody knows: a leg that finds nothing leaves its share to the other.
    queries |= {"unknown": "zyzzyva", "stop": "the and of"}
    return texts, Judgements(queries, {query: {f"d{i % count}": 1} for i, query in enumerate(queries)})


@pytest.fixture(params=LEGS)
def judged(request, build, terms):
    texts, judgements = corpus()
    return request.param, build(texts, metadata={"d1": {"odd": True}}, **LEGS[request.param]), judgements


def searched(retriever, query, **settings):
    return best_documents((h.document_id, h.score) for h in retriever.search(query, settings.pop("k", 200), **settings))


@pytest.mark.parametrize("fusion", ["relative", "rrf"])
def test_each_leg_beside_what_a_search_gives(judged, fusion):
    kind, retriever, judgements = judged
    result = evaluate(retriever, judgements, fusion=fusion)
    assert [way.name for way in result.ways] == [*HAS[kind], "hybrid"]
    for way in result.ways:
        for query, text in judgements.queries.items():
            assert way.run[query] == searched(retriever, text, mode=way.name, fusion=fusion)
    assert any(way.run["q1"] != result.ways[-1].run["q1"] for way in result.ways[:-1])


@pytest.mark.parametrize("lexical", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 1.0])
def test_weights_and_depth_are_those_of_a_search(build, terms, lexical, part):
    texts, judgements = corpus()
    retriever = build(texts, **LEGS["three"])
    settings = {"keyword_weight": lexical, "sparse_weight": part, "depth": 7}
    found = evaluate(retriever, judgements, **settings).ways[-1].run
    for query, text in judgements.queries.items():
        assert found[query][:7] == searched(retriever, text, k=7, **settings)


def test_every_query_is_encoded_once_and_only_where_it_has_to_be(build, terms):
    texts, judgements = corpus()
    retriever = build(texts, **LEGS["three"])
    assert retriever.sparse is not None
    terms.reset()
    answer(retriever, judgements.queries, mode="keyword")
    answer(retriever, judgements.queries, mode="semantic")
    assert terms.queries == []
    kept = answer(retriever, judgements.queries, mode="sparse")
    assert sorted(terms.queries) == sorted(judgements.queries.values())
    assert kept.run(Setting("sparse"))["q1"] == searched(retriever, judgements.queries["q1"], mode="sparse")


def test_a_leg_that_is_not_there_cannot_be_measured(judged):
    kind, retriever, judgements = judged
    missing = {"two": "sparse", "no BM25": "keyword"}.get(kind)
    if missing is None:
        assert [way.name for way in evaluate(retriever, judgements, mode="sparse").ways] == ["sparse"]
        return
    with pytest.raises(InvalidInput, match=f"no {missing} leg"):
        evaluate(retriever, judgements, mode=missing)
    with pytest.raises(InvalidInput, match=f"no {missing} leg"):
        answer(retriever, judgements.queries, mode=missing)


def test_tuning_tries_the_lexical_share_and_searches_use_it(judged):
    _, retriever, judgements = judged
    own = retriever.untuned_defaults
    untuned = evaluate(retriever, judgements)
    found = tune(retriever, judgements, force=True)
    assert found.before == untuned.setting
    assert found.score == pytest.approx(untuned.ways[-1].means["nDCG@10"])
    assert {(s.sparse_weight, s.legs) for s in found.surface} == {(found.before.sparse_weight, own.legs)}
    assert {s.keyword_weight for s in found.surface} >= {0.0, 0.5, 1.0}
    tuned = evaluate(retriever, judgements)
    assert tuned.setting == found.chosen
    assert tuned.ways[-1].means["nDCG@10"] == pytest.approx(found.score + found.optimistic)
    for query, text in judgements.queries.items():
        assert tuned.ways[-1].run[query][:40] == searched(retriever, text, k=min(40, found.chosen.depth))
    retriever.set_search_defaults(None)
    setting = found.halves[0]
    held = {"keyword_weight": setting.keyword_weight, "fusion": setting.fusion, "depth": setting.depth}
    assert evaluate(retriever, judgements, **held).ways[-1].means["nDCG@10"] == pytest.approx(found.surface[setting])


def test_a_tuned_share_keeps_the_sparse_part(build, terms):
    texts, judgements = corpus()
    retriever = build(texts, **LEGS["three"])
    retriever.set_search_defaults(
        SearchDefaults(keyword_weight=0.9, fusion="rrf", depth=DEPTH, measure="MAP", queries=40, gain=1, low=1, high=1)
    )
    setting = evaluate(retriever, judgements).setting
    assert (setting.keyword_weight, setting.sparse_weight) == (0.9, retriever.untuned_defaults.sparse_weight)


def why(retriever, **settings):
    (failure,) = evaluate(retriever, Judgements({"q": QUERY}, {"q": {"gold": 1}}), **settings).waterfall.failures
    return failure


def near(count):
    return {f"near-{i}": f"{QUERY} {QUERY} number{i}" for i in range(count)}


@pytest.mark.parametrize("kind", ["three", "no BM25"])
def test_the_waterfall_looks_at_the_sparse_leg(build, filler, terms, forgetful, kind):
    legs = LEGS[kind]
    names = {f"exact {leg}" for leg in HAS[kind]}
    lost = why(build({"gold": f"{QUERY} forgotten", **filler(30), **near(12)}, "forgetful:", **legs))
    assert (lost.reason, lost.ranks.keys()) == ("lost by approximate search", names)
    far = why(build({"gold": "an unrelated signing pen", **near(150)}, **legs))
    assert far.reason == "not in the exact top 100"
    assert far.ranks["sparse"] == far.ranks["exact sparse"] == 151
    hidden = build({"gold": QUERY, **filler(30)}, metadata={f"filler-{i}": {"public": True} for i in range(30)}, **legs)
    assert why(hidden, filter={"public": True}, mode="sparse").reason == "lost by the filter"


def test_the_sparse_leg_had_it(build, terms):
    """A long rare word weighs much for the sparse model; the semantic leg, which has all the weight, prefers others."""
    texts = {"gold": f"incomprehensibilities and {' '.join(f'thing{i}' for i in range(30))}"}
    retriever = build(texts | {f"near-{i}": f"{QUERY} {QUERY} n{i}" for i in range(20)}, **LEGS["no BM25"])
    query = f"{QUERY} incomprehensibilities incomprehensibilities incomprehensibilities"
    judgements = Judgements({"q": query}, {"q": {"gold": 1}})
    (failure,) = evaluate(retriever, judgements, keyword_weight=0.0).waterfall.failures
    assert failure.reason == "lost by fusion"
    assert failure.ranks["sparse"] <= 10 < failure.ranks["fused"]
    assert evaluate(retriever, judgements, mode="sparse").waterfall.found == ["q"]


@pytest.mark.parametrize("place", ["memory", "edge", "chroma"])
@pytest.mark.parametrize("given", [None, {"even": True}])
def test_exact_sparse_ranks_are_those_of_exact_search(build, terms, tmp_path, monkeypatch, place, given):
    monkeypatch.setattr(exact, "_PAGE", 16)
    choose = random.Random(1)
    words = ["ship", "key", "cake", "oak", "river", "stone", "cloud", "lamp"]
    texts = {f"d{i}": " ".join(choose.choices(words, k=choose.randint(1, 30))) for i in range(70)} | {"empty": "the"}
    address = {"memory": "memory:", "edge": tmp_path / "i", "chroma": f"chroma:{tmp_path / 'i'}"}[place]
    metadata = {name: {"even": i % 2 == 0} for i, name in enumerate(texts)}
    retriever = build(texts, address, metadata=metadata, **LEGS["three"])
    store, condition = retriever.store, parse_filter(given)
    queries = {"one": "ship key", "two": "cake oak river river", "none": "zyzzyva", "blank": "the"}
    allowed = [store.key(entry.chunk_id) for entry in store.entries(condition)]
    vectors = dict(zip(queries, retriever.sparse.encode_queries(list(queries.values())), strict=True))
    ranks = exact.sparse_ranks(store, allowed, vectors, {query: set(allowed) for query in queries})
    for query, vector in vectors.items():
        scores = dict(store.search(Query(100, filter=condition, sparse=vector)).sparse)
        last = {key: sum(s >= score * (1 - 1e-6) for s in scores.values()) for key, score in scores.items()}
        assert {key: rank for (q, key), rank in ranks.items() if q == query} == last
    assert exact.sparse_ranks(store, allowed, vectors, {}) == {}
    assert exact.sparse_ranks(store, allowed, vectors, {"one": {store.key("0" * 32)}}) == {}
