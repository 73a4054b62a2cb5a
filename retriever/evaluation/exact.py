"""The rank that records would have in an exact search, for telling what approximate search lost.

Nothing is searched: cosines of all vectors in pages, dot products of all learned sparse vectors in pages, and BM25 of
all texts. Ranks are counted, not sorted: how many
records have at least as great a score. So a record has the last rank among its equals, and whoever searches exactly
has it by then, however ties are broken.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retriever.evaluation.answering import Advance, quiet
from retriever.keyword.analyser import Analyser
from retriever.keyword.bm25 import K1, B, idf
from retriever.registry import raise_missing
from retriever.sparse.vector import SparseVector
from retriever.stores import KeepsSparse, Store
from retriever.types import FloatVector

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_PAGE = 1_000
_EPSILON = 1e-6
"""Scores so near are equal: 32 bits know no better."""

Wanted = Mapping[str, Collection[str]]
"""Keys of records by query."""

Ranks = dict[tuple[str, str], int]
"""Rank from 1, by query and key."""


def semantic_ranks(
    store: Store, keys: Sequence[str], vectors: Mapping[str, FloatVector], wanted: Wanted, progress: Advance = quiet
) -> Ranks:
    """Ranks by cosine. Holds a page of vectors at a time.

    :param store: where they are.
    :param keys: of all records that count.
    :param vectors: of the queries.
    :param wanted: the records whose ranks are asked for; they need not be among ``keys``.
    :param progress: told how far it is.
    """
    gold = _vectors(store, list(dict.fromkeys(key for found in wanted.values() for key in found)))
    names = {query: [key for key in found if key in gold] for query, found in wanted.items()}
    queries = [query for query, found in names.items() if found]
    if not queries:
        return {}
    asked = np.stack([_unit(vectors[query]) for query in queries])
    score = [np.array([gold[key] @ unit for key in names[q]]) for q, unit in zip(queries, asked, strict=True)]
    better = [np.zeros(len(names[query]), dtype=np.int64) for query in queries]
    for done, page in enumerate(_pages(keys)):
        matrix = np.stack(list(store.vectors(page).values()) or [np.zeros(asked.shape[1], np.float32)])
        for i, scores in enumerate((matrix @ asked.T).T):
            better[i] += (scores[:, None] >= score[i] - _EPSILON).sum(axis=0)
        progress("exact search by meaning", min(len(keys), (done + 1) * _PAGE), len(keys))
    return {
        (query, key): max(1, int(count))
        for query, counts in zip(queries, better, strict=True)
        for key, count in zip(names[query], counts, strict=True)
    }


def sparse_ranks(
    store: Store, keys: Sequence[str], vectors: Mapping[str, SparseVector], wanted: Wanted, progress: Advance = quiet
) -> Ranks:
    """Ranks by dot product of learned sparse vectors. Holds a page of them. What shares no term has no rank.

    :param store: where they are.
    :param keys: of all records that count.
    :param vectors: of the queries.
    :param wanted: the records whose ranks are asked for; they need not be among ``keys``.
    :param progress: told how far it is.
    """
    if not isinstance(store, KeepsSparse):
        return {}
    gold: dict[str, SparseVector] = {}
    for page in _pages(list(dict.fromkeys(key for found in wanted.values() for key in found))):
        gold |= store.sparse_vectors(page)
    dots = {
        query: {key: vectors[query].dot(gold[key]) for key in keys if key in gold} for query, keys in wanted.items()
    }
    ranks = {(query, key): 0 for query, found in dots.items() for key, dot in found.items() if dot > 0}
    columns = list(dict.fromkeys(query for query, _ in ranks))
    terms = np.unique(np.concatenate([np.zeros(0, np.uint32), *(vectors[query].indices for query in columns)]))
    asked = _matrix([vectors[query] for query in columns], terms)
    for done, page in enumerate(_pages(keys)):
        found = _matrix(list(store.sparse_vectors(page).values()), terms)
        scores = dict(zip(columns, (asked @ found.T).toarray(), strict=True))
        for query, key in ranks:
            ranks[query, key] += int((scores[query] >= dots[query][key] * (1 - _EPSILON)).sum())
        progress("exact search by learned terms", min(len(keys), (done + 1) * _PAGE), len(keys))
    return {name: max(1, rank) for name, rank in ranks.items()}


def _matrix(vectors: Sequence[SparseVector], terms: NDArray[np.uint32]) -> csr_array:
    """Vectors as rows, with a column for each of some terms; the others are left out."""
    try:
        from scipy.sparse import csr_array
    except ModuleNotFoundError as error:
        raise_missing("evaluation", error)
    kept = [np.isin(vector.indices, terms, assume_unique=True) for vector in vectors]
    pairs = list(zip(vectors, kept, strict=True))
    weights = np.concatenate([np.zeros(0), *(vector.weights[there] for vector, there in pairs)])
    indices = np.concatenate([np.zeros(0, np.uint32), *(vector.indices[there] for vector, there in pairs)])
    ends = np.cumsum([0, *(int(there.sum()) for there in kept)])
    return csr_array((weights, np.searchsorted(terms, indices), ends), shape=(len(vectors), len(terms)))


def keyword_ranks(
    store: Store,
    keys: Sequence[str],
    analyser: Analyser,
    texts: Mapping[str, str],
    wanted: Wanted,
    progress: Advance = quiet,
    counted: Collection[str] | None = None,
) -> Ranks:
    """Ranks by BM25. Keeps the postings of the queries' terms, no texts. A record without any of them has no rank.

    :param store: where they are.
    :param keys: of all records: the frequencies are theirs.
    :param analyser: the index's.
    :param texts: of the queries.
    :param wanted: the records whose ranks are asked for.
    :param progress: told how far it is.
    :param counted: records that count for ranks; all by default.
    """
    terms = {query: analyser.terms(texts[query]) for query in wanted}
    number = {key: i for i, key in enumerate(keys)}
    postings = _Postings(store, keys, analyser, {term for found in terms.values() for term in found}, progress)
    counts = np.ones(len(keys), bool) if counted is None else np.array([key in counted for key in keys], bool)
    ranks: Ranks = {}
    for query, found in wanted.items():
        scores = postings.scores(terms[query])
        for key in found:
            if key in number and (score := scores[number[key]]) > 0:
                ranks[query, key] = max(1, int((scores[counts] >= score - _EPSILON).sum()))
    return ranks


class _Postings:
    """Where the terms of some queries occur."""

    def __init__(
        self, store: Store, keys: Sequence[str], analyser: Analyser, terms: Collection[str], progress: Advance
    ) -> None:
        self._lengths = np.zeros(len(keys))
        self._records: dict[str, array[int]] = defaultdict(lambda: array("q"))
        self._counts: dict[str, array[int]] = defaultdict(lambda: array("q"))
        number = {key: i for i, key in enumerate(keys)}
        for done, page in enumerate(_pages(keys)):
            for key, chunk in store.fetch(page).items():
                found = analyser.terms(chunk.text)
                self._lengths[number[key]] = sum(found.values())
                for term in terms & found.keys():
                    self._records[term].append(number[key])
                    self._counts[term].append(found[term])
            progress("exact search by keyword", min(len(keys), (done + 1) * _PAGE), len(keys))

    def scores(self, terms: Mapping[str, int]) -> NDArray[np.float64]:
        """BM25 of every record, in the form of :mod:`retriever.keyword.bm25`."""
        scores = np.zeros(len(self._lengths))
        average = float(self._lengths.mean()) if self._lengths.any() else 1.0
        norm = K1 * (1 - B + B * self._lengths / average)
        for term, asked in terms.items():
            if term in self._records:
                places, tf = np.array(self._records[term]), np.array(self._counts[term])
                weight = asked * idf(len(places), len(self._lengths))
                scores[places] += weight * tf * (K1 + 1) / (tf + norm[places])
        return scores


def _vectors(store: Store, keys: Sequence[str]) -> dict[str, FloatVector]:
    found: dict[str, FloatVector] = {}
    for page in _pages(keys):
        found |= store.vectors(page)
    return found


def _pages(keys: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(keys)
    while page := list(islice(remaining, _PAGE)):
        yield page


def _unit(vector: FloatVector) -> FloatVector:
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm else vector
