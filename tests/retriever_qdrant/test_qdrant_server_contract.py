"""The contract, kept by the store on a server: over REST and over gRPC, with the client's local mode behind both."""

from __future__ import annotations

import pytest
from qdrant_grpc_stand_in import grpc_stand_in
from qdrant_stand_in import stand_in

from retriever.testing import StoreContract
from retriever_qdrant import QdrantStore


class TestByRest(StoreContract):
    most_examples = 5

    @pytest.fixture
    def new_store(self):
        made = []
        with stand_in() as server:

            def make(name="index"):
                made.append(QdrantStore.connect("127.0.0.1", name, port=server.port))
                return made[-1]

            yield make
            for store in made:
                store.close()


class TestByGrpc(StoreContract):
    most_examples = 5

    @pytest.fixture
    def new_store(self):
        with grpc_stand_in() as server:
            client = server.client()
            yield lambda name="index": QdrantStore(client=client, collection=name)
            client.close()
