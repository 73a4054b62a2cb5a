"""What the chunker needs to know of a tokeniser, and two kinds of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tokenizers


_BLOCK = 256
"""Words that share an encoding."""
_BLOCKS = 64
"""Such encodings made in one call, over the machine's cores."""


class Encoding(Protocol):
    """The tokens of one text, without special tokens.

    A structural view of ``tokenizers.Encoding``.
    """

    @property
    def ids(self) -> list[int]:
        """One id a token."""

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """For each token the span of characters (code points) that it stands for."""

    def __len__(self) -> int: ...


class Tokeniser(Protocol):
    """Cuts a text into the tokens that an embedding function counts."""

    @property
    def special_tokens(self) -> int:
        """How many tokens the model adds to every text, such as ``[CLS]`` and ``[SEP]``."""

    @property
    def unknown_id(self) -> int | None:
        """Id of the unknown token; ``None`` where nothing is unknown."""

    @property
    def splits_at_space(self) -> bool:
        """Whether cutting a text at white space leaves the tokens on both sides as they were."""

    @property
    def splits_ideographs(self) -> bool:
        """Whether the same is so before and behind each Chinese character (U+3400 to U+9FFF and the like)."""

    def encode_batch(self, texts: Sequence[str]) -> Sequence[Encoding]:
        """Tokens of each text: no special tokens, nothing truncated, nothing padded."""


@runtime_checkable
class CountsWords(Protocol):
    """A tokeniser that counts the tokens of many short texts quicker than by one encoding each. Optional."""

    def count_words(self, words: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each word the number of tokens it is by itself, and of unknown ones among them."""


class FastTokeniser:
    """A private copy of a Hugging Face ``tokenizers.Tokenizer``.

    A copy, because truncation and padding belong to the model, and because a tokeniser shared between
    threads can raise "Already borrowed".
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        from tokenizers import Tokenizer, pre_tokenizers

        own = Tokenizer.from_str(tokenizer.to_str())
        own.no_truncation()
        own.no_padding()
        self._tokenizer = own
        self._special = own.num_special_tokens_to_add(is_pair=False)
        self._unknown = self._find_unknown(own)
        self._local = isinstance(own.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
        self._ideographs = self._local and getattr(own.normalizer, "handle_chinese_chars", False) is True

    @staticmethod
    def _find_unknown(tokenizer: tokenizers.Tokenizer) -> int | None:
        token = getattr(tokenizer.model, "unk_token", None)
        if isinstance(token, str):
            return tokenizer.token_to_id(token)
        # Unigram models name it by its number, and do not show that to Python.
        unknown = json.loads(tokenizer.to_str())["model"].get("unk_id")
        return unknown if isinstance(unknown, int) else None

    @property
    def library(self) -> tokenizers.Tokenizer:
        """The copy itself, without truncation and padding, for other people's chunkers to count with."""
        return self._tokenizer

    @property
    def special_tokens(self) -> int:
        """How many tokens the model adds to every text."""
        return int(self._special)

    @property
    def unknown_id(self) -> int | None:
        """Id of the unknown token."""
        return self._unknown

    @property
    def splits_at_space(self) -> bool:
        """True for BERT's rules, which first cut at white space and then look at one word at a time."""
        return self._local

    @property
    def splits_ideographs(self) -> bool:
        """True for BERT's rules where they set white space around Chinese characters, as is usual."""
        return self._ideographs

    def encode_batch(self, texts: Sequence[str]) -> Sequence[Encoding]:
        """Tokens of each text, in parallel over the machine's cores."""
        encodings: Sequence[Encoding] = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return encodings

    def count_words(self, words: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each word the number of tokens it is by itself, and of unknown ones among them.

        Making an encoding takes longer than tokenising a word, so that many words share one.
        """
        tokens = [np.zeros(0, dtype=np.int64)]
        unknown = [np.zeros(0, dtype=np.int64)]
        for block, encoding in self._blocks(words):
            word = np.array(encoding.word_ids, dtype=np.int64)
            tokens.append(np.bincount(word, minlength=len(block)))
            is_unknown = np.array(encoding.ids, dtype=np.int64) == (-1 if self._unknown is None else self._unknown)
            unknown.append(np.bincount(word[is_unknown], minlength=len(block)))
        return np.concatenate(tokens), np.concatenate(unknown)

    def _blocks(self, words: Sequence[str]) -> Iterator[tuple[list[str], tokenizers.Encoding]]:
        """Blocks of words with their encodings, which take hundreds of bytes a token: so many at a time."""
        at_once = _BLOCK * _BLOCKS
        for start in range(0, len(words), at_once):
            stop = min(start + at_once, len(words))
            blocks = [list(words[i : min(i + _BLOCK, stop)]) for i in range(start, stop, _BLOCK)]
            encodings = self._tokenizer.encode_batch(blocks, is_pretokenized=True, add_special_tokens=False)
            yield from zip(blocks, encodings, strict=True)


class _Words:
    """Encoding of :class:`WordTokeniser`."""

    __slots__ = ("ids", "offsets")

    def __init__(self, offsets: list[tuple[int, int]]) -> None:
        self.offsets = offsets
        self.ids = [0] * len(offsets)

    def __len__(self) -> int:
        return len(self.offsets)


_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]{{1,32}}|[^\w\s]")


class WordTokeniser:
    """Words, single CJK characters and punctuation marks: for embedding functions without a tokeniser.

    A run of letters counts as one token for every 32 characters, so that no token is unbounded.
    """

    special_tokens = 0
    unknown_id = None
    splits_at_space = True
    splits_ideographs = True

    def encode_batch(self, texts: Sequence[str]) -> Sequence[Encoding]:
        """Words of each text."""
        return [_Words([match.span() for match in _WORD.finditer(text)]) for text in texts]
