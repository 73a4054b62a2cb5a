"""Recall against exact search, ties included, and filters of a known share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.evaluation.load import filters
from retriever.evaluation.load.recall import ExactNeighbours
from retriever.evaluation.systems import Passage


@given(seed=st.integers(0, 1_000), count=st.integers(1, 40), k=st.integers(1, 50))
def test_the_exact_answer_has_all_of_it_whatever_its_order(seed: int, count: int, k: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((count, 5), dtype=np.float32)
    query = random.standard_normal(5, dtype=np.float32)
    exact = np.argsort(-(vectors @ query) / np.linalg.norm(vectors, axis=1))[:k]
    neighbours = ExactNeighbours([f"{row}" for row in range(count)], vectors)
    found = [f"{row}" for row in exact]
    assert neighbours.recall(found, query, k) == 1.0
    assert neighbours.recall(list(random.permutation(found)), query, k) == 1.0
    assert neighbours.recall(found[1:], query, k) == pytest.approx(1 - 1 / len(found))
    assert neighbours.recall([found[0]] * k, query, k) == pytest.approx(1 / len(found))
    assert neighbours.recall(["unknown"] * k, query, k) == 0.0


def test_any_of_several_that_are_equally_near_is_right() -> None:
    vectors = np.array([[1, 0], [1, 1], [2, 2], [1, -1], [0, 1]], dtype=np.float32)  # 1, 2 and 3 are equally far
    neighbours = ExactNeighbours(list("abcde"), vectors)
    query = np.array([3, 0], dtype=np.float32)
    assert neighbours.recall(["a", "b"], query, 2) == neighbours.recall(["a", "d"], query, 2) == 1.0
    assert neighbours.recall(["a", "e"], query, 2) == 0.5


def test_only_what_the_filter_lets_through_counts() -> None:
    vectors = np.eye(4, dtype=np.float32)
    neighbours = ExactNeighbours(list("abcd"), vectors)
    among = np.array([False, True, True, False])
    query = np.array([4, 3, 2, 1], dtype=np.float32)
    assert neighbours.recall(["b", "c"], query, 10, among=among) == 1.0
    assert neighbours.recall(["a", "b"], query, 2, among=among) == 0.5
    assert neighbours.recall([], query, 2, among=np.zeros(4, dtype=np.bool_)) == 1.0


@given(count=st.integers(1, 500), share=st.sampled_from([0.01, 0.1, 0.5, 1.0]), seed=st.integers(0, 99))
def test_a_filter_lets_its_share_through(count: int, share: float, seed: int) -> None:
    chosen = filters.members(count, share, seed)
    assert chosen.sum() == max(1, round(share * count))
    passages = [Passage(f"{n}", "d", "text", {"own": n}) for n in range(count)]
    marked = filters.marked(passages, [share], seed)
    ((name, value),) = filters.where(share).items()
    assert [p.metadata.get(name) == value for p in marked] == chosen.tolist()
    assert all(p.metadata["own"] == n for n, p in enumerate(marked))
