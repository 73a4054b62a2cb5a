"""The legs of a search, and what makes sure that no hit breaks the filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.filters import Filter, matches
from retriever.sparse.vector import NOTHING, SparseVector
from retriever.stores import Candidate
from retriever.types import FloatVector
from retriever_chroma.collection import Collection
from retriever_chroma.convert import Reading
from retriever_chroma.errors import RecordMissing
from retriever_chroma.replica import Replica

_GROWTH = 4
_MOST_SCANNED = 20_000
_ATTEMPTS = 3
_MARGIN = 16


class Check:
    """Looks at the records themselves, each once.

    :param collection: where they are.
    :param reading: how they are read.
    :param condition: None lets everything pass.
    """

    def __init__(self, collection: Collection, reading: Reading, condition: Filter | None) -> None:
        self._collection = collection
        self._reading = reading
        self.condition = condition
        self._known: dict[str, bool] = {}

    def passing(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those whose records are there and satisfy the filter, in order.

        :param candidates: of either leg.
        """
        if self.condition is None:
            return list(candidates)
        unknown = [candidate.key for candidate in candidates if candidate.key not in self._known]
        self._known |= dict.fromkeys(unknown, False)
        for row in self._collection.rows(unknown, ["metadatas"]):
            self._known[row.id] = matches(self.condition, self._reading.chunk(*row))
        return [candidate for candidate in candidates if self._known[candidate.key]]


def keyword_leg(replica: Replica, check: Check, terms: Mapping[str, int], depth: int) -> list[Candidate]:
    """The best records by BM25.

    :param replica: in step.
    :param check: of the filter.
    :param terms: of the query.
    :param depth: how many at most.
    """
    return _enough(lambda size: replica.search(terms, size, check.condition), check, depth)


def sparse_leg(
    collection: Collection, reading: Reading, replica: Replica, check: Check, vector: SparseVector, depth: int
) -> list[Candidate]:
    """The best records by learned sparse vectors.

    The keyword index finds some more than are wanted, with rounded weights; the true ones, in the collection, decide.

    :param collection: where they are.
    :param reading: how they are read.
    :param replica: in step.
    :param check: of the filter.
    :param vector: of the query.
    :param depth: how many at most.
    """
    wanted = depth + max(_MARGIN, depth // 4)
    found = _enough(lambda size: replica.search_sparse(vector, size, check.condition), check, wanted)
    rows = collection.rows([candidate.key for candidate in found], ["metadatas"])
    stored = {row.id: reading.sparse(row.metadata) or NOTHING for row in rows}
    scored = (Candidate(key, weights.dot(vector)) for key, weights in stored.items())
    return _best(candidate for candidate in scored if candidate.score > 0)[:depth]


def semantic_leg(
    collection: Collection, replica: Replica, check: Check, vector: FloatVector, depth: int, most_ids: int
) -> list[Candidate]:
    """The nearest records.

    With a filter, Chroma searches among the ids that the keyword index says match: at 20,000 records that takes 10 ms,
    whatever their number. Where there are too many for a request, so many match that some of the nearest do.

    :param collection: where they are.
    :param replica: in step.
    :param check: of the filter.
    :param vector: of the query.
    :param depth: how many at most.
    :param most_ids: to search among.
    """
    if check.condition is None:
        return _nearest_of_all(collection, vector, depth)
    among = replica.matching(check.condition, most_ids)
    if among is None:
        return _enough(lambda size: _nearest_of_all(collection, vector, size), check, depth)
    return _enough(lambda size: _nearest_of(collection, vector, size, among.ids), check, depth)


def _enough(find: Callable[[int], list[Candidate]], check: Check, depth: int) -> list[Candidate]:
    """Look for more until enough of them pass, or there are no more."""
    size = depth
    while True:
        found = find(size)
        passing = check.passing(found)
        if len(passing) >= depth or len(found) < size:
            return passing[:depth]
        size *= _GROWTH


def _nearest_of_all(collection: Collection, vector: FloatVector, depth: int) -> list[Candidate]:
    found = _nearest(collection, vector, depth)
    if len(found) >= depth or not 0 < collection.count() - len(found) <= _MOST_SCANNED:
        return found
    return _completed(collection, vector, depth, found, [row.id for row in collection.all_rows([])])


def _completed(
    collection: Collection, vector: FloatVector, depth: int, found: Sequence[Candidate], ids: Sequence[str]
) -> list[Candidate]:
    """With those that Chroma should have found: parts of its graph cannot be reached where many vectors are equal."""
    rows = collection.vectors(list(set(ids) - {candidate.key for candidate in found}))
    scores = _cosines(np.array(list(rows.values()), np.float64), vector)
    return _best([*found, *map(Candidate, rows, np.clip(scores, -1.0, 1.0).tolist())])[:depth]


def _nearest_of(collection: Collection, vector: FloatVector, depth: int, ids: Sequence[str]) -> list[Candidate]:
    """The nearest among some records, of which other programs may have deleted any meanwhile."""
    for _ in range(_ATTEMPTS):
        try:
            found = _nearest(collection, vector, depth, ids) if ids else []
        except RecordMissing:
            ids = [row.id for row in collection.rows(ids, [])]
        else:
            return found if len(found) >= min(depth, len(ids)) else _completed(collection, vector, depth, found, ids)
    return _completed(collection, vector, depth, [], ids)  # somebody deletes faster than can be asked


def _nearest(
    collection: Collection, vector: FloatVector, depth: int, ids: Sequence[str] | None = None
) -> list[Candidate]:
    if collection.space == "cosine":
        answer = collection.query(vector, depth, ids)
        scores = 1.0 - np.asarray(answer["distances"], np.float64)
    else:
        answer = collection.query(vector, depth, ids, ["embeddings"])
        scores = _cosines(np.asarray(answer["embeddings"], np.float64), vector)
    return _best(map(Candidate, answer["ids"], np.clip(scores, -1.0, 1.0).tolist()))


def _best(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.key))


def _cosines(rows: NDArray[np.float64], vector: FloatVector) -> NDArray[np.float64]:
    if not len(rows):
        return np.zeros(0)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    cosines: NDArray[np.float64] = np.divide(rows @ vector, lengths, out=np.zeros(len(rows)), where=lengths > 0)
    return cosines
