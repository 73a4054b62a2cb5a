"""Learned sparse models of the sentence-transformers library."""

import json
import shutil
import warnings

import numpy as np
import pytest

from retriever import (
    ConfigurationError,
    Document,
    EmbeddingError,
    IndexMismatch,
    InvalidInput,
    MemoryStore,
    ModelNotFound,
    Retriever,
    copy_index,
)
from retriever.embedding.base import TruncationWarning
from retriever.registry import register
from retriever.sparse import SparseFunction, SparseVector, resolve_sparse
from retriever.sparse.sentence_transformers import SpladeConfig, SpladeFunction
from retriever.sparse.vector import strongest

TEXTS = ["rotate the signing key", "cake", "", "sugar egg flour cake the door", "key lock door every day error"]
LONG = "key lock door " * 60


def make(folder, **settings):
    return SpladeFunction(SpladeConfig(model=str(folder), **settings), device="cpu")


def library(folder, texts, role="document"):
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(folder), device="cpu", local_files_only=True)
    encode = model.encode_query if role == "query" else model.encode_document
    return encode(list(texts), batch_size=1, convert_to_sparse_tensor=False).cpu().numpy()


def dense(vectors, size):
    rows = np.zeros((len(vectors), size), np.float32)
    for row, vector in zip(rows, vectors, strict=True):
        row[vector.indices] = vector.weights
    return rows


@pytest.mark.parametrize("kind", ["splade", "asymmetric"])
@pytest.mark.parametrize("role", ["document", "query"])
def test_vectors_are_the_librarys(request, kind, role):
    folder = request.getfixturevalue(kind)
    function = make(folder)
    vectors = function.encode_queries(TEXTS) if role == "query" else function.encode_documents(TEXTS)
    np.testing.assert_allclose(dense(vectors, function.vocabulary), library(folder, TEXTS, role), atol=1e-5)
    assert all(isinstance(vector, SparseVector) for vector in vectors)


def test_queries_of_an_asymmetric_model_are_looked_up(asymmetric):
    function = make(asymmetric)
    (vector,) = function.encode_queries(["rotate key key unheard"])
    assert sorted(function.terms(vector.indices)) == ["[UNK]", "key", "rotate"]
    assert function.content_tokens("query") is None
    assert function.content_tokens("document") == 62


def test_terms_are_words(splade):
    function = make(splade)
    assert function.terms([5, 7, 18, 10_000]) == ["rotate", "##ing", "door", "#10000"]


@pytest.mark.parametrize("kind", ["splade", "asymmetric"])
def test_its_configuration_makes_it_again(request, kind):
    function = make(request.getfixturevalue(kind), max_tokens=32, max_terms=9, too_long="split")
    again = SpladeFunction.from_config(json.loads(json.dumps(function.config.model_dump(mode="json"))))
    assert again.fingerprint == function.fingerprint
    assert again.encode_documents([*TEXTS, LONG]) == function.encode_documents([*TEXTS, LONG])
    assert again.canaries() == function.canaries()
    assert resolve_sparse(f"splade:{function.config.model}").config == SpladeConfig(model=function.config.model)
    assert resolve_sparse(function.config.model).kind == "splade"


def test_what_changes_vectors_changes_the_fingerprint(splade, copied):
    from safetensors.numpy import load_file, save_file

    other = copied(splade)
    tensors = load_file(other / "model.safetensors")
    tensors["bert.embeddings.word_embeddings.weight"] = tensors["bert.embeddings.word_embeddings.weight"] + 0.1
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    made = [
        make(splade),
        make(splade, max_tokens=16),
        make(splade, max_terms=5),
        make(splade, too_long="split"),
        make(other),
        make(copied(splade, "1_SpladePooling/config.json", pooling_strategy="sum")),
        make(copied(splade, "config_sentence_transformers.json", prompts={"query": "key ", "document": ""})),
    ]
    prints = [json.dumps(function.fingerprint, sort_keys=True) for function in made]
    assert len(set(prints)) == len(prints)
    assert make(copied(splade)).fingerprint == made[0].fingerprint  # wherever the folder lies


def test_only_the_heaviest_terms_are_kept(splade):
    whole = make(splade).encode_documents(TEXTS[:2])
    for vector, few in zip(whole, make(splade, max_terms=3).encode_documents(TEXTS[:2]), strict=True):
        assert sorted(few.weights.tolist()) == pytest.approx(sorted(vector.weights.tolist())[-3:])


def test_nothing_is_cut_in_silence(splade):
    function = make(splade)
    with pytest.warns(TruncationWarning, match="reads 62 tokens: the end of 1 document"):
        (cut,) = function.encode_documents([LONG])
    assert function.cut([LONG, "cake"]) == [True, False]
    assert cut.cosine(function.encode_documents([" ".join(LONG.split()[:62])])[0]) == pytest.approx(1)
    with pytest.raises(InvalidInput, match="has 180"):
        make(splade, too_long="error").encode_documents([LONG])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert function.encode_documents([LONG], warn=False) == [cut]
        split = make(splade, too_long="split")
        assert split.cut([LONG]) == [False]
        (whole,) = split.encode_documents([LONG + "cake egg"])
        (again, short) = split.encode_documents([LONG + "cake egg", "cake"])
    assert whole == again
    assert whole != cut
    assert short.cosine(function.encode_documents(["cake"])[0]) == pytest.approx(1)


def test_a_model_that_refuses_long_texts_makes_an_index_all_the_same(splade):
    """The test texts of the manifest are longer than that, and are not the user's."""
    r = Retriever.open("memory:", embedding="hashed", sparse=make(splade, max_tokens=8, too_long="error"))
    assert r.index([Document("a", "rotate the key")]).added == 1
    with pytest.raises(InvalidInput, match="reads 6 tokens"):
        r.index([Document("b", LONG)])


def test_a_dense_model_is_refused(minilm_model):
    with pytest.raises(ConfigurationError, match="no learned sparse model"):
        make(minilm_model).encode_documents(["x"])


@pytest.fixture
def minilm_model(tmp_path, masked_language_model):
    """A dense model: the library would put a random sparse layer on it."""
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel

    _, tokenizer, size = masked_language_model
    plain = tmp_path / "plain"
    config = BertConfig(
        vocab_size=size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    SentenceTransformer(str(plain), device="cpu").save_pretrained(str(tmp_path / "dense"))
    return tmp_path / "dense"


def test_a_masked_language_model_alone_is_splade(masked_language_model):
    """As the first ones were published."""
    function = make(masked_language_model[0])
    np.testing.assert_allclose(
        dense(function.encode_documents(TEXTS), function.vocabulary),
        library(masked_language_model[0], TEXTS),
        atol=1e-5,
    )


def test_pickles_are_not_loaded(splade, copied):
    folder = copied(splade)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="safetensors"):
        make(folder).encode_documents(["x"])


def test_a_limit_beyond_the_models_is_refused(splade):
    with pytest.raises(ConfigurationError, match="reads 64"):
        make(splade, max_tokens=65).encode_documents(["x"])
    with pytest.raises(ConfigurationError, match="which model"):
        resolve_sparse("splade:")
    with pytest.raises(ConfigurationError, match="name or a SparseFunction"):
        resolve_sparse(" ")


def test_an_index_opens_by_its_address_and_refuses_others(splade, copied, tmp_path):
    folder = copied(splade)
    place = str(tmp_path / "index")
    with Retriever.open(place, embedding="hashed", sparse=make(folder)) as r:
        r.upsert([])
    with Retriever.open(place) as r:
        assert r.sparse.encode_queries(["key"]) == make(splade).encode_queries(["key"])
    with Retriever.open(place, sparse=make(splade)) as r:  # the same files elsewhere
        assert r.sparse.name.endswith(str(splade))
    for other in (make(folder, max_tokens=16), make(folder, max_terms=3), make(folder, too_long="split")):
        with pytest.raises(IndexMismatch, match=r"built with splade:.*copy_index\(.* sparse=.*the object itself"):
            Retriever.open(place, sparse=other)  # its name would lead to other settings
    other = copied(splade)
    path = other / "1_SpladePooling" / "config.json"
    path.write_text(path.read_text("utf-8").replace('"max"', '"sum"'), "utf-8")
    with pytest.raises(IndexMismatch, match=rf"retriever copy .* NEW --sparse splade:{other}"):
        Retriever.open(place, sparse=f"splade:{other}")
    path = folder / "1_SpladePooling" / "config.json"
    path.write_text(path.read_text("utf-8").replace('"max"', '"sum"'), "utf-8")
    with Retriever.open(place) as r, pytest.raises(IndexMismatch, match="other settings lie beside"):
        _ = r.sparse
    given = resolve_sparse(f"splade:{folder}")
    with Retriever.open(place, sparse=given) as r, pytest.raises(IndexMismatch, match="now gives other"):
        _ = r.sparse
    shutil.rmtree(folder)
    with Retriever.open(place) as r, pytest.raises(ModelNotFound):
        _ = r.sparse


def test_a_model_that_cannot_read_the_corpus_has_no_say(splade):
    """Its vocabulary is English: the keyword leg keeps what the two would divide."""
    r = Retriever.open("memory:", embedding="hashed", sparse=make(splade))
    r.index([Document("a", "签名密钥每九十天轮换一次。"), Document("b", "面粉、糖和鸡蛋。")])
    assert r.manifest.calibration.sparse_unknown_rate == 1
    assert [h.score for h in r.search("密钥")] == [h.score for h in r.search("密钥", sparse_weight=0.0)]
    instead = Retriever.open("memory:", embedding="hashed", sparse=make(splade), keyword=False)
    instead.index([Document("a", "签名密钥每九十天轮换一次。"), Document("b", "面粉、糖和鸡蛋。")])
    assert [h.score for h in instead.search("密钥")] == [h.score for h in instead.search("密钥", keyword_weight=0.0)]
    copied = MemoryStore("copied")
    english = Retriever.open("memory:", embedding="hashed")
    english.index([Document("a", "rotate the key every day"), Document("b", "flour egg")])
    copy_index(english.store, copied, sparse=make(splade))
    assert copied.read_manifest().calibration.sparse_unknown_rate == 0


class Broken(SparseFunction):
    """Gives what it is told to."""

    kind = "broken"
    vocabulary = 10
    answer = ([1], [1.0])

    def _encode(self, texts, role):
        return [self.answer] * len(texts)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (([1], [float("nan")]), "finite"),
        (([1], [float("inf")]), "finite"),
        (([1], [-1.0]), "above 0"),
        (([10], [1.0]), "vocabulary of 10"),
        (([-1], [1.0]), "from 0 to"),
        (([1, 1], [1.0, 2.0]), "distinct"),
        (([1, 2], [1.0]), "a weight for each"),
        (([1.5], [1.0]), "whole numbers"),
        ((["a"], [1.0]), "whole numbers"),
        (([1], ["a"]), "numbers"),
    ],
)
def test_unusable_vectors_name_the_text(answer, message):
    function = Broken()
    function.answer = answer
    with pytest.raises(EmbeddingError, match=rf"'some text'.*{message}"):
        function.encode_documents(["some text"])


def test_one_method_makes_a_model_of_ones_own():
    class Vowels(SparseFunction):
        kind = "vowels"
        vocabulary = 5
        batch_size = 2

        def _encode(self, texts, role):
            assert len(texts) <= 2
            return [(range(5), [text.count(vowel) for vowel in "aeiou"]) for text in texts]

    unregister = register("retriever.sparse", "vowels", Vowels)
    try:
        function = resolve_sparse("vowels")
    finally:
        unregister()
    first, second, third = function.encode_documents(["a banana", "xyz", "queue"])
    assert dict(zip(first.indices.tolist(), first.weights.tolist(), strict=True)) == {0: 4.0}
    assert len(second) == 0
    assert third.indices.tolist() == [1, 4]
    assert function.terms([1]) == ["#1"]
    assert strongest([first, third]).weights.tolist() == [4, 2, 2]
    with pytest.raises(ConfigurationError, match="takes no name"):
        Vowels.from_name("x")
