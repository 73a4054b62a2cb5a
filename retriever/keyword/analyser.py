"""From text to terms: one analyser for documents and queries, so that terms mean the same on every store.

Words are runs of letters and digits in NFKC form and lower case, stemmed, without stop words. Scripts that put no
space between words (Chinese, Japanese, Thai and their like, and Korean, whose words run together with their
particles) give single characters and pairs of neighbours, whatever the language. Identifiers are kept whole and in
parts::

    foo_bar     foo_bar foo bar            E1234       e1234 1234
    camelCase   camelcase camel case       10.0.0.1    10.0.0.1 10 0 0 1

On five Chinese and five English sets this beat pairs alone and whole identifiers alone.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import Stemmer

from retriever.errors import ConfigurationError, IndexMismatch
from retriever.keyword.bm25 import LONGEST_CACHED
from retriever.keyword.config import ANALYSER_VERSION, AnalyserConfig
from retriever.keyword.stopwords import stop_words

# Hiragana to Hangul with their extensions; Thai, Lao, Myanmar, Khmer.
UNSPACED = (
    "\u3005-\u3007\u3040-\u30ff\u3131-\u318e\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003134f\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u1049\u1780-\u17d3"
)
# Signs that belong to the letter before them, which ``\w`` does not count: accents, Arabic, Hebrew and Indic vowels.
SIGNS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u0900-\u0963\u0966-\u0df3\u200d"
)
# One class of characters and no alternatives: this expression sees every character that is indexed.
_RUN = re.compile(rf"[\w{UNSPACED}][\w{SIGNS}{UNSPACED}]*(?:['’.\-]\w[\w{SIGNS}{UNSPACED}]*)*")
_LETTER = rf"[^{UNSPACED}'’.\-]"
_SCRIPTS = re.compile(rf"(?P<unspaced>[{UNSPACED}]+)|(?P<word>{_LETTER}+(?:['’.\-]{_LETTER}+)*)")
_JOINED = re.compile(r"[_.\-]+")
_SEAM = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")


_ELIDING = ("catalan", "french", "italian")
_LONGEST_ARTICLE = 5  # l'école, jusqu'au, dell'acqua; but aujourd'hui is one word


class Token(NamedTuple):
    """A run of the text and the terms that it gives.

    :param start: offset of its first character.
    :param end: offset after its last character.
    :param terms: in order; empty for a stop word.
    """

    start: int
    end: int
    terms: tuple[str, ...]


class Analyser:
    """Turns text into terms. Safe to use from several threads.

    :param config: language and version of the rules; English by default.
    :raises ConfigurationError: for a language that Snowball does not know.
    :raises IndexMismatch: for rules of another version than this program's.
    """

    def __init__(self, config: AnalyserConfig | None = None) -> None:
        self.config = config or AnalyserConfig()
        if self.config.version != ANALYSER_VERSION:
            raise IndexMismatch(
                f"the index was built with version {self.config.version} of the analyser, this program has "
                f"{ANALYSER_VERSION}: index the documents again into a new store"
            )
        language = self.config.language
        if language != "none" and language not in Stemmer.algorithms():
            known = ", ".join(["none", *Stemmer.algorithms()])
            raise ConfigurationError(f"unknown language {language!r} for the keyword index; known are {known}")
        self._stop = stop_words(language)
        self._stemmer = None if language == "none" else Stemmer.Stemmer(language)
        self._stemming = threading.Lock()  # a Snowball stemmer is not thread-safe
        self._cached_terms = lru_cache(maxsize=2**16)(self._analyse_word)

    def terms(self, text: str) -> Counter[str]:
        """How often each term occurs in a text.

        :param text: of a chunk or a query.
        """
        return Counter(chain.from_iterable(self._terms_of_runs(text, _RUN.findall(text))))

    def shared(self, text: str, terms: Iterable[str]) -> list[str]:
        """Which of some terms occur in a text, in the terms' order.

        :param text: of a chunk.
        :param terms: of a query, each once.
        """
        found = set(chain.from_iterable(self._terms_of_runs(text, set(_RUN.findall(text)))))
        return [term for term in terms if term in found]

    def tokens(self, text: str) -> Iterator[Token]:
        """Terms with their places, for marking what matched.

        :param text: of a chunk; each character of a script without spaces comes with the pairs it is part of.
        """
        for match in _RUN.finditer(text):
            run, places = _normal(match[0]), _places(match[0])
            for start, end, is_word in _split_scripts(run):
                if is_word:
                    first, last = match.start() + places[start][0], match.start() + places[end - 1][1]
                    yield Token(first, last, self._word_terms(run[start:end]))
                    continue
                for i in range(start, end):
                    around = (run[i], run[max(start, i - 1) : i + 1], run[i : min(end, i + 2)])
                    first, last = places[i]
                    yield Token(match.start() + first, match.start() + last, tuple(dict.fromkeys(around)))

    def _terms_of_runs(self, text: str, runs: Collection[str]) -> Iterable[Sequence[str]]:
        """Terms of each run. For a plain text all of it happens in the cache, without a step of Python."""
        if text.isascii() and max(map(len, runs), default=0) <= LONGEST_CACHED:
            return map(self._cached_terms, runs)
        return map(self._run_terms, runs)

    def _word_terms(self, word: str) -> tuple[str, ...]:
        """Cached, but for words so long that the cache would not be bounded."""
        return self._cached_terms(word) if len(word) <= LONGEST_CACHED else self._analyse_word(word)

    def _run_terms(self, run: str) -> Sequence[str]:
        if run.isascii():
            return self._word_terms(run)
        terms: list[str] = []
        run = _normal(run)
        for start, end, is_word in _split_scripts(run):
            piece = run[start:end]
            terms += self._word_terms(piece) if is_word else _pairs(piece)
        return terms

    def _analyse_word(self, word: str) -> tuple[str, ...]:
        bare = word.strip("_-.'’\u200d")  # such as Markdown's _emphasis_
        folded = bare.lower().replace("’", "'")
        if not folded or folded in self._stop:
            return ()
        article, elision, rest = folded.partition("'")
        if elision and self.config.language in _ELIDING and len(article) <= _LONGEST_ARTICLE:
            return self._word_terms(rest)
        parts = _parts(bare)
        if not parts:
            return (self._stem(folded),)
        return (folded, *(self._stem(part) for part in parts if part not in self._stop))

    def _stem(self, word: str) -> str:
        if self._stemmer is None:
            return word
        with self._stemming:
            return str(self._stemmer.stemWord(word))


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _places(run: str) -> list[tuple[int, int]]:
    """For each character of a run's normal form the span of the run that it is made of."""
    normal = _normal(run)
    if normal == run:
        return [(i, i + 1) for i in range(len(run))]
    places: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(run) + 1):
        part = _normal(run[start:end])
        if end == len(run) or _normal(run[start : end + 1]) == part + _normal(run[end]):
            places += [(start, end)] * len(part)
            start = end
    return places if len(places) == len(normal) else [(0, len(run))] * len(normal)


def _split_scripts(run: str) -> Iterator[tuple[int, int, bool]]:
    """Start, end, and whether it is a word rather than a script without spaces."""
    for match in _SCRIPTS.finditer(run):
        yield *match.span(), match["word"] is not None


def _pairs(run: str) -> list[str]:
    return [*run, *(run[i : i + 2] for i in range(len(run) - 1))]


def _parts(word: str) -> list[str]:
    """The parts of an identifier, in lower case; none for a plain word.

    A part that its case or its digits divide further gives these smaller parts too, single characters left out.
    """
    joined = [part for part in _JOINED.split(word) if part]
    parts = [part.lower() for part in joined] if len(joined) > 1 else []
    for part in joined:
        if "'" in part or "’" in part:
            continue
        smaller = _SEAM.split(part)
        if len(smaller) > 1:
            parts += [piece.lower() for piece in smaller if len(piece) > 1]
    return parts
