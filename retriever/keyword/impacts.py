"""Learned sparse vectors in an engine that can only add up constants: weights as whole numbers, bit by bit.

A weight is rounded to a whole number of units, and each bit that is set in it becomes a token: index 17 with 5 units,
which is 101 in binary, gives ``11.0`` and ``11.2``. A query asks for every bit of its terms, and scores each by its own
weight times the value of the bit. What the engine adds up is the dot product with the rounded weights: near enough to
find the candidates, whose true weights the caller has. Whole-number impacts are after Anh and Moffat, "Pruned query
evaluation using pre-computed impacts", SIGIR 2006.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from retriever.sparse.vector import SparseVector

_BITS_USED = 8  # by the heaviest term of the test texts
_BITS = 12
_MOST = 2**_BITS - 1


def unit_for(weights: Iterable[float]) -> float:
    """The unit for a model: a power of two, of which its heaviest test weight has 128 to 256.

    Weights up to 16 times as heavy are rounded alike; beyond that they count as that much.

    :param weights: of documents, above 0.
    """
    heaviest = max(2.0**-126, max(weights, default=1.0))
    return 2.0 ** (math.floor(math.log2(heaviest)) + 1 - _BITS_USED)


def tokens(vector: SparseVector, unit: float) -> str:
    """What is indexed of a document, with spaces between. No term is so light that it is lost.

    :param vector: of the document.
    :param unit: of the weights.
    """
    levels = np.clip(np.rint(vector.weights.astype(np.float64) / unit), 1, _MOST).astype(np.int64)
    return " ".join(
        f"{index:x}.{bit}"
        for index, level in zip(vector.indices.tolist(), levels.tolist(), strict=True)
        for bit in range(level.bit_length())
        if level >> bit & 1
    )


def clauses(vector: SparseVector, unit: float) -> Iterator[tuple[str, float]]:
    """What is asked for a query: tokens, and what each adds to the score.

    :param vector: of the query.
    :param unit: of the documents' weights.
    """
    for index, weight in zip(vector.indices.tolist(), vector.weights.tolist(), strict=True):
        for bit in range(_BITS):
            yield f"{index:x}.{bit}", weight * unit * 2**bit
