"""Counting tokens of models that are elsewhere: exactly where that can be done, else by estimate, which is told of."""

from __future__ import annotations

import threading

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from openai_stand_in import no_encoding, plain_environment, small_encoding  # noqa: F401

from retriever.chunking import Chunker, ChunkerConfig
from retriever.embedding.openai import OpenAIConfig, OpenAIEmbedding, tokens
from retriever.embedding.openai.tokens import EstimatingTokeniser, TiktokenTokeniser, cut
from retriever.errors import ModelNotFound
from retriever.tokeniser import FastTokeniser

pytestmark = pytest.mark.usefixtures("plain_environment")

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("the ing检索é\n "), max_size=60)
KINDS = ["tiktoken", "estimate", "bytes"]


def byte_pairs():
    """Like GPT's own, trained on a few words; characters are cut into bytes."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["the thing is in the thinking"] * 5, trainer)
    return tokenizer


def small():
    ranks = {bytes([byte]): byte for byte in range(256)}
    for pair in (b"th", b"the", b" the", b"in", b"ing", "检".encode()[:2]):
        ranks[pair] = len(ranks)
    return tiktoken.Encoding(
        "small", pat_str=r" ?\p{L}+|\p{N}|\s+|.", mergeable_ranks=ranks, special_tokens={"<|x|>": 999}
    )


TOKENISERS = {
    "tiktoken": TiktokenTokeniser(small()),
    "estimate": EstimatingTokeniser(),
    "bytes": FastTokeniser(byte_pairs()),
}


@given(texts)
def test_offsets_are_those_of_the_bytes(text):
    (encoding,) = TOKENISERS["tiktoken"].encode_batch([text])
    assert len(encoding) == len(encoding.ids) == len(encoding.offsets)
    ends = [len(text[: n + 1].encode()) for n in range(len(text))]
    at = 0
    for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        piece = small().decode_single_token_bytes(token)
        first = next(n for n in range(len(text)) if at < ends[n])
        at += len(piece)
        last = next(n for n in range(len(text)) if at <= ends[n])
        assert (start, end) == (first, last + 1)
    assert at == len(text.encode())


def test_what_looks_special_is_text():
    (encoding,) = TOKENISERS["tiktoken"].encode_batch(["a<|x|>"])
    assert 999 not in encoding.ids
    assert encoding.offsets[-1] == (5, 6)


@given(texts)
def test_an_estimate_leaves_out_nothing_but_single_spaces(text):
    (encoding,) = TOKENISERS["estimate"].encode_batch([text])
    covered = {n for start, end in encoding.offsets for n in range(start, end)}
    assert all(text[n].isspace() for n in range(len(text)) if n not in covered)
    assert encoding.offsets == sorted(encoding.offsets)


@pytest.mark.parametrize(
    ("text", "count"),
    [("international", 5), ("the quick brown fox", 6), ("1234567", 4), ("检索增强生成", 12), ("a\n\n\nb", 3), ("", 0)],
)
def test_estimates(text, count):
    assert len(TOKENISERS["estimate"].encode_batch([text])[0]) == count


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts, room=st.integers(1, 30))
def test_what_is_cut_fits_and_is_the_beginning(kind, text, room):
    tokeniser = TOKENISERS[kind]
    if len(tokeniser.encode_batch([text])[0]) <= room:
        return
    piece = cut(text, room, tokeniser)
    assert text.startswith(piece)
    assert len(tokeniser.encode_batch([piece])[0]) <= room
    if room >= 8:
        assert piece


def test_what_is_cut_is_counted_again():
    """A token may hold the first byte of a character that falls away; what is left of it can be two tokens."""
    first = "检".encode()[:1]
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"b" + first: 256, b"ab" + first: 257}
    encoding = tiktoken.Encoding("shared", pat_str=r"\p{L}+", mergeable_ranks=ranks, special_tokens={})
    assert [encoding.decode_single_token_bytes(token) for token in encoding.encode("xab检")][:2] == [
        b"x",
        b"ab" + first,
    ]
    assert cut("xab检", 2, TiktokenTokeniser(encoding)) == "x"


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(texts, max_size=5))
def test_chunks_keep_to_the_limit(kind, given_texts):
    tokeniser = TOKENISERS[kind]
    chunker = Chunker(tokeniser, ChunkerConfig(size=8, overlap=0))
    for text, chunked in zip(given_texts, chunker.split(given_texts, [False] * len(given_texts)), strict=True):
        for span in chunked.spans:
            assert len(tokeniser.encode_batch([text[span.start : span.end]])[0]) <= 8


def openai_function(**settings):
    return OpenAIEmbedding(OpenAIConfig(**{"model": "text-embedding-3-small", **settings}))


@pytest.mark.usefixtures("small_encoding")
def test_openais_models_have_openais_tokeniser():
    function = openai_function(query_prompt="the ")
    assert isinstance(function.tokeniser, TiktokenTokeniser)
    assert function.content_tokens("document") == 8191
    assert function.content_tokens("query") == 8189
    assert "tokeniser" not in function.fingerprint
    assert openai_function(too_long="split").fingerprint["tokeniser"] == "cl100k_base"


@pytest.mark.usefixtures("no_encoding")
def test_where_it_cannot_be_had_lengths_are_estimated_and_that_is_told():
    with pytest.warns(UserWarning, match="estimated.*cl100k_base is not on this machine.*TIKTOKEN_CACHE_DIR"):
        assert isinstance(openai_function().tokeniser, EstimatingTokeniser)
    with pytest.warns(UserWarning, match="estimated"):
        assert openai_function(too_long="split").fingerprint["tokeniser"] == "estimate"
    assert openai_function().fingerprint["max_tokens"] == "8191"


@pytest.mark.usefixtures("no_encoding")
def test_a_network_that_swallows_the_request_is_given_up(monkeypatch):
    """A listener that never answers stands for it: the download has no limit of its own."""
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(tokens, "_PATIENCE", 0.3)
        assert tokens.openai_tokeniser() is None
        left = [thread for thread in threading.enumerate() if thread.name == "retriever-tiktoken"]
    for thread in left:
        thread.join(10)


def test_a_model_without_a_limit_needs_no_tokeniser():
    assert openai_function(model="bge-m3").tokeniser is None
    assert openai_function(model="bge-m3").content_tokens("document") is None


@pytest.mark.parametrize("place", ["tokenizer.json", ""])
def test_a_tokeniser_of_ones_own_by_file_or_folder(tmp_path, monkeypatch, place):
    byte_pairs().save(str(tmp_path / "tokenizer.json"))
    monkeypatch.chdir(tmp_path.parent)
    function = openai_function(model="bge-m3", tokeniser=f"{tmp_path.name}/{place}", max_tokens=512, query_prompt="the")
    assert function.config.tokeniser == str(tmp_path / place)
    monkeypatch.chdir("/")
    again = OpenAIEmbedding.from_config(function.config.model_dump(mode="json"))
    assert len(again.tokeniser.encode_batch(["the thing"])[0]) == len(byte_pairs().encode("the thing"))
    assert again.content_tokens("query") == 512 - len(byte_pairs().encode("the"))


def test_a_file_that_is_no_tokeniser(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelNotFound, match="not a usable"):
        openai_function(tokeniser=str(tmp_path)).tokeniser  # noqa: B018


@pytest.mark.parametrize("name", ["no-such/model", "not a name", "/no/such/folder"])
def test_a_tokeniser_that_is_nowhere(name, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read when it is imported
    with pytest.raises(ModelNotFound, match="no tokeniser"):
        openai_function(tokeniser=name).fingerprint  # noqa: B018
