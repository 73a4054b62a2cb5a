"""LangChain's embeddings as ours: what an index records of them, and what it refuses."""

import json
import math
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any, ClassVar

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings, FakeEmbeddings
from langchain_qdrant import QdrantVectorStore
from pydantic import BaseModel

from retriever import Document, Retriever, copy_index
from retriever.embedding import resolve_embedding
from retriever.embedding.base import CANARIES
from retriever.errors import ConfigurationError, EmbeddingError, IndexMismatch, InvalidInput, ManifestUnreadable
from retriever_langchain import EmbeddingFunctionEmbeddings, LangChainEmbedding
from retriever_langchain.embedding_function import as_embedding_function

DOCUMENTS = [Document("a", "the quick brown fox"), Document("b", "the lazy dog"), Document("c", "a red herring")]


class Plain(Embeddings):
    """No pydantic model: attributes that its constructor sets, and some that change later."""

    def __init__(self, model="small", size=4, *, api_key="sk-aaaaaaaaaaaaaaaaaaaaaaaa"):
        self.model = model
        self._size = size
        self.api_key = api_key
        self.calls = 0

    def embed_documents(self, texts):
        self.calls += 1
        return [self._vector(f"{self.model} document {text}") for text in texts]

    def embed_query(self, text):
        return self._vector(f"{self.model} query {text}")

    def _vector(self, text):
        numbers = random.Random(text)
        return [numbers.gauss(0, 1) for _ in range(self._size)]


@dataclass
class Data(Plain):
    model: str = "small"
    size: int = 4
    timeout: float = 3.0

    def __post_init__(self):
        Plain.__init__(self, self.model, self.size)


class Model(Plain, BaseModel):
    model: str = "small"
    size: int = 4
    max_retries: int = 2
    model_kwargs: dict[str, Any] = {}

    def __init__(self, **given):
        BaseModel.__init__(self, **given)

    def embed_documents(self, texts):
        return [self._vector(f"{self.model} document {text}") for text in texts]

    def _vector(self, text):
        numbers = random.Random(text)
        return [numbers.gauss(0, 1) for _ in range(self.size)]


KINDS = [Plain, Data, Model]


def index(place, embeddings):
    """Make an index of three documents, and close it."""
    with Retriever.open(place, embedding=LangChainEmbedding(embeddings)) as opened:
        opened.index(DOCUMENTS)
        return opened.manifest


@pytest.mark.parametrize("kind", KINDS)
def test_roles_order_and_dimension(kind):
    wrapped, original = LangChainEmbedding(kind(size=6)), kind(size=6)
    texts = ["bb", "", "a", "cccc"]
    assert wrapped.dimension == 6
    assert np.array_equal(wrapped.embed_documents(texts), np.float32(original.embed_documents(texts)))
    assert np.array_equal(wrapped.embed_query("a"), np.float32(original.embed_query("a")))
    assert not np.array_equal(wrapped.embed_query("a"), wrapped.embed_documents(["a"])[0])


def test_nothing_is_embedded_before_it_is_needed_and_the_dimension_once():
    plain = Plain()
    wrapped = LangChainEmbedding(plain)
    assert plain.calls == 0
    for _ in range(3):
        assert wrapped.dimension == 4
    assert plain.calls == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_opens_again_with_equal_settings_and_embeds_nothing_twice(tmp_path, kind):
    index(tmp_path / "index", kind(model="large"))
    again = kind(model="large")
    with Retriever.open(tmp_path / "index", embedding=LangChainEmbedding(again)) as opened:
        report = opened.index(DOCUMENTS)
        assert (report.added, report.skipped) == (0, 3)
        assert len(opened.search("dog", 3, mode="semantic")) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [{"model": "other"}, {"size": 5}])
def test_another_model_or_dimension_is_refused_at_once(tmp_path, kind, other):
    index(tmp_path / "index", kind())
    with pytest.raises(IndexMismatch, match=next(iter(other))):
        Retriever.open(tmp_path / "index", embedding=LangChainEmbedding(kind(**other)))


def test_another_class_is_refused_at_once_with_both_names(tmp_path):
    index(tmp_path / "index", Plain())
    with pytest.raises(IndexMismatch, match=r"(?s)Plain.*langchain_core\.embeddings\.fake\.DeterministicFakeEmbedding"):
        Retriever.open(tmp_path / "index", embedding=LangChainEmbedding(DeterministicFakeEmbedding(size=4)))


def test_the_advice_of_a_refusal_works(tmp_path):
    index(tmp_path / "index", Plain())
    other = LangChainEmbedding(DeterministicFakeEmbedding(size=4))
    with pytest.raises(IndexMismatch, match=r"retriever\.copy_index\('qdrant:.*', 'NEW', embedding=\.\.\.\)"):
        Retriever.open(tmp_path / "index", embedding=other)
    copy_index(tmp_path / "index", tmp_path / "new", embedding=other)
    with Retriever.open(tmp_path / "new", embedding=other) as opened:
        assert opened.search("the lazy dog", 1, mode="semantic")[0].text == "the lazy dog"


def test_the_fakes_of_langchain_stable_and_random(tmp_path):
    index(tmp_path / "stable", DeterministicFakeEmbedding(size=16))
    same = LangChainEmbedding(DeterministicFakeEmbedding(size=16))
    with Retriever.open(tmp_path / "stable", embedding=same) as opened:
        assert opened.search("the lazy dog", 1, mode="semantic")[0].text == "the lazy dog"
    with pytest.raises(IndexMismatch, match=r"dimension is '16' there, '17' here"):
        Retriever.open(tmp_path / "stable", embedding=LangChainEmbedding(DeterministicFakeEmbedding(size=17)))

    index(tmp_path / "random", FakeEmbeddings(size=16))
    with (
        Retriever.open(tmp_path / "random", embedding=LangChainEmbedding(FakeEmbeddings(size=16))) as opened,
        pytest.raises(IndexMismatch, match="other vectors"),
    ):
        opened.search("the lazy dog")


def test_a_model_that_changed_under_its_name_is_noticed(tmp_path):
    class Changing(Plain):
        weights = 1

        def _vector(self, text):
            return super()._vector(f"{self.weights} {text}")

    index(tmp_path / "index", Changing())
    Changing.weights = 2
    with (
        Retriever.open(tmp_path / "index", embedding=LangChainEmbedding(Changing())) as opened,
        pytest.raises(IndexMismatch, match="now gives other vectors"),
    ):
        opened.search("fox")


def test_an_index_cannot_make_the_object_again_and_says_what_to_do(tmp_path):
    index(tmp_path / "index", Plain(model="large"))
    with (
        Retriever.open(tmp_path / "index") as opened,
        pytest.raises(ConfigurationError, match=r"(?s)\.Plain \(model='large'\).*pass embedding=LangChainEmbedding"),
    ):
        opened.search("fox")


def test_a_manifest_makes_no_program_import_anything(tmp_path):
    path = tmp_path / "trap.py"
    path.write_text("raise SystemExit('imported')")
    config = {"class_path": "trap.Embeddings", "settings": {}}
    with pytest.raises(ConfigurationError, match=r"trap\.Embeddings"):
        LangChainEmbedding.from_config(config)


def test_a_damaged_manifest_is_a_typed_error(tmp_path):
    from retriever.identity import resolve_recorded

    manifest = index(tmp_path / "index", Plain())
    damaged = manifest.embedding.model_copy(update={"config": {"settings": 7}})
    with pytest.raises(ManifestUnreadable):
        resolve_recorded(damaged, "here")


@pytest.mark.parametrize("name", ["langchain", "langchain:OpenAIEmbeddings"])
def test_a_name_leads_nowhere_and_says_what_to_do(name):
    with pytest.raises(ConfigurationError, match="pass the object"):
        resolve_embedding(name)


@pytest.mark.parametrize("bad", ["hashed", None, 3, dict])
def test_what_is_no_langchain_object_is_refused(bad):
    with pytest.raises(ConfigurationError, match="LangChain Embeddings"):
        LangChainEmbedding(bad)


def test_ours_in_their_clothes_opens_by_the_address_alone(tmp_path):
    clothed = EmbeddingFunctionEmbeddings("hashed:32")
    with Retriever.open(tmp_path / "index", embedding=as_embedding_function(clothed)) as opened:
        opened.index(DOCUMENTS)
    with Retriever.open(tmp_path / "index") as opened:
        assert opened.search("fox")[0].document_id == "a"


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_holds_no_secret_and_is_json(tmp_path, kind):
    secret = "sk-0123456789abcdefghijklmn"
    embeddings = kind()
    if isinstance(embeddings, BaseModel):
        embeddings.model_kwargs = {"headers": {"x": secret}, "api_key": secret, "normalize": True}
    else:
        embeddings.api_key = secret
    written = index(tmp_path / "index", embeddings).model_dump_json()
    assert secret not in written
    config = json.loads(written)["embedding"]["config"]
    assert config == LangChainEmbedding(embeddings).config.model_dump(mode="json")


def test_the_fingerprint_does_not_change_with_use():
    plain = Plain()
    before = LangChainEmbedding(plain).fingerprint
    LangChainEmbedding(plain).embed_documents(["a"])
    assert LangChainEmbedding(plain).fingerprint == before
    assert before["model"] == '"small"'
    assert before["dimension"] == "4"
    assert before["class"].endswith("Plain")


class Bad(Plain):
    """Returns what it is told to, once the dimension is known."""

    answer: Any = None

    def embed_documents(self, texts):
        return super().embed_documents(texts) if tuple(texts) == CANARIES[:1] else type(self).answer(texts)

    def embed_query(self, text):
        return self.embed_documents([text])[0]


UNUSABLE = {
    "fewer vectors than texts": lambda texts: [[1.0] * 4 for _ in texts[1:]],
    "more vectors than texts": lambda texts: [[1.0] * 4 for _ in [*texts, ""]],
    "none": lambda texts: None,
    "another dimension": lambda texts: [[1.0] * 5 for _ in texts],
    "ragged": lambda texts: [[1.0] * (4 + row) for row, _ in enumerate(texts)],
    "NaN": lambda texts: [[math.nan] * 4 for _ in texts],
    "infinity": lambda texts: [[math.inf] * 4 for _ in texts],
    "no numbers": lambda texts: [["x"] * 4 for _ in texts],
    "None among them": lambda texts: [None, *[[1.0] * 4 for _ in texts[1:]]],
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_unusable_vectors_are_typed_errors_and_nothing_is_stored(tmp_path, what):
    class Told(Bad):
        answer = staticmethod(UNUSABLE[what])

    wrapped = LangChainEmbedding(Told())
    with pytest.raises(EmbeddingError, match="Told"):
        wrapped.embed_documents(["one", "two", "three"])


class Short(DeterministicFakeEmbedding):
    """Loses the last vector of a batch, as a provider's answer that was cut off."""

    def embed_documents(self, texts):
        return super().embed_documents(texts)[: max(len(texts) - 1, 1)]


def test_a_short_answer_loses_documents_in_langchain_qdrant_and_is_an_error_here(tmp_path):
    texts = ["one", "two", "three"]
    peer = QdrantVectorStore.from_texts(texts[:1], Short(size=4), location=":memory:", collection_name="peer")
    assert len(peer.add_texts(texts)) == 3  # it says that all three are there
    assert peer.client.count("peer").count == 1 + 2

    with Retriever.open(tmp_path / "index", embedding=LangChainEmbedding(DeterministicFakeEmbedding(size=4))) as made:
        made.index([Document("kept", "kept")])
    short = LangChainEmbedding(Short(size=4))
    with pytest.raises(EmbeddingError, match=r"shape \(2, 4\) where \(3, 4\)"):
        short.embed_documents(texts)


@pytest.mark.parametrize("answer", [[], [[]], None, [3]])
def test_no_vector_at_all_is_a_typed_error(answer):
    class Empty(Plain):
        def embed_documents(self, texts):
            return answer

    with pytest.raises(EmbeddingError, match="no vector"):
        _ = LangChainEmbedding(Empty()).dimension


class AuthenticationError(Exception):
    pass


def test_an_error_of_the_provider_is_the_cause_and_its_message_is_not_repeated():
    class Refused(Plain):
        def embed_documents(self, texts):
            raise AuthenticationError(f"Incorrect API key provided: {self.api_key}")

    wrapped = LangChainEmbedding(Refused())
    with pytest.raises(EmbeddingError, match="AuthenticationError for 1 document texts") as caught:
        wrapped.embed_documents(["a"])
    assert isinstance(caught.value.__cause__, AuthenticationError)
    assert "sk-" not in str(caught.value)


def test_our_own_errors_pass_through():
    class Ours(Plain):
        def embed_query(self, text):
            raise InvalidInput("too long for this model")

    with pytest.raises(InvalidInput, match="too long"):
        LangChainEmbedding(Ours()).embed_query("a")


def test_many_texts_are_given_in_batches_and_come_back_in_order():
    class Watched(Plain):
        sizes: ClassVar = []

        def embed_documents(self, texts):
            assert isinstance(texts, list)
            self.sizes.append(len(texts))
            return super().embed_documents(texts)

    texts = [f"text {number}" for number in range(600)]
    vectors = LangChainEmbedding(Watched()).embed_documents(texts)
    assert max(Watched.sizes) == LangChainEmbedding.batch_size
    assert np.array_equal(vectors, np.float32(Plain().embed_documents(texts)))


def test_a_slow_probe_is_made_once_by_many_threads():
    from concurrent.futures import ThreadPoolExecutor

    class Slow(Plain):
        def embed_documents(self, texts):
            time.sleep(0.05)
            return super().embed_documents(texts)

    slow = Slow()
    wrapped = LangChainEmbedding(slow)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: wrapped.dimension, range(4))) == {4}
    assert slow.calls == 1


def test_queries_do_not_wait_for_each_other():
    """Each of the four waits until all four are being embedded."""
    meeting = Barrier(4)

    class Remote(Plain):
        waits = False

        def embed_query(self, text):
            if self.waits:
                meeting.wait(20)
            return super().embed_query(text)

    embeddings = Remote()
    with Retriever.open("memory:", embedding=LangChainEmbedding(embeddings)) as opened:
        opened.index(DOCUMENTS)
        embeddings.waits = True
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda text: opened.search(text, 1), ["fox", "dog", "herring", "red"]))
    assert all(found)
