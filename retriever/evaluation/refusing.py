"""Fusing the same legs with many weights, quickly. Gives what :func:`retriever.fusion.fuse` gives, to the last tie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from retriever.evaluation.answering import HITS, Answers
from retriever.evaluation.runs import Run, Scored
from retriever.fusion import Method, reciprocal_ranks, relative_scores
from retriever.stores import Legs


def weighted_runs(
    answers: Answers, method: Method, depth: int, weights: Sequence[float], k: int = HITS
) -> Iterator[tuple[float, Run]]:
    """Runs of documents, one for each weight.

    :param answers: what both legs found.
    :param method: of fusion.
    :param depth: candidates of a leg that count.
    :param weights: shares of the keyword leg, from 0 to 1.
    :param k: how many documents at most.
    """
    numbers: dict[str, int] = {}
    legs = {query: _Parts(answers, found, method, depth, numbers) for query, found in answers.legs.items()}
    names = list(numbers)
    for weight in weights:
        yield weight, {query: parts.documents(weight, k, names) for query, parts in legs.items()}


class _Parts:
    """What each leg contributes to each candidate of one query, in the order that settles ties."""

    def __init__(self, answers: Answers, legs: Legs, method: Method, depth: int, numbers: dict[str, int]) -> None:
        semantic, keyword = legs.semantic[:depth], legs.keyword[:depth]
        parts = reciprocal_ranks if method == "rrf" else relative_scores
        of_semantic, of_keyword = parts(semantic), parts(keyword)
        keys = [key for key in dict.fromkeys([*of_keyword, *of_semantic]) if key in answers.places]
        place = {key: i for i, key in enumerate(keys)}
        self._semantic = np.array([of_semantic.get(key, 0.0) for key in keys])
        self._keyword = np.array([of_keyword.get(key, 0.0) for key in keys])
        semantic_first = dict.fromkeys([*of_semantic, *of_keyword])
        self._semantic_first = np.array([place[key] for key in semantic_first if key in place], dtype=np.int64)
        self._documents = np.array(
            [numbers.setdefault(answers.places[key].document, len(numbers)) for key in keys], dtype=np.int64
        )

    def documents(self, weight: float, k: int, names: Sequence[str]) -> list[Scored]:
        total = (1 - weight) * self._semantic + weight * self._keyword
        first = np.arange(len(total)) if weight >= 0.5 else self._semantic_first  # as in fuse: the heavier leg's order
        order = first[np.argsort(-total[first], kind="stable")]
        best: dict[int, float] = {}
        for document, score in zip(self._documents[order].tolist(), total[order].tolist(), strict=True):
            best.setdefault(document, score)
            if len(best) == k:
                break
        return [(names[document], score) for document, score in best.items()]
