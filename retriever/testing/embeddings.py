"""Embedding functions for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from retriever.embedding.base import Role
from retriever.embedding.hashed import HashedEmbedding
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
