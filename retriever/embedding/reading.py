"""What everything that turns texts into vectors has in common: a limit in tokens, and batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from retriever.batched import batched
from retriever.tokeniser import Tokeniser

if TYPE_CHECKING:
    from retriever.embedding.base import EmbeddingConfig

Role = Literal["document", "query"]

_COUNTED_AT_ONCE = 512  # texts


class ReadsTokens:
    """Base of embedding functions and of learned sparse ones."""

    config: EmbeddingConfig
    """The settings."""

    batch_size: int = 32
    """How many texts the model is given at most; texts of one batch have about the same length."""

    batch_tokens: int | None = None
    """How many tokens these have at most, the shorter ones counted as long as the longest; None for any number. A
    single text may have more. Counts where there is a limit and a tokeniser."""

    @property
    def max_tokens(self) -> int | None:
        """How many tokens of a text are read, special tokens and prompt included; None for no limit."""
        return None

    @property
    def tokeniser(self) -> Tokeniser | None:
        """What counts the tokens; None where only the provider knows."""
        return None

    def prompt_tokens(self, role: Role) -> int:
        """How many tokens of the limit the model's prompt takes.

        :param role: documents and queries may have different prompts.
        """
        del role
        return 0

    def content_tokens(self, role: Role) -> int | None:
        """How many tokens of a text's own are read: the limit less special tokens and prompt.

        :param role: whose prompt is counted.
        :return: None where there is no limit, or nothing to count with.
        """
        if self.max_tokens is None or self.tokeniser is None:
            return None
        return self.max_tokens - self.tokeniser.special_tokens - self.prompt_tokens(role)

    def room(self, role: Role) -> int | None:
        """How many tokens a text may have before its end has no part in its vector.

        :param role: whether it is a document or a query.
        :return: None where there is no limit, nothing to count with, or where the parts of long texts are embedded.
        """
        return None if self.config.too_long == "split" else self.content_tokens(role)

    def cut(self, texts: Sequence[str], role: Role = "document") -> list[bool]:
        """Of each text whether its end has no part in its vector.

        :param texts: any number.
        :param role: whether they are documents or queries.
        """
        room = self.room(role)
        if room is None:
            return [False] * len(texts)
        return [length > room for length in self._lengths(texts, role)]

    def _lengths(self, texts: Sequence[str], role: Role) -> list[int]:
        """Length of each text, in tokens where they can be counted."""
        if self.content_tokens(role) is None or self.tokeniser is None:
            return [len(text) for text in texts]
        encode = self.tokeniser.encode_batch  # an encoding takes far more memory than its text
        return [len(encoding) for some in batched(texts, _COUNTED_AT_ONCE) for encoding in encode(some)]

    def _batches(self, order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
        most = self.batch_tokens if self.max_tokens is not None and self.tokeniser is not None else None
        batch: list[int] = []
        for row in order:
            longest = lengths[batch[0]] if batch else 0
            is_heavy = most is not None and longest * (len(batch) + 1) > most
            if batch and (len(batch) == self.batch_size or is_heavy):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch
