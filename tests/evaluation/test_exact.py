"""Exact ranks, counted in pages, against the store that searches exactly."""

import numpy as np
import pytest

from retriever import ChunkerConfig, Document, Retriever
from retriever.evaluation import exact
from retriever.filters import parse_filter
from retriever.keyword.analyser import Analyser
from retriever.stores import Query

QUERIES = {"one": "ship key", "two": "cake oak river river", "three": "lamp stone nothing", "none": "zyzzyva"}


@pytest.fixture(params=["memory", "edge", "chroma"])
def retriever(request, tmp_path):
    address = {"memory": "memory:", "edge": tmp_path / "i", "chroma": f"chroma:{tmp_path / 'i'}"}[request.param]
    words = ["ship", "key", "cake", "oak", "river", "stone", "cloud", "lamp"]
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(words, rng.integers(1, 30))) for _ in range(70)]
    with Retriever.open(address, embedding="hashed", chunker=ChunkerConfig(kind="whole")) as opened:
        opened.index([Document(f"d{i}", t, {"even": i % 2 == 0}) for i, t in enumerate(texts)], source="s")
        yield opened


def last_ranks(candidates):
    """Rank by key; equals have the last one among them."""
    scores = np.array([c.score for c in candidates])
    return {c.key: int((scores >= c.score - 1e-6).sum()) for c in candidates}


@pytest.mark.parametrize("given", [None, {"even": True}])
def test_ranks_are_those_of_exact_search(retriever, monkeypatch, given):
    monkeypatch.setattr(exact, "_PAGE", 16)
    store, analyser, condition = retriever.store, Analyser(retriever.manifest.analyser), parse_filter(given)
    everything = [store.key(entry.chunk_id) for entry in store.entries()]
    allowed = [store.key(entry.chunk_id) for entry in store.entries(condition)]
    vectors = dict(zip(QUERIES, retriever.embedding.embed_queries(list(QUERIES.values())), strict=True))
    wanted = {query: set(allowed) for query in QUERIES}
    semantic = exact.semantic_ranks(store, allowed, vectors, wanted)
    keyword = exact.keyword_ranks(store, everything, analyser, QUERIES, wanted, counted=set(allowed))
    for query, text in QUERIES.items():
        legs = store.search(Query(100, vectors[query], analyser.terms(text), condition))
        assert {k: r for (q, k), r in semantic.items() if q == query} == last_ranks(legs.semantic)
        found = {k: r for (q, k), r in keyword.items() if q == query}
        assert found.keys() == {c.key for c in legs.keyword}
        if "memory" in retriever.address:  # engines round the lengths of documents
            assert found == last_ranks(legs.keyword)


def test_what_is_not_there_has_no_rank(retriever):
    vectors = {"one": retriever.embedding.embed_queries(["ship"])[0]}
    assert exact.semantic_ranks(retriever.store, [], vectors, {"one": {retriever.store.key("0" * 32)}}) == {}
    assert exact.semantic_ranks(retriever.store, [], vectors, {}) == {}
