"""What peers share: vectors that are looked up, ids that Qdrant takes. Nothing here needs a peer's package."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from retriever.evaluation.systems import Passage
from retriever.types import FloatMatrix, FloatVector

_NAMESPACE = uuid.UUID("5a1f1b8e-93c6-4d0e-8f3c-0f6a6a3f1c55")

COSINE = {"hnsw": {"space": "cosine"}}
"""Configuration of a Chroma collection: its own default is squared l2."""


def point_id(passage_id: str) -> str:
    """The UUID under which a passage is kept on Qdrant, which takes no other names.

    :param passage_id: any.
    """
    return str(uuid.uuid5(_NAMESPACE, passage_id))


class GivenVectors:
    """Vectors that were made beforehand, under the names of LangChain's interface."""

    def __init__(self) -> None:
        self._known: dict[str, list[float]] = {}

    def know(self, passages: Sequence[Passage], vectors: FloatMatrix) -> None:
        """What the vectors of passages are.

        :param passages: any number.
        :param vectors: one row each.
        """
        for passage, vector in zip(passages, vectors.tolist(), strict=True):
            self._known[passage.text] = vector

    def know_query(self, text: str, vector: FloatVector) -> None:
        """What the vector of a query is.

        :param text: of the query.
        :param vector: its own.
        """
        self._known[text] = vector.tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Looked up."""
        return [self._known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Looked up."""
        return self._known[text]
