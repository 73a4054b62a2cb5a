"""An index knows what built it, and refuses anything else."""

import json
from typing import ClassVar

import numpy as np
import pytest

from retriever import ChunkerConfig, Document, Retriever
from retriever.embedding.base import CANARIES, EmbeddingConfig, EmbeddingFunction
from retriever.embedding.hashed import HashedConfig, HashedEmbedding
from retriever.errors import ConfigurationError, IndexMismatch, InvalidInput, ManifestUnreadable, MissingExtra
from retriever.identity import (
    add_filter_fields,
    check_settings,
    describe_embedding,
    make_manifest,
    resolve_recorded,
    verify_canaries,
    verify_records,
)
from retriever.manifest import parse_manifest
from retriever.memory import MemoryStore
from retriever.registry import find, names, register
from retriever.testing import samples


class ShiftyConfig(EmbeddingConfig):
    model: str = "sand"
    pooling: str | None = None


class Shifty(EmbeddingFunction):
    """A model whose vectors can change though its name and its settings stay."""

    kind = "shifty"
    Config = ShiftyConfig
    dimension = 3
    direction: ClassVar[list[float]] = [1.0, 0.0, 0.0]

    def _embed(self, texts, role):
        return [[value * (1 + len(text)) for value in self.direction] for text in texts]


@pytest.fixture(autouse=True)
def shifty(monkeypatch):
    monkeypatch.setattr(Shifty, "direction", [1.0, 0.0, 0.0])
    unregister = register("retriever.embeddings", "shifty", Shifty)
    yield Shifty
    unregister()


@pytest.fixture
def manifest():
    return make_manifest(Shifty(), None, None, {})


def test_a_manifest_says_what_built_the_index(manifest):
    assert manifest.embedding.kind == "shifty"
    assert manifest.embedding.config == {"model": "sand", "pooling": None, "too_long": "warn"}
    assert manifest.embedding.fingerprint["kind"] == "shifty"
    assert manifest.embedding.dimension == 3
    assert np.shape(manifest.embedding.canaries) == (len(CANARIES), 3)
    assert manifest.chunker == ChunkerConfig()
    assert manifest.analyser.language == "english"
    assert manifest.calibration is None
    assert parse_manifest(manifest.model_dump_json(), "x") == manifest


def test_the_settings_of_a_manifest_are_the_given_ones():
    made = make_manifest(HashedEmbedding(), ChunkerConfig(size=64), "German", {"year": "number"})
    assert made.chunker.size == 64
    assert made.analyser.language == "german"
    assert made.filter_fields == {"year": "number"}


def test_wrong_settings_are_refused_before_there_is_a_manifest():
    with pytest.raises(ConfigurationError, match="unknown language 'klingon'"):
        make_manifest(HashedEmbedding(), None, "Klingon", {})
    with pytest.raises(InvalidInput, match=r"filter_fields\.year"):
        make_manifest(HashedEmbedding(), None, None, {"year": "date"})


def test_the_recorded_function_is_rebuilt(manifest):
    rebuilt = resolve_recorded(manifest.embedding, "here")
    assert isinstance(rebuilt, Shifty)
    assert rebuilt.config == ShiftyConfig()
    verify_canaries(manifest.embedding, rebuilt, "here")


def test_a_function_that_is_gone_is_named(manifest):
    gone = manifest.embedding.model_copy(update={"kind": "gone"})
    with pytest.raises(ConfigurationError, match=r"no embedding is called 'gone'; there are: .*hashed.*shifty"):
        resolve_recorded(gone, "here")


@pytest.mark.parametrize("config", [{"model": 5}, {"modell": "sand"}])
def test_settings_that_are_not_understood(manifest, config):
    strange = manifest.embedding.model_copy(update={"config": config})
    with pytest.raises(ManifestUnreadable, match="the settings of 'shifty' in the manifest are not understood"):
        resolve_recorded(strange, "here")


def test_the_same_function_is_accepted_without_loading_it(manifest):
    class Unloadable(Shifty):
        def _embed(self, texts, role):
            raise AssertionError("was loaded")

    check_settings(manifest, "here", Unloadable(), None, None)


def test_nothing_given_is_accepted(manifest):
    check_settings(manifest, "here", None, None, None)


def test_the_same_settings_are_accepted(manifest):
    check_settings(manifest, "here", Shifty(), ChunkerConfig(), "ENGLISH")


def test_another_fingerprint_names_both_sides_and_what_differs(manifest):
    other = HashedEmbedding(HashedConfig(dimension=16))
    with pytest.raises(IndexMismatch) as caught:
        check_settings(manifest, "memory:here", other, None, None)
    message = str(caught.value)
    assert "the index at memory:here was built with shifty:sand, not with hashed:16" in message
    assert "kind is 'shifty' there, 'hashed' here" in message
    assert "dimension is '3' there, '16' here" in message
    assert "model is 'sand' there, absent here" in message
    assert "Leave the embedding function out" in message


def test_fields_that_agree_are_not_named(manifest):
    with pytest.raises(IndexMismatch) as caught:
        check_settings(manifest, "here", Shifty(ShiftyConfig(pooling="mean")), None, None)
    message = str(caught.value)
    assert "pooling is 'None' there, 'mean' here." in message
    assert "dimension" not in message
    assert "model is" not in message


def test_long_values_are_cut_in_the_message(manifest):
    with pytest.raises(IndexMismatch) as caught:
        check_settings(manifest, "here", Shifty(ShiftyConfig(pooling="0123456789" * 20)), None, None)
    assert "'0123456789" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_another_name_with_the_same_fingerprint_is_accepted(manifest):
    class Moved(Shifty):
        fingerprint = Shifty().fingerprint

    check_settings(manifest, "here", Moved(ShiftyConfig(model="/elsewhere/sand")), None, None)


def test_another_chunker_or_language_names_both_sides(manifest):
    with pytest.raises(IndexMismatch, match=r"chunker .*size 256.*, not .*size 64"):
        check_settings(manifest, "here", None, ChunkerConfig(size=64), None)
    with pytest.raises(IndexMismatch, match="language english, not Dutch"):
        check_settings(manifest, "here", None, None, "Dutch")


def test_a_model_that_changed_under_its_name_is_caught(manifest, shifty):
    verify_canaries(manifest.embedding, Shifty(), "here")
    shifty.direction = [0.6, 0.8, 0.0]
    check_settings(manifest, "here", Shifty(), None, None)
    with pytest.raises(IndexMismatch) as caught:
        verify_canaries(manifest.embedding, Shifty(), "memory:here")
    assert "memory:here was built with shifty:sand, but shifty now gives other vectors (cosine 0.600" in str(
        caught.value
    )
    assert "their settings are the same" in str(caught.value)


def test_scale_and_small_noise_are_no_change(manifest, shifty):
    shifty.direction = [7.0, 0.1, 0.0]
    verify_canaries(manifest.embedding, Shifty(), "here")


def test_a_model_that_gives_zero_vectors_now_is_caught(manifest, shifty):
    shifty.direction = [0.0, 0.0, 0.0]
    with pytest.raises(IndexMismatch, match=r"cosine 0\.000"):
        verify_canaries(manifest.embedding, Shifty(), "here")


def test_a_model_that_always_gave_zero_vectors_is_unchanged(shifty):
    shifty.direction = [0.0, 0.0, 0.0]
    recorded = make_manifest(Shifty(), None, None, {}).embedding
    verify_canaries(recorded, Shifty(), "here")
    shifty.direction = [1.0, 0.0, 0.0]
    with pytest.raises(IndexMismatch):
        verify_canaries(recorded, Shifty(), "here")


def test_one_canary_is_enough(manifest):
    class Partly(Shifty):
        def _embed(self, texts, role):
            return [[0.0, 1.0, 0.0] if role == "query" else [1.0, 0.0, 0.0] for _ in texts]

    with pytest.raises(IndexMismatch, match="other vectors"):
        verify_canaries(manifest.embedding, Partly(), "here")


def test_another_dimension_is_caught(manifest):
    with pytest.raises(IndexMismatch, match="holds vectors of 3 dimensions, hashed:16 gives 16"):
        verify_canaries(manifest.embedding, HashedEmbedding(HashedConfig(dimension=16)), "here")


def test_a_manifest_with_too_few_canaries_is_damaged(manifest):
    fewer = manifest.embedding.model_copy(update={"canaries": manifest.embedding.canaries[:2]})
    with pytest.raises(ManifestUnreadable, match="2 canaries, not 4"):
        verify_canaries(fewer, Shifty(), "here")


def test_an_index_refuses_the_changed_model_at_first_use(shifty):
    store = MemoryStore()
    Retriever.open(store, embedding=Shifty()).index([Document("a", "some words")])
    shifty.direction = [0.0, 1.0, 0.0]
    opened = Retriever.open(store)
    assert opened.search("words", mode="keyword")
    for use in (lambda: opened.search("words"), lambda: opened.index([Document("b", "more")]), opened.verify):
        with pytest.raises(IndexMismatch, match="other vectors"):
            use()
    shifty.direction = [1.0, 0.0, 0.0]
    assert Retriever.open(store).search("words")


def test_how_people_call_it(manifest):
    assert describe_embedding(manifest.embedding) == "shifty:sand"
    hashed = make_manifest(HashedEmbedding(), None, None, {}).embedding
    assert describe_embedding(hashed) == "hashed (dimension 256)"


def test_filter_fields_are_added(manifest):
    once = add_filter_fields(manifest, {"year": "number"}, "here")
    assert once.filter_fields == {"year": "number"}
    assert add_filter_fields(once, {"year": "number"}, "here") is once
    both = add_filter_fields(once, {"a.b": "keyword"}, "here")
    assert both.filter_fields == {"year": "number", "a.b": "keyword"}
    assert parse_manifest(both.model_dump_json(), "x") == both


def test_filter_fields_of_an_unknown_or_another_type_are_refused(manifest):
    with pytest.raises(InvalidInput, match=r"filter_fields\.year"):
        add_filter_fields(manifest, {"year": "date"}, "here")
    once = add_filter_fields(manifest, {"year": "number"}, "here")
    with pytest.raises(IndexMismatch, match="'year' as number, not as keyword"):
        add_filter_fields(once, {"year": "keyword"}, "here")


def test_an_existing_index_keeps_a_readable_manifest():
    store = MemoryStore()
    Retriever.open(store, embedding="hashed")
    with pytest.raises(InvalidInput):
        Retriever.open(store, filter_fields={"year": "date"})
    assert store.read_manifest().filter_fields == {}
    assert Retriever.open(store, filter_fields={"year": "number"}).manifest.filter_fields == {"year": "number"}


def test_a_manifest_holds_only_json(manifest):
    assert json.loads(manifest.model_dump_json()) == manifest.model_dump(mode="json")


def test_plug_ins_are_found_by_name():
    assert {"hashed", "sentence-transformers", "shifty"} <= set(names("retriever.embeddings"))
    assert {"memory", "qdrant"} <= set(names("retriever.stores"))
    assert find("retriever.embeddings", "hashed") is HashedEmbedding
    assert find("retriever.stores", "memory") is MemoryStore


def test_a_registered_class_goes_first_and_can_be_taken_away():
    unregister = register("retriever.embeddings", "hashed", Shifty)
    assert find("retriever.embeddings", "hashed") is Shifty
    unregister()
    unregister()
    assert find("retriever.embeddings", "hashed") is HashedEmbedding


def test_an_unknown_store_lists_those_there_are():
    with pytest.raises(ConfigurationError, match="no store is called 'oracle'; there are: chroma, memory, qdrant"):
        find("retriever.stores", "oracle")


def test_a_missing_extra_is_an_import_error():
    error = MissingExtra("'x'", "qdrant")
    assert isinstance(error, ImportError | ConfigurationError)
    assert str(error) == "'x' needs an extra: pip install 'hybrid-retriever[qdrant]'"
    assert (error.feature, error.extra) == ("'x'", "qdrant")


@pytest.fixture
def embedding():
    return HashedEmbedding(HashedConfig(dimension=32))


@pytest.fixture
def collection():
    """A store as an attached one is: its records are there before its manifest's embedding function was named."""
    store = MemoryStore("collection")
    store.create(samples.make_manifest(dimension=32))
    return store


def put(store, texts, rows):
    store.upsert(
        [samples.make_record(samples.chunk_id(str(n)), rows[n], text=text) for n, text in enumerate(texts) if text]
    )


@pytest.mark.parametrize("before", [0, 250])
def test_vectors_of_another_model_are_refused_wherever_the_texts_begin(collection, embedding, before):
    texts = [*[" "] * before, *(f"hello world {number}" for number in range(20))]
    others = np.random.default_rng(0).standard_normal((len(texts), 32))
    put(collection, texts, others)
    with pytest.raises(IndexMismatch, match="name the embedding function that filled"):
        verify_records(collection, embedding)
    put(collection, texts, [*others[:before], *(7 * embedding.embed_documents(texts[before:]))])
    verify_records(collection, embedding)


def test_without_texts_there_is_nothing_to_compare(collection, embedding):
    verify_records(collection, embedding)
    put(collection, [" "] * 3, np.ones((3, 32)))
    verify_records(collection, embedding)
