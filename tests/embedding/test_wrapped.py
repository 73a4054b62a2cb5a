"""Callables, and chromadb's functions, as embedding functions."""

from __future__ import annotations

import threading
import time

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


class Unwilling:
    """As tensors that need a gradient are."""

    def __array__(self, *arguments, **more):
        raise RuntimeError("cannot be an array")


@pytest.mark.parametrize("returned", [[], [[]], [1.0, 2.0], None, "text", Unwilling()])
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


def test_it_is_called_by_one_thread_at_a_time_also_for_its_dimension():
    """What a callable rests on may bear no more; Python 3.12 computes a cached property in several threads at once."""
    busy = threading.Lock()
    clashes = []

    def alone(texts):
        if not busy.acquire(blocking=False):
            clashes.append(texts)
            return embed(texts)
        try:
            time.sleep(0.02)
            return embed(texts)
        finally:
            busy.release()

    function = CallableEmbedding(alone, "x")
    ask = type(function).dimension.func  # as a first thread and a second one
    threads = [threading.Thread(target=ask, args=(function,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clashes == []


class Old(EmbeddingFunction[Documents]):
    """As they were written before chromadb asked for a name."""

    def __init__(self):
        pass

    def __call__(self, input: Documents) -> Embeddings:  # noqa: A002
        return list(embed(input))


class Nameless(Theirs):
    @staticmethod
    def name():
        raise NotImplementedError


@pytest.mark.filterwarnings("ignore:The (EmbeddingFunction )?class:DeprecationWarning")
def test_a_function_of_chromadb_without_a_name_is_called_by_its_class():
    assert ChromaEmbedding(Old()).name == "chroma:Old"
    assert ChromaEmbedding(Nameless()).name == "chroma:Nameless dimension=32 model_name=small"


def test_what_is_called_like_a_secret_is_none_of_the_settings():
    class Careless(Theirs):
        def get_config(self):
            return {"model_name": "m", "model_api_key": "sk-very-secret", "deployment_token": "sk-very-secret"}

    assert ChromaEmbedding(Careless()).name == "chroma:theirs model_name=m"


def test_what_cannot_be_wrapped_is_refused():
    for called in ("", None):
        with pytest.raises(ConfigurationError, match="which model"):
            CallableEmbedding(embed, called)
    with pytest.raises(ConfigurationError, match="a callable, not a int"):
        CallableEmbedding(embed, "x", embed_queries=3)
    with pytest.raises(ConfigurationError, match="a callable, not a str"):
        CallableEmbedding("text", "x")
    with pytest.raises(ConfigurationError, match="of chromadb is needed"):
        ChromaEmbedding(3)
    for name in ("callable:x", "chroma:x"):
        with pytest.raises(ConfigurationError, match="made in Python"):
            resolve_embedding(name)
