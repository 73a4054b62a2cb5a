"""Texts by the vectors of their words: Word2Vec, GloVe, fastText."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from retriever.embedding.base import EmbeddingConfig, EmbeddingFunction, Role
from retriever.embedding.models import file_digest
from retriever.embedding.words.exploring import Neighbour, analogous, nearest, spelled_alike
from retriever.embedding.words.formats import Format, load_word_vectors
from retriever.embedding.words.pooling import (
    common_direction,
    probabilities,
    sif_weights,
    weighted_mean,
    without_direction,
)
from retriever.embedding.words.tokens import VocabularyTokeniser
from retriever.embedding.words.vectors import WordVectors
from retriever.errors import ConfigurationError, InvalidInput
from retriever.types import FloatMatrix, FloatVector

Pooling = Literal["sif", "mean"]
"""``sif``: words weighted by smooth inverse frequency, without what all texts share. ``mean``: all words alike."""

_READING = "1"
"""Version of how texts are cut into words and of SIF's constants: part of the fingerprint."""


class WordVectorConfig(EmbeddingConfig):
    """Settings of :class:`WordVectorEmbedding`."""

    path: str = Field(min_length=1)
    """Of the file; kept in full."""
    format: Format | None = None
    """Of the file; by default seen from its content."""
    pooling: Pooling = "sif"
    """How the vectors of words become one of a text."""
    limit: int | None = Field(default=None, gt=0)
    """Know no more words than this, the first of the file, which are the most frequent ones in the usual files."""
    lower_case: bool = False
    """Look words up in lower case only. By default as they stand, and in lower case where the vocabulary lacks that."""
    normalize: bool = True
    """Scale vectors to length 1."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        """In full, so that an index opens from any working directory."""
        try:
            return str(Path(path).expanduser().resolve())
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"not a path: {error}") from error


class WordVectorEmbedding(EmbeddingFunction):
    """The weighted mean of the vectors of a text's words, which are read from a file when they are first needed.

    Words that the file does not have are left out, but for a fastText model's, which are made from their n-grams.
    A text without any known word gives the zero vector.

    :param config: which file, and how.
    """

    kind = "word-vectors"
    batch_size = 256
    Config = WordVectorConfig
    config: WordVectorConfig

    def __init__(self, config: WordVectorConfig) -> None:
        super().__init__(config)

    @classmethod
    def from_name(cls, name: str) -> WordVectorEmbedding:
        """``word-vectors:PATH``.

        :param name: path of the file.
        :raises ConfigurationError: where it is empty.
        """
        if not name:
            raise ConfigurationError("which vectors? write word-vectors:PATH, with a GloVe, word2vec or fastText file")
        return cls(WordVectorConfig(path=name))

    @property
    def name(self) -> str:
        """``word-vectors:PATH``."""
        return f"{self.kind}:{self.config.path}"

    @property
    def dimension(self) -> int:
        """That of the file's vectors."""
        return self.vectors.dimension

    @cached_property
    def vectors(self) -> WordVectors:
        """The vocabulary and its vectors.

        :raises ModelNotFound: where the file cannot be used.
        :raises MissingExtra: for a fastText model without gensim.
        """
        return load_word_vectors(self._path, self.config.format, self.config.limit)

    @cached_property
    def tokeniser(self) -> VocabularyTokeniser:
        """Words, of which those that the vocabulary lacks are unknown."""
        return VocabularyTokeniser(self.vectors, lower_case=self.config.lower_case)

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """The file by its hash, so that a copy of it counts as the same."""
        return {
            "kind": self.kind,
            "dimension": str(self.dimension),
            "weights": file_digest(self._path),
            "vocabulary": str(len(self.vectors.words)),
            "pooling": self.config.pooling,
            "lower_case": str(self.config.lower_case),
            "normalize": str(self.config.normalize),
            "reading": _READING,
            **self._splitting,
        }

    def most_similar(self, word: str, n: int = 10) -> list[Neighbour]:
        """The words whose vectors have the highest cosine to that of a word.

        :param word: of the vocabulary; for a fastText model any that its n-grams make.
        :param n: how many.
        :raises InvalidInput: for an unknown word; the message names words spelled alike.
        """
        return nearest(self.vectors, self._vector_of(word), n, without=self._spellings(word))

    def analogy(self, a: str, b: str, c: str, n: int = 10) -> list[Neighbour]:
        """What is to ``c`` as ``a`` is to ``b``: ``analogy("king", "man", "woman")`` is king - man + woman.

        3CosAdd over vectors of length 1, without the three words themselves (Mikolov, Yih and Zweig, "Linguistic
        regularities in continuous space word representations", NAACL 2013).

        :param a: added.
        :param b: taken away.
        :param c: added.
        :param n: how many.
        :raises InvalidInput: for an unknown word; the message names words spelled alike.
        """
        target = analogous(*(self._vector_of(word) for word in (a, b, c)))
        return nearest(self.vectors, target, n, without=self._spellings(a, b, c))

    def _spellings(self, *words: str) -> set[str]:
        """Words in lower case, also as the vocabulary has them: ``o’clock`` is ``o'clock`` there."""
        found = [self.tokeniser.find(word) for word in words]
        return {form.lower() for form in (*words, *(place[1] for place in found if place is not None))}

    def _vector_of(self, word: str) -> FloatVector:
        found = self.tokeniser.find(word)
        if found is not None:
            vector: FloatVector = self.vectors.take([found[0]])[0]
            return vector
        made = self.vectors.from_subwords(word if self.vectors.is_cased else word.lower()) if word.strip() else None
        if made is not None:
            return made
        alike = ", ".join(repr(other) for other in spelled_alike(word, self.vectors.words))
        raise InvalidInput(
            f"{word[:60]!r} is not among the {len(self.vectors.words):,} words of {self.config.path}"
            + (f"; spelled alike are {alike}" if alike else "")
        )

    def _embed(self, texts: Sequence[str], role: Role) -> FloatMatrix:  # noqa: ARG002 - both roles alike
        with np.errstate(over="ignore", invalid="ignore"):  # damaged numbers, which the caller refuses
            means: NDArray[np.float64] = np.stack([self._mean(text) for text in texts]).astype(np.float64)
            if self.config.pooling == "sif":
                means = without_direction(means, self._common)
            if self.config.normalize:
                norms = np.linalg.norm(means, axis=1, keepdims=True)
                means = np.divide(means, norms, out=np.zeros_like(means), where=norms > 0)
            return means.astype(np.float32)

    def _mean(self, text: str) -> FloatVector:
        words, unknown = list(self.tokeniser.words(text)), self.tokeniser.unknown_id
        known = [token.id for token in words if token.id != unknown]
        vectors, weights = self.vectors.take(known), self._weights[known]
        if self.vectors.subwords is not None and len(known) < len(words):
            made = [self.vectors.from_subwords(token.form) for token in words if token.id == unknown]
            others = [vector for vector in made if vector is not None]
            vectors = np.concatenate([vectors, *(vector[None] for vector in others)])
            # Rarer than all the vocabulary: the highest weight.
            weights = np.concatenate([weights, np.ones(len(others), dtype=np.float32)])
        return weighted_mean(vectors, weights)

    @cached_property
    def _path(self) -> Path:
        return Path(self.config.path)

    @cached_property
    def _weights(self) -> NDArray[np.float32]:
        if self.config.pooling == "mean":
            return np.ones(len(self.vectors.words), dtype=np.float32)
        return sif_weights(probabilities(self.vectors))

    @cached_property
    def _common(self) -> FloatVector:
        return common_direction(self.vectors, probabilities(self.vectors), self._weights)
