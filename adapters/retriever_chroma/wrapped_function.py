"""Embedding functions of chromadb as ours."""

from __future__ import annotations

import re
from typing import Any

from chromadb.api.types import EmbeddingFunction as ChromaFunction

from retriever.embedding.wrapped import CallableEmbedding
from retriever.errors import ConfigurationError

_TELLING = re.compile(r"model|dimension|deployment", re.IGNORECASE)


class ChromaEmbedding(CallableEmbedding):
    """An embedding function that chromadb has, or that somebody wrote for it.

    An index records its name, which model and dimension its configuration names, and test vectors. It does not make it
    again: pass ``embedding=`` whenever the index is opened to index or to search.

    :param function: of chromadb.
    :raises ConfigurationError: where it is something else.
    """

    kind = "chroma"

    def __init__(self, function: ChromaFunction[Any]) -> None:
        if not callable(getattr(function, "embed_query", None)):
            raise ConfigurationError(f"an embedding function of chromadb is needed, not a {type(function).__name__}")
        super().__init__(function, _called(function), embed_queries=function.embed_query)


def _called(function: ChromaFunction[Any]) -> str:
    """Its name and what says which vectors come out; the rest of a configuration may hold anything."""
    name = function.name() if callable(getattr(function, "name", None)) else type(function).__name__
    try:
        settings = dict(function.get_config())
    except Exception:
        settings = {}  # those of users often have none
    telling = {key: value for key, value in sorted(settings.items()) if _TELLING.search(key)}
    return " ".join([str(name), *(f"{key}={value}" for key, value in telling.items() if isinstance(value, str | int))])
