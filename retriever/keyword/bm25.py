"""Okapi BM25, exact and as sparse vectors.

The form is Lucene's (Kamphuis, de Vries, Boytsov and Lin, "Which BM25 do you mean?", ECIR 2020):

    score(q, d) = sum over terms t of q: qtf(t) · idf(t) · tf(t, d) · (k1 + 1) / (tf(t, d) + norm(d))
    norm(d)     = k1 · (1 - b + b · |d| / avgdl)
    idf(t)      = ln(1 + (N - df(t) + 0.5) / (df(t) + 0.5))

A store with sparse vectors keeps everything but the idf as the weight of a term, and multiplies by the idf when it
searches. So the average length avgdl is part of what is stored, and has to be known before the first write.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

K1 = 1.2
B = 0.75


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Distinct 32-bit indices in no stated order, and their weights."""

    indices: list[int]
    values: list[float]


LONGEST_CACHED = 64
"""Characters. Caches hold a bounded number of terms; without this their memory would not be bounded."""

_MOST_CACHED = 2**16


class _Indices(dict[str, int]):
    """Indices by term. A dictionary that fills itself is three times as quick as a cached function."""

    def __missing__(self, term: str) -> int:
        index = int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest(), "big")
        if len(term) <= LONGEST_CACHED:
            if len(self) >= _MOST_CACHED:
                self.clear()
            self[term] = index
        return index


_INDICES = _Indices()


def term_index(term: str) -> int:
    """The dimension of a term in a sparse vector: 32 bits of BLAKE2b, the same on every machine.

    In a corpus of a million terms, one in 4,300 shares its dimension with another.

    :param term: as the analyser makes it.
    """
    return _INDICES[term]


def document_vector(terms: Mapping[str, int], average_length: float) -> SparseVector:
    """Everything in BM25 but the idf.

    :param terms: how often each term occurs in the document.
    :param average_length: terms a document in the corpus, above 0.
    """
    counts = list(terms.values())
    norm = K1 * (1 - B + B * sum(counts) / average_length)
    weights = {tf: tf * (K1 + 1) / (tf + norm) for tf in set(counts)}  # a few: most terms occur once
    return _distinct(terms, [weights[tf] for tf in counts])


def query_vector(terms: Mapping[str, int]) -> SparseVector:
    """The weight of each query term: how often it was asked for.

    :param terms: how often each term occurs in the query.
    """
    return _distinct(terms, [float(count) for count in terms.values()])


def _distinct(terms: Mapping[str, int], weights: list[float]) -> SparseVector:
    """Terms that share an index add up."""
    indices = list(map(_INDICES.__getitem__, terms))
    if len(set(indices)) == len(indices):
        return SparseVector(indices, weights)
    by_index: dict[int, float] = {}
    for index, weight in zip(indices, weights, strict=True):
        by_index[index] = by_index.get(index, 0.0) + weight
    return SparseVector(list(by_index), list(by_index.values()))


def idf(document_frequency: int, documents: int) -> float:
    """Inverse document frequency, above 0.

    :param document_frequency: documents that contain the term.
    :param documents: documents in all.
    """
    return math.log(1 + (documents - document_frequency + 0.5) / (document_frequency + 0.5))
