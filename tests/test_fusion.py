"""Fusing two rankings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.fusion import (
    RRF_K,
    Fused,
    fuse,
    fuse_legs,
    keyword_weight,
    leg_weights,
    reciprocal_ranks,
    relative_scores,
    sparse_weight,
)

METHODS = ["relative", "rrf"]


@st.composite
def rankings(draw, scores):
    keys = draw(st.lists(st.sampled_from("abcdefghijkl"), unique=True, max_size=8))
    values = sorted(draw(st.lists(scores, min_size=len(keys), max_size=len(keys))), reverse=True)
    return list(zip(keys, values, strict=True))


cosines = rankings(st.floats(-1, 1) | st.sampled_from([-1.0, 0.0, 0.5, 1.0]))
bm25 = rankings(st.floats(0, 100) | st.sampled_from([0.0, 1.0, 12.5]))
weights = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])
methods = st.sampled_from(METHODS)


def test_relative_scores_by_hand():
    assert relative_scores([("a", 0.9), ("b", 0.5), ("c", 0.1)]) == pytest.approx({"a": 1, "b": 0.5, "c": 0})
    assert relative_scores([("a", -1.0), ("b", -3.0)]) == {"a": 1, "b": 0}
    assert relative_scores([]) == {}


def test_a_constant_leg_is_all_ones():
    assert relative_scores([("a", 0.3), ("b", 0.3)]) == {"a": 1, "b": 1}
    assert relative_scores([("a", 0.0)]) == {"a": 1}
    assert fuse([("a", 0.3), ("b", 0.3)], [], weight=0.25) == [Fused("a", 0.75), Fused("b", 0.75)]


def test_reciprocal_ranks_by_hand():
    assert RRF_K == 60
    ranks = reciprocal_ranks([("a", 5), ("b", 5), ("c", -1)])
    assert ranks == pytest.approx({"a": 61 / 61, "b": 61 / 62, "c": 61 / 63})
    assert reciprocal_ranks([]) == {}


def test_relative_fusion_by_hand():
    semantic = [("a", 0.8), ("b", 0.6), ("c", 0.4)]
    keyword = [("c", 10.0), ("d", 7.5), ("a", 5.0)]
    fused = fuse(semantic, keyword, weight=0.6)
    assert [key for key, _ in fused] == ["c", "a", "d", "b"]
    assert dict(fused) == pytest.approx({"a": 0.4 * 1 + 0, "b": 0.4 * 0.5, "c": 0 + 0.6 * 1, "d": 0.6 * 0.5})


def test_rrf_by_hand():
    fused = fuse([("a", 0.8), ("b", 0.6)], [("b", 10.0), ("c", 7.5)], method="rrf", weight=0.25)
    assert [key for key, _ in fused] == ["b", "a", "c"]
    assert dict(fused) == pytest.approx({"a": 0.75, "b": 0.75 * 61 / 62 + 0.25, "c": 0.25 * 61 / 62})


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_leg_scores_nothing(method):
    only = [("a", 2.0), ("b", 1.0)]
    assert fuse([], [], method=method) == []
    both = fuse(only, only, method=method, weight=0.3)
    assert both[0] == Fused("a", pytest.approx(1))
    assert fuse(only, [], method=method, weight=0.3)[0] == Fused("a", pytest.approx(0.7))
    assert fuse([], only, method=method, weight=0.3)[0] == Fused("a", pytest.approx(0.3))


@given(cosines, bm25, weights, methods)
def test_every_key_once_and_scores_from_0_to_1_falling(semantic, keyword, weight, method):
    fused = fuse(semantic, keyword, method=method, weight=weight)
    assert sorted(key for key, _ in fused) == sorted({key for key, _ in [*semantic, *keyword]})
    scores = [score for _, score in fused]
    assert all(0 <= score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


@given(cosines, bm25, weights, methods)
def test_the_score_is_the_weighted_sum_of_the_legs(semantic, keyword, weight, method):
    parts = relative_scores if method == "relative" else reciprocal_ranks
    one, other = parts(semantic), parts(keyword)
    for key, score in fuse(semantic, keyword, method=method, weight=weight):
        assert score == pytest.approx((1 - weight) * one.get(key, 0) + weight * other.get(key, 0), abs=1e-12)


@given(cosines, bm25, methods)
def test_a_leg_with_all_the_weight_keeps_its_order(semantic, keyword, method):
    for weight, leg in ((0, semantic), (1, keyword)):
        fused = fuse(semantic, keyword, method=method, weight=weight)
        assert [key for key, _ in fused][: len(leg)] == [key for key, _ in leg]
        assert all(score == 0 for _, score in fused[len(leg) :])


@given(cosines, bm25, weights, methods)
def test_the_legs_are_treated_alike(semantic, keyword, weight, method):
    one = dict(fuse(semantic, keyword, method=method, weight=weight))
    other = dict(fuse(keyword, semantic, method=method, weight=1 - weight))
    assert one == pytest.approx(other, abs=1e-9)


def test_equal_scores_are_in_the_order_of_the_heavier_leg():
    one, other = [("b", 1.0), ("a", 1.0)], [("d", 3.0), ("c", 3.0)]
    assert [key for key, _ in fuse(one, other, weight=0.4)] == ["b", "a", "d", "c"]
    assert [key for key, _ in fuse(one, other, weight=0.5)] == ["d", "c", "b", "a"]
    # Equal shares of the first ranks: a from one leg, b from the other.
    assert [key for key, _ in fuse([("a", 1.0)], [("b", 1.0)], weight=0.5)] == ["b", "a"]


@given(bm25.filter(bool), st.floats(0.5, 4), st.floats(-10, 10))
def test_relative_scores_do_not_depend_on_scale_and_origin(ranking, scale, origin):
    if max(score for _, score in ranking) - min(score for _, score in ranking) < 1e-6:
        return
    moved = [(key, scale * score + origin) for key, score in ranking]
    assert relative_scores(moved) == pytest.approx(relative_scores(ranking), abs=1e-6)


@pytest.mark.parametrize(("rate", "weight"), [(0, 1 / 1.8), (1, 1), (0.5, 1 / 1.1)])
def test_the_default_weight_by_hand(rate, weight):
    assert keyword_weight(rate) == pytest.approx(weight)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_default_weight_rises_with_unknown_words(one, other):
    low, high = sorted([one, other])
    assert 0.5 < keyword_weight(low) <= keyword_weight(high) <= 1


shares = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])


@given(shares, shares)
def test_a_sparse_model_that_cannot_read_has_no_say(one, other):
    low, high = sorted([one, other])
    assert (sparse_weight(0), sparse_weight(1)) == (0.5, 0)
    assert 0 <= sparse_weight(high) <= sparse_weight(low) <= 0.5


@given(shares, shares)
def test_the_three_shares_add_up(lexical, sparse):
    weights = leg_weights(lexical, sparse)
    assert sum(weights.values()) == pytest.approx(1)
    assert all(0 <= weight <= 1 for weight in weights.values())
    assert weights["keyword"] + weights["sparse"] == pytest.approx(lexical)
    assert leg_weights(lexical, 0) == {"keyword": lexical, "sparse": 0, "semantic": 1 - lexical}


def test_three_legs_by_hand():
    keyword, sparse = [("c", 10.0), ("a", 5.0)], [("d", 4.0), ("a", 1.0)]
    legs = {"keyword": keyword, "sparse": sparse, "semantic": [("a", 0.8), ("b", 0.4)]}
    fused = fuse_legs(legs, {"keyword": 0.2, "sparse": 0.3, "semantic": 0.5})
    assert fused == [Fused("a", 0.5), Fused("d", 0.3), Fused("c", 0.2), Fused("b", 0.0)]
    ranks = dict(fuse_legs(legs, {"keyword": 0.2, "sparse": 0.3, "semantic": 0.5}, method="rrf"))
    assert ranks == pytest.approx({"a": 0.5 + 0.5 * 61 / 62, "d": 0.3, "c": 0.2, "b": 0.5 * 61 / 62})


@given(cosines, bm25, weights, methods)
def test_two_legs_are_a_case_of_many(semantic, keyword, weight, method):
    legs = {"keyword": keyword, "sparse": [], "semantic": semantic}
    assert fuse_legs(legs, leg_weights(weight, 0), method=method) == fuse(
        semantic, keyword, method=method, weight=weight
    )


@given(cosines, bm25, bm25, weights, shares, methods)
def test_many_legs_are_the_weighted_sum(semantic, keyword, sparse, lexical, share, method):
    parts = relative_scores if method == "relative" else reciprocal_ranks
    legs, weights = {"keyword": keyword, "sparse": sparse, "semantic": semantic}, leg_weights(lexical, share)
    fused = fuse_legs(legs, weights, method=method)
    assert sorted(key for key, _ in fused) == sorted({key for ranking in legs.values() for key, _ in ranking})
    for key, score in fused:
        wanted = sum(weights[name] * parts(ranking).get(key, 0) for name, ranking in legs.items())
        assert score == pytest.approx(wanted, abs=1e-12)
