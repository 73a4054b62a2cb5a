"""The grid of a scenario, each combination once, under an id that never changes and a label that people read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from retriever.evaluation.harness.scenario import ChunkerSpec, Grid, SearchSpec
from retriever.types import Mode

_USUAL = "sentence-transformers/"


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to search: ours, through :class:`retriever.Retriever`, or a peer's.

    :param embedding: as ``--embedding`` takes it.
    :param chunker: how documents are cut.
    :param store: name or address; the peer's name where there is one.
    :param search: how to search; of a peer's the mode alone counts.
    :param is_peer: whether the store is a peer.
    :param sparse: the learned sparse model that is asked, as ``--sparse`` takes it; empty for none.
    """

    embedding: str
    chunker: ChunkerSpec
    store: str
    search: SearchSpec
    is_peer: bool = False
    sparse: str = ""

    @property
    def index(self) -> tuple[str, ChunkerSpec, str, str]:
        """What an index is made from: configurations that share it share the index."""
        return self.embedding, self.chunker, self.store, self.sparse

    @property
    def index_label(self) -> str:
        """Of that, for people."""
        sparse = [self.sparse] if self.sparse else []
        return ", ".join([self.embedding.removeprefix(_USUAL), *sparse, self.chunker.label, self.store])

    @property
    def depends_on_embedding(self) -> bool:
        """Whether another embedding function could give other answers.

        The keyword leg alone knows nothing of vectors; but chunkers count the model's tokens.
        """
        return self.search.needs_vectors or self.chunker.kind == "tokens"

    @property
    def inputs(self) -> dict[str, Any]:
        """All that its answers on a dataset depend on."""
        sparse = {"sparse": self.sparse} if self.sparse else {}
        return sparse | {
            "embedding": self.embedding if self.depends_on_embedding else None,
            "chunker": self.chunker.label,
            "store": self.store,
            "search": self.search.settings,
            "peer": self.is_peer,
        }

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that follow from the settings alone."""
        text = json.dumps(self.inputs, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    @property
    def label(self) -> str:
        """Embedding, chunker, store and search, with commas between."""
        embedding = [self.embedding.removeprefix(_USUAL)] if self.depends_on_embedding else []
        sparse = [self.sparse] if self.sparse else []
        search = f"{self.search.mode} (peer)" if self.is_peer else self.search.label
        return ", ".join([*embedding, *sparse, self.chunker.label, self.store, search])


def configurations(grid: Grid, peers: Mapping[str, Collection[str]]) -> list[Configuration]:
    """All combinations, without those that could give nothing new.

    :param grid: of a scenario.
    :param peers: names of peers, and the legs each has; a peer is given what our embeddings and chunkers make, and
        asked by each of its legs, and by both.
    """
    ours = [
        Configuration(embedding, chunker, store, search, sparse=sparse)
        for embedding, chunker, store in product(grid.embeddings, grid.chunkers, grid.stores)
        for sparse, search in _asked(grid)
    ]
    theirs = [
        Configuration(embedding, chunker, peer, SearchSpec(mode=mode), is_peer=True)
        for peer, legs in peers.items()
        for embedding, chunker, mode in product(grid.embeddings, grid.chunkers, _modes(legs))
    ]
    unique: dict[str, Configuration] = {}
    for configuration in [*ours, *theirs]:
        unique.setdefault(configuration.id, configuration)
    return list(unique.values())


def _asked(grid: Grid) -> Iterator[tuple[str, SearchSpec]]:
    """Each search with each learned sparse model that it asks; first what asks none, which shares an index."""
    for sparse in dict.fromkeys(["", *grid.sparse]):
        for search in grid.searches:
            if search.mode in ("semantic", "keyword"):  # a leg alone knows nothing of the others
                asks = not sparse
            else:
                asks = sparse in grid.sparse and not (search.needs_sparse and not sparse)
            if asks:
                yield sparse, search


def _modes(legs: Collection[str]) -> list[Mode]:
    return [mode for mode in get_args(Mode) if mode in legs or (mode == "hybrid" and len(legs) > 1)]
