"""Fusing the same legs with many weights, quickly: to the last tie what :func:`retriever.fusion.fuse_legs` gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from retriever.evaluation.answering import HITS, Answers, Setting
from retriever.evaluation.runs import Run, Scored
from retriever.fusion import Method, Ranking, reciprocal_ranks, relative_scores
from retriever.searching import weights_of


def weighted_runs(
    answers: Answers, setting: Setting, weights: Sequence[float], k: int = HITS
) -> Iterator[tuple[Setting, Run]]:
    """Runs of documents, one for each weight.

    :param answers: what all legs found.
    :param setting: a hybrid one.
    :param weights: from 0 to 1, each in the place of the setting's ``keyword_weight``.
    :param k: how many documents at most.
    :return: each setting with what it finds.
    """
    numbers: dict[str, int] = {}
    rankings = {query: setting.rankings(legs) for query, legs in answers.legs.items()}
    parts = {query: _Parts(answers, found, setting.fusion, numbers) for query, found in rankings.items()}
    names = list(numbers)
    for weight in weights:
        yield (
            replace(setting, keyword_weight=weight),
            {
                query: parts[query].documents(weights_of(found, weight, setting.sparse_weight), k, names)
                for query, found in rankings.items()
            },
        )


class _Parts:
    """What each leg contributes to each candidate of one query, and the orders that settle ties."""

    def __init__(
        self, answers: Answers, rankings: Mapping[str, Ranking], method: Method, numbers: dict[str, int]
    ) -> None:
        parts = reciprocal_ranks if method == "rrf" else relative_scores
        found = {name: parts(ranking) for name, ranking in rankings.items()}
        keys = [key for key in dict.fromkeys(chain.from_iterable(found.values())) if key in answers.places]
        place = {key: i for i, key in enumerate(keys)}
        self._parts = {name: np.array([of.get(key, 0.0) for key in keys]) for name, of in found.items()}
        self._places = {name: [place[key] for key in of if key in place] for name, of in found.items()}
        self._orders: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self._documents = np.array(
            [numbers.setdefault(answers.places[key].document, len(numbers)) for key in keys], dtype=np.int64
        )

    def documents(self, weights: Mapping[str, float], k: int, names: Sequence[str]) -> list[Scored]:
        legs = tuple(sorted(self._parts, key=lambda name: -weights[name]))  # as in fuse_legs
        total = np.zeros(len(self._documents))
        for name in legs:
            total += weights[name] * self._parts[name]
        first = self._first(legs)
        order = first[np.argsort(-total[first], kind="stable")]
        best: dict[int, float] = {}
        for document, score in zip(self._documents[order].tolist(), total[order].tolist(), strict=True):
            best.setdefault(document, score)
            if len(best) == k:
                break
        return [(names[document], score) for document, score in best.items()]

    def _first(self, legs: tuple[str, ...]) -> NDArray[np.int64]:
        """Candidates in the order of the heaviest leg, then of the next."""
        if legs not in self._orders:
            places = dict.fromkeys(chain.from_iterable(self._places[name] for name in legs))
            self._orders[legs] = np.array(list(places), dtype=np.int64)
        return self._orders[legs]
