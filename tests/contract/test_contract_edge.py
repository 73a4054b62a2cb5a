"""The contract, kept by Qdrant's engine in the process."""

import pytest

from retriever.testing import StoreContract
from retriever_qdrant import QdrantStore


class TestQdrantEdge(StoreContract):
    @pytest.fixture
    def new_store(self, tmp_path, new_stores):
        return new_stores(lambda name: QdrantStore(tmp_path / name))
