"""Passages and their vectors as LangChain has them. It is imported when it is needed: not everybody has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.peers.given import GivenVectors
from retriever.evaluation.systems import Passage

if TYPE_CHECKING:
    from langchain_core.documents import Document

PASSAGE = "passage_id"
"""Key of the metadata that holds a passage's id: not every search of LangChain's gives back the document's own."""

BATCH = 1_000
"""Documents a call."""


def documents(passages: Sequence[Passage]) -> list[Document]:
    """Documents of passages.

    :param passages: any number.
    """
    from langchain_core.documents import Document

    return [
        Document(page_content=p.text, metadata={PASSAGE: p.id, "document": p.document_id, **p.metadata})
        for p in passages
    ]


def given_embeddings() -> Any:  # noqa: ANN401 - its other base class comes from langchain-core
    """A :class:`~benchmarks.peers.given.GivenVectors` that is one of LangChain's embeddings."""
    from langchain_core.embeddings import Embeddings

    class GivenEmbeddings(GivenVectors, Embeddings):
        pass

    return GivenEmbeddings()
