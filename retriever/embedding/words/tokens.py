"""The words of a text, as a vocabulary knows them.

Word vectors are of surface forms, so nothing is stemmed. A run of letters is looked up as it stands, then in lower
case; one that is unknown is looked for in parts, the longest first, of which ``-``, ``_``, ``.`` and apostrophes are
the seams (so ``state-of-the-art`` is one word where the vocabulary has it, and ``king's`` is GloVe's ``king`` and
``'s``). Scripts without spaces are cut by forward maximum matching: at each character the longest word of the
vocabulary, else the character itself. Punctuation is no word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from typing import NamedTuple

from retriever.embedding.words.vectors import WordVectors
from retriever.keyword.analyser import SIGNS, UNSPACED

_LETTER = rf"(?:[A-Za-z0-9]++|[^\W_{UNSPACED}]|[{SIGNS}])"
_RUN = re.compile(rf"[{UNSPACED}]+|[^\W_{UNSPACED}]{_LETTER}*+(?:['’._\-][^\W_{UNSPACED}]{_LETTER}*+)*+")
_IS_UNSPACED = re.compile(rf"[{UNSPACED}]")
_PIECE = re.compile(r"n['’]t\b|(?:(?!n['’]t\b)[^'’._\-])+|['’._\-]")
_SEAMS = frozenset("'’._-")
_LONGEST = 32
"""Characters that an unknown word counts as one token for: no token is unbounded."""
_LONGEST_MATCH = 8
"""Characters of the longest word that is looked for in a script without spaces."""
_LONGEST_CACHED = 64  # characters of a run, so that the cache is bounded
_CACHED = 2**17


class Token(NamedTuple):
    """A word in a run of letters.

    :param start: offset of its first character.
    :param end: offset after its last.
    :param id: its place in the vocabulary, or the tokeniser's ``unknown_id``.
    :param form: as it was looked up.
    """

    start: int
    end: int
    id: int
    form: str


def plain_words(text: str) -> Iterator[str]:
    """Words in lower case, characters of scripts without spaces by themselves: what vectors are trained on.

    :param text: of a document.
    """
    for run in _RUN.findall(text):
        if _IS_UNSPACED.match(run):
            yield from run
        else:
            yield _normal(run.lower())


class VocabularyTokeniser:
    """Cuts texts into words of a vocabulary.

    Those that only fastText's n-grams give a vector count as unknown too: n-grams give one to any language that is
    written in the same letters, so that they do not tell whether a model can read a text.

    :param vectors: the vocabulary.
    :param lower_case: look words up in lower case only, rather than first as they stand.
    """

    special_tokens = 0
    splits_at_space = True
    splits_ideographs = False

    def __init__(self, vectors: WordVectors, *, lower_case: bool) -> None:
        self._vectors = vectors
        self._index = vectors.index
        self._lower = lower_case
        self.unknown_id: int = len(vectors.words)
        self._cached = lru_cache(maxsize=_CACHED)(self._cut)

    def encode_batch(self, texts: Sequence[str]) -> Sequence[Words]:
        """Words of each text."""
        return [self._encode(text) for text in texts]

    def words(self, text: str) -> Iterable[Token]:
        """The words of a text, in order, with their places in the run that they come from.

        :param text: any.
        """
        return chain.from_iterable(map(self._tokens, _RUN.findall(text)))

    def find(self, word: str) -> tuple[int, str] | None:
        """The place and the form of a word in the vocabulary; None where it is unknown.

        :param word: one word.
        """
        for form in self._forms(word):
            row = self._index.get(form)
            if row is not None:
                return row, form
        return None

    def _encode(self, text: str) -> Words:
        words = Words()
        for match in _RUN.finditer(text):
            start = match.start()
            for token in self._tokens(match[0]):
                words.ids.append(token.id)
                words.offsets.append((start + token.start, start + token.end))
        return words

    def _tokens(self, run: str) -> tuple[Token, ...]:
        return self._cached(run) if len(run) <= _LONGEST_CACHED else self._cut(run)

    def _cut(self, run: str) -> tuple[Token, ...]:
        if _IS_UNSPACED.match(run):
            return tuple(self._longest_words(run))
        found = self.find(run)
        return (Token(0, len(run), *found),) if found is not None else tuple(self._parts(run))

    def _forms(self, word: str) -> Iterator[str]:
        """How a word may stand in the vocabulary, the likeliest first."""
        lower = word.lower()
        if not self._lower:
            yield word
        yield lower
        if not word.isascii():
            if not self._lower:
                yield _normal(word)
            yield _normal(lower)

    def _longest_words(self, run: str) -> Iterator[Token]:
        i = 0
        while i < len(run):
            for size in range(min(self._longest_match, len(run) - i), 0, -1):
                found = self.find(run[i : i + size])
                if found is not None:
                    break
            else:
                size, found = 1, self._unknown(run[i])
            yield Token(i, i + size, *found)
            i += size

    @cached_property
    def _longest_match(self) -> int:
        """No longer than what the vocabulary has: for most there is nothing to look for."""
        longest = max((len(word) for word in self._index if _IS_UNSPACED.match(word)), default=1)
        return min(_LONGEST_MATCH, longest)

    def _parts(self, run: str) -> Iterator[Token]:
        """The longest rows of pieces that are words, and unknown words between them."""
        pieces = [match.span() for match in _PIECE.finditer(run)]
        i = 0
        while i < len(pieces):
            first = pieces[i][0]
            for j in range(min(len(pieces), i + _LONGEST_MATCH), i, -1):
                found = self.find(run[first : pieces[j - 1][1]])
                # A seam by itself is punctuation, whatever the vocabulary has.
                if found is not None and not (j == i + 1 and run[first] in _SEAMS):
                    yield Token(first, pieces[j - 1][1], *found)
                    break
            else:
                j = i + 1
                if run[first] not in _SEAMS:
                    yield from self._unknown_word(run[first : pieces[i][1]], first)
            i = j

    def _unknown_word(self, word: str, start: int) -> Iterator[Token]:
        for i in range(0, len(word), _LONGEST):
            part = word[i : i + _LONGEST]
            yield Token(start + i, start + i + len(part), *self._unknown(part))

    def _unknown(self, word: str) -> tuple[int, str]:
        """In the case that the vocabulary is written in: n-grams tell capital letters apart."""
        return self.unknown_id, _normal(word if self._vectors.is_cased and not self._lower else word.lower())


class Words:
    """The words of one text: places in the vocabulary, or the id of unknown words, and spans of characters."""

    __slots__ = ("ids", "offsets")

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.offsets: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.ids)


def _normal(word: str) -> str:
    return word if word.isascii() else unicodedata.normalize("NFKC", word).replace("’", "'")
