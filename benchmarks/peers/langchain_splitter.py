"""LangChain's RecursiveCharacterTextSplitter with the separators of Markdown.

Measured: ``split_text``; lengths are counted by the tokeniser that is given to all, as ``from_huggingface_tokenizer``
does, which takes tokenizers of the package transformers only. Its own start offsets (``add_start_index``) take the
overlap for characters: where it is counted in tokens they are often -1. So a chunk is looked for here, after the start
of the one before; among repeated texts that may be an earlier one than it was cut from.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from retriever.evaluation.systems import Splitter, register_splitter


@register_splitter
class LangChainRecursive(Splitter):
    """``langchain_text_splitters.RecursiveCharacterTextSplitter``."""

    name = "langchain-recursive"
    needs: ClassVar[Mapping[str, str]] = {"langchain_text_splitters": "langchain-text-splitters"}

    @cached_property
    def _splitter(self) -> Any:  # noqa: ANN401 - not imported before it is needed
        from langchain_text_splitters import Language, RecursiveCharacterTextSplitter

        return RecursiveCharacterTextSplitter(
            separators=RecursiveCharacterTextSplitter.get_separators_for_language(Language.MARKDOWN),
            is_separator_regex=True,
            chunk_size=self.size,
            chunk_overlap=self.overlap,
            length_function=lambda text: len(self.tokenizer.encode(text, add_special_tokens=False)),
        )

    def split(self, text: str) -> list[tuple[int, int]]:
        """Where its chunks are."""
        spans: list[tuple[int, int]] = []
        start = -1
        for chunk in self._splitter.split_text(text):
            start = text.index(chunk, start + 1)
            spans.append((start, start + len(chunk)))
        return spans
