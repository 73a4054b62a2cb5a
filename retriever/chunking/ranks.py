"""What a word, with the white space before it, tells of the boundary that lies between it and the next."""

from __future__ import annotations

import re
from enum import IntEnum


class Rank(IntEnum):
    """How good a place is to begin a chunk at; higher is better."""

    GLUED = 0
    """Right behind a heading, inside one, or at the mark that closes a code block."""
    INSIDE = 1
    """Inside a word."""
    WORD = 2
    WRAPPED = 3
    """A line that goes on with the sentence of the line before."""
    CLAUSE = 4
    SENTENCE = 5
    LINE = 6
    ITEM = 7
    """An item of a list; inside code, a line after a blank one."""
    BLOCK = 8
    """A paragraph, a code block, a table."""
    HEADING = 9
    """A heading of level 6; one of level 1 has five more."""
    END = 255
    """The end of the text."""


class Mark(IntEnum):
    """What begins a line that a reader of Markdown has to look at."""

    NONE = 0
    HEADING = 1
    UNDERLINE = 2
    FENCE = 3
    ROW = 4


# Not all that Python calls white space: BERT's tokenisers delete the control characters among it (form feed,
# U+001C to U+001F, U+0085), so that the words on both sides become one.
SPACES = " \t\n\r\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
STOPS = "。！？；｡"
PAUSES = "，：、､"
CLOSERS = "”’」』）】》〉)]"
# Those that BERT's tokenisers set white space around; they do not know the newest ones.
IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df"

LATIN_STOP = 250
"""In place of a :class:`Rank`: a full stop, whose meaning depends on the word after it."""

_ENDINGS: dict[str, int] = (
    dict.fromkeys(STOPS, int(Rank.SENTENCE))
    | dict.fromkeys(PAUSES + ",;:", int(Rank.CLAUSE))
    | dict.fromkeys(".!?…", LATIN_STOP)
)
_SHORTEST_SENTENCE_END = 3  # characters: "on.", but no "J." and no "1."
_BEHIND_ENDING = CLOSERS + "\"'}*_`"
_UNSPACED = re.compile(rf"[{IDEOGRAPHS}\u3040-\u30ff]")  # writing without white space between words
_LINE = re.compile(
    r"(?P<HEADING>#{1,6})$|(?P<FENCE>```|~~~)|(?P<ROW>\|)|(?P<UNDERLINE>={3,}|-{3,})$"
    r"|(?P<item>[-*+•]|\d{1,9}[.)])$"
)


def opening(word: str, blank: int) -> tuple[int, int]:
    """:class:`Rank` of a word's beginning as far as the word alone tells, and its :class:`Mark`.

    :param blank: how many characters of white space the word begins with.
    """
    if not blank:
        return (Rank.WORD if _UNSPACED.match(word) else Rank.INSIDE), Mark.NONE
    breaks = word.count("\n", 0, blank)
    if not breaks:
        return Rank.WORD, Mark.NONE
    body = word[blank:]
    match = _LINE.match(body)
    name = match.lastgroup if match else None
    if breaks > 1:
        rank = Rank.BLOCK
    elif name == "item":
        rank = Rank.ITEM
    elif body[0].islower() and word[blank - 1] == "\n":
        rank = Rank.WRAPPED
    else:
        rank = Rank.LINE
    return rank, Mark[name] if name and name != "item" else Mark.NONE


def ending(body: str) -> int:
    """:class:`Rank` that a word's end gives to the next word, ``LATIN_STOP``, or 0.

    :param body: the word without the white space before it.
    """
    rank = _ENDINGS.get(body[-1], 0)
    if not rank and body[-1] in _BEHIND_ENDING:
        rank = _ENDINGS.get(body.rstrip(_BEHIND_ENDING)[-1:], 0)
    return 0 if rank == LATIN_STOP and len(body) < _SHORTEST_SENTENCE_END else rank
