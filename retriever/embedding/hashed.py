"""An embedding function without a model: hashed words. For tests, and for trying everything in a second."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pydantic import Field

from retriever.embedding.base import EmbeddingConfig, EmbeddingFunction, Role
from retriever.errors import ConfigurationError
from retriever.keyword.analyser import Analyser
from retriever.keyword.bm25 import term_index
from retriever.tokeniser import WordTokeniser
from retriever.types import FloatMatrix


class HashedConfig(EmbeddingConfig):
    """Settings of :class:`HashedEmbedding`."""

    dimension: int = Field(default=256, gt=0, le=65_536)


class HashedEmbedding(EmbeddingFunction):
    """Each term adds 1 or -1 at a place that its hash decides; the sum is scaled to length 1.

    The same text gives the same vector on every machine. It knows words, not meaning. A text without words gives
    the zero vector. After Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009.

    :param config: the dimension, 256 by default.
    """

    kind = "hashed"
    Config = HashedConfig
    batch_size = 1024
    tokeniser = WordTokeniser()
    config: HashedConfig

    def __init__(self, config: HashedConfig | None = None) -> None:
        super().__init__(config or HashedConfig())

    @cached_property
    def _analyser(self) -> Analyser:
        return Analyser()

    @classmethod
    def from_name(cls, name: str) -> HashedEmbedding:
        """``hashed`` or ``hashed:DIMENSION``.

        :param name: the dimension, or empty.
        :raises ConfigurationError: where it is not a whole number from 1 to 65,536.
        """
        if not name:
            return cls()
        if not name.isdecimal() or not 0 < int(name) <= 65_536:
            raise ConfigurationError(f"hashed:{name} is no embedding function: write hashed:256, for example")
        return cls(HashedConfig(dimension=int(name)))

    @property
    def dimension(self) -> int:
        """As configured."""
        return self.config.dimension

    @property
    def name(self) -> str:
        """``hashed:DIMENSION``."""
        return f"{self.kind}:{self.dimension}"

    def _embed(self, texts: Sequence[str], role: Role) -> FloatMatrix:  # noqa: ARG002 - both roles alike
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for term, count in self._analyser.terms(text).items():
                place = term_index(term)
                vectors[row, (place >> 1) % self.dimension] += count if place & 1 else -count
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors
