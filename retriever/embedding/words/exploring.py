"""Looking around among words: which are near, and what analogies there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple

import numpy as np

from retriever.embedding.words.vectors import WordVectors
from retriever.errors import InvalidInput
from retriever.types import FloatVector

_BLOCK = 50_000  # words compared at once
_LOOKED_THROUGH = 50_000
"""So many of the most frequent words are compared for their spelling, which is slow."""


class Neighbour(NamedTuple):
    """A word near another.

    :param word: as the vocabulary has it.
    :param similarity: the cosine, at most 1.
    """

    word: str
    similarity: float


def nearest(vectors: WordVectors, target: FloatVector, n: int, without: Collection[str]) -> list[Neighbour]:
    """The words with the highest cosine to a vector, best first.

    :param vectors: all words.
    :param target: any vector.
    :param n: how many.
    :param without: words in lower case that are left out.
    :raises InvalidInput: for a negative number.
    """
    if n < 0:
        raise InvalidInput(f"n is {n}: how many words cannot be negative")
    target = _unit(target)
    cosines = np.concatenate([_cosines(vectors, start, target) for start in range(0, len(vectors.words), _BLOCK)])
    # Stable, so that of equal ones the more frequent word comes first.
    order = np.argsort(-cosines, kind="stable")
    found = (row for row in order.tolist() if vectors.words[row].lower() not in without)
    return [Neighbour(vectors.words[row], float(cosines[row])) for row in islice(found, n)]


def analogous(a: FloatVector, b: FloatVector, c: FloatVector) -> FloatVector:
    """The vector ``a - b + c``, each scaled to length 1 first.

    :param a: added.
    :param b: taken away.
    :param c: added.
    """
    return _unit(a) - _unit(b) + _unit(c)


def spelled_alike(word: str, words: Sequence[str]) -> list[str]:
    """The closest spellings among the most frequent words.

    :param word: that is not there.
    :param words: most frequent first.
    """
    known = {other.lower(): other for other in reversed(words[:_LOOKED_THROUGH])}
    return [known[match] for match in get_close_matches(word.lower()[:60], known, n=3)]


def _cosines(vectors: WordVectors, start: int, target: FloatVector) -> FloatVector:
    some = vectors.table[start : start + _BLOCK]
    norms = np.linalg.norm(some, axis=1)
    cosines: FloatVector = np.divide(some @ target, norms, out=np.zeros(len(some), np.float32), where=norms > 0)
    return cosines


def _unit(vector: FloatVector) -> FloatVector:
    norm = np.linalg.norm(vector)
    return vector / norm if norm > 0 else vector
