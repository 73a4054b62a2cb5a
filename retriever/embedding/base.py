"""What an embedding function is: documents and queries apart, checked once, rebuilt from its configuration."""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict

from retriever.errors import ConfigurationError, EmbeddingError, InvalidInput
from retriever.metadata import check_text
from retriever.tokeniser import Tokeniser
from retriever.types import FloatMatrix, FloatVector

Role = Literal["document", "query"]

CANARIES = (
    "The quick brown fox jumps over the lazy dog.",
    "def add(a: int, b: int) -> int: return a + b",
    "检索增强生成先查找资料，再回答问题。",
    "0123456789",
)
"""Texts whose vectors are kept in the manifest: the first three as documents, the last as a query."""


class TruncationWarning(UserWarning):
    """A text is longer than the model reads; its end was not embedded."""


class EmbeddingConfig(BaseModel):
    """Base of the settings of an embedding function. Holds no secret: it is stored in manifests."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbeddingFunction(ABC):
    """Turns texts into vectors.

    A new one sets ``kind`` and ``dimension`` and writes one method, :meth:`_embed`. With settings of its own it also
    names their model in ``Config``, and takes one as the only argument of its constructor::

        class Lengths(EmbeddingFunction):
            kind = "lengths"
            dimension = 2

            def _embed(self, texts, role):
                return [[len(text), text.count(" ")] for text in texts]

    Batching, order and checks are done here, once. The methods may be called from several threads; ``_embed`` is
    called by one at a time, unless it says ``is_concurrent``.
    """

    kind: ClassVar[str]
    """Name in the registry and in manifests."""

    Config: ClassVar[type[EmbeddingConfig]] = EmbeddingConfig
    """Model of the settings."""

    has_name: ClassVar[bool] = True
    """Whether :attr:`name` leads to it: not to what wraps an object of another library."""

    is_concurrent: ClassVar[bool] = False
    """Whether ``_embed`` may be called from several threads at once: so it should where it waits for a server."""

    batch_size: int = 32
    """How many texts ``_embed`` is given at most; texts of one batch have about the same length."""

    def __init__(self, config: EmbeddingConfig | None = None) -> None:
        self.config = config if config is not None else self.Config()
        self._embedding = threading.Lock()

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Length of the vectors."""

    @property
    def max_tokens(self) -> int | None:
        """How many tokens of a text are read, special tokens and prompt included; None for no limit."""
        return None

    @property
    def tokeniser(self) -> Tokeniser | None:
        """What counts the tokens; None where only the provider knows."""
        return None

    @abstractmethod
    def _embed(self, texts: Sequence[str], role: Role) -> ArrayLike:
        """One vector for each text, in order.

        :param texts: 1 to ``batch_size`` texts, each valid UTF-8; they may be blank.
        :param role: whether the texts are documents or queries.
        :return: numbers of shape ``(len(texts), dimension)``.
        """

    @classmethod
    def from_name(cls, name: str) -> EmbeddingFunction:
        """Build one from the part of ``kind:name`` after the colon.

        :param name: empty where only the kind was given.
        :raises ConfigurationError: where this kind takes no name.
        """
        if name:
            raise ConfigurationError(f"the embedding function {cls.kind!r} takes no name, but {name!r} was given")
        return cls()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EmbeddingFunction:
        """Rebuild one from its settings as a manifest keeps them.

        :param config: what ``config.model_dump(mode="json")`` gave.
        """
        return cls(cls.Config.model_validate(dict(config)))

    @classmethod
    def check_recorded(cls, config: Mapping[str, Any], fingerprint: Mapping[str, str], where: str) -> None:
        """Look at settings before anything is built from them: whoever can write to a store can write its manifest.

        By default nothing is refused that ``Config`` takes.

        :param config: as for :meth:`from_config`.
        :param fingerprint: recorded with it.
        :param where: what recorded them, for messages.
        :raises RetrieverError: where they must not be used.
        """
        del config, fingerprint, where

    @property
    def name(self) -> str:
        """How people call it: what ``open(embedding=...)`` accepts."""
        return self.kind

    def prompt_tokens(self, role: Role) -> int:
        """How many tokens of the limit the model's prompt takes.

        :param role: documents and queries may have different prompts.
        """
        del role
        return 0

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """What makes vectors comparable. Two functions with equal fingerprints give the same vectors."""
        settings = {key: str(value) for key, value in self.config.model_dump(mode="json").items()}
        return {"kind": self.kind, "dimension": str(self.dimension), **settings}

    def embed_documents(self, texts: Sequence[str], *, warn: bool = True) -> FloatMatrix:
        """Vectors of documents.

        :param texts: any number, in any order; longest first are embedded together, results come in order.
        :param warn: give a :class:`TruncationWarning` where a text is longer than the model reads.
        :return: float32, shape ``(len(texts), dimension)``.
        :raises InvalidInput: for a text with a lone surrogate.
        :raises EmbeddingError: where ``_embed`` returned something unusable.
        """
        return self._embed_all(texts, "document", warn)

    def embed_queries(self, texts: Sequence[str], *, warn: bool = True) -> FloatMatrix:
        """Vectors of queries; otherwise as :meth:`embed_documents`.

        :param texts: any number.
        :param warn: as for documents.
        """
        return self._embed_all(texts, "query", warn)

    def embed_query(self, text: str) -> FloatVector:
        """Vector of one query.

        :param text: the query.
        :return: float32, shape ``(dimension,)``.
        """
        vector: FloatVector = self.embed_queries([text])[0]
        return vector

    def canaries(self) -> FloatMatrix:
        """Vectors of :data:`CANARIES`, to be compared with those that a manifest keeps."""
        documents, queries = CANARIES[:-1], CANARIES[-1:]
        return np.concatenate([self.embed_documents(documents, warn=False), self.embed_queries(queries, warn=False)])

    def _embed_all(self, texts: Sequence[str], role: Role, warn: bool) -> FloatMatrix:
        if isinstance(texts, str):
            raise InvalidInput("a list of texts is needed, not one string")
        for i, text in enumerate(texts):
            check_text(text, f"text {i} to embed")
        lengths = self._lengths(texts, role, warn)
        order = sorted(range(len(texts)), key=lambda i: -lengths[i])
        result = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            with nullcontext() if self.is_concurrent else self._embedding:
                vectors = self._embed([texts[row] for row in rows], role)
            result[rows] = self._checked(vectors, [texts[row] for row in rows])
        return result

    def _checked(self, vectors: ArrayLike, texts: Sequence[str]) -> FloatMatrix:
        wanted = (len(texts), self.dimension)
        try:
            with np.errstate(over="ignore"):  # becomes infinity, which is refused below
                array = np.asarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise EmbeddingError(f"{self.name} returned no array of shape {wanted}: {error}") from error
        if array.shape != wanted:
            raise EmbeddingError(f"{self.name} returned an array of shape {array.shape} where {wanted} was due")
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise EmbeddingError(f"{self.name} returned NaN or infinity for the text {texts[row][:80]!r}")
        return array

    def content_tokens(self, role: Role) -> int | None:
        """How many tokens of a text's own are read: the limit less special tokens and prompt.

        :param role: whose prompt is counted.
        :return: None where there is no limit, or nothing to count with.
        """
        if self.max_tokens is None or self.tokeniser is None:
            return None
        return self.max_tokens - self.tokeniser.special_tokens - self.prompt_tokens(role)

    def _lengths(self, texts: Sequence[str], role: Role, warn: bool) -> list[int]:
        """Length of each text, in tokens where they can be counted; warns of those that are too long."""
        room = self.content_tokens(role)
        if room is None or self.tokeniser is None:
            return [len(text) for text in texts]
        lengths = [len(encoding) for encoding in self.tokeniser.encode_batch(texts)]
        too_long = sum(length > room for length in lengths)
        if too_long and warn:
            warnings.warn(
                f"{self.name} reads {room} tokens: the end of {too_long} of {len(texts)} {role} texts is not embedded",
                TruncationWarning,
                stacklevel=4,
            )
        return lengths
