"""chonkie's RecursiveChunker: cuts at paragraphs, then sentences, then words, as far as a chunk's size asks for.

Measured: ``chunk`` of one text, with its default rules and the tokeniser that is given to all. It has no overlap, so
``overlap`` is left out. It adds up the tokens of pieces, and together they can be a few more than the size.
Its last level decodes tokens, so with an uncased tokeniser such a chunk's text is lower case and may lack letters; what
counts here are its offsets, which are off by as many from there on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from retriever.evaluation.systems import Splitter, register_splitter


@register_splitter
class Chonkie(Splitter):
    """``chonkie.RecursiveChunker``."""

    name = "chonkie-recursive"
    needs: ClassVar[Mapping[str, str]] = {"chonkie": "chonkie"}

    @cached_property
    def _chunker(self) -> Any:  # noqa: ANN401 - not imported before it is needed
        from chonkie import RecursiveChunker

        return RecursiveChunker(tokenizer=self.tokenizer, chunk_size=self.size)

    def split(self, text: str) -> list[tuple[int, int]]:
        """Its own offsets."""
        return [(chunk.start_index, min(chunk.end_index, len(text))) for chunk in self._chunker.chunk(text)]
