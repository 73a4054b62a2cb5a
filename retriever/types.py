"""The values that travel through the pipeline: documents in, chunks stored, hits out.

All of them are frozen: a caller's object is never changed behind its back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from retriever.pictures import Picture

Scalar = str | int | float | bool
"""One metadata value. A ``bool`` is never a number; ``1`` equals ``1.0``."""

MetadataValue = Scalar | Sequence[str] | Sequence[int] | Sequence[float] | Sequence[bool]
"""A scalar or a homogeneous list of scalars. ``None`` and ``[]`` mean that the key is absent."""

Metadata = Mapping[str, MetadataValue]

FloatVector = NDArray[np.float32]
"""Shape ``(dimension,)``."""

FloatMatrix = NDArray[np.float32]
"""Shape ``(n, dimension)``, one row a text."""

Mode = Literal["hybrid", "semantic", "keyword", "sparse"]


@dataclass(frozen=True, slots=True)
class Document:
    """A text to be indexed, or a picture.

    :param id: unique within its source; for files the path relative to the indexed root, with ``/``.
    :param text: the text that chunks and spans refer to; what is known in words of a picture, perhaps nothing.
    :param metadata: flat; copied to every chunk of the document.
    :param picture: what is embedded instead of the text, by a function that reads pictures; never cut.
    """

    id: str
    text: str
    metadata: Metadata = field(default_factory=dict)
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document: ``document.text[start:end] == text``, always.

    :param id: 32 hexadecimal digits, from the document id, the text and its occurrence.
    :param document_id: ``source::id`` of the document, or its bare id where the source has no name.
    :param text: the text of the span.
    :param start: offset of the first character (a code point) in the document's text.
    :param end: offset after the last character.
    :param metadata: the document's metadata, and ``headings``, the path of headings above the chunk.
    :param source: name of the source that the document came from; ``""`` for documents given directly.
    """

    id: str
    document_id: str
    text: str
    start: int
    end: int
    metadata: Metadata = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Leg:
    """What one leg of the search said about a hit.

    :param rank: 1 is best; ``None`` where the leg's candidates did not include the chunk.
    :param score: the leg's raw score (cosine, BM25, or the dot product of learned sparse vectors); ``None`` where it is
        not known.
    """

    rank: int | None
    score: float | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found, and why.

    :param chunk: what was found.
    :param score: higher is better. The reranker's, where there was one; else the fused score in hybrid mode, cosine in
        semantic, BM25 in keyword mode, the dot product in sparse mode.
    :param legs: by name, ``semantic``, ``keyword`` and, where the index has it, ``sparse``: rank and raw score in that
        leg; ``rerank``: what the reranker made of it.
    :param matched_terms: the query's terms, as the analyser makes them, that the chunk contains.
    """

    chunk: Chunk
    score: float
    legs: Mapping[str, Leg]
    matched_terms: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The chunk's text."""
        return self.chunk.text

    @property
    def document_id(self) -> str:
        """Id of the document that the chunk is from."""
        return self.chunk.document_id
