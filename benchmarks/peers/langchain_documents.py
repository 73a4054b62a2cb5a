"""Passages as LangChain has them."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.documents import Document

from retriever.evaluation.systems import Passage

PASSAGE = "passage_id"
"""Key of the metadata that holds a passage's id: not every search of LangChain's gives back the document's own."""

BATCH = 1_000
"""Documents a call."""


def documents(passages: Sequence[Passage]) -> list[Document]:
    """Documents of passages.

    :param passages: any number.
    """
    return [
        Document(page_content=p.text, metadata={PASSAGE: p.id, "document": p.document_id, **p.metadata})
        for p in passages
    ]
