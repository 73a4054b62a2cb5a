"""Texts that are longer than a model reads: their parts, and one vector from those of the parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retriever.types import FloatMatrix

if TYPE_CHECKING:
    from retriever.embedding.reading import ReadsTokens, Role

SPLITTING = "1"
"""Version of how texts are cut into parts, and of their mean: part of the fingerprint where texts are split."""


def split_texts(texts: Sequence[str], embedding: ReadsTokens, role: Role) -> Iterator[list[tuple[str, int]]]:
    """The parts of each text, with their tokens; cut where the chunker would cut, without overlap.

    :param texts: each longer than the model reads.
    :param embedding: what reads them, with a tokeniser and a limit.
    :param role: whose prompt takes part of the limit.
    """
    from retriever.chunking import Chunker, ChunkerConfig

    assert embedding.tokeniser is not None  # noqa: S101 - else nobody would know that they are too long
    chunker = Chunker(
        embedding.tokeniser,
        ChunkerConfig(size=max(8, embedding.content_tokens(role) or 8), overlap=0),
        max_tokens=embedding.max_tokens,
        prompt_tokens=embedding.prompt_tokens(role),
    )
    for text, chunked in zip(texts, chunker.split(texts, [False] * len(texts)), strict=True):
        yield [(text[span.start : span.end], span.tokens) for span in chunked.spans] or [(text, 1)]


def weighted_means(vectors: FloatMatrix, rows: Sequence[int], weights: Sequence[int]) -> FloatMatrix:
    """One vector for each row number: the weighted mean of its vectors, scaled to their weighted mean length.

    :param vectors: float32, shape ``(n, dimension)``.
    :param rows: for each of them the row of the result, from 0, in ascending order.
    :param weights: of each; 0 counts as 1.
    :return: float32, shape ``(max(rows) + 1, dimension)``. The mean of one vector is that vector itself.
    """
    starts = np.flatnonzero(np.diff(np.asarray(rows), prepend=-1))
    weight = np.maximum(np.asarray(weights, dtype=np.float64), 1)[:, None]
    totals = np.add.reduceat(weight, starts)
    means = np.add.reduceat(vectors * weight, starts) / totals
    lengths = np.add.reduceat(np.linalg.norm(vectors, axis=1, keepdims=True) * weight, starts) / totals
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    scaled: FloatMatrix = np.divide(means * lengths, norms, out=np.zeros_like(means), where=norms > 0).astype(
        np.float32
    )
    single = np.diff(starts, append=len(rows)) == 1
    scaled[single] = vectors[starts[single]]
    result: FloatMatrix = scaled
    return result
