"""How much of the exact answer an approximate search finds: of the same vectors, computed here, never by the store.

This is agreement with exact neighbours. Whether these are what the user looked for is another question, which the
measures over judged queries answer (:mod:`retriever.evaluation.measures`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.types import FloatMatrix, FloatVector

EPSILON = 1e-4
"""Cosines closer than this are a tie: systems compute them in other orders, and some with other precision."""


class ExactNeighbours:
    """The exact answer by cosine.

    :param ids: of the records.
    :param vectors: one row each, of any length above 0.
    """

    def __init__(self, ids: Sequence[str], vectors: FloatMatrix) -> None:
        self._rows: Mapping[str, int] = {name: row for row, name in enumerate(ids)}
        self._unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def recall(
        self,
        found: Sequence[str],
        vector: FloatVector,
        k: int,
        *,
        among: NDArray[np.bool_] | None = None,
        epsilon: float = EPSILON,
    ) -> float:
        """Share of the k nearest that were found, from 0 to 1.

        What is as near as the k-th nearest, or nearer, counts, whatever its id: of several that are equally near none
        is the right one (as in ann-benchmarks). What is found twice, or is not among the records, counts once or not.

        :param found: ids, in any order; the first k count.
        :param vector: of the query.
        :param k: how many were asked for.
        :param among: the rows that a filter lets through; None for all.
        :param epsilon: the difference of cosines that is none.
        """
        cosines = self._unit @ (vector / np.linalg.norm(vector))
        allowed = np.ones(len(cosines), dtype=np.bool_) if among is None else among
        wanted = min(k, int(allowed.sum()))
        if not wanted:
            return 1.0
        threshold = np.partition(cosines[allowed], -wanted)[-wanted] - epsilon
        rows = {self._rows[name] for name in found[:k] if name in self._rows}
        return sum(1 for row in rows if allowed[row] and cosines[row] >= threshold) / wanted
