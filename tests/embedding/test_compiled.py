"""Models on OpenVINO and ONNX Runtime beside the same models on torch."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from compiled_models import kind_of, make_model

from retriever.embedding import TruncationWarning, resolve_embedding
from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding
from retriever.errors import ConfigurationError, IndexMismatch, InvalidInput
from retriever.identity import check_settings, make_manifest

TEXTS = [
    "short",
    "how do i rotate the signing key",
    "",
    "检索增强 text",
    "the quick brown fox jumps over the lazy dog",
    "a\nb \0",
    *("word " * (1 + n % 7) + "number" for n in range(30)),
]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory):
    """One cache folder for all: a model is converted once. Vectors are never from the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVER_CACHE", str(tmp_path_factory.mktemp("converted")))
        patch.setenv("RETRIEVER_EMBEDDING_CACHE", "0")
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(params=["openvino", "onnx"])
def kind(request):
    return request.param


def converted(kind, model, **settings):
    cls, config = kind_of(kind)
    return cls(config(model=str(model), **settings))


def on_torch(model, **settings):
    return SentenceTransformerEmbedding(SentenceTransformerConfig(model=str(model), **settings), device="cpu")


def assert_equal(one, other):
    assert one.shape == other.shape
    assert np.abs(one - other).max() < 1e-5


POOLINGS = (
    {},
    {"pooling": "lasttoken", "query_prompt": "key : ", "document_prompt": "text : "},
    {"pooling": "weightedmean", "truncate_dim": 8, "normalize": False},
    {"pooling": "cls"},
    {"pooling": "max", "truncate_dim": 8},
    {"pooling": "mean_sqrt_len_tokens", "too_long": "split"},
)
"""Converting to ONNX takes longer, so that it is done for the first three alone."""


@pytest.mark.parametrize(
    ("kind", "settings"), [*(("openvino", one) for one in POOLINGS), *(("onnx", one) for one in POOLINGS[:3])], ids=str
)
def test_exact_vectors_are_those_of_torch(kind, tiny, settings):
    ours, theirs = converted(kind, tiny, **settings), on_torch(tiny, **settings)
    assert_equal(ours.embed_documents(TEXTS), theirs.embed_documents(TEXTS))
    assert_equal(ours.embed_queries(TEXTS), theirs.embed_queries(TEXTS))
    assert_equal(ours.embed_query(TEXTS[1]), theirs.embed_query(TEXTS[1]))
    assert ours.fingerprint == theirs.fingerprint
    for role in ("document", "query"):
        assert ours.content_tokens(role) == theirs.content_tokens(role)


def test_a_dense_layer_several_poolings_and_own_prompts(kind, tmp_path):
    model = make_model(tmp_path / "dense", dense=True, prompts={"query": "key : ", "document": "text : "})
    ours, theirs = converted(kind, model), on_torch(model)
    assert ours.dimension == 16
    assert ours.fingerprint == theirs.fingerprint
    assert_equal(ours.embed_documents(TEXTS), theirs.embed_documents(TEXTS))
    assert_equal(ours.embed_queries(TEXTS), theirs.embed_queries(TEXTS))
    joined = make_model(tmp_path / "joined", modes=("mean", "max"))
    assert_equal(converted(kind, joined).embed_documents(TEXTS), on_torch(joined).embed_documents(TEXTS))


def test_the_real_model(kind, minilm):
    cls, config = kind_of(kind)
    ours = cls(config(model=minilm.name))
    texts = [*TEXTS, "word " * 200, "检索增强生成先查找资料，再回答问题。"]
    assert_equal(ours.embed_documents(texts), minilm.embed_documents(texts))
    assert ours.fingerprint == minilm.fingerprint
    check_settings(make_manifest(minilm, None, None, {}), "here", ours, None, None)


def test_int8_is_near_and_does_not_depend_on_the_batch(kind, tiny):
    ours, theirs = converted(kind, tiny, precision="int8"), on_torch(tiny)
    vectors = ours.embed_documents(TEXTS)
    assert (vectors * theirs.embed_documents(TEXTS)).sum(axis=1).min() > 0.95
    assert np.abs(vectors - theirs.embed_documents(TEXTS)).max() > 1e-5
    alone = np.stack([ours.embed_documents([text])[0] for text in TEXTS])
    assert np.abs(alone - vectors).max() < 1e-5
    assert ours.fingerprint["precision"] == "int8"
    assert ours.fingerprint["kind"] == kind


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_settings_rebuild_it_also_after_its_files_are_gone(kind, tiny, precision, tmp_path, monkeypatch):
    made = converted(kind, tiny, precision=precision, query_prompt="key : ", truncate_dim=16)
    vectors = made.embed_documents(TEXTS)
    stored = json.loads(json.dumps(made.config.model_dump(mode="json")))
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
    again = type(made).from_config(stored)
    assert again.config == made.config
    assert again.fingerprint == made.fingerprint
    assert np.abs(again.embed_documents(TEXTS) - vectors).max() < 1e-6


def test_each_setting_alone_is_another_fingerprint(kind, tiny, tmp_path):
    before = converted(kind, tiny)
    manifest = make_manifest(before, None, None, {})
    others = {
        "weights": converted(kind, make_model(tmp_path / "other", seed=1)),
        "pooling": converted(kind, tiny, pooling="cls"),
        "query_prompt": converted(kind, tiny, query_prompt="key : "),
        "document_prompt": converted(kind, tiny, document_prompt="key : "),
        "dimension": converted(kind, tiny, truncate_dim=8),
        "precision": converted(kind, tiny, precision="int8"),
        "normalize": converted(kind, tiny, normalize=False),
    }
    for setting, other in others.items():
        assert other.fingerprint[setting] != before.fingerprint[setting]
        with pytest.raises(IndexMismatch, match=setting):
            check_settings(manifest, "here", other, None, None)
    assert converted(kind, tiny, too_long="error").fingerprint == before.fingerprint


def test_long_texts_under_each_policy(kind, tiny):
    fits, long = "word " * 22, "word " * 22 + "the end"
    with pytest.warns(TruncationWarning, match="reads 22 tokens: the end of 1 of 2"):
        vectors = converted(kind, tiny).embed_documents([long, fits])
    assert_equal(vectors[:1], vectors[1:])
    with pytest.raises(InvalidInput, match="reads 22 tokens"):
        converted(kind, tiny, too_long="error").embed_documents([long])
    split = {"too_long": "split"}
    assert_equal(
        converted(kind, tiny, **split).embed_documents([long]), on_torch(tiny, **split).embed_documents([long])
    )


def test_a_damaged_model_is_made_anew(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
    vectors = converted("openvino", tiny).embed_documents(TEXTS)
    (weights,) = (tmp_path / "models").glob("*/model.bin")
    content = weights.read_bytes()
    weights.write_bytes(content[:-9] + b"\1" * 9)
    assert_equal(converted("openvino", tiny).embed_documents(TEXTS), vectors)
    assert weights.read_bytes() == content


BOTH = """
import sys
from retriever.embedding import resolve_embedding
print(resolve_embedding(sys.argv[1]).embed_query("the key").tolist())
print("torch" in sys.modules)
"""


def started(name):
    return subprocess.Popen(
        [sys.executable, "-c", BOTH, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_processes_at_once_and_a_third_without_torch(tiny, tmp_path, monkeypatch):
    kind = "openvino"
    kind_of(kind)
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
    answers = [process.communicate() for process in [started(f"{kind}:{tiny}") for _ in range(2)]]
    assert answers[0][0].splitlines()[0] == answers[1][0].splitlines()[0]
    assert sum("this happens once" in said for _, said in answers) == 1
    later, said = started(f"{kind}:{tiny}").communicate()
    assert later.splitlines() == [answers[0][0].splitlines()[0], "False"], said


def test_several_threads_get_the_same_vectors(kind, tiny):
    ours = converted(kind, tiny)
    expected = ours.embed_queries(TEXTS)
    found = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: ours.embed_query(TEXTS[n])})) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_equal(np.stack([found[n] for n in range(12)]), expected[:12])


def test_a_model_that_cannot_be_converted_is_named(kind, tmp_path):
    bare = make_model(tmp_path / "bare", pooled=False)
    with pytest.raises(ConfigurationError, match="set pooling='mean'"):
        converted(kind, bare).embed_query("x")
    with pytest.raises(ConfigurationError, match="set pooling='mean'"):
        on_torch(bare).embed_query("x")
    assert_equal(
        converted(kind, bare, pooling="mean").embed_documents(TEXTS),
        on_torch(bare, pooling="mean").embed_documents(TEXTS),
    )


def test_names_and_wrong_settings(kind):
    cls, _ = kind_of(kind)
    found = resolve_embedding(f"{kind}:some/model@int8")
    assert isinstance(found, cls)
    assert (found.config.model, found.config.precision) == ("some/model", "int8")
    assert resolve_embedding(found.name).config == found.config
    with pytest.raises(ConfigurationError, match="which model"):
        resolve_embedding(f"{kind}:")
    with pytest.raises(ConfigurationError, match="at least one"):
        cls(found.config, threads=0)
