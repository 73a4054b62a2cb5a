"""Other retrieval systems, each measured as its own documentation uses it: importing this makes them known by name."""

from benchmarks.peers import (
    bm25s_peer,
    chonkie_splitter,
    chroma_bare,
    edge_bare,
    langchain_chroma_peer,
    langchain_ensemble,
    langchain_qdrant_peer,
    langchain_splitter,
    qdrant_bare,
)

__all__ = [
    "bm25s_peer",
    "chonkie_splitter",
    "chroma_bare",
    "edge_bare",
    "langchain_chroma_peer",
    "langchain_ensemble",
    "langchain_qdrant_peer",
    "langchain_splitter",
    "qdrant_bare",
]
