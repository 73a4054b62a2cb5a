"""Hashed words: an embedding function without a model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from retriever.embedding import resolve_embedding
from retriever.embedding.hashed import HashedConfig, HashedEmbedding
from retriever.errors import ConfigurationError
from retriever.testing import CountingEmbedding

HASHED = HashedEmbedding()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(texts, max_size=5))
def test_vectors_have_length_1_or_0(some):
    vectors = HASHED.embed_documents(some)
    assert vectors.shape == (len(some), 256)
    assert vectors.dtype == np.float32
    for text, vector in zip(some, vectors, strict=True):
        norm = np.linalg.norm(vector)
        assert norm == 0 or norm == pytest.approx(1, abs=1e-5)
        assert (vector == HASHED.embed_query(text)).all()


@pytest.mark.parametrize("text", ["", "  \n", "...", "the of and", "👩"])
def test_a_text_without_words_gives_the_zero_vector(text):
    assert not HASHED.embed_query(text).any()


def test_it_knows_words_and_not_their_order():
    one, other, apart = HASHED.embed_documents(["red fox runs", "Runs: the red foxes", "green apple pie"])
    assert one @ other == pytest.approx(1)
    assert abs(one @ apart) < 0.7
    assert HASHED.embed_query("red fox runs") @ HASHED.embed_query("red fox sleeps") > 0.4


def test_chinese_shares_characters():
    one, other = HASHED.embed_documents(["数据库索引", "索引数据库"])
    assert one @ other > 0.7


def test_vectors_are_the_same_on_every_machine():
    vector = HashedEmbedding(HashedConfig(dimension=8)).embed_query("the quick brown fox, 数据")
    assert vector == pytest.approx([-0.3535534, 0, -0.7071068, 0, 0.3535534, 0.3535534, 0, -0.3535534], abs=1e-6)


@pytest.mark.parametrize("dimension", [1, 7, 256, 65_536])
def test_dimensions(dimension):
    made = HashedEmbedding.from_name(str(dimension))
    assert made.dimension == dimension
    assert made.name == f"hashed:{dimension}"
    assert made.embed_query("word").shape == (dimension,)
    assert made.fingerprint == {"kind": "hashed", "dimension": str(dimension)}
    again = HashedEmbedding.from_config(made.config.model_dump(mode="json"))
    assert again.fingerprint == made.fingerprint
    assert (again.embed_query("word") == made.embed_query("word")).all()
    assert resolve_embedding(made.name).dimension == dimension


def test_the_default():
    assert HashedEmbedding.from_name("").dimension == resolve_embedding("hashed").dimension == 256


@pytest.mark.parametrize("name", ["0", "-1", "65537", "big", "2.5", "1e3", " 8", "256:x"])
def test_what_is_no_dimension(name):
    with pytest.raises(ConfigurationError, match="write hashed:256"):
        HashedEmbedding.from_name(name)


@pytest.mark.parametrize("config", [{"dimension": 0}, {"dimension": 65_537}, {"dimensions": 8}])
def test_wrong_settings(config):
    with pytest.raises(ValidationError):
        HashedEmbedding.from_config(config)


def test_it_counts_tokens_but_has_no_limit():
    assert HASHED.max_tokens is None
    assert HASHED.tokeniser.encode_batch(["two words"])[0].offsets == [(0, 3), (4, 9)]


def test_the_counting_fake_gives_the_same_vectors_and_counts(counting):
    made = CountingEmbedding()
    assert (made.embed_documents(["a b"]) == HASHED.embed_documents(["a b"])).all()
    made.embed_query("q")
    assert (counting.documents, counting.queries) == (["a b"], ["q"])
    assert isinstance(resolve_embedding("counting"), CountingEmbedding)
