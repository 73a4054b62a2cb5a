"""Retrieval for RAG: index folders and documents, search them by keyword and meaning, know why a hit is a hit."""

from retriever._version import __version__
from retriever.chunking import Chunker, ChunkerConfig
from retriever.embedding import EmbeddingConfig, EmbeddingFunction, TruncationWarning
from retriever.errors import (
    ConfigurationError,
    EmbeddingError,
    FilterError,
    IndexMismatch,
    InvalidInput,
    ManifestError,
    ManifestUnreadable,
    MissingExtra,
    ModelNotFound,
    NotAStore,
    RetrieverError,
    StoreError,
    StoreLocked,
    StoreNotFound,
)
from retriever.info import IndexInfo
from retriever.loading import Unloaded, load
from retriever.memory import MemoryStore
from retriever.report import IndexReport, Problem
from retriever.retriever import Retriever
from retriever.types import Chunk, Document, Hit, Leg
from retriever.verifying import VerifyReport

__all__ = [
    "Chunk",
    "Chunker",
    "ChunkerConfig",
    "ConfigurationError",
    "Document",
    "EmbeddingConfig",
    "EmbeddingError",
    "EmbeddingFunction",
    "FilterError",
    "Hit",
    "IndexInfo",
    "IndexMismatch",
    "IndexReport",
    "InvalidInput",
    "Leg",
    "ManifestError",
    "ManifestUnreadable",
    "MemoryStore",
    "MissingExtra",
    "ModelNotFound",
    "NotAStore",
    "Problem",
    "Retriever",
    "RetrieverError",
    "StoreError",
    "StoreLocked",
    "StoreNotFound",
    "TruncationWarning",
    "Unloaded",
    "VerifyReport",
    "__version__",
    "load",
]
