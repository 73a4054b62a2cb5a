"""model2vec, and StaticEmbedding of sentence-transformers, on models made here."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from retriever import Document, Retriever
from retriever.embedding import resolve_embedding
from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding
from retriever.embedding.static import Model2VecConfig, Model2VecEmbedding
from retriever.errors import ConfigurationError, IndexMismatch, ModelNotFound
from retriever.identity import check_settings, make_manifest

model2vec = pytest.importorskip("model2vec")

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "king", "queen", "apple", "pear", "##s", ".", "end"]
MATRIX = np.random.default_rng(1).normal(size=(len(VOCABULARY), 5)).astype(np.float32)
TEXTS = ["The king", "apples. pears.", "检索", "", "king queen unheard", "the " * 700 + "end"]


def bert_tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


@pytest.fixture
def folder(tmp_path):
    """A model as model2vec saves it, which cuts texts at 512 tokens unless it is told not to."""
    path = tmp_path / "model"
    model2vec.StaticModel(MATRIX, bert_tokenizer(), normalize=True).save_pretrained(path)
    return path


def embedding(path, **settings):
    return Model2VecEmbedding(Model2VecConfig(model=str(path), **settings))


def expected(rows):
    vector = MATRIX[rows].mean(axis=0)
    return vector / np.linalg.norm(vector)


def assert_right(vectors, unknown):
    """The vectors of ``TEXTS``; unknown words are left out by model2vec only."""
    assert vectors[0] == pytest.approx(expected([4, 5]), abs=1e-6)
    assert vectors[1] == pytest.approx(expected([7, 9, 10, 8, 9, 10]), abs=1e-6)
    assert vectors[2] == pytest.approx(expected(unknown * 2) if unknown else np.zeros(5), abs=1e-6)
    assert not vectors[3].any()
    assert vectors[4] == pytest.approx(expected([5, 6, *unknown]), abs=1e-6)
    assert vectors[5] == pytest.approx(expected([4] * 700 + [11]), abs=1e-5)  # read to its end


def test_vectors_are_the_mean_of_the_tokens(folder):
    made = embedding(folder)
    vectors = made.embed_documents(TEXTS)
    assert vectors.dtype == np.float32
    assert_right(vectors, [])
    assert (made.embed_queries(TEXTS) == vectors).all()
    library = model2vec.StaticModel.from_pretrained(folder)
    assert vectors == pytest.approx(library.encode(TEXTS, max_length=None), abs=1e-6)
    raw = embedding(folder, normalize=False).embed_query("The king")
    assert raw == pytest.approx(MATRIX[[4, 5]].mean(axis=0), abs=1e-6)


def test_what_it_says_of_itself(folder):
    made = embedding(folder)
    assert made.name == f"model2vec:{folder}"
    assert (made.dimension, made.max_tokens, made.tokeniser.special_tokens) == (5, None, 0)
    (encoding,) = made.tokeniser.encode_batch(["the apples 检"])
    assert encoding.ids == [4, 7, 9, 1]
    assert made.tokeniser.unknown_id == 1
    assert encoding.offsets[1:3] == [(4, 9), (9, 10)]
    assert made.fingerprint == {
        "kind": "model2vec",
        "dimension": "5",
        "weights": made.fingerprint["weights"],
        "normalize": "True",
    }


def test_names(folder, monkeypatch):
    assert resolve_embedding(f"model2vec:{folder}").name == f"model2vec:{folder}"
    monkeypatch.chdir(folder.parent)
    assert resolve_embedding("model2vec:model").config.model == str(folder)
    with pytest.raises(ConfigurationError, match="write model2vec:NAME"):
        resolve_embedding("model2vec:")
    for config in ({}, {"model": ""}, {"model": "x", "token": "secret"}):
        with pytest.raises(ValidationError):
            Model2VecEmbedding.from_config(config)


def test_the_settings_rebuild_it(folder):
    made = embedding(folder, normalize=False)
    rebuilt = Model2VecEmbedding.from_config(json.loads(json.dumps(made.config.model_dump(mode="json"))))
    assert rebuilt.fingerprint == made.fingerprint
    assert (rebuilt.embed_documents(TEXTS) == made.embed_documents(TEXTS)).all()


def test_each_change_alone_is_another_fingerprint_and_refused(folder, tmp_path):
    made = embedding(folder)
    manifest = make_manifest(made, None, None, {})
    matrix = MATRIX.copy()
    matrix[-1, -1] += 1
    model2vec.StaticModel(matrix, bert_tokenizer(), normalize=True).save_pretrained(tmp_path / "weights")
    other = bert_tokenizer()
    other.normalizer = None
    model2vec.StaticModel(MATRIX, other, normalize=True).save_pretrained(tmp_path / "tokeniser")
    changes = {
        "weights": [embedding(tmp_path / "weights"), embedding(tmp_path / "tokeniser")],
        "normalize": [embedding(folder, normalize=False)],
        "too_long": [embedding(folder, too_long="split")],
    }
    for key, others in changes.items():
        for changed in others:
            assert {name for name, _ in made.fingerprint.items() ^ changed.fingerprint.items()} == {key}
            with pytest.raises(IndexMismatch, match=key):
                check_settings(manifest, "here", changed, None, None)
    model2vec.StaticModel(MATRIX, bert_tokenizer(), normalize=True).save_pretrained(tmp_path / "copy")
    check_settings(manifest, "here", embedding(tmp_path / "copy"), None, None)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_smaller_weights(folder, tmp_path, dtype):
    model = model2vec.StaticModel.from_pretrained(folder, quantize_to=dtype)
    model.save_pretrained(tmp_path / "small")
    small = embedding(tmp_path / "small")
    vectors = small.embed_documents(TEXTS)
    cosines = (vectors * embedding(folder).embed_documents(TEXTS)).sum(axis=1)
    assert cosines[[0, 1, 4, 5]] == pytest.approx([1] * 4, abs=0.01)
    assert np.linalg.norm(vectors, axis=1)[[0, 1, 4, 5]] == pytest.approx([1] * 4, abs=1e-6)
    assert small.fingerprint["weights"] != embedding(folder).fingerprint["weights"]


def test_a_vocabulary_that_shares_vectors(tmp_path):
    mapping = np.array([0, 0, 0, 0, 1, 2, 2, 3, 3, 1, 1, 0])
    weights = np.linspace(0.5, 1.5, len(VOCABULARY)).astype(np.float32)
    model = model2vec.StaticModel(MATRIX[:4], bert_tokenizer(), weights=weights, token_mapping=mapping)
    model.save_pretrained(tmp_path / "shared")
    vector = embedding(tmp_path / "shared", normalize=False).embed_query("the king")
    assert vector == pytest.approx((MATRIX[1] * weights[4] + MATRIX[2] * weights[5]) / 2, abs=1e-6)


def save(folder, matrix=MATRIX, **tensors):
    from safetensors.numpy import save_file

    save_file({"embeddings": matrix, **tensors}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.safetensors").write_text("garbage"), "not a usable model"),
        (lambda folder: (folder / "tokenizer.json").write_text("garbage"), "not a usable model"),
        (lambda folder: (folder / "config.json").write_text("{"), "not a usable model"),
        (lambda folder: (folder / "config.json").unlink(), "not a usable model"),
        (lambda folder: save(folder, MATRIX[:-1]), "does not match number of vectors"),
        (lambda folder: save(folder, MATRIX[:, 0]), "the embeddings have the shape"),
        (lambda folder: save(folder, mapping=np.arange(4)), "there is a token 11, but the weights are of 4"),
        (lambda folder: save(folder, MATRIX[:4], mapping=np.arange(12)), "there is a token of vector 11"),
        (lambda folder: save(folder, weights=np.ones(3, np.float32)), "there is a token 11, but the weights are of 3"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "model.bin"), "holds no .safetensors file"),
    ],
)
def test_a_damaged_folder_is_named(folder, damage, message):
    damage(folder)
    with pytest.raises(ModelNotFound, match=message) as caught:
        embedding(folder).embed_query("x")
    assert str(folder) in str(caught.value)


def test_an_index_with_it(folder, tmp_path):
    pytest.importorskip("qdrant_edge")
    documents = [Document("a", "the king. the queen."), Document("b", "apples. pears.")]
    with Retriever.open(str(tmp_path / "index"), embedding=f"model2vec:{folder}") as opened:
        opened.index(documents, source="s")
    with Retriever.open(str(tmp_path / "index")) as opened:
        assert opened.search("queen", 1, mode="semantic")[0].document_id == "s::a"
        assert opened.search("pear apple", 1, mode="semantic")[0].document_id == "s::b"
        assert opened.verify().problems == []


def static_embedding(path):
    return SentenceTransformerEmbedding(SentenceTransformerConfig(model=str(path)), device="cpu")


@pytest.fixture(params=["sentence-transformers", "model2vec"])
def sentence_transformer(request, folder, tmp_path):
    """The same model in the form of either library."""
    pytest.importorskip("sentence_transformers")
    if request.param == "model2vec":
        return folder
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = bert_tokenizer()
    tokenizer.enable_truncation(512)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=MATRIX)], device="cpu")
    model.save(str(tmp_path / "static"), create_model_card=False)
    return tmp_path / "static"


def test_static_embedding_of_sentence_transformers(sentence_transformer):
    made = static_embedding(sentence_transformer)
    assert_right(made.embed_documents(TEXTS), [1])
    assert (made.dimension, made.max_tokens, made.content_tokens("document")) == (5, None, None)
    assert made.tokeniser.encode_batch(["the apples 检"])[0].ids == [4, 7, 9, 1]
    assert made.tokeniser.unknown_id == 1
    assert made.fingerprint["max_tokens"] == "None"
    assert made.fingerprint["pooling"].startswith("StaticEmbedding")
    rebuilt = SentenceTransformerEmbedding.from_config(json.loads(made.config.model_dump_json()))
    assert rebuilt.fingerprint == made.fingerprint
    assert (rebuilt.embed_documents(TEXTS) == made.embed_documents(TEXTS)).all()


def test_other_weights_of_a_static_embedding_are_another_model(sentence_transformer):
    made = static_embedding(sentence_transformer).fingerprint
    file = sentence_transformer / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    changed = static_embedding(sentence_transformer).fingerprint
    assert {key for key, _ in made.items() ^ changed.items()} == {"weights"}


@pytest.fixture
def nested(tmp_path):
    """A model in the form of older versions of sentence-transformers, each module in a folder of its own."""
    inner = tmp_path / "nested" / "0_StaticEmbedding"
    inner.mkdir(parents=True)
    from safetensors.numpy import save_file

    save_file({"embedding.weight": MATRIX}, inner / "model.safetensors")
    bert_tokenizer().save(str(inner / "tokenizer.json"))
    module = {
        "idx": 0,
        "name": "0",
        "path": inner.name,
        "type": "sentence_transformers.models.StaticEmbedding.StaticEmbedding",
    }
    (inner.parent / "modules.json").write_text(json.dumps([module]))
    (inner.parent / "config_sentence_transformers.json").write_text("{}")
    return inner.parent


@pytest.mark.parametrize("make", [embedding, static_embedding])
def test_a_model_in_folders(nested, make):
    made = make(nested)
    assert made.embed_query("The king") == pytest.approx(expected([4, 5]), abs=1e-6)
    before = made.fingerprint
    other = bert_tokenizer()
    other.normalizer = None
    other.save(str(nested / "0_StaticEmbedding" / "tokenizer.json"))
    changed = make(nested).fingerprint
    assert {key for key, _ in before.items() ^ changed.items()} == {"weights"}
