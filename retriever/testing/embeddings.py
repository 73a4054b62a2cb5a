"""Embedding functions and a learned sparse model for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from retriever.embedding.base import Role
from retriever.embedding.hashed import HashedEmbedding
from retriever.keyword.analyser import Analyser
from retriever.keyword.bm25 import term_index
from retriever.sparse import SparseFunction
from retriever.types import FloatMatrix


class CountingEmbedding(HashedEmbedding):
    """Hashed words that count what they were asked to embed, over all instances.

    Register it with ``register("retriever.embeddings", "counting", CountingEmbedding)`` for indexes to rebuild it.
    """

    kind = "counting"
    documents: ClassVar[list[str]] = []
    """Texts embedded as documents since :meth:`reset`, canaries included."""
    queries: ClassVar[list[str]] = []
    """Texts embedded as queries since :meth:`reset`, canaries included."""

    @classmethod
    def reset(cls) -> None:
        """Forget what was counted."""
        cls.documents.clear()
        cls.queries.clear()

    def _embed(self, texts: Sequence[str], role: Role) -> FloatMatrix:
        (self.documents if role == "document" else self.queries).extend(texts)
        return super()._embed(texts, role)


class CountingSparse(SparseFunction):
    """Stemmed words as terms, each weighing more the longer it is; counts what it was asked to encode.

    Register it with ``register("retriever.sparse", "counting", CountingSparse)`` for indexes to rebuild it.
    """

    kind = "counting"
    vocabulary = 2**32
    documents: ClassVar[list[str]] = []
    """Texts encoded as documents since :meth:`reset`, canaries included."""
    queries: ClassVar[list[str]] = []
    """Texts encoded as queries since :meth:`reset`, canaries included."""

    @classmethod
    def reset(cls) -> None:
        """Forget what was counted."""
        cls.documents.clear()
        cls.queries.clear()

    def _encode(self, texts: Sequence[str], role: Role) -> Sequence[tuple[list[int], list[float]]]:
        (self.documents if role == "document" else self.queries).extend(texts)
        return [self._weights(text) for text in texts]

    @staticmethod
    def _weights(text: str) -> tuple[list[int], list[float]]:
        terms = Analyser().terms(text)
        weights = {term_index(term): len(term) * count / 2 for term, count in terms.items()}
        return list(weights), list(weights.values())
