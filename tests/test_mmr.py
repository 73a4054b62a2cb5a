"""Maximal marginal relevance against the formula itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.mmr import maximal_marginal_relevance


def reference(relevance, vectors, balance):
    """Carbonell and Goldstein's formula, one candidate at a time."""
    order = []
    while len(order) < len(relevance):
        best, best_value = None, None
        for i in range(len(relevance)):
            if i in order:
                continue
            likeness = max((float(vectors[i] @ vectors[j]) for j in order), default=0.0)
            value = balance * relevance[i] - (1 - balance) * likeness
            if best_value is None or value > best_value:
                best, best_value = i, value
        order.append(best)
    return order


# Halves and quarters: cosines are exact in any precision, so that ties are ties in both programs.
HALVES = [-0.5, 0.5]
units = st.lists(st.sampled_from(HALVES), min_size=4, max_size=4) | st.sampled_from(
    [[0.0] * 4, [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
)


@given(
    st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), units), max_size=10),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
)
def test_the_order_is_the_formulas(candidates, balance):
    relevance = np.array([one for one, _ in candidates], dtype=np.float64)
    vectors = np.array([vector for _, vector in candidates], dtype=np.float32).reshape(-1, 4)
    order = maximal_marginal_relevance(relevance, vectors, balance)
    assert order == reference(relevance, vectors, balance)
    assert sorted(order) == list(range(len(candidates)))


@pytest.mark.parametrize("balance", [0.2, 0.5, 0.8])
def test_real_vectors(balance):
    random = np.random.default_rng(7)
    vectors = random.normal(size=(40, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = random.random(40)
    assert maximal_marginal_relevance(relevance, vectors, balance) == reference(relevance, vectors, balance)


@given(st.lists(st.integers(0, 100), max_size=12))
def test_1_is_the_order_of_relevance(scores):
    relevance = np.array(scores, dtype=np.float64) / 100
    vectors = np.ones((len(scores), 1), dtype=np.float32)
    order = maximal_marginal_relevance(relevance, vectors, 1.0)
    assert order == sorted(range(len(scores)), key=lambda i: -scores[i])


def test_0_takes_what_is_different():
    same, other, opposite = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]
    vectors = np.array([same, same, same, other, opposite], dtype=np.float32)
    relevance = np.array([1.0, 0.9, 0.8, 0.1, 0.0])
    assert maximal_marginal_relevance(relevance, vectors, 0.0) == [0, 4, 3, 1, 2]


def test_a_near_copy_waits():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    relevance = np.array([1.0, 0.95, 0.6])
    assert maximal_marginal_relevance(relevance, vectors, 0.5) == [0, 2, 1]
    assert maximal_marginal_relevance(relevance, vectors, 0.9) == [0, 1, 2]


def test_the_arguments_stay_as_they_are():
    relevance, vectors = np.array([0.5, 1.0]), np.eye(2, dtype=np.float32)
    before = relevance.copy(), vectors.copy()
    maximal_marginal_relevance(relevance, vectors, 0.5)
    assert (relevance == before[0]).all()
    assert (vectors == before[1]).all()
