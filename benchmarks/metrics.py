"""How good a ranking is, against judgements. Pure functions over ids."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence


def distinct(ids: Iterable[str]) -> list[str]:
    """Documents from their chunks: each where its best chunk is.

    :param ids: of the documents of a ranking of chunks, best first.
    """
    return list(dict.fromkeys(ids))


def ndcg(ranking: Sequence[str], relevance: Mapping[str, int], depth: int = 10) -> float:
    """Normalised discounted cumulative gain with a linear gain, as trec_eval's ``ndcg_cut``.

    Rank order is taken as given, so ties do not occur.

    :param ranking: ids of documents, best first, each once.
    :param relevance: grade of each judged document; what is not judged, or below 0, counts as 0.
    :param depth: how much of the ranking counts.
    :return: from 0 to 1; 0 where nothing is relevant.
    """
    if len(set(ranking)) != len(ranking):
        raise ValueError("a document is in the ranking twice")
    ideal = _gain(sorted(relevance.values(), reverse=True)[:depth])
    return _gain([relevance.get(document, 0) for document in ranking[:depth]]) / ideal if ideal else 0.0


def recall(ranking: Sequence[str], relevance: Mapping[str, int], depth: int = 100) -> float:
    """Share of the relevant documents that the ranking holds.

    :param ranking: ids of documents, best first.
    :param relevance: grade of each judged document; above 0 is relevant.
    :param depth: how much of the ranking counts.
    :return: from 0 to 1; 0 where nothing is relevant.
    """
    relevant = {document for document, grade in relevance.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def _gain(grades: Sequence[int]) -> float:
    return sum(max(0, grade) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))
