"""Words with their vectors, wherever these came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from retriever.types import FloatMatrix, FloatVector

_CACHED = 2**16
"""Vectors made from n-grams that are kept: 80 MB at 300 dimensions."""
_COMMON = 10_000
"""So many words of a vocabulary, the most frequent, show in what case it is written."""
_CASED = 0.01
"""Share of words with a capital letter from which a vocabulary counts as cased."""


@dataclass(frozen=True, slots=True)
class Subwords:
    """How fastText finds the n-grams of a word among its buckets.

    :param shortest: characters of an n-gram, the marks for the word's beginning and end included.
    :param longest: the same.
    :param buckets: how many there are; n-grams share them by their hash.
    :param alphabet: the characters of the words that the n-grams were learnt from.
    """

    shortest: int
    longest: int
    buckets: int
    alphabet: frozenset[str]

    def places(self, word: str) -> list[int]:
        """The buckets of a word's n-grams; none for a word that is too short for any.

        :param word: any string without white space.
        """
        from gensim.models.fasttext import ft_ngram_hashes

        found: list[int] = ft_ngram_hashes(word, self.shortest, self.longest, self.buckets) if self.buckets else []
        return found


class WordVectors:
    """The vocabulary of a file, most frequent words first, and its vectors. Safe to use from several threads.

    :param words: each once.
    :param matrix: one row a word; with subwords, one row for each bucket as well.
    :param counts: how often each word occurred, where the file says so.
    :param subwords: of fastText; then a word's vector is the mean of its row and the rows of its n-grams.
    :param first_bucket: the row of the first bucket.
    """

    def __init__(
        self,
        words: Sequence[str],
        matrix: FloatMatrix,
        counts: NDArray[np.int64] | None = None,
        subwords: Subwords | None = None,
        first_bucket: int = 0,
    ) -> None:
        self.words = words
        self.index = {word: row for row, word in enumerate(words)}
        self.counts = counts
        self.subwords = subwords
        self._matrix = matrix
        self._first_bucket = first_bucket
        self._made = lru_cache(maxsize=_CACHED)(self._mean_of_subwords)

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return int(self._matrix.shape[1])

    @cached_property
    def is_cased(self) -> bool:
        """Whether the vocabulary tells capital letters from small ones."""
        seen = list(islice(self.words, _COMMON))
        return sum(word != word.lower() for word in seen) > _CASED * len(seen)

    def take(self, rows: Sequence[int]) -> FloatMatrix:
        """Vectors of words of the vocabulary.

        :param rows: their places in it.
        :return: float32, shape ``(len(rows), dimension)``.
        """
        if self.subwords is None:
            return np.asarray(self._matrix[np.asarray(rows, dtype=np.int64)], dtype=np.float32)
        return np.array([self._made(self.words[row]) for row in rows], dtype=np.float32).reshape(-1, self.dimension)

    @cached_property
    def table(self) -> FloatMatrix:
        """Vectors of all words, in order. Those of fastText are made when they are first asked for, and then kept."""
        return self._matrix if self.subwords is None else self.take(range(len(self.words)))

    def from_subwords(self, word: str) -> FloatVector | None:
        """Vector of a word that is not in the vocabulary.

        :param word: not in the vocabulary.
        :return: None where no n-grams were learnt that could make it: not those of another script either, whose
            buckets hold nothing but what they began with.
        """
        subwords = self.subwords
        # The beginning and the end of a word count as a character each.
        if subwords is None or len(word) + 2 < subwords.shortest or not subwords.alphabet.issuperset(word):
            return None
        vector: FloatVector = self._made(word)
        return vector

    def _mean_of_subwords(self, word: str) -> FloatVector:
        assert self.subwords is not None  # noqa: S101 - else nobody calls this
        rows = [self._first_bucket + place for place in self.subwords.places(word)]
        own = self.index.get(word)
        if own is not None:
            rows.append(own)
        if not rows:
            return np.zeros(self.dimension, dtype=np.float32)
        vector: FloatVector = np.asarray(self._matrix[rows], dtype=np.float32).mean(axis=0)
        return vector
