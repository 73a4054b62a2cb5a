"""Cuts texts into words, and says of each how many tokens it is and how well a chunk could begin at it.

A text has many words and few different ones. So everything that takes time, tokenising above all, is done
once for each *different* word of a batch, and then looked up for all of them with numpy. That is why this is
quicker than tokenising the texts as they stand.

A word brings along the white space before it: sub-word tokenisers want it there, and its line breaks tell
what kind of boundary the word stands at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retriever.chunking.ranks import (
    CLOSERS,
    IDEOGRAPHS,
    LATIN_STOP,
    PAUSES,
    SPACES,
    STOPS,
    Rank,
    ending,
    opening,
)
from retriever.tokeniser import CountsWords, Tokeniser

Integers = NDArray[np.int32]
"""Enough for texts of two thousand million characters; half the memory of the usual integers."""
Codes = NDArray[np.uint8]
Flags = NDArray[np.bool_]

# Words end at white space, and behind Chinese and Japanese punctuation with its closing quotes and brackets.
_MARKS = STOPS + PAUSES
_BEHIND = rf"[{_MARKS}]+[{re.escape(CLOSERS)}]*"
_WORD = re.compile(rf"[{SPACES}]*(?:[^{SPACES}{_MARKS}]+(?:{_BEHIND})?|{_BEHIND})")
_WORD_OR_IDEOGRAPH = re.compile(
    rf"[{SPACES}]*(?:(?:[{IDEOGRAPHS}]|[^{SPACES}{_MARKS}{IDEOGRAPHS}]+)(?:{_BEHIND})?|{_BEHIND})"
)
_SPACE_BEHIND_WORD = re.compile(rf"(?<![{SPACES}])[{SPACES}]")
_EXTENDERS = "\u0300-\u036f\u200d\u20d0-\u20ff\ufe00-\ufe0f\U0001f3fb-\U0001f3ff"

GROUP = 2_000_000
"""Characters that are worked on at a time: bounds the memory, and is plenty for the tokeniser's threads."""

_Stretch = tuple[int, int, int]
"""Index of a text, start and end in it."""


@dataclass(frozen=True, slots=True)
class WordTable:
    """Facts about words, one column each.

    :param length: characters, white space before the word included.
    :param blank: characters of that white space.
    :param tokens: tokens of the word by itself.
    :param unknown: how many of them are the unknown token.
    :param opening: :class:`Rank` of the word's beginning as far as the word alone tells.
    :param ending: what its end gives to the next word: a :class:`Rank`, ``LATIN_STOP``, or 0.
    :param soft: whether a full stop before the word would end no sentence.
    :param inside: whether the word is a later part of one that was cut up.
    :param mark: :class:`Mark`.
    """

    length: Integers
    blank: Integers
    tokens: Integers
    unknown: Integers
    opening: Codes
    ending: Codes
    soft: Flags
    inside: Flags
    mark: Codes

    def take(self, rows: Integers) -> Self:
        """The rows asked for, in that order."""
        return type(self)(*(getattr(self, column.name)[rows] for column in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """One table below the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def ranks(self) -> Codes:
        """:class:`Rank` of each word's beginning, from what is on both sides of it."""
        before = np.zeros_like(self.ending)
        before[1:] = self.ending[:-1]
        before[self.inside] = 0
        stop = before == LATIN_STOP
        before[stop] = np.where(self.soft[stop], Rank.CLAUSE, Rank.SENTENCE)
        return np.maximum(self.opening, before)


def read_words(texts: Sequence[str], tokeniser: Tokeniser, budget: int, longest: int) -> list[WordTable]:
    """The words of each text; too long ones in parts.

    :param budget: most tokens of a chunk; a word may have half of that.
    :param longest: most characters of a chunk; a word may have half of that.
    """
    pattern = _WORD_OR_IDEOGRAPH if tokeniser.splits_ideographs else _WORD
    tables: list[list[WordTable]] = [[] for _ in texts]
    for group in _grouped(_stretches(texts)):
        found = [pattern.findall(texts[i], start, end) for i, start, end in group]
        for (i, _, _), table in zip(group, _look_up(found, tokeniser, budget, longest), strict=True):
            tables[i].append(table)
    return [WordTable.join(parts) for parts in tables]


def _stretches(texts: Sequence[str]) -> Iterator[_Stretch]:
    """Every text in one stretch, or in several where it is long. Each ends with a word."""
    for i, text in enumerate(texts):
        # On white space at the end the pattern would start in vain at every character: quadratic time.
        start, last = 0, len(text.rstrip(SPACES))
        while last - start > GROUP:
            space = _SPACE_BEHIND_WORD.search(text, start + GROUP, last)
            if space is None:
                break
            yield i, start, space.start()
            start = space.start()
        yield i, start, last


def _grouped(stretches: Iterable[_Stretch]) -> Iterator[list[_Stretch]]:
    group: list[_Stretch] = []
    size = 0
    for stretch in stretches:
        group.append(stretch)
        size += stretch[2] - stretch[1]
        if size >= GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _look_up(found: list[list[str]], tokeniser: Tokeniser, budget: int, longest: int) -> Iterator[WordTable]:
    every = list(dict.fromkeys(chain.from_iterable(found)))
    # Words of megabytes are cut up in any case: there is no need to tokenise them whole.
    words = [word for word in every if 2 * len(word) <= longest]
    tokens, unknown = _count(words, tokeniser)
    too_long = [words[i] for i in np.flatnonzero(2 * tokens > budget).tolist()]
    too_long += [word for word in every if 2 * len(word) > longest]
    parts = {word: _in_parts(word, budget) for word in too_long}
    inside = [np.zeros(len(some), dtype=np.bool_) for some in found]
    if parts:
        cut = [_cut_up(some, parts) for some in found]
        found, inside = [some for some, _ in cut], [flags for _, flags in cut]
        words = list(dict.fromkeys(chain.from_iterable(found)))
        tokens, unknown = _count(words, tokeniser)
    table = _describe(words, tokens, unknown)
    row = {word: i for i, word in enumerate(words)}
    for some, flags in zip(found, inside, strict=True):
        rows = np.fromiter(map(row.__getitem__, some), dtype=np.int32, count=len(some))
        yield replace(table.take(rows), inside=flags)


def _cut_up(words: list[str], parts: dict[str, list[str]]) -> tuple[list[str], Flags]:
    """The words with the parts of some in their place, and whether each is a later part."""
    cut: list[str] = []
    inside: list[bool] = []
    for word in words:
        some = parts.get(word, [word])
        cut += some
        inside += [False] + [True] * (len(some) - 1)
    return cut, np.array(inside, dtype=np.bool_)


def _count(words: list[str], tokeniser: Tokeniser) -> tuple[Integers, Integers]:
    """For each word the number of its tokens, and of unknown ones among them."""
    if isinstance(tokeniser, CountsWords):
        tokens, unknown_tokens = tokeniser.count_words(words)
        return tokens.astype(np.int32), unknown_tokens.astype(np.int32)
    encodings = tokeniser.encode_batch(words)
    unknown = tokeniser.unknown_id
    return (
        np.array(list(map(len, encodings)), dtype=np.int32),
        np.array([0 if unknown is None else some.ids.count(unknown) for some in encodings], dtype=np.int32),
    )


def _in_parts(word: str, budget: int) -> list[str]:
    """A word cut up: each ideograph by itself, everything else by number of characters."""
    # A character is at most four tokens (the bytes of its UTF-8), so that no part is over half the budget.
    size = max(1, budget // 8)
    part = rf"[{SPACES}]*(?:[{IDEOGRAPHS}]|[^{SPACES}{IDEOGRAPHS}]{{1,{size}}})[{_EXTENDERS}]{{0,8}}"
    return re.findall(part, word)


def _describe(words: list[str], tokens: Integers, unknown: Integers) -> WordTable:
    bodies = [word.lstrip(SPACES) for word in words]
    length = list(map(len, words))
    blank = [all_of_it - len(body) for all_of_it, body in zip(length, bodies, strict=True)]
    openings = list(map(opening, words, blank))
    return WordTable(
        length=np.array(length, dtype=np.int32),
        blank=np.array(blank, dtype=np.int32),
        tokens=tokens,
        unknown=unknown,
        opening=np.array([rank for rank, _ in openings], dtype=np.uint8),
        ending=np.array(list(map(ending, bodies)), dtype=np.uint8),
        soft=np.array([not b or body[0].islower() for b, body in zip(blank, bodies, strict=True)], dtype=np.bool_),
        inside=np.zeros(len(words), dtype=np.bool_),
        mark=np.array([mark for _, mark in openings], dtype=np.uint8),
    )
