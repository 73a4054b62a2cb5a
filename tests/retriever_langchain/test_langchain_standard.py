"""LangChain's own suites, on every place, without an override."""

from __future__ import annotations

from typing import ClassVar

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests
from places import make_store

from retriever import Document, Retriever
from retriever_langchain import HybridRetriever, RetrieverVectorStore


class Suite(VectorStoreIntegrationTests):
    place: ClassVar[str]

    @pytest.fixture
    def vectorstore(self, tmp_path, chroma):
        store = make_store(self.place, tmp_path, chroma)
        with RetrieverVectorStore(store, self.get_embeddings()) as opened:
            yield opened
            store.destroy()


class TestMemory(Suite):
    place = "memory"


class TestEdge(Suite):
    place = "edge"


class TestChromaFolder(Suite):
    place = "chroma-folder"


class TestChromaServer(Suite):
    place = "chroma-server"


class TestQdrantLocalMode(Suite):
    place = "qdrant-local"


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def index(self):
        with Retriever.open("memory:", embedding="hashed") as opened:
            opened.index([Document(f"d{n}", f"document {n} about ships and cakes") for n in range(5)])
            self.opened = opened
            yield

    @property
    def retriever_constructor(self):
        return HybridRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.opened}

    @property
    def retriever_query_example(self):
        return "ships"
