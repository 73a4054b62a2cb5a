"""What a reranker is."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retriever.errors import EmbeddingError, RetrieverError
from retriever.registry import Plugin


class Reranker(Plugin, ABC):
    """Judges texts by reading each together with the query.

    A new one sets ``kind`` and writes one method, :meth:`_score`::

        class Shortest(Reranker):
            kind = "shortest"

            def _score(self, query, texts):
                return [-len(text) for text in texts]

    It may be used from several threads; ``_score`` is called by one at a time.
    """

    def __init__(self) -> None:
        self._scoring = threading.Lock()

    @abstractmethod
    def _score(self, query: str, texts: Sequence[str]) -> ArrayLike:
        """One number for each text, in order; higher is better.

        :param query: what was asked.
        :param texts: at least one.
        """

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each text answers the query.

        :param query: what was asked.
        :param texts: any number.
        :return: float32, shape ``(len(texts),)``; higher is better.
        :raises EmbeddingError: where ``_score`` fails, or returned something unusable.
        """
        if not texts:
            return np.zeros(0, dtype=np.float32)
        try:
            with self._scoring:
                given = self._score(query, texts)
        except RetrieverError:
            raise
        except Exception as error:
            raise EmbeddingError(
                f"the reranker {self.name} raised {type(error).__name__} for {len(texts)} texts: see the cause of this "
                "error"
            ) from error
        try:
            scores = np.asarray(given, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise EmbeddingError(f"the reranker {self.name} returned no numbers: {error}") from error
        if scores.shape != (len(texts),):
            raise EmbeddingError(f"the reranker {self.name} returned shape {scores.shape} for {len(texts)} texts")
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise EmbeddingError(f"the reranker {self.name} returned NaN or infinity for {texts[row][:80]!r}")
        return scores
