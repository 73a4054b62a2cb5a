"""The contract, kept by a real Qdrant server; collections named ``contract-...`` are the tests' own."""

import os
from urllib.parse import urlsplit

import pytest

from retriever.testing import StoreContract
from retriever_qdrant import QdrantStore

URL = os.environ.get("RETRIEVER_TEST_QDRANT_URL")
if not URL:
    pytest.skip(
        "RETRIEVER_TEST_QDRANT_URL is unset: the contract is not run on a Qdrant server", allow_module_level=True
    )


class TestQdrantServer(StoreContract):
    @pytest.fixture
    def new_store(self, unique, new_stores):
        where = urlsplit(URL)

        def make(name):
            tls = {"https": True, "http": False}.get(where.scheme)
            return QdrantStore.connect(str(where.hostname), f"{unique}-{name}", port=where.port, tls=tls)

        return new_stores(make)
