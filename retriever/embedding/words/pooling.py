"""From the vectors of words to one of their text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.embedding.words.vectors import WordVectors
from retriever.types import FloatMatrix, FloatVector

SMOOTHING = 1e-3
"""``a`` of Arora, Liang and Ma, "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017."""

_FREQUENT = 20_000
"""So many words hold nearly all of a text's tokens; those beyond do not move the mean."""

_ROUNDING = 1e-5
"""What is shorter than this share of what it was is an error of rounding."""


def probabilities(vectors: WordVectors) -> NDArray[np.float64]:
    """How likely each word is in a text.

    From the counts where the file has them; else from the order of its words, by Zipf's law: that of rank r is 1 / r
    as likely as the first.

    :param vectors: words by falling frequency.
    """
    often = 1 / np.arange(1, len(vectors.words) + 1)
    if vectors.counts is not None and (vectors.counts > 0).any():
        often = np.maximum(vectors.counts, 0).astype(np.float64)
    share: NDArray[np.float64] = often / often.sum()
    return share


def sif_weights(probability: NDArray[np.float64]) -> NDArray[np.float32]:
    """Smooth inverse frequency, ``a / (a + p)``: frequent words count little (Arora et al. 2017).

    :param probability: of each word.
    """
    return (SMOOTHING / (SMOOTHING + probability)).astype(np.float32)


def common_direction(
    vectors: WordVectors, probability: NDArray[np.float64], weights: NDArray[np.float32]
) -> FloatVector:
    """What all texts share: the direction of the vector that a text is expected to have.

    Arora et al. remove the first singular vector of the corpus. That would make vectors depend on what else is
    indexed. The expected vector ``sum p(w) weight(w) v(w)``, which that singular vector is close to, depends on the
    file alone.

    :param vectors: of words.
    :param probability: of each.
    :param weights: of each in a text's mean.
    :return: of length 1, or 0.
    """
    rows = range(min(_FREQUENT, len(vectors.words)))
    share = (probability * weights)[: len(rows)]
    expected = share @ vectors.take(rows).astype(np.float64)
    norm = float(np.linalg.norm(expected))
    direction: FloatVector = (expected / norm if norm > 0 else expected).astype(np.float32)
    return direction


def without_direction(means: NDArray[np.float64], direction: FloatVector) -> NDArray[np.float64]:
    """Vectors less their share along a direction.

    :param means: one row a text.
    :param direction: of length 1, or 0.
    :return: the zero vector where nothing but errors of rounding would be left.
    """
    rest = means - np.outer(means @ direction, direction)
    lengths, before = (np.linalg.norm(some, axis=1, keepdims=True) for some in (rest, means))
    return np.where(lengths > _ROUNDING * before, rest, 0.0)


def weighted_mean(vectors: FloatMatrix, weights: Sequence[float] | NDArray[np.float32]) -> FloatVector:
    """Sum of weighted vectors over their number, as SIF has it; the zero vector where there are none.

    :param vectors: of a text's words, shape ``(n, dimension)``.
    :param weights: of each.
    """
    mean: FloatVector = (np.asarray(weights, dtype=np.float32) @ vectors / max(1, len(vectors))).astype(np.float32)
    return mean
