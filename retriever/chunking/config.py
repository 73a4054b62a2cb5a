"""How texts are cut: the part of an index's manifest that the chunker owns."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SMALLEST_BUDGET = 8
"""Tokens. Below this a chunk could not hold one character of every tokeniser and still make headway."""


class ChunkerConfig(BaseModel):
    """Settings of a :class:`~retriever.chunking.Chunker`.

    :param kind: ``tokens`` cuts every text into chunks of at most ``size`` tokens; ``whole`` makes one chunk
        of every text and cuts nothing.
    :param size: most tokens of a chunk, counted by the embedding model's own tokeniser, without its special
        tokens and without a prompt; at least 8, by default 256. A model's limit lowers it.
    :param overlap: most tokens of a chunk that repeat the end of the one before; less than half of ``size``,
        by default an eighth of it: 32 of 256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["tokens", "whole"] = "tokens"
    size: int = Field(default=256, ge=SMALLEST_BUDGET)
    overlap: int = Field(default_factory=lambda given: given.get("size", 256) // 8, ge=0)

    @model_validator(mode="after")
    def _overlap_is_less_than_half(self) -> Self:
        if 2 * self.overlap >= self.size:
            raise ValueError(f"overlap ({self.overlap}) must be less than half of size ({self.size})")
        return self
