"""Learned sparse models, SPLADE and its kin: terms that a model finds in a text or adds to it, with weights."""

from __future__ import annotations

from retriever.errors import ConfigurationError
from retriever.registry import find_kind, names
from retriever.sparse.base import SparseConfig, SparseFunction
from retriever.sparse.vector import SparseVector

__all__ = ["SparseConfig", "SparseFunction", "SparseInput", "SparseVector", "resolve_sparse", "sparse_class"]

SparseInput = str | SparseFunction
"""What public functions accept as a learned sparse model."""


def sparse_class(kind: str) -> type[SparseFunction]:
    """The class registered for a kind.

    :param kind: its name.
    :raises ConfigurationError: where there is none.
    :raises MissingExtra: where its packages are not installed.
    """
    return find_kind("retriever.sparse", kind, SparseFunction)  # type: ignore[type-abstract]


def resolve_sparse(given: SparseInput) -> SparseFunction:
    """A learned sparse model from what the user wrote.

    :param given: a learned sparse model; ``KIND`` or ``KIND:NAME``; or the bare name of a SPLADE model.
    :raises ConfigurationError: where it leads nowhere.
    """
    if isinstance(given, SparseFunction):
        return given
    if not isinstance(given, str) or not given.strip():
        raise ConfigurationError(f"a learned sparse model is a name or a SparseFunction, not {given!r}")
    kind, _, name = given.partition(":")
    if kind in names("retriever.sparse"):
        return sparse_class(kind).from_name(name)
    return sparse_class("splade").from_name(given)
