"""Opening a vector store: where it is, what built it, who opens it, and how it is let go of."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_samples import HASHED, Watched, contents, ids_of, ships, texts_of

import retriever
from retriever import (
    ConfigurationError,
    EmbeddingError,
    IndexMismatch,
    InvalidInput,
    MemoryStore,
    Retriever,
    StoreNotFound,
)
from retriever_langchain import EmbeddingFunctionEmbeddings, LangChainEmbedding, RetrieverVectorStore


def _down(embeddings: Embeddings, texts: list[str]) -> list[list[float]]:
    """A provider that answers for the canaries only."""
    if "new" in texts:
        raise ConnectionError("the provider is down")
    return [embeddings.embed_query(text) for text in texts]


class TestOpening:
    def test_from_texts_and_documents(self, store):
        made = RetrieverVectorStore.from_texts(["a", "b"], Watched(), [{"n": 1}, {"n": 2}], ids=["x", "y"], store=store)
        assert contents(made) == {"x": ("a", {"n": 1}), "y": ("b", {"n": 2})}
        again = RetrieverVectorStore.from_documents(iter(ships(2)), Watched(), store=store, mode="semantic")
        assert len(contents(again)) == 4

    @pytest.mark.parametrize("scheme", ["", "chroma:"])
    def test_twice_on_one_folder(self, tmp_path, scheme):
        embeddings = Watched()
        for _ in range(2):
            embeddings.forget()
            with RetrieverVectorStore.from_documents(
                ships(4), embeddings, store=f"{scheme}{tmp_path / 'index'}"
            ) as made:
                assert len(contents(made)) == 4
        assert not {*texts_of(ships(4))} & {*embeddings.documents}

    def test_in_memory_unless_a_store_is_named(self):
        made = RetrieverVectorStore.from_texts(["a"], Watched())
        assert made.retriever.address == "memory:"
        assert contents(RetrieverVectorStore.from_texts(["b"], Watched())).keys().isdisjoint(contents(made))

    def test_an_embedder_that_fails_leaves_the_index_as_it_was(self, tmp_path, monkeypatch):
        folder = tmp_path / "index"
        with RetrieverVectorStore.from_documents(ships(3), Watched(), store=folder) as made:
            before = contents(made)

        with monkeypatch.context() as patch:
            patch.setattr(Watched, "embed_documents", _down)
            with pytest.raises(EmbeddingError) as caught:
                RetrieverVectorStore.from_texts(["new"], Watched(), store=folder)
        with RetrieverVectorStore(folder, Watched()) as again:  # the folder is not locked
            assert contents(again) == before
        assert caught.value.__traceback__ is not None  # which kept all that was opened alive

    def test_bad_input_lets_go_of_the_folder(self, tmp_path):
        with pytest.raises(InvalidInput):
            RetrieverVectorStore.from_texts(["a", None], Watched(), store=tmp_path / "index")
        RetrieverVectorStore.from_texts(["a"], Watched(), store=tmp_path / "index").close()

    @pytest.mark.parametrize("scheme", ["", "chroma:"])
    def test_by_its_address_alone(self, tmp_path, scheme):
        place = f"{scheme}{tmp_path / 'index'}"
        RetrieverVectorStore.from_documents(ships(3), EmbeddingFunctionEmbeddings("hashed"), store=place).close()
        with RetrieverVectorStore(place) as again:
            assert len(again.similarity_search("ships")) == 3
            assert np.allclose(again.embeddings.embed_query("ships"), HASHED.embed_query("ships"))
            again.add_texts(["more"])
        with RetrieverVectorStore(place, again.embeddings) as same:
            assert len(contents(same)) == 4

    def test_what_is_not_there(self, tmp_path):
        vectors = RetrieverVectorStore(tmp_path / "none")
        with pytest.raises(StoreNotFound):
            vectors.similarity_search("x")
        RetrieverVectorStore.from_texts(["a ship"], "hashed", store=tmp_path / "none").close()
        assert texts_of(vectors.similarity_search("ship")) == ["a ship"]  # the next call tries again
        vectors.close()

    def test_another_embedding_is_refused(self, store):
        made = RetrieverVectorStore.from_texts(["a"], "hashed", store=store)
        with pytest.raises(IndexMismatch):
            RetrieverVectorStore(store, Watched()).similarity_search("a")
        with pytest.raises(IndexMismatch):
            RetrieverVectorStore.from_texts(["b"], Watched(), store=store)
        with pytest.raises(IndexMismatch):
            RetrieverVectorStore.from_texts(["b"], Watched(), store=made.retriever)
        assert len(contents(RetrieverVectorStore(store))) == 1

    def test_the_same_class_with_other_vectors_is_refused(self, store, monkeypatch):
        RetrieverVectorStore.from_texts(["a"], Watched(), store=store)
        monkeypatch.setattr(Watched, "_vector", lambda _, text: HASHED.embed_query(text)[::-1].tolist())
        with pytest.raises(IndexMismatch):
            RetrieverVectorStore(store, Watched()).add_texts(["y"])
        with pytest.raises(IndexMismatch):
            RetrieverVectorStore(store, Watched()).similarity_search("a")

    def test_over_an_open_retriever(self):
        with Retriever.open("memory:", embedding="hashed") as opened:
            opened.index([retriever.Document("d", "a ship. " * 500, {"k": "v"})])
            vectors = RetrieverVectorStore(opened, "hashed")
            found = vectors.similarity_search("ship", k=1)[0]
            assert found.metadata == {"k": "v"}
            assert vectors.get_by_ids([found.id]) == [found]
            assert isinstance(vectors.embeddings, Embeddings)

    @pytest.mark.parametrize("scheme", ["", "chroma:"])
    def test_close_and_go_on(self, tmp_path, scheme):
        vectors = RetrieverVectorStore(f"{scheme}{tmp_path / 'index'}", "hashed")
        vectors.close()
        vectors.add_texts(["a ship"], ids=["x"])
        vectors.close()
        vectors.close()
        assert ids_of(vectors.similarity_search("ship")) == ["x"]
        vectors.close()

    def test_the_context_manager_lets_go(self, tmp_path):
        with RetrieverVectorStore(tmp_path / "index", "hashed") as first:
            first.add_texts(["a"])
        with Retriever.open(tmp_path / "index") as second:
            assert second.info().chunks == 1

    def test_several_threads_open_it_once(self, tmp_path):
        embeddings = Watched(delay=0.02)
        vectors = RetrieverVectorStore(tmp_path / "index", embeddings)
        start = threading.Barrier(8)

        def add(n):
            start.wait()
            return vectors.add_texts([f"ship {n}"], ids=[str(n)])

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(add, range(8))) == [[str(n)] for n in range(8)]
        assert contents(vectors).keys() == {str(n) for n in range(8)}
        assert embeddings.documents.count("0123456789") == 0  # a canary that is a query
        assert embeddings.queries.count("0123456789") == 1  # opened once
        vectors.close()

    def test_no_secret_in_its_repr(self):
        class Keyed(Watched):
            api_key = "sk-verysecret"

        assert repr(RetrieverVectorStore("memory:", Keyed())) == "RetrieverVectorStore('memory:')"
        assert "secret" not in repr(RetrieverVectorStore(MemoryStore(), LangChainEmbedding(Keyed())))

    @pytest.mark.parametrize("address", ["qdrant://user:verysecret@host:6333/x", "chroma://host/x?key=verysecret"])
    def test_an_address_with_a_secret_is_refused_before_it_is_shown(self, address):
        """A trace of LangSmith shows the repr of every step of a chain."""
        with pytest.raises(ConfigurationError, match="holds no user, password or key") as caught:
            RetrieverVectorStore(address, Watched())
        assert "verysecret" not in str(caught.value)

    async def test_asynchronous_constructors(self):
        made = await RetrieverVectorStore.afrom_texts(["a"], Watched(), [{"n": 1}], ids=["x"], mode="semantic")
        assert contents(made) == {"x": ("a", {"n": 1})}
        made = await RetrieverVectorStore.afrom_documents(ships(2), Watched())
        assert len(contents(made)) == 2
