"""The chunker: texts in, spans out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retriever.chunking.config import SMALLEST_BUDGET, ChunkerConfig
from retriever.chunking.fitting import Piece, fit
from retriever.chunking.outline import Outline, read_outline
from retriever.chunking.packing import Layout, Limits, Packer
from retriever.chunking.ranks import Rank
from retriever.chunking.words import WordTable, read_words
from retriever.errors import ConfigurationError
from retriever.tokeniser import Tokeniser

CHARACTERS_PER_TOKEN = 16
"""Most characters of a chunk for each token of its budget.

BERT's tokenisers make one unknown token of any word of more than 100 characters, so that tokens alone would
let a chunk hold megabytes that the model never sees. Prose has 4 to 5 characters a token.
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk's place in its text.

    :param start: offset of the first character (a code point).
    :param end: offset after the last character.
    :param tokens: tokens of ``text[start:end]``, without special tokens and prompt.
    :param headings: titles of the Markdown headings in force at the start, the outermost first.
    """

    start: int
    end: int
    tokens: int
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chunked:
    """What became of one text.

    :param spans: its chunks, in order; none if the text is blank.
    :param tokens: tokens of the whole text, counted word by word.
    :param unknown: how many of these are the tokeniser's unknown token; 0 if the text is blank.
    """

    spans: list[Span]
    tokens: int
    unknown: int


class Chunker:
    """Cuts texts into chunks that the embedding model can read whole.

    It cuts, from best to worst, at headings, paragraphs, list items and lines, sentences, clauses and words,
    and inside a word only if it has to. Code blocks and tables stay whole where they fit into a chunk.

    :param tokeniser: the embedding model's own.
    :param config: size and overlap.
    :param max_tokens: most tokens that the model reads, special tokens and prompt included; ``None``: no limit.
    :param prompt_tokens: tokens of the prompt that is set before every chunk, by default 0.
    :raises ConfigurationError: if the model's limit leaves less than 8 tokens for a chunk.
    """

    def __init__(
        self,
        tokeniser: Tokeniser,
        config: ChunkerConfig | None = None,
        *,
        max_tokens: int | None = None,
        prompt_tokens: int = 0,
    ) -> None:
        config = config or ChunkerConfig()
        self._tokeniser = tokeniser
        self._whole = config.kind == "whole"
        budget = config.size
        if max_tokens is not None and not self._whole:
            budget = min(budget, max_tokens - tokeniser.special_tokens - prompt_tokens)
        if budget < SMALLEST_BUDGET:
            raise ConfigurationError(
                f"the model reads {max_tokens} tokens; less {tokeniser.special_tokens} special tokens and "
                f"{prompt_tokens} of the prompt that leaves {budget} for a chunk, and {SMALLEST_BUDGET} is the least"
            )
        overlap = min(config.overlap, (budget - 1) // 2)
        self._limits = Limits(budget, budget * CHARACTERS_PER_TOKEN, overlap, overlap * CHARACTERS_PER_TOKEN)

    @property
    def budget(self) -> int:
        """Most tokens of a chunk, without special tokens and prompt; means nothing where texts stay whole."""
        return self._limits.tokens

    def split(self, texts: Sequence[str], markdown: Sequence[bool] | None = None) -> list[Chunked]:
        """Cut each text into chunks.

        Quicker with many texts at once than with one at a time: words that they share are tokenised once.

        :param texts: without lone surrogates, which no tokeniser takes.
        :param markdown: for each text whether headings, tables, code blocks and front matter are looked for in it;
            they would be found in comments of source code as well. ``None``: in all of them.
        """
        if markdown is None:
            markdown = [True] * len(texts)
        limits = self._limits
        tables = read_words(texts, self._tokeniser, limits.tokens, limits.characters)
        layouts = [_lay_out(*text) for text in zip(texts, tables, markdown, strict=True)]
        pieces = [list(self._pieces(*text)) for text in zip(texts, tables, layouts, strict=True)]
        if not self._whole:
            pieces = fit(texts, pieces, self._tokeniser, limits.tokens)
        return [_chunked(*text) for text in zip(tables, layouts, pieces, strict=True)]

    def _pieces(self, text: str, table: WordTable, layout: Layout) -> Iterator[Piece]:
        tokeniser, begins, ends, tokens = self._tokeniser, layout.begins, layout.ends, layout.tokens
        inside = np.flatnonzero(table.inside).tolist()
        for first, after in self._ranges(layout):
            # Python's idea of white space is wider than ours, and spans are to be free of that, too.
            words = text[begins[first] : ends[after - 1]]
            start = begins[first] + len(words) - len(words.lstrip())
            end = start + len(words.strip())
            if start == end:
                continue
            cut_in_word = bisect_left(inside, first) < bisect_right(inside, after)
            counted = self._whole or (tokeniser.splits_at_space and not cut_in_word)
            yield Piece(start, end, tokens[after] - tokens[first], counted)

    def _ranges(self, layout: Layout) -> Iterator[tuple[int, int]]:
        if not self._whole:
            return Packer(layout, self._limits).chunks()
        count = len(layout.begins)
        return iter([(0, count)] if count else [])


def _lay_out(text: str, table: WordTable, markdown: bool) -> Layout:
    after = np.cumsum(table.length, dtype=np.int32)
    tokens = np.zeros(len(after) + 1, dtype=np.int32)
    np.cumsum(table.tokens, out=tokens[1:])
    ranks = table.ranks()
    # Views of the memory, because to look at a single number of an array takes several times longer.
    begins, ends = (after - table.length + table.blank).data, after.data
    outline = read_outline(text, begins, table.mark, ranks) if markdown else Outline([], [])
    return Layout(begins, ends, tokens.data, ranks.tobytes() + bytes([Rank.END]), outline)


def _chunked(table: WordTable, layout: Layout, pieces: list[Piece]) -> Chunked:
    spans = []
    for piece in pieces:
        heading = layout.outline.heading_at(bisect_right(layout.begins, piece.start) - 1)
        spans.append(Span(piece.start, piece.end, piece.tokens, heading.path if heading else ()))
    # Control characters can be unknown tokens, and a text of nothing else is blank.
    return Chunked(spans, layout.tokens[-1], int(table.unknown.sum()) if spans else 0)
