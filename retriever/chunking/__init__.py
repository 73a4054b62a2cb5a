"""Cuts texts into chunks: exact spans, none larger than the embedding model reads.

    words      a text's words, their tokens and the ranks of the boundaries between them
    outline    headings, code blocks and tables, which change these ranks
    packing    which words go into which chunk
    fitting    counts again where the sum of the words may be wrong

Each step knows only those before it; :class:`Chunker` runs them, and :func:`make_chunker` fits one to a model.
"""

from retriever.chunking.chunker import Chunked, Chunker, Span
from retriever.chunking.config import ChunkerConfig
from retriever.chunking.making import make_chunker

__all__ = ["Chunked", "Chunker", "ChunkerConfig", "Span", "make_chunker"]
