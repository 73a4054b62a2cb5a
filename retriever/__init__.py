"""Retrieval for RAG: index folders and documents, search them by keyword and meaning, know why a hit is a hit.

The names below are imported when they are first used, so that ``import retriever`` costs nothing.
"""

from typing import TYPE_CHECKING

from retriever._version import __version__ as __version__
from retriever.lazy import lazily

if TYPE_CHECKING:
    from retriever.chunking import Chunker as Chunker
    from retriever.chunking import ChunkerConfig as ChunkerConfig
    from retriever.copying import CopyReport as CopyReport
    from retriever.copying import copy_index as copy_index
    from retriever.embedding import EmbeddingConfig as EmbeddingConfig
    from retriever.embedding import EmbeddingFunction as EmbeddingFunction
    from retriever.embedding import TruncationWarning as TruncationWarning
    from retriever.errors import AccessDenied as AccessDenied
    from retriever.errors import ConfigurationError as ConfigurationError
    from retriever.errors import EmbeddingError as EmbeddingError
    from retriever.errors import FilterError as FilterError
    from retriever.errors import IndexMismatch as IndexMismatch
    from retriever.errors import InvalidInput as InvalidInput
    from retriever.errors import ManifestError as ManifestError
    from retriever.errors import ManifestUnreadable as ManifestUnreadable
    from retriever.errors import MissingExtra as MissingExtra
    from retriever.errors import ModelNotFound as ModelNotFound
    from retriever.errors import NotAStore as NotAStore
    from retriever.errors import RecordsRefused as RecordsRefused
    from retriever.errors import RetrieverError as RetrieverError
    from retriever.errors import StoreDamaged as StoreDamaged
    from retriever.errors import StoreError as StoreError
    from retriever.errors import StoreLocked as StoreLocked
    from retriever.errors import StoreNotFound as StoreNotFound
    from retriever.errors import StoreUnavailable as StoreUnavailable
    from retriever.info import IndexInfo as IndexInfo
    from retriever.loading import Unloaded as Unloaded
    from retriever.loading import load as load
    from retriever.memory import MemoryStore as MemoryStore
    from retriever.pictures import Picture as Picture
    from retriever.repairing import RepairReport as RepairReport
    from retriever.repairing import repair_index as repair_index
    from retriever.report import IndexReport as IndexReport
    from retriever.report import Problem as Problem
    from retriever.retriever import Retriever as Retriever
    from retriever.sparse import SparseFunction as SparseFunction
    from retriever.sparse import SparseVector as SparseVector
    from retriever.types import Chunk as Chunk
    from retriever.types import Document as Document
    from retriever.types import Hit as Hit
    from retriever.types import Leg as Leg
    from retriever.verifying import VerifyReport as VerifyReport

_HOMES = {
    "chunking": ("Chunker", "ChunkerConfig"),
    "copying": ("CopyReport", "copy_index"),
    "embedding": ("EmbeddingConfig", "EmbeddingFunction", "TruncationWarning"),
    "errors": (
        "AccessDenied",
        "ConfigurationError",
        "EmbeddingError",
        "FilterError",
        "IndexMismatch",
        "InvalidInput",
        "ManifestError",
        "ManifestUnreadable",
        "MissingExtra",
        "ModelNotFound",
        "NotAStore",
        "RecordsRefused",
        "RetrieverError",
        "StoreDamaged",
        "StoreError",
        "StoreLocked",
        "StoreNotFound",
        "StoreUnavailable",
    ),
    "info": ("IndexInfo",),
    "loading": ("Unloaded", "load"),
    "memory": ("MemoryStore",),
    "pictures": ("Picture",),
    "repairing": ("RepairReport", "repair_index"),
    "report": ("IndexReport", "Problem"),
    "retriever": ("Retriever",),
    "sparse": ("SparseFunction", "SparseVector"),
    "types": ("Chunk", "Document", "Hit", "Leg"),
    "verifying": ("VerifyReport",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME, "__version__"])

__getattr__, __dir__ = lazily(__name__, _HOME)
