"""The vector store over an index with a learned sparse model."""

import pytest
from langchain_core.documents import Document

from retriever import IndexMismatch, InvalidInput, Retriever
from retriever.registry import register
from retriever.testing import CountingSparse
from retriever_langchain import HybridRetriever, RetrieverVectorStore


@pytest.fixture(autouse=True)
def terms():
    CountingSparse.reset()
    unregister = register("retriever.sparse", "counting", CountingSparse)
    yield CountingSparse
    unregister()


def test_the_model_is_part_of_a_new_index(tmp_path, terms):
    store = RetrieverVectorStore(tmp_path / "index", "hashed", sparse="counting")
    store.add_documents([Document("rotate the signing key", id="a"), Document("flour and eggs", id="b")])
    assert [d.id for d in store.similarity_search("signing", 1, mode="sparse")] == ["a"]
    assert [d.id for d in store.similarity_search("eggs", 1, sparse_weight=1.0, keyword_weight=1.0)] == ["b"]
    store.retriever.close()
    again = RetrieverVectorStore(tmp_path / "index", mode="sparse")
    found = HybridRetriever(index=again, k=1).invoke("signing")
    assert [d.id for d in found] == ["a"]
    with pytest.raises(InvalidInput, match="hybrid, semantic, keyword, sparse"):
        RetrieverVectorStore(mode="exact")
    again.retriever.close()


def test_another_model_is_refused(tmp_path):
    with Retriever.open(str(tmp_path), embedding="hashed") as index:
        for place in (index, str(tmp_path)):
            with pytest.raises(IndexMismatch, match="without a learned sparse model"):
                _ = RetrieverVectorStore(place, sparse="counting").retriever
            index.close()
