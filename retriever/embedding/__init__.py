"""Embedding functions: the abstraction, and finding one by its name."""

from __future__ import annotations

from retriever.embedding.base import EmbeddingConfig, EmbeddingFunction, Role, TruncationWarning
from retriever.errors import ConfigurationError
from retriever.registry import find_kind, names

__all__ = [
    "EmbeddingConfig",
    "EmbeddingFunction",
    "Role",
    "TruncationWarning",
    "embedding_class",
    "resolve_embedding",
]

EmbeddingInput = str | EmbeddingFunction
"""What public functions accept as an embedding function."""


def embedding_class(kind: str) -> type[EmbeddingFunction]:
    """The class registered for a kind.

    :param kind: its name.
    :raises ConfigurationError: where there is none.
    :raises MissingExtra: where its packages are not installed.
    """
    return find_kind("retriever.embeddings", kind, EmbeddingFunction)  # type: ignore[type-abstract]


def resolve_embedding(given: EmbeddingInput) -> EmbeddingFunction:
    """An embedding function from what the user wrote.

    :param given: an embedding function; ``KIND`` or ``KIND:NAME``; or the bare name of a sentence-transformers model.
    :raises ConfigurationError: where it leads nowhere.
    """
    if isinstance(given, EmbeddingFunction):
        return given
    if not isinstance(given, str):
        raise ConfigurationError(
            f"an embedding function is a name or an EmbeddingFunction, not a {type(given).__name__}"
        )
    if not given.strip():
        raise ConfigurationError("the embedding function's name is empty")
    kind, _, name = given.partition(":")
    if kind in names("retriever.embeddings"):
        return embedding_class(kind).from_name(name)
    return embedding_class("sentence-transformers").from_name(given)
