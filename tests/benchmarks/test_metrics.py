"""Against values worked out by hand."""

from math import log2

import pytest

from benchmarks.metrics import distinct, ndcg, recall


def test_ndcg_of_a_perfect_ranking():
    assert ndcg(["a", "b", "c"], {"a": 2, "b": 1}) == 1.0


def test_ndcg_of_the_only_relevant_document_by_its_rank():
    ranking = ["x", "y", "a", "z"]
    assert ndcg(ranking, {"a": 1}) == pytest.approx(1 / log2(4)) == pytest.approx(0.5)


def test_ndcg_has_a_linear_gain():
    # 1/1 + 3/log2(3) + 0 + 2/log2(5) = 1 + 1.892789 + 0.861353 = 3.754142
    # ideal: 3/1 + 2/log2(3) + 1/log2(4) = 3 + 1.261860 + 0.5 = 4.761860
    assert ndcg(["c", "a", "x", "b"], {"a": 3, "b": 2, "c": 1}) == pytest.approx(3.754142 / 4.761860, abs=1e-6)


def test_ndcg_looks_at_the_first_ten_of_ranking_and_ideal():
    ranking = [f"x{i}" for i in range(10)] + ["a"]
    assert ndcg(ranking, {"a": 1}) == 0.0
    assert ndcg([f"d{i}" for i in range(10)], {f"d{i}": 1 for i in range(15)}) == 1.0


def test_ndcg_counts_unjudged_and_negative_grades_as_nothing():
    assert ndcg(["bad", "x", "a"], {"a": 1, "bad": -1}) == pytest.approx(0.5)
    assert ndcg(["a"], {"a": 0}) == 0.0
    assert ndcg([], {"a": 1}) == 0.0


def test_ndcg_refuses_a_document_twice():
    with pytest.raises(ValueError, match="twice"):
        ndcg(["a", "a"], {"a": 1})


def test_recall():
    relevance = {"a": 1, "b": 2, "c": 1, "bad": 0}
    assert recall(["x", "b", "bad", "a"], relevance) == pytest.approx(2 / 3)
    assert recall(["x", "b", "bad", "a"], relevance, depth=2) == pytest.approx(1 / 3)
    assert recall(["x"], {"bad": 0}) == 0.0


def test_documents_rank_where_their_best_chunk_does():
    assert distinct(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]
