"""LangChain's ``Embeddings`` as our embedding functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

from langchain_core.embeddings import Embeddings
from numpy.typing import ArrayLike

from retriever.embedding import EmbeddingConfig, EmbeddingFunction, EmbeddingInput, Role, resolve_embedding
from retriever.embedding.base import CANARIES
from retriever.errors import ConfigurationError, EmbeddingError, RetrieverError
from retriever_langchain.embeddings import EmbeddingFunctionEmbeddings
from retriever_langchain.settings import Json, class_path, public_settings


class LangChainConfig(EmbeddingConfig):
    """What a manifest keeps of LangChain ``Embeddings``."""

    class_path: str
    """Module and name of the class. Never imported: a manifest must not make a program run code."""
    settings: dict[str, Json]
    """Those that say which vectors come out, see :mod:`retriever_langchain.settings`."""


class LangChainEmbedding(EmbeddingFunction):
    """Any LangChain ``Embeddings`` as an embedding function of this package.

    An index records its class and public settings, and test vectors, and refuses another one. It cannot make the
    object again: pass ``embedding=`` whenever the index is opened to index or to search.

    Lengths are counted in words, since LangChain does not say how a model counts its tokens.

    :param embeddings: the object. Nothing is embedded yet.
    :raises ConfigurationError: where it is something else.
    """

    kind = "langchain"
    has_name = False
    is_concurrent = True  # LangChain itself calls such objects from many threads
    Config = LangChainConfig
    config: LangChainConfig
    batch_size = 256  # providers cut it as they need; if a call fails, no more than this is asked for again

    def __init__(self, embeddings: Embeddings) -> None:
        if not isinstance(embeddings, Embeddings):
            raise ConfigurationError(f"LangChain Embeddings are needed, not a {type(embeddings).__name__}")
        super().__init__(LangChainConfig(class_path=class_path(embeddings), settings=public_settings(embeddings)))
        self._embeddings = embeddings
        self._dimension: int | None = None

    @classmethod
    def from_name(cls, name: str) -> NoReturn:
        """A name leads to no LangChain object.

        :param name: of anything.
        :raises ConfigurationError: always.
        """
        raise ConfigurationError(
            f"LangChain embeddings{f' ({name})' if name else ''} cannot be made from a name: in Python pass the "
            "object, as embedding=LangChainEmbedding(embeddings)"
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoReturn:
        """Settings in a manifest do not bring the object back.

        :param config: from a manifest.
        :raises ConfigurationError: always; it names the class.
        """
        recorded = LangChainConfig.model_validate(dict(config))
        settings = ", ".join(f"{name}={value!r}" for name, value in recorded.settings.items())
        raise ConfigurationError(
            f"the index was built with LangChain embeddings of the class {recorded.class_path} ({settings}), and code "
            "that a manifest names is never run: pass embedding=LangChainEmbedding(embeddings) with such an object"
        )

    @property
    def embeddings(self) -> Embeddings:
        """The object below."""
        return self._embeddings

    @property
    def name(self) -> str:
        """``langchain:CLASS``; it cannot be opened by that."""
        return f"{self.kind}:{self.config.class_path}"

    @property
    def dimension(self) -> int:
        """Length of the vectors: of one that is embedded when this is first asked.

        :raises EmbeddingError: where that fails.
        """
        if self._dimension is None:
            with self._embedding:
                if self._dimension is None:
                    self._dimension = self._measured()
        return self._dimension

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Class, dimension and each setting by itself, so that messages can name the one that differs."""
        settings = {name: json.dumps(value, sort_keys=True) for name, value in self.config.settings.items()}
        return {**settings, "kind": self.kind, "class": self.config.class_path, "dimension": str(self.dimension)}

    def _measured(self) -> int:
        vectors = self._called("document", CANARIES[:1])
        try:
            length = len(vectors[0])
        except (TypeError, LookupError):
            length = 0
        if not length:
            raise EmbeddingError(f"{self.name} returned no vector for a test text")
        return length

    def _embed(self, texts: Sequence[str], role: Role) -> ArrayLike:
        vectors: ArrayLike = self._called(role, texts)
        return vectors

    def _called(self, role: Role, texts: Sequence[str]) -> Any:  # noqa: ANN401 - foreign code returns what it likes
        try:
            if role == "query":
                return [self._embeddings.embed_query(text) for text in texts]
            return self._embeddings.embed_documents(list(texts))
        except RetrieverError:
            raise
        except Exception as error:
            # Its message may quote a key or a request: it stays with the cause.
            raise EmbeddingError(
                f"{self.name} raised {type(error).__name__} for {len(texts)} {role} texts: see the cause of this error"
            ) from error


def as_embedding_function(given: EmbeddingInput | Embeddings) -> EmbeddingFunction:
    """An embedding function from what a LangChain user passes.

    One of ours in LangChain's clothes is taken out of them, so that its index opens by its address alone.

    :param given: LangChain ``Embeddings``, an embedding function, or its name.
    :raises ConfigurationError: for anything else, and where a name leads nowhere.
    """
    if isinstance(given, EmbeddingFunctionEmbeddings):
        return given.function
    if isinstance(given, Embeddings):
        return LangChainEmbedding(given)
    if isinstance(given, str | EmbeddingFunction):
        return resolve_embedding(given)
    raise ConfigurationError(
        f"an embedding is LangChain Embeddings, an EmbeddingFunction or a name, not a {type(given).__name__}"
    )
