"""Callables, and chromadb's functions, as embedding functions."""

from __future__ import annotations

import numpy as np
import pytest
from chromadb.api.types import Documents, EmbeddingFunction, Embeddings

from retriever import Document, Retriever, copy_index
from retriever.embedding import resolve_embedding
from retriever.embedding.wrapped import CallableEmbedding
from retriever.errors import ConfigurationError, EmbeddingError, IndexMismatch
from retriever_chroma import ChromaEmbedding

HASHED = resolve_embedding("hashed:32")
DOCUMENTS = [Document("a", "the quick brown fox"), Document("b", "the lazy dog")]


def embed(texts):
    return HASHED.embed_documents(texts)


class Theirs(EmbeddingFunction[Documents]):
    """As users of chromadb write them."""

    def __init__(self, model_name="small", secret="sk-very-secret"):
        self.model_name = model_name
        self.secret = secret

    def __call__(self, input: Documents) -> Embeddings:  # noqa: A002 - chromadb's word
        return list(HASHED.embed_documents([self.model_name[0] + " " + text for text in input]))

    def embed_query(self, input: Documents) -> Embeddings:  # noqa: A002
        return list(HASHED.embed_documents([self.model_name[0] + " " + text for text in input]))

    @staticmethod
    def name():
        return "theirs"

    def get_config(self):
        return {"model_name": self.model_name, "secret": self.secret, "dimension": 32}

    @staticmethod
    def build_from_config(config):
        raise AssertionError("nothing is built from a configuration")


MAKERS = {
    "callable": lambda name="one": CallableEmbedding(embed, name),
    "chroma": lambda name="one": ChromaEmbedding(Theirs(name)),
}


@pytest.fixture(params=MAKERS)
def made(request):
    return MAKERS[request.param]


def test_an_index_knows_it_again_and_refuses_another(tmp_path, made):
    with Retriever.open(tmp_path / "index", embedding=made()) as retriever:
        retriever.index(DOCUMENTS)
    with Retriever.open(tmp_path / "index", embedding=made()) as retriever:
        assert retriever.search("lazy dog", 1, mode="semantic")[0].document_id == "b"
        assert retriever.index(DOCUMENTS).added == 0
        assert "very-secret" not in retriever.manifest.model_dump_json()
    with pytest.raises(IndexMismatch, match="copy_index"):
        Retriever.open(tmp_path / "index", embedding=made("two"))
    copy_index(tmp_path / "index", tmp_path / "new", embedding=made("two"))
    with (
        Retriever.open(tmp_path / "index") as retriever,
        pytest.raises(ConfigurationError, match=r"one.*: pass it as embedding="),
    ):
        retriever.search("dog")


def test_queries_have_a_callable_of_their_own():
    both = CallableEmbedding(embed, "x", embed_queries=lambda texts: -np.asarray(embed(texts)))
    assert (both.embed_query("fox") == -both.embed_documents(["fox"])[0]).all()
    assert CallableEmbedding(embed, "x").embed_query("fox").shape == (32,)


@pytest.mark.parametrize("returned", [[], [[]], [1.0, 2.0], None, "text"])
def test_what_is_no_vector_is_an_error(returned):
    with pytest.raises((EmbeddingError, TypeError, ValueError)) as caught:
        CallableEmbedding(lambda texts: returned, "x").embed_documents(["a"])
    assert isinstance(caught.value, EmbeddingError)


def test_what_it_raises_is_the_cause_and_is_not_repeated():
    def failing(texts):
        raise RuntimeError("the key sk-very-secret is wrong")

    with pytest.raises(EmbeddingError, match="callable:x raised RuntimeError") as caught:
        CallableEmbedding(failing, "x").embed_documents(["a"])
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_what_cannot_be_wrapped_is_refused():
    with pytest.raises(ConfigurationError, match="a callable, not a str"):
        CallableEmbedding("text", "x")
    with pytest.raises(ConfigurationError, match="of chromadb is needed"):
        ChromaEmbedding(3)
    for name in ("callable:x", "chroma:x"):
        with pytest.raises(ConfigurationError, match="made in Python"):
            resolve_embedding(name)
