"""Embedding functions of chromadb as ours."""

from __future__ import annotations

import re
from typing import Any

from chromadb.api.types import EmbeddingFunction as ChromaFunction

from retriever.embedding.wrapped import CallableEmbedding
from retriever.errors import ConfigurationError

_TELLING = re.compile(r"model|dimension|deployment", re.IGNORECASE)
_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)


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
    try:
        name = function.name()
    except Exception:  # those of users often have none
        name = None
    try:
        settings = dict(function.get_config())
    except Exception:
        settings = {}
    if not isinstance(name, str) or not name:  # chromadb answers NotImplemented for those without
        name = type(function).__name__
    telling = {key: settings[key] for key in sorted(settings) if _TELLING.search(key) and not _SECRET.search(key)}
    return " ".join([name, *(f"{key}={value}" for key, value in telling.items() if isinstance(value, str | int))])
