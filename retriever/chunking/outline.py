"""Finds headings, code blocks, tables and front matter in a Markdown text, and corrects the ranks by them.

Only lines that begin with a mark are looked at; nothing in here takes time for each word.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from retriever.chunking.ranks import SPACES, Mark, Rank, opening
from retriever.chunking.words import Codes
from retriever.markdown import LONGEST_TITLE, heading_title

_HEADING_INDENT = 3  # four spaces would make it code
_FENCE = re.compile(r"`{3,}(?=[^`]*$)|~{3,}")
# Few lines, and none left free below the first: a rule at the head of a text looks the same.
_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(?=.*\S)(?:.*\n){0,200}?(?:---|\.\.\.)[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading.

    :param word: its first word.
    :param body: the first word after it.
    :param level: 1 to 6.
    :param path: titles of the headings above it and its own.
    """

    word: int
    body: int
    level: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """What a text is made of; places are indexes of words.

    :param headings: in the order of the text.
    :param blocks: code blocks, tables and front matter, ``(first word, word after the last)``, in order.
    """

    headings: list[Heading]
    blocks: list[tuple[int, int]]

    def heading_at(self, word: int) -> Heading | None:
        """The last heading that begins at the word or before it."""
        place = bisect_right(self.headings, word, key=lambda heading: heading.word)
        return self.headings[place - 1] if place else None


def read_outline(text: str, begins: Sequence[int], marks: Codes, ranks: Codes) -> Outline:
    """The outline of a text. Changes ``ranks``.

    :param begins: offset of the first character of each word, white space before it not included.
    :param marks: :class:`Mark` of each word.
    :param ranks: :class:`Rank` of each word's beginning.
    """
    reader = _Reader(text, begins, ranks)
    if len(begins):
        # The first word begins a line, though no line break is before it.
        marks[0] = opening("\n" + text[begins[0] : begins[1] if len(begins) > 1 else None].rstrip(SPACES), 1)[1]
        reader.read(marks)
    blocks = sorted(reader.blocks)
    for start, end in blocks:
        _rank_block(ranks, start, end)
    _rank_headings(ranks, reader.headings)
    return Outline(reader.headings, blocks)


def _rank_block(ranks: Codes, start: int, end: int) -> None:
    ranks[start] = Rank.BLOCK
    inner = ranks[start + 1 : end]
    inner[inner == Rank.BLOCK] = Rank.ITEM
    inner[inner == Rank.WRAPPED] = Rank.LINE
    ranks[end : end + 1] = np.maximum(ranks[end : end + 1], Rank.BLOCK)


def _rank_headings(ranks: Codes, headings: list[Heading]) -> None:
    body_above = -1
    for heading in headings:
        if heading.word != body_above:
            ranks[heading.word] = Rank.HEADING + 6 - heading.level
        body_above = heading.body
        ranks[heading.word + 1 : heading.body + 1] = Rank.GLUED


@dataclass(slots=True)
class _Reader:
    """Goes through the marks of a text in order."""

    text: str
    begins: Sequence[int]
    ranks: Codes
    headings: list[Heading] = field(default_factory=list)
    blocks: list[tuple[int, int]] = field(default_factory=list)
    open_fence: tuple[int, str] | None = None
    open_table: tuple[int, int] | None = None
    """First word, and offset of the last row."""
    above: list[tuple[int, str]] = field(default_factory=list)
    """Level and title of the headings in force."""

    def read(self, marks: Codes) -> None:
        after = self._front_matter()
        begins = self.begins
        for word in np.flatnonzero(marks).tolist():
            if word < after:
                continue
            mark, offset = int(marks[word]), begins[word]
            if mark == Mark.FENCE:
                self._fence(word, offset)
            elif self.open_fence is not None:
                continue
            elif mark == Mark.ROW:
                self._row(word, offset)
            elif mark == Mark.HEADING:
                self._heading(word, offset)
            else:
                self._underline(offset)
        self._close_table()
        if self.open_fence is not None:
            self.blocks.append((self.open_fence[0], len(begins)))

    def _line(self, offset: int) -> str:
        """The rest of the line."""
        end = self.text.find("\n", offset)
        return self.text[offset : end if end >= 0 else None].rstrip()

    def _word_from(self, offset: int) -> int:
        return bisect_left(self.begins, offset)

    def _indent(self, offset: int) -> str:
        return self.text[self.text.rfind("\n", 0, offset) + 1 : offset]

    def _front_matter(self) -> int:
        """The first word after the front matter."""
        match = _FRONT_MATTER.match(self.text)
        if match is None:
            return 0
        after = self._word_from(match.end())
        self.blocks.append((0, after))
        return after

    def _fence(self, word: int, offset: int) -> None:
        match = _FENCE.match(self._line(offset))
        if self.open_fence is None:
            if match:
                self.open_fence = (word, match[0])
            return
        start, fence = self.open_fence
        if match and match[0].startswith(fence) and match[0] == self._line(offset):
            self.blocks.append((start, word + 1))
            self.open_fence = None
            self.ranks[word] = Rank.GLUED

    def _row(self, word: int, offset: int) -> None:
        if self.open_table is not None:
            start, last = self.open_table
            if self.text.count("\n", last, offset) == 1:
                self.open_table = (start, offset)
                return
            self._close_table()
        self.open_table = (word, offset)

    def _close_table(self) -> None:
        if self.open_table is not None:
            start, last = self.open_table
            self.blocks.append((start, self._word_from(last + len(self._line(last)))))
            self.open_table = None

    def _heading(self, word: int, offset: int) -> None:
        indent = self._indent(offset)
        if len(indent) > _HEADING_INDENT or "\t" in indent:
            return
        line = self._line(offset)
        level = len(line) - len(line.lstrip("#"))
        self._add_heading(word, self._word_from(offset + len(line)), level, line[level:])

    def _underline(self, offset: int) -> None:
        """A line of ``===`` or ``---``: makes a heading of a paragraph of one line that it stands under."""
        start = offset - len(self._indent(offset))
        title_start = self.text.rfind("\n", 0, max(0, start - 1)) + 1
        title = self.text[title_start:start]
        word = self._word_from(title_start)
        is_paragraph = bool(title.strip()) and (word == 0 or self.ranks[word] == Rank.BLOCK)
        if is_paragraph and len(self._line(offset).split()) == 1 and title.lstrip()[0] not in "#|>":
            level = 1 if self.text[offset] == "=" else 2
            self._add_heading(word, self._word_from(offset + 1), level, title)

    def _add_heading(self, word: int, body: int, level: int, line: str) -> None:
        title = heading_title(line)
        if not title or len(title) > LONGEST_TITLE:
            return
        while self.above and self.above[-1][0] >= level:
            self.above.pop()
        self.above.append((level, title))
        self.headings.append(Heading(word, body, level, tuple(name for _, name in self.above)))
