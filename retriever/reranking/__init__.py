"""Rerankers: models that read query and chunk together, and order the best candidates anew."""

from __future__ import annotations

from functools import lru_cache

from retriever.errors import ConfigurationError
from retriever.registry import find_kind, names
from retriever.reranking.base import Reranker

__all__ = ["RerankInput", "Reranker", "resolve_reranker"]

RerankInput = str | Reranker
"""What public functions accept as a reranker."""


def resolve_reranker(given: RerankInput) -> Reranker:
    """A reranker from what the user wrote. The last few made from a name are kept: a name may come with each query.

    :param given: a reranker; ``KIND:NAME``; or the bare name of a cross-encoder.
    :raises ConfigurationError: where it leads nowhere.
    :raises MissingExtra: where its packages are not installed.
    """
    if isinstance(given, Reranker):
        return given
    if not isinstance(given, str) or not given.strip():
        raise ConfigurationError(f"a reranker is a name or a Reranker, not {given!r}")
    return _named(given)


@lru_cache(maxsize=4)
def _named(given: str) -> Reranker:
    kind, _, name = given.partition(":")
    if kind not in names("retriever.rerankers"):
        kind, name = "cross-encoder", given
    return find_kind("retriever.rerankers", kind, Reranker).from_name(name)  # type: ignore[type-abstract]
