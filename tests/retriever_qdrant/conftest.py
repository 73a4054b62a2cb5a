"""Real folders with real shards, and what fills them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retriever.manifest import Manifest
from retriever_qdrant.edge_store import EdgeStore

sys.path.append(str(Path(__file__).parent))  # with --import-mode=importlib pytest leaves it out
from qdrant_samples import make_manifest


@pytest.fixture
def manifest() -> Manifest:
    return make_manifest()


@pytest.fixture
def open_store() -> Iterator[Callable[[Path], EdgeStore]]:
    """Opens stores that the test may leave open."""
    stores = []

    def build(path: Path) -> EdgeStore:
        stores.append(EdgeStore(path))
        return stores[-1]

    yield build
    for store in stores:
        store.close()


@pytest.fixture
def store(tmp_path: Path, manifest: Manifest, open_store: Callable[[Path], EdgeStore]) -> EdgeStore:
    """An empty index."""
    store = open_store(tmp_path / "index")
    store.create(manifest)
    return store
