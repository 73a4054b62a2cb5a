"""Our keyword weights as chromadb's sparse embedding function. Chroma Cloud, which would use them, is not asked."""

from __future__ import annotations

import json
import uuid

import pytest
from chromadb.api.types import Schema, SparseVectorIndexConfig
from chromadb.base_types import SparseVector
from chromadb.errors import ChromaError
from chromadb.execution.expression.operator import K
from chromadb.utils.embedding_functions import sparse_known_embedding_functions

from retriever.errors import ConfigurationError, IndexMismatch, InvalidInput
from retriever.keyword import bm25
from retriever.keyword.analyser import Analyser
from retriever.keyword.config import ANALYSER_VERSION, AnalyserConfig
from retriever_chroma import RetrieverBM25Function

TEXTS = ["The quick brown foxes", "error E1234 in foo_bar, error again", "检索增强生成", "the of and"]


@pytest.fixture
def function():
    return RetrieverBM25Function(4.5)


def schema_of(function):
    return Schema().create_index(
        SparseVectorIndexConfig(source_key=K.DOCUMENT, embedding_function=function, bm25=True), key="keywords"
    )


def index_config(schema):
    return schema.keys["keywords"].sparse_vector.sparse_vector_index.config


def test_the_weights_are_ours_in_chromadbs_form(function):
    analyser = Analyser()
    for text, document, query in zip(TEXTS, function(TEXTS), function.embed_query(TEXTS), strict=True):
        for got, wanted in (
            (document, bm25.document_vector(analyser.terms(text), 4.5)),
            (query, bm25.query_vector(analyser.terms(text))),
        ):
            assert isinstance(got, SparseVector)
            assert dict(zip(got.indices, got.values, strict=True)) == dict(
                zip(wanted.indices, wanted.values, strict=True)
            )
            assert got.indices == sorted(set(got.indices))
            assert all(type(index) is int and 0 <= index < 2**32 for index in got.indices)
    assert function(["the of and"]) == [SparseVector([], [])]


def test_documents_and_queries_are_apart(function):
    assert function(["fox fox fox"])[0].values[0] < bm25.K1 + 1
    assert function.embed_query(["fox fox fox"])[0].values == [3.0]


def test_it_is_calibrated_on_texts():
    made = RetrieverBM25Function.calibrated(["one two three", "four"], language="none")
    assert made.get_config() == {
        "analyser": {"language": "none", "version": ANALYSER_VERSION},
        "average_length": 2.0,
    }
    for texts in ([], ["the of"], [""]):
        with pytest.raises(InvalidInput, match="no words"):
            RetrieverBM25Function.calibrated(texts)
    with pytest.raises(InvalidInput, match="not one string"):
        RetrieverBM25Function.calibrated("one two three")


@pytest.mark.parametrize("length", [0, -1, float("nan"), float("inf"), 1e12, "4", None])
def test_unusable_lengths(length):
    with pytest.raises(InvalidInput, match="average_length"):
        RetrieverBM25Function(length)


def test_unusable_texts_and_languages(function):
    with pytest.raises(InvalidInput, match="text 1"):
        function(["fine", "\ud800"])
    with pytest.raises(ConfigurationError, match="klingon"):
        RetrieverBM25Function(3, language="klingon")


def test_it_is_registered():
    assert sparse_known_embedding_functions["hybrid-retriever-bm25"] is RetrieverBM25Function


def test_a_schema_carries_it_through_json():
    function = RetrieverBM25Function(7.25, language="german")
    stored = json.loads(json.dumps(schema_of(function).serialize_to_json()))
    assert stored["keys"]["keywords"]["sparse_vector"]["sparse_vector_index"]["config"] == {
        "embedding_function": {
            "name": "hybrid-retriever-bm25",
            "type": "known",
            "config": {"analyser": {"language": "german", "version": ANALYSER_VERSION}, "average_length": 7.25},
        },
        "source_key": "#document",
        "bm25": True,
    }
    schema = Schema.deserialize_from_json(stored)
    again = index_config(schema).embedding_function
    assert type(again) is RetrieverBM25Function
    assert again(TEXTS) == function(TEXTS)
    assert again.embed_query(TEXTS) == function.embed_query(TEXTS)
    assert schema.serialize_to_json() == stored


def test_a_local_chroma_reads_the_vectors_and_refuses_the_index(http_client, function):
    """What can be seen without the cloud: indices of 32 bits pass the server's reader, and then it says so."""
    name = f"docs-{uuid.uuid4().hex}"
    collection = http_client.create_collection(name, embedding_function=None)
    vectors = function([" ".join(f"word{n}" for n in range(50)), ""])
    assert max(vectors[0].indices) >= 2**31
    for vector in vectors:
        with pytest.raises(ChromaError, match="not supported for local chroma"):
            collection.add(ids=["1"], embeddings=[[1, 2]], metadatas=[{"keywords": vector}])
    with pytest.raises(ChromaError, match="data did not match"):
        collection.add(ids=["1"], embeddings=[[1, 2]], metadatas=[{"keywords": SparseVector([2**32], [1.0])}])
    http_client.delete_collection(name)
    with pytest.raises(ChromaError, match=r"(?i)sparse vector index"):
        http_client.create_collection(name, schema=schema_of(function))


GOOD = RetrieverBM25Function(4.5).get_config()
BAD = {
    "nothing": None,
    "text": "x",
    "empty": {},
    "extra key": {**GOOD, "code": "import os"},
    "extra setting": {**GOOD, "analyser": {**GOOD["analyser"], "stopwords_file": "/etc/passwd"}},
    "no length": {"analyser": GOOD["analyser"]},
    "length of text": {**GOOD, "average_length": "4.5"},
    "length of nothing": {**GOOD, "average_length": 0},
    "endless length": {**GOOD, "average_length": float("inf")},
    "no number": {**GOOD, "average_length": float("nan")},
    "enormous length": {**GOOD, "average_length": 1e300},
    "unknown language": {**GOOD, "analyser": {**GOOD["analyser"], "language": "klingon"}},
    "language of a path": {**GOOD, "analyser": {**GOOD["analyser"], "language": "../english"}},
    "long language": {**GOOD, "analyser": {**GOOD["analyser"], "language": "x" * 10**6}},
    "no version": {**GOOD, "analyser": {"language": "english"}},
    "version of text": {**GOOD, "analyser": {**GOOD["analyser"], "version": "1"}},
}


@pytest.mark.parametrize("config", BAD.values(), ids=BAD)
def test_configurations_that_this_package_never_wrote_are_refused(config, function):
    for refuse in (RetrieverBM25Function.build_from_config, RetrieverBM25Function.validate_config):
        with pytest.raises(ConfigurationError) as caught:
            refuse(config)
        assert len(str(caught.value)) < 1_000
    with pytest.raises(ConfigurationError):
        function.validate_config_update(GOOD, config)


def test_changes_of_the_weights_are_refused(function):
    function.validate_config_update(GOOD, dict(GOOD))
    for change in (
        {**GOOD, "average_length": 4.6},
        {**GOOD, "analyser": AnalyserConfig(language="german").model_dump()},
    ):
        with pytest.raises(IndexMismatch, match=r"4\.5"):
            function.validate_config_update(GOOD, change)
    newer = {**GOOD, "analyser": {"language": "english", "version": ANALYSER_VERSION + 1}}
    with pytest.raises(IndexMismatch, match="version"):
        RetrieverBM25Function.build_from_config(newer)
