"""What the base class does for every embedding function."""

import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from retriever.embedding import embedding_class, resolve_embedding
from retriever.embedding.base import CANARIES, EmbeddingConfig, EmbeddingFunction, TruncationWarning
from retriever.embedding.hashed import HashedEmbedding
from retriever.errors import ConfigurationError, EmbeddingError, InvalidInput
from retriever.registry import register
from retriever.tokeniser import WordTokeniser


class Lengths(EmbeddingFunction):
    """The example of the documentation."""

    kind = "lengths"
    dimension = 2

    def _embed(self, texts, role):
        return [[len(text), text.count(" ")] for text in texts]


class Batches(Lengths):
    """Remembers what it was given."""

    batch_size = 3

    def __init__(self):
        super().__init__()
        self.given = []

    def _embed(self, texts, role):
        self.given.append((role, list(texts)))
        return super()._embed(texts, role)


class Returns(Lengths):
    """Returns whatever it is told to."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def _embed(self, texts, role):
        return self.what


class Short(Lengths):
    """Reads five words, one of them special and one of the query's prompt."""

    max_tokens = 5

    class Tokeniser(WordTokeniser):
        special_tokens = 1

    tokeniser = Tokeniser()

    def prompt_tokens(self, role):
        return 1 if role == "query" else 0


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=12)


def test_the_example_of_the_documentation_is_in_the_documentation():
    assert 'return [[len(text), text.count(" ")] for text in texts]' in EmbeddingFunction.__doc__


def test_a_minimal_function_is_complete():
    lengths = Lengths()
    assert lengths.embed_documents(["a b c", ""]).tolist() == [[5, 2], [0, 0]]
    assert lengths.embed_query("ab").tolist() == [2, 0]
    assert lengths.embed_query("ab").dtype == lengths.embed_documents([]).dtype == np.float32
    assert lengths.embed_documents([]).shape == (0, 2)
    assert (lengths.name, lengths.max_tokens, lengths.tokeniser) == ("lengths", None, None)
    assert lengths.content_tokens("document") is None
    assert lengths.fingerprint == {"kind": "lengths", "dimension": "2"}
    assert lengths.canaries().shape == (len(CANARIES), 2)
    rebuilt = Lengths.from_config(lengths.config.model_dump(mode="json"))
    assert rebuilt.fingerprint == lengths.fingerprint
    unregister = register("retriever.embeddings", "lengths", Lengths)
    try:
        assert isinstance(resolve_embedding("lengths"), Lengths)
    finally:
        unregister()


def test_a_function_without_its_method_cannot_be_made():
    class Nothing(EmbeddingFunction):
        kind = "nothing"

    with pytest.raises(TypeError, match="abstract"):
        Nothing()


@given(texts)
def test_order_is_kept_and_batches_are_small_and_of_like_length(some):
    batches = Batches()
    assert batches.embed_documents(some)[:, 0].tolist() == [len(text) for text in some]
    assert all(role == "document" and 1 <= len(batch) <= 3 for role, batch in batches.given)
    flat = [text for _, batch in batches.given for text in batch]
    assert sorted(flat) == sorted(set(some))  # equal ones are embedded once
    assert [len(text) for text in flat] == sorted(map(len, set(some)), reverse=True)


def test_documents_and_queries_are_told_apart():
    batches = Batches()
    batches.embed_documents(("a",))
    batches.embed_queries(["b"])
    batches.embed_query("c")
    assert batches.given == [("document", ["a"]), ("query", ["b"]), ("query", ["c"])]
    batches.given.clear()
    batches.canaries()
    assert [(role, sorted(batch)) for role, batch in batches.given] == [
        ("document", sorted(CANARIES[:-1])),
        ("query", [CANARIES[-1]]),
    ]


def test_any_number_array_will_do():
    for what in ([[1, 2]], [(1.0, 2.0)], np.array([[1, 2]], dtype=np.int64), np.array([[1, 2]], dtype=np.float16)):
        vectors = Returns(what).embed_documents(["a"])
        assert vectors.dtype == np.float32
        assert vectors.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ([], r"shape \(0,\) where \(2, 2\)"),
        ([[1, 2]], r"shape \(1, 2\) where \(2, 2\)"),
        ([[1, 2]] * 3, r"shape \(3, 2\) where \(2, 2\)"),
        ([[1], [2]], r"shape \(2, 1\) where \(2, 2\)"),
        ([[1, 2, 3]] * 2, r"shape \(2, 3\) where \(2, 2\)"),
        ([1, 2], r"shape \(2,\) where \(2, 2\)"),
        ([[[1, 2]], [[1, 2]]], r"shape \(2, 1, 2\) where \(2, 2\)"),
        ([[1, 2], [1]], r"no array of shape \(2, 2\)"),
        ([["a", "b"]] * 2, r"no array of shape \(2, 2\)"),
        (None, r"where \(2, 2\)|no array of shape \(2, 2\)"),
        ({"a": 1}, r"no array of shape \(2, 2\)"),
    ],
)
def test_a_wrong_count_or_dimension_is_an_error_that_names_the_function(what, message):
    with pytest.raises(EmbeddingError, match=f"lengths returned .*{message}"):
        Returns(what).embed_documents(["x", "y"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, None])
def test_what_is_not_finite_is_an_error_that_names_the_text(bad):
    # The longer text comes first.
    with pytest.raises(EmbeddingError, match="lengths returned NaN or infinity for the text 'short'"):
        Returns(np.array([[1, 2], [3, bad]], dtype=np.float64)).embed_documents(["short", "the longer one"])


def test_long_texts_are_cut_in_the_message():
    with pytest.raises(EmbeddingError) as caught:
        Returns([[np.nan, 0]]).embed_query("x" * 1000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("method", ["embed_documents", "embed_queries"])
@pytest.mark.parametrize(
    ("given_texts", "message"),
    [
        ("one text", "a list of texts is needed"),
        (["fine", "bad\ud800"], "text 1 to embed holds a lone surrogate at character 3"),
        (["fine", None], "text 1 to embed is a NoneType, not a string"),
        ([b"bytes"], "text 0 to embed is a bytes, not a string"),
    ],
)
def test_wrong_texts_are_refused_before_any_is_embedded(method, given_texts, message):
    batches = Batches()
    with pytest.raises(InvalidInput, match=message):
        getattr(batches, method)(given_texts)
    assert batches.given == []


def test_the_end_that_is_not_read_is_warned_of():
    short = Short()
    assert (short.content_tokens("document"), short.content_tokens("query")) == (4, 3)
    with pytest.warns(TruncationWarning, match="lengths reads 4 tokens: the end of 2 of 3 document texts") as caught:
        short.embed_documents(["a b c d e", "a b c d", "a b c d e f"])
    assert caught[0].filename == __file__
    with pytest.warns(TruncationWarning, match="lengths reads 3 tokens: the end of 1 of 1 query texts"):
        short.embed_query("a b c d")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        short.embed_documents(["a b c d"])
        short.embed_query("a b c")
        short.canaries()
        short.embed_documents(["a b c d e"], warn=False)
        short.embed_queries(["a b c d e"], warn=False)


def test_lengths_are_counted_in_tokens_where_they_can_be():
    class Counted(Batches):
        tokeniser = WordTokeniser()
        max_tokens = 100

    counted = Counted()
    counted.embed_documents(["a b c", "longerword", "x y"])
    assert counted.given[0][1] == ["a b c", "x y", "longerword"]


def test_one_thread_at_a_time_embeds():
    class Careful(Lengths):
        inside = 0
        most = 0

        def _embed(self, texts, role):
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.002)
            self.inside -= 1
            return super()._embed(texts, role)

    careful = Careful()
    answers = []
    work = [
        threading.Thread(target=lambda n=n: answers.append((n, careful.embed_query("x" * n)[0]))) for n in range(12)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert careful.most == 1
    assert sorted(answers) == [(n, n) for n in range(12)]


def test_settings():
    class Settings(EmbeddingConfig):
        model: str
        size: int | None = None

    class Settled(Lengths):
        kind = "settled"
        Config = Settings

    settled = Settled(Settings(model="m"))
    assert settled.fingerprint == {"kind": "settled", "dimension": "2", "model": "m", "size": "None"}
    assert Settled.from_config({"model": "m", "size": 3}).config == Settings(model="m", size=3)
    with pytest.raises(ValidationError):
        Settled.from_config({"model": "m", "sise": 3})
    with pytest.raises(ValidationError):
        settled.config.model = "other"


def test_names():
    assert isinstance(resolve_embedding("hashed"), HashedEmbedding)
    lengths = Lengths()
    assert resolve_embedding(lengths) is lengths
    with pytest.raises(ConfigurationError, match="'lengths' takes no name, but 'x' was given"):
        Lengths.from_name("x")
    with pytest.raises(ConfigurationError, match="name is empty"):
        resolve_embedding("  ")


@pytest.mark.parametrize("what", [5, ["hashed"], HashedEmbedding, None])
def test_what_is_no_embedding_function(what):
    with pytest.raises(ConfigurationError, match=f"not a {type(what).__name__}"):
        resolve_embedding(what)


def test_a_plug_in_of_another_kind_is_refused():
    unregister = register("retriever.embeddings", "strange", dict)
    try:
        with pytest.raises(ConfigurationError, match="'strange' is a dict, which is no EmbeddingFunction"):
            embedding_class("strange")
    finally:
        unregister()
