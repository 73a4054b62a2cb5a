"""Text and vectors that have the shape of real ones, from a seed: nothing is stored, any amount can be made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from retriever.types import FloatMatrix

_VOCABULARY = 50_000
_STOP_WORDS = 100
"""Zipf's law begins after the words that the analyser drops: the commonest word is then in 15 % of 100-word texts."""
_CLUSTERS = 1_000
_SPREAD = 0.8
"""Of a cluster, in units of the distance between clusters: cosines within one are about 0.6."""

_CONSONANTS = "bcdfghjklmnprstvwz"
_VOWELS = "aeiou"
_SYLLABLES = [consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS]


@dataclass(frozen=True, slots=True)
class Passage:
    """A made-up text and its vector.

    :param number: counts from 0.
    :param text: lower-case words.
    :param vector: of length 1.
    """

    number: int
    text: str
    vector: np.ndarray


class Words:
    """Texts whose words follow Zipf's law.

    :param seed: the same seed gives the same texts.
    :param length: words a text, on average; each has half to one and a half times as many.
    """

    def __init__(self, seed: int, length: int) -> None:
        self._random = np.random.default_rng(seed)
        self._length = length
        self._words = np.array([_word(i) for i in range(_VOCABULARY)], dtype=object)
        weights = 1 / (np.arange(1, _VOCABULARY + 1) + _STOP_WORDS)
        self._cumulative = np.cumsum(weights / weights.sum())

    def text(self) -> str:
        """The next text."""
        count = int(self._random.integers(self._length // 2, self._length * 3 // 2 + 1))
        places = np.searchsorted(self._cumulative, self._random.random(count))
        return " ".join(self._words[np.minimum(places, _VOCABULARY - 1)])


def texts(count: int, length: int, seed: int = 0) -> Iterator[str]:
    """Texts, one after the other.

    :param count: how many.
    :param length: words a text, on average.
    :param seed: the same seed gives the same texts.
    """
    words = Words(seed, length)
    return (words.text() for _ in range(count))


def vectors(count: int, dimension: int, seed: int = 0) -> Iterator[FloatMatrix]:
    """Unit vectors in clusters, in blocks of up to 1,000.

    :param count: how many in all.
    :param dimension: of each.
    :param seed: the same seed gives the same vectors.
    """
    random = np.random.default_rng(seed)
    centres = random.standard_normal((_CLUSTERS, dimension), dtype=np.float32)
    for start in range(0, count, 1_000):
        size = min(1_000, count - start)
        noise = random.standard_normal((size, dimension), dtype=np.float32)
        block = centres[random.integers(_CLUSTERS, size=size)] + _SPREAD * noise
        yield block / np.linalg.norm(block, axis=1, keepdims=True)


def passages(count: int, length: int, dimension: int, seed: int = 0) -> Iterator[Passage]:
    """Texts with vectors, which have nothing to do with each other.

    :param count: how many.
    :param length: words a text, on average.
    :param dimension: of the vectors.
    :param seed: the same seed gives the same passages.
    """
    rows = (row for block in vectors(count, dimension, seed) for row in block)
    for number, (text, vector) in enumerate(zip(texts(count, length, seed), rows, strict=True)):
        yield Passage(number, text, vector)


def _word(number: int) -> str:
    """Three syllables that spell a number."""
    base = len(_SYLLABLES)
    return _SYLLABLES[number // base // base % base] + _SYLLABLES[number // base % base] + _SYLLABLES[number % base]
