"""Chooses which words go into which chunk."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from retriever.chunking.outline import Outline
from retriever.chunking.ranks import Rank

_AT_LEAST = {rank: re.compile(b"[%c-\xff]" % rank) for rank in (Rank.SENTENCE, Rank.CLAUSE, Rank.WORD)}


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of chunks.

    :param tokens: most tokens of a chunk.
    :param characters: most characters of a chunk.
    :param overlap: most tokens that a chunk repeats.
    :param overlap_characters: most characters that a chunk repeats.
    """

    tokens: int
    characters: int
    overlap: int
    overlap_characters: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A text as the packer sees it; ``n`` is the number of its words.

    :param begins: offset of each word, without the white space before it.
    :param ends: offset after each word.
    :param tokens: tokens before each word, and as the last entry all of them.
    :param ranks: :class:`Rank` of each word's beginning, one byte each, and ``Rank.END`` at the end.
    :param outline: headings and blocks.
    """

    begins: Sequence[int]
    ends: Sequence[int]
    tokens: Sequence[int]
    ranks: bytes
    outline: Outline


@dataclass(slots=True)
class Packer:
    """Goes through a text and fills one chunk after the other.

    Places are indexes of words; a chunk is ``(first word, word after the last)``.
    """

    layout: Layout
    limits: Limits
    _block_starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._block_starts = [start for start, _ in self.layout.outline.blocks]

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The chunks: starts and ends increase, and no word is left out."""
        count = len(self.layout.begins)
        if not count:
            return
        start, end = 0, self._end(0)
        yield start, end
        while end < count:
            start, end = self._next(start, end)
            yield start, end

    def _next(self, last_start: int, cut: int) -> tuple[int, int]:
        end = self._end(cut)
        start = self._overlap_start(last_start, cut)
        if start < cut:
            overlapping_end = self._end(start)
            # What is repeated takes room. It must not cost a better place to stop at.
            if overlapping_end > cut and self.layout.ranks[overlapping_end] >= self.layout.ranks[end]:
                return start, overlapping_end
        return cut, end

    def _end(self, start: int) -> int:
        """The best place to end at: of all that leave the chunk at least half full the last of highest rank."""
        tokens, ranks = self.layout.tokens, self.layout.ranks
        reach = self._reach(start)
        if reach == len(self.layout.begins):
            return reach
        half = bisect_left(tokens, (tokens[start] + tokens[reach] + 1) // 2, start + 1, reach)
        best = max(ranks[half : reach + 1])
        return self._keep_block(start, ranks.rfind(best, half, reach + 1))

    def _reach(self, start: int) -> int:
        """The last place where a chunk could end; at least one word on."""
        layout, limits = self.layout, self.limits
        by_tokens = bisect_right(layout.tokens, layout.tokens[start] + limits.tokens, start) - 1
        by_characters = bisect_right(layout.ends, layout.begins[start] + limits.characters, start)
        return max(start + 1, min(by_tokens, by_characters))

    def _keep_block(self, start: int, end: int) -> int:
        """Ends before a block, and before its heading, rather than inside, if the block fits into a chunk."""
        place = bisect_left(self._block_starts, end) - 1
        if place < 0:
            return end
        first, after = self.layout.outline.blocks[place]
        if not start < first < end < after or self._reach(first) < after:
            return end
        while first > start and self.layout.ranks[first] == Rank.GLUED:
            first -= 1
        return first if first > start else end

    def _overlap_start(self, last_start: int, cut: int) -> int:
        """Where a chunk begins that repeats the end of the one before; ``cut`` if it repeats nothing."""
        layout, limits = self.layout, self.limits
        if not limits.overlap:
            return cut
        by_tokens = bisect_left(layout.tokens, layout.tokens[cut] - limits.overlap, last_start, cut)
        by_characters = bisect_left(layout.begins, layout.ends[cut - 1] - limits.overlap_characters, last_start, cut)
        # Not beyond a heading; if the cut is at one, its body lies after the cut, and nothing is repeated.
        heading = layout.outline.heading_at(cut)
        first = max(last_start + 1, by_tokens, by_characters, heading.body if heading else 0)
        if heading and first == heading.body:
            return min(first, cut)
        for pattern in _AT_LEAST.values():
            match = pattern.search(layout.ranks, first, cut)
            if match:
                return match.start()
        return cut
