"""The contract, kept by the client's own local mode, which stands in for a Qdrant server."""

import pytest
from qdrant_client import QdrantClient

from retriever.testing import StoreContract
from retriever_qdrant import QdrantStore


class TestQdrantLocalMode(StoreContract):
    """A stand-in for the server's API: brute force in Python."""

    @pytest.fixture
    def new_store(self, new_stores):
        client = QdrantClient(":memory:")
        return new_stores(lambda name: QdrantStore(client=client, collection=name))
