"""Texts as a transformer takes them: numbers of tokens, padded to the longest of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from retriever.types import FloatMatrix


class TokenRules(BaseModel):
    """What a tokeniser's own file does not say reliably.

    :param max_tokens: of a text, special tokens and prompt included; None for no limit.
    :param pad_id: what shorter texts are filled up with.
    :param pads_left: whether in front.
    :param cuts_left: whether a text that is too long loses its beginning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int | None
    pad_id: int
    pads_left: bool = False
    cuts_left: bool = False


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Tokens of some texts.

    :param ids: int64, shape ``(texts, tokens of the longest)``.
    :param mask: 1 where a token is, 0 where it is padding.
    """

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


class ToTokens:
    """A private copy of a model's tokeniser, with the model's special tokens and limit.

    :param tokeniser: as ``tokenizers`` writes it, JSON.
    :param rules: of the model.
    """

    def __init__(self, tokeniser: str, rules: TokenRules) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokeniser)
        self._tokenizer.no_padding()  # files may ask for 128 tokens, always
        self._tokenizer.no_truncation()
        if rules.max_tokens is not None:
            self._tokenizer.enable_truncation(rules.max_tokens, direction="left" if rules.cuts_left else "right")
        self.rules = rules
        self.json = tokeniser

    @property
    def is_plain(self) -> bool:
        """Whether all tokens of a single text are of the same type, 0: then no model needs to be told of types."""
        return not any(self._tokenizer.encode("a word").type_ids)

    def __call__(self, texts: Sequence[str], prompt: str = "") -> TokenBatch:
        """Tokens of a batch.

        :param texts: at least one.
        :param prompt: put before each.
        """
        encodings = self._tokenizer.encode_batch([prompt + text for text in texts] if prompt else list(texts))
        longest = max(1, max(len(encoding) for encoding in encodings))
        ids = np.full((len(texts), longest), self.rules.pad_id, dtype=np.int64)
        mask = np.zeros((len(texts), longest), dtype=np.int64)
        for row, encoding in enumerate(encodings):
            length = len(encoding)
            place = slice(longest - length, longest) if self.rules.pads_left else slice(0, length)
            ids[row, place] = encoding.ids
            mask[row, place] = 1
        return TokenBatch(ids, mask)


def finished(vectors: FloatMatrix, dimension: int, normalize: bool) -> FloatMatrix:
    """Vectors cut to their first dimensions, and scaled to length 1 where that is wanted.

    :param vectors: float32.
    :param dimension: how many are kept.
    :param normalize: whether to scale; vectors of length 0 stay.
    """
    vectors = vectors[:, :dimension]
    if normalize:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return vectors
