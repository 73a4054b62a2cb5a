"""The chunker that fits an embedding function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retriever.chunking.chunker import Chunker
from retriever.chunking.config import ChunkerConfig
from retriever.tokeniser import WordTokeniser

if TYPE_CHECKING:
    from retriever.embedding import EmbeddingFunction


def make_chunker(embedding: EmbeddingFunction, config: ChunkerConfig | None = None) -> Chunker:
    """A chunker that counts with the model's own tokeniser and keeps to its limit; words where it has none.

    :param embedding: whose model will read the chunks.
    :param config: size and overlap.
    :raises ConfigurationError: where the model's limit leaves too little for a chunk.
    """
    return Chunker(
        embedding.tokeniser or WordTokeniser(),
        config,
        max_tokens=embedding.max_tokens if embedding.tokeniser else None,
        prompt_tokens=embedding.prompt_tokens("document"),
    )
