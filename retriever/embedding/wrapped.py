"""What embeds already, as an embedding function: any callable, and what rests on one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from retriever.embedding.base import CANARIES, EmbeddingConfig, EmbeddingFunction, Role
from retriever.errors import ConfigurationError, EmbeddingError, RetrieverError
from retriever.types import FloatMatrix

Embed = Callable[[list[str]], ArrayLike]
"""Texts to numbers of shape ``(len(texts), dimension)``."""


class CallableConfig(EmbeddingConfig):
    """What a manifest keeps of a callable: nothing that would bring it back."""

    called: str = Field(min_length=1)
    """What its owner calls it."""


class CallableEmbedding(EmbeddingFunction):
    """A function of yours that embeds.

    An index records what you call it, its dimension and its vectors of a few test texts, and refuses another one. It
    cannot make the callable again: pass ``embedding=`` whenever the index is opened to index or to search.

    :param embed: documents to vectors, in order.
    :param called: a name that changes whenever the vectors do: the model and its version.
    :param embed_queries: the same for queries; by default ``embed``.
    """

    kind = "callable"
    has_name = False
    Config = CallableConfig
    config: CallableConfig

    def __init__(self, embed: Embed, called: str, *, embed_queries: Embed | None = None) -> None:
        for given in (embed, embed if embed_queries is None else embed_queries):
            if not callable(given):
                raise ConfigurationError(f"what embeds is a callable, not a {type(given).__name__}")
        if not isinstance(called, str) or not called:
            raise ConfigurationError("say with called= which model it is, and which version of it")
        super().__init__(CallableConfig(called=called))
        self._embed_documents: Embed = embed
        self._embed_queries: Embed = embed_queries or embed

    @classmethod
    def from_name(cls, name: str) -> NoReturn:
        """No name leads to a callable.

        :param name: of anything.
        :raises ConfigurationError: always.
        """
        raise ConfigurationError(f"{cls.kind}:{name} is made in Python: pass the object as embedding=")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoReturn:
        """Settings in a manifest do not bring the callable back.

        :param config: from a manifest.
        :raises ConfigurationError: always; it says what the callable was called.
        """
        recorded = cls.Config.model_validate(dict(config))
        shown = ", ".join(str(value) for key, value in recorded if key != "too_long")
        raise ConfigurationError(
            f"the index was built with a {cls.kind} of yours ({shown}): pass it as embedding= to open the index"
        )

    @property
    def name(self) -> str:
        """``callable:`` and what it is called; it cannot be opened by that."""
        return f"{self.kind}:{self.config.called}"

    @cached_property
    def dimension(self) -> int:
        """Length of the vectors: of one that is embedded when this is first asked."""
        with self._embedding:
            vectors = self._called(self._embed_documents, [CANARIES[0]])
        if vectors.ndim != 2 or not vectors.size:
            raise EmbeddingError(f"{self.name} returned an array of shape {vectors.shape} for one text")
        return int(vectors.shape[1])

    def _embed(self, texts: Sequence[str], role: Role) -> FloatMatrix:
        return self._called(self._embed_queries if role == "query" else self._embed_documents, list(texts))

    def _called(self, embed: Embed, texts: list[str]) -> FloatMatrix:
        try:
            given = embed(texts)
        except RetrieverError:
            raise
        except Exception as error:
            # Its message may quote a key or a request: it stays with the cause.
            raise EmbeddingError(
                f"{self.name} raised {type(error).__name__} for {len(texts)} texts: see the cause of this error"
            ) from error
        try:
            with np.errstate(over="ignore"):  # becomes infinity, which is refused later
                return np.asarray(given, dtype=np.float32)
        except Exception as error:  # what an array of another library raises is its own affair
            raise EmbeddingError(f"{self.name} returned no numbers: {error}") from error
