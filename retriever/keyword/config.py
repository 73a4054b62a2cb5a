"""Settings of the analyser, as a manifest keeps them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

ANALYSER_VERSION = 1
"""Raised when the same settings begin to give other terms, so that an old index is not searched with new ones."""


class AnalyserConfig(BaseModel):
    """How text becomes terms.

    :raises pydantic.ValidationError: for unknown fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = "english"
    """Snowball language for stemming and stop words, or ``none``. CJK is handled whatever the language."""
    version: int = Field(default=ANALYSER_VERSION)
    """Of the analyser's rules."""
