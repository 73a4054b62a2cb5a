"""Every kind and every setting: what changes vectors is refused by an index, what does not is not; and rebuilding."""

from __future__ import annotations

import json
from importlib.metadata import entry_points

import numpy as np
import pytest
from chromadb.api.types import EmbeddingFunction as ChromaFunction
from compiled_models import kind_of, make_model
from langchain_core.embeddings import DeterministicFakeEmbedding
from openai_stand_in import plain_environment, stand_in  # noqa: F401

from retriever import Document, Retriever
from retriever.embedding import embedding_class
from retriever.embedding.hashed import HashedConfig, HashedEmbedding
from retriever.embedding.openai import OpenAIConfig, OpenAIEmbedding
from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding
from retriever.embedding.static import Model2VecConfig, Model2VecEmbedding
from retriever.embedding.words import WordVectorConfig, WordVectorEmbedding
from retriever.embedding.wrapped import CallableEmbedding
from retriever.errors import ConfigurationError, IndexMismatch
from retriever_chroma import ChromaEmbedding
from retriever_langchain import LangChainEmbedding

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*lengths of texts are estimated:UserWarning"
    ),
    pytest.mark.usefixtures("plain_environment"),
]

TEXTS = ["the quick fox", "how do i rotate the key", "", "word"]
PROMPTS = {"query_prompt": "key : ", "document_prompt": "text : "}
TRANSFORMER = {"pooling": "cls", "truncate_dim": 8, "normalize": False, "too_long": "split", **PROMPTS}
ALIKE = {"too_long": "error"}

DIFFERENT = {
    "hashed": {"dimension": 32, "too_long": "split"},
    "sentence-transformers": TRANSFORMER,
    "openvino": {**TRANSFORMER, "precision": "int8"},
    "onnx": {**TRANSFORMER, "precision": "int8"},
    "word-vectors": {"pooling": "mean", "limit": 3, "lower_case": True, "normalize": False, "too_long": "split"},
    "model2vec": {"normalize": False, "too_long": "split"},
    "openai": {"revision": "2", "dimensions": 4, "normalize": False, "max_tokens": 40, "too_long": "split", **PROMPTS},
    "callable": {"called": "another"},
    "chroma": {"called": "another"},
    "langchain": {"settings": 24},
}
"""By kind: what makes other vectors. Where the model is, is added below."""

SAME = {
    "hashed": [ALIKE],
    "sentence-transformers": [ALIKE, {"device": "cpu"}, {"processes": 2}, {"batch_tokens": 99}],
    "openvino": [ALIKE, {"threads": 1}],
    "onnx": [ALIKE, {"threads": 1}],
    "word-vectors": [ALIKE, {"format": "glove"}],
    "model2vec": [ALIKE],
    "openai": [ALIKE, {"timeout": 9, "deadline": 20}, {"request_texts": 3}, {"requests_at_once": 1}],
    "callable": [],
    "chroma": [],
    "langchain": [],
}
"""By kind: settings, and arguments beside them, that change no vector."""

ELSEWHERE = {
    "revision": "of a model on the hub; its weights are in the fingerprint",
    "base_url": "where a server is; its test vectors tell",
    "key_variable": "whose key",
    "calibration": "of an int8 model: tests/embedding/test_compiled_calibration.py",
    "tokeniser": "of a server's model: tests/embedding/test_openai.py",
    "format": "of a file: the same vectors however it is read",
    "class_path": "another class of LangChain: tests/retriever_langchain",
}
WRAPPERS = {"callable", "chroma", "langchain"}
KINDS = sorted(
    point.name for point in entry_points(group="retriever.embeddings") if point.dist.name == "hybrid-retriever"
)


class Theirs(ChromaFunction):
    def __init__(self, model_name="small"):
        self.model_name = model_name

    def __call__(self, input):  # noqa: A002 - chromadb's word
        return list(_embed([self.model_name + text for text in input]))

    @staticmethod
    def name():
        return "theirs"

    def get_config(self):
        return {"model_name": self.model_name}

    @staticmethod
    def build_from_config(config):
        raise AssertionError("nothing is built from a configuration")


def _embed(texts):
    return HashedEmbedding(HashedConfig(dimension=16)).embed_documents(texts)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two models of each kind, a server, and one cache folder for what is converted."""
    folder = tmp_path_factory.mktemp("every")
    found = {"folder": folder}
    for number in (0, 1):
        make_model(folder / f"transformer{number}", seed=number)
        rng = np.random.default_rng(number)
        words = ("The", "the", "quick", "fox", "key", "word")
        lines = [" ".join([word, *map(str, rng.normal(size=4).round(3))]) for word in words]
        (folder / f"glove{number}.txt").write_text("\n".join(lines) + "\n", "utf-8")
        _static(folder / f"static{number}", rng)
    with stand_in() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVER_CACHE", str(folder / "cache"))
        found["server"] = server
        yield found


def _static(path, rng):
    import model2vec
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = ["[PAD]", "[UNK]", "the", "quick", "fox", "key", "word"]
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    vectors = rng.normal(size=(len(vocabulary), 5)).astype(np.float32)
    model2vec.StaticModel(vectors, tokenizer).save_pretrained(path)


def make(kind, places, number=0, **settings):
    """One of a kind; ``number`` is which model."""
    folder = places["folder"]
    runtime = {
        name: settings.pop(name)
        for name in [*settings]
        if name in {"device", "processes", "batch_tokens", "threads", "timeout", "deadline"} or "request" in name
    }
    if kind == "hashed":
        return HashedEmbedding(HashedConfig(**{"dimension": 16, **settings}))
    if kind == "word-vectors":
        return WordVectorEmbedding(WordVectorConfig(path=str(folder / f"glove{number}.txt"), **settings))
    if kind == "model2vec":
        return Model2VecEmbedding(Model2VecConfig(model=str(folder / f"static{number}"), **settings))
    if kind == "openai":
        config = OpenAIConfig(model=f"model{number}", base_url=places["server"].url, **settings)
        return OpenAIEmbedding(config, **runtime)
    if kind == "callable":
        return CallableEmbedding(_embed, settings.get("called", "one"))
    if kind == "chroma":
        return ChromaEmbedding(Theirs(settings.get("called", "small")))
    if kind == "langchain":
        return LangChainEmbedding(DeterministicFakeEmbedding(size=settings.get("settings", 16)))
    model = str(folder / f"transformer{number}")
    if kind == "sentence-transformers":
        config = SentenceTransformerConfig(model=model, **settings)
        return SentenceTransformerEmbedding(config, **{"device": "cpu", **runtime})
    cls, config = kind_of(kind)
    return cls(config(model=model, **settings), **runtime)


@pytest.fixture(scope="module")
def index(places):
    """Path of an index of a kind, with its usual settings."""

    def built(kind):
        path = places["folder"] / f"index-{kind}"
        if not path.exists():
            with Retriever.open(path, embedding=make(kind, places)) as retriever:
                retriever.index([Document("a", TEXTS[0]), Document("b", TEXTS[1])])
        return path

    return built


CHANGES = [(kind, name, value) for kind, changes in DIFFERENT.items() for name, value in changes.items()]
CHANGES += [(kind, "model", 1) for kind in DIFFERENT if kind not in {*WRAPPERS, "hashed"}]


CONVERTED = ("openvino", "onnx")  # their settings are the torch kind's, and converting takes long


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_of_every_kind_has_a_case(kind):
    assert kind in DIFFERENT, "a new kind needs its cases here"
    cases = {*DIFFERENT[kind], *(name for same in SAME[kind] for name in same), "model", "path", *ELSEWHERE}
    if kind in WRAPPERS:
        cases.add("too_long")  # nobody knows how long a text they read
    assert set(embedding_class(kind).Config.model_fields) <= cases


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [pytest.param(*change, marks=pytest.mark.slow if change[0] in CONVERTED else ()) for change in CHANGES],
    ids=lambda value: str(value).strip(),
)
def test_each_change_alone_is_another_fingerprint_and_refused(kind, name, value, places, index):
    other = make(kind, places, **({"number": 1} if name == "model" else {name: value}))
    usual = make(kind, places)
    assert other.fingerprint != usual.fingerprint
    with pytest.raises(IndexMismatch) as caught:
        Retriever.open(index(kind), embedding=other)
    assert other.name in str(caught.value)
    told = str(caught.value)
    assert "was built with" in told
    assert " there, " in told
    assert " here" in told
    differing = {key for key in usual.fingerprint if usual.fingerprint[key] != other.fingerprint.get(key)}
    assert all(f"{key} is " in told for key in differing)


@pytest.mark.parametrize(
    ("kind", "settings"), [(kind, same) for kind, sames in SAME.items() for same in sames], ids=str
)
def test_what_changes_no_vector_opens_the_index(kind, settings, places, index):
    with Retriever.open(index(kind), embedding=make(kind, places, **settings)) as retriever:
        assert retriever.search("quick fox", 1, mode="semantic")
        assert retriever.index([Document("a", TEXTS[0]), Document("b", TEXTS[1])], prune=False).added == 0
        recorded = json.dumps(retriever.manifest.embedding.config)
    assert not [name for name in settings if name in recorded and name not in {"too_long", "format"}]


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind in CONVERTED else ()) for kind in KINDS if kind not in WRAPPERS],
)
@pytest.mark.parametrize("changed", [False, True])
def test_it_is_rebuilt_from_its_configuration(kind, changed, places):
    settings = {key: value for key, value in DIFFERENT[kind].items() if key != "precision"} if changed else {}
    made = make(kind, places, **settings)
    stored = json.loads(json.dumps(made.config.model_dump(mode="json")))
    rebuilt = embedding_class(kind).from_config(stored)
    assert rebuilt.config == made.config
    assert rebuilt.fingerprint == made.fingerprint
    assert np.abs(rebuilt.embed_documents(TEXTS) - made.embed_documents(TEXTS)).max() < 1e-6
    assert np.abs(rebuilt.embed_queries(TEXTS) - made.embed_queries(TEXTS)).max() < 1e-6


@pytest.mark.parametrize("kind", sorted(WRAPPERS))
def test_what_wraps_an_object_says_that_it_must_be_given(kind, places):
    made = make(kind, places)
    stored = json.loads(json.dumps(made.config.model_dump(mode="json")))
    with pytest.raises(ConfigurationError, match="pass "):
        embedding_class(kind).from_config(stored)
