"""Maximal marginal relevance: a list that is relevant and not repetitive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retriever.types import FloatMatrix


def maximal_marginal_relevance(relevance: NDArray[np.float64], vectors: FloatMatrix, balance: float) -> list[int]:
    """Order candidates by relevance less likeness to those before them.

    Carbonell and Goldstein, "The use of MMR", SIGIR 1998: the next one is the one with the greatest
    ``balance · relevance - (1 - balance) · max cosine to those already taken``.

    :param relevance: shape ``(n,)``, comparable with a cosine: from 0 to 1.
    :param vectors: shape ``(n, dimension)``, of length 1 or zero.
    :param balance: λ: 1 orders by relevance alone, 0 by difference alone.
    :return: all ``n`` row numbers, in MMR order; the earlier row first among equals.
    """
    left = np.ones(len(relevance), dtype=bool)
    likeness = np.full(len(relevance), -1.0)
    order: list[int] = []
    for turn in range(len(relevance)):
        marginal = balance * relevance - (1 - balance) * (likeness if turn else 0.0)
        best = int(np.argmax(np.where(left, marginal, -np.inf)))
        order.append(best)
        left[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return order
