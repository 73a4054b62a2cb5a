"""Whether a model can read a corpus: how much of it its tokeniser knows, and what the texts are like."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from retriever.batched import bounded
from retriever.embedding import EmbeddingFunction, EmbeddingInput, resolve_embedding
from retriever.errors import InvalidInput
from retriever.keyword.stopwords import LANGUAGES, stop_words
from retriever.loading import Unloaded, load
from retriever.loading.formats import is_image
from retriever.loading.langchain import LangChainSource, stream
from retriever.opening import PathInput
from retriever.planning import check_document
from retriever.tokeniser import Tokeniser, WordTokeniser
from retriever.types import Document

UNREADABLE = 0.2
"""Share of unknown tokens from which a model cannot read a script: English models have 0.4 to 0.6 on Chinese, and
below 0.01 on what they were trained for."""

MANY_TOKENS = 4.0
"""Tokens a word from which a tokeniser only spells: 1.2 to 1.5 is usual, 2 to 3 for words of a special field."""

MOST_LETTERS = 2.0
"""Letters a token below which it spells words of several tokens, however short these are: 3 to 5 is usual."""

NOTABLE = 0.05
"""Share of a corpus from which a script or a language is worth a judgement."""

NEAR_EMPTY = 20
"""A text with fewer characters that are no white space says nothing."""

_WINDOW = 500_000  # characters tokenised at once
_PIECE = 20_000  # characters of a text tokenised at once
_LEAST_WORDS = 20  # of a text, for telling its language
_LEAST_COMMON = 0.1  # share of stop words in running text; 0.2 to 0.5 is usual
_MARKS = "".join(map(chr, (n for n in range(0x300, 0x3100) if unicodedata.category(chr(n))[0] == "M")))
_WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{_MARKS}])*")  # vowel signs of Indic scripts and accents are parts of words


@dataclass(slots=True)
class Script:
    """What is written in one script.

    ``tokens`` counts those of its words alone.
    """

    characters: int = 0
    words: int = 0
    """Of scripts without spaces between words, such as Han, every character is a word."""
    tokens: int = 0
    unknown: int = 0

    @property
    def unknown_rate(self) -> float:
        """Share of tokens that the tokeniser does not know, from 0 to 1."""
        return self.unknown / self.tokens if self.tokens else 0.0

    @property
    def tokens_per_word(self) -> float:
        """1 where every word is known as a whole."""
        return self.tokens / self.words if self.words else 0.0

    @property
    def is_spelled(self) -> bool:
        """Whether the tokeniser makes a token of nearly every letter, where words have several."""
        few_letters = self.tokens_per_word >= 2 and self.characters < MOST_LETTERS * self.tokens
        return self.tokens_per_word >= MANY_TOKENS or few_letters


@dataclass(slots=True)
class DoctorReport:
    """What a corpus is like, for one embedding function."""

    embedding: str
    """Its name."""
    has_tokeniser: bool
    """False: tokens are counted as words, and none is known to be unknown."""
    max_tokens: int | None
    """What it reads of a text, special tokens and prompt included."""
    documents: int = 0
    tokens: int = 0
    unknown: int = 0
    too_long: int = 0
    """Documents longer than the model reads; indexing cuts them into chunks."""
    duplicates: int = 0
    """Documents whose text was there before, white space and case aside; and pictures that were."""
    near_empty: list[str] = field(default_factory=list)
    """Ids of documents with next to no text."""
    reads_images: bool = False
    """Whether it reads pictures."""
    pictures: int = 0
    """Files with pictures; they are none of the documents that are counted here."""
    unreadable: list[str] = field(default_factory=list)
    """Files that could not be loaded, and what is wrong with documents that cannot be indexed."""
    scripts: dict[str, Script] = field(default_factory=dict)
    """By name, as Unicode has them: Latin, Han, Cyrillic …"""
    languages: dict[str, int] = field(default_factory=dict)
    """Documents by language, as far as stop words or the script tell."""

    @property
    def unknown_rate(self) -> float:
        """Share of unknown tokens, from 0 to 1."""
        return self.unknown / self.tokens if self.tokens else 0.0

    @property
    def problems(self) -> list[str]:
        """What this model cannot read of this corpus. Empty where it can read it."""
        if not self.documents:
            return [] if self._has_only_pictures else ["there is no text at all"]
        total = sum(script.characters for script in self.scripts.values()) or 1
        found = []
        for name, script in sorted(self.scripts.items(), key=lambda item: -item[1].characters):
            share = script.characters / total
            if share < NOTABLE:
                continue
            if script.unknown_rate >= UNREADABLE:
                found.append(
                    f"{name} is {share:.0%} of the letters, and {script.unknown_rate:.0%} of its tokens are unknown to "
                    f"{self.embedding}: it cannot read that, choose a model for this language"
                )
            elif script.is_spelled:
                found.append(
                    f"{name} is {share:.0%} of the letters, and {self.embedding} needs {script.tokens_per_word:.1f} "
                    "tokens a word: it spells them, and was hardly trained on this language"
                )
        return found

    @property
    def _has_only_pictures(self) -> bool:
        return self.reads_images and self.pictures > 0 and not self.documents

    @property
    def verdict(self) -> str:
        """One line for people."""
        if self._has_only_pictures:
            return f"{self.embedding} reads these pictures"
        if not self.documents:
            return "there is nothing to read"
        if not self.has_tokeniser:
            return f"{self.embedding} does not say how it reads: try it on questions of your own"
        return f"{self.embedding} {'cannot read all of' if self.problems else 'can read'} this corpus"


def examine(
    what: PathInput | Iterable[Document | Unloaded] | LangChainSource, embedding: EmbeddingInput
) -> DoctorReport:
    """Read a corpus as a model would. Nothing is embedded or written; memory stays bounded but for 70 bytes a document.

    :param what: as for :meth:`retriever.Retriever.index`.
    :param embedding: as for :meth:`retriever.Retriever.open`.
    :raises InvalidInput: where there is nothing at the path.
    :raises ConfigurationError: for a model that leads nowhere.
    """
    function = resolve_embedding(embedding)
    tokeniser, images = function.tokeniser, function.reads_images
    report = DoctorReport(function.name, tokeniser is not None, function.max_tokens, reads_images=images)
    run = _Examination(report, function)
    items = load(what, images=images) if isinstance(what, str | os.PathLike) else stream(what)
    for window in bounded(run.readable(items), lambda document: len(document.text), 2_048, _WINDOW):
        run.look(window)
    report.scripts = dict(sorted(report.scripts.items(), key=lambda item: -item[1].characters))
    report.languages = dict(Counter(report.languages).most_common())
    return report


class _Examination:
    """One reading of a corpus."""

    def __init__(self, report: DoctorReport, embedding: EmbeddingFunction) -> None:
        self._report = report
        self._tokeniser: Tokeniser = embedding.tokeniser or WordTokeniser()
        self._room = embedding.content_tokens("document")
        self._met: set[int] = set()

    def readable(self, items: Iterable[Any]) -> Iterator[Document]:
        """The documents with text; the others are counted."""
        for item in items:
            if isinstance(item, Unloaded):
                if item.kind == "failed":
                    self._report.unreadable.append(item.path)
                elif is_image(item.path):
                    self._report.pictures += 1
                continue
            try:
                item = check_document(item)
            except InvalidInput as error:
                self._report.unreadable.append(str(error))
                continue
            if item.picture is not None:
                self._see(item.picture.digest)
                self._report.pictures += 1
                continue
            self._report.documents += 1
            squeezed = "".join(item.text.split())
            if len(squeezed) < NEAR_EMPTY:
                self._report.near_empty.append(item.id)
            self._see(squeezed.casefold())
            yield item

    def _see(self, content: str) -> None:
        digest = int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "big")
        self._report.duplicates += digest in self._met
        self._met.add(digest)

    def look(self, window: Sequence[Document]) -> None:
        """Count what is in some documents."""
        words: Counter[str] = Counter()
        for document in window:
            found = _words(document.text)
            words.update(found)
            language = _language(found)
            if language:
                self._report.languages[language] = self._report.languages.get(language, 0) + 1
            self._count_tokens(document.text)
        self._count_words(words)

    def _count_tokens(self, text: str) -> None:
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        encodings = self._tokeniser.encode_batch(pieces)
        tokens = sum(map(len, encodings))
        self._report.tokens += tokens
        self._report.too_long += self._room is not None and tokens > self._room
        unknown = self._tokeniser.unknown_id
        if unknown is not None:
            self._report.unknown += sum(encoding.ids.count(unknown) for encoding in encodings)

    def _count_words(self, words: Counter[str]) -> None:
        """Each distinct word is tokenised once."""
        distinct = list(words)
        unknown = self._tokeniser.unknown_id
        for word, encoding in zip(distinct, self._tokeniser.encode_batch(distinct), strict=True):
            count = words[word]
            script = self._report.scripts.setdefault(_script(word[0]), Script())
            script.characters += count * len(word)
            script.words += count
            script.tokens += count * len(encoding)
            script.unknown += 0 if unknown is None else count * encoding.ids.count(unknown)


def _words(text: str) -> list[str]:
    """Runs of letters of one script; single characters where a script has no spaces between words."""
    found = []
    for run in _WORD.findall(text):
        start = 0
        for end in range(1, len(run) + 1):
            if end < len(run) and run[end] in _MARKS:
                continue
            if end == len(run) or _script(run[end]) != _script(run[start]) or _script(run[start]) in _WITHOUT_SPACES:
                found.append(run[start:end])
                start = end
    return found


_WITHOUT_SPACES = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")

_NAMES = {"Cjk": "Han", "Halfwidth": "Katakana", "Fullwidth": "Latin", "Ideographic": "Han", "Modifier": "Latin"}


@lru_cache(maxsize=2**16)
def _script(character: str) -> str:
    """The first word of a character's name in Unicode says which script it is of."""
    first = unicodedata.name(character, "Other").split(" ")[0].split("-")[0].capitalize()
    return _NAMES.get(first, first)


_SPEAKING = {"Hiragana": "japanese", "Katakana": "japanese", "Hangul": "korean", "Thai": "thai", "Greek": "greek",
             "Hebrew": "hebrew", "Arabic": "arabic", "Devanagari": "hindi"}  # fmt: skip
_STOP_WORDS = {language: stop_words(language) for language in LANGUAGES}


def _language(words: Sequence[str]) -> str | None:
    """The language of a text: by its script where that decides, else by its stop words; None where neither does."""
    if not words:
        return None
    scripts = Counter(_script(word[0]) for word in words)
    if scripts["Hiragana"] + scripts["Katakana"] > 0.1 * len(words):
        return "japanese"
    script, count = scripts.most_common(1)[0]
    if script == "Han":
        return "chinese"
    if script in _SPEAKING:
        return _SPEAKING[script]
    if count < _LEAST_WORDS:
        return None
    lower = Counter(word.lower() for word in words)
    shares = {name: sum(lower[word] for word in common) / len(words) for name, common in _STOP_WORDS.items()}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _LEAST_COMMON else None
