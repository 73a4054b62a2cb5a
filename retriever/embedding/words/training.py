"""Training word vectors on one's own texts, through gensim. GloVe is not trained: nothing maintained does it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, get_args

from retriever.embedding.words.tokens import plain_words
from retriever.errors import InvalidInput
from retriever.loading import Unloaded, load
from retriever.registry import raise_missing

if TYPE_CHECKING:
    from gensim.models import Word2Vec

Algorithm = Literal["skip-gram", "cbow"]
"""Of Mikolov et al., "Efficient estimation of word representations in vector space", 2013."""

_BUCKETS = 200_000
"""Of fastText's n-grams. A tenth of its default, which would make every file 2,000,000 vectors large."""
_LONGEST_SENTENCE = 10_000
"""Words of a line: gensim leaves out what is beyond."""
_TEXT_SUFFIXES = (".txt", ".vec")


@dataclass(frozen=True, slots=True)
class TrainedWords:
    """What training did.

    :param path: of the file; ``word-vectors:PATH`` is an embedding function.
    :param vocabulary: words that have a vector.
    :param texts: read.
    :param words: read, each time they occur.
    :param unread: files of a folder that gave no text.
    """

    path: Path
    vocabulary: int
    texts: int
    words: int
    unread: int


def train_word_vectors(
    corpus: str | os.PathLike[str] | Iterable[str],
    output: str | os.PathLike[str],
    *,
    algorithm: Algorithm = "skip-gram",
    subwords: bool = False,
    dimension: int = 100,
    window: int = 5,
    min_count: int = 5,
    epochs: int = 5,
    seed: int = 1,
    progress: Callable[[int], None] | None = None,
) -> TrainedWords:
    """Train Word2Vec or fastText. The same texts and settings give the same file, byte for byte.

    Words are in lower case; characters of scripts without spaces are words by themselves. So that the result can be
    repeated, one thread works: about 100,000 words a second in each epoch.

    :param corpus: a file or folder, or texts.
    :param output: the file to write: for Word2Vec in its binary form, or as text where the name ends in ``.txt`` or
        ``.vec``; for fastText in its own, which keeps the n-grams. One that is there is replaced when all is done.
    :param algorithm: which of the two.
    :param subwords: learn vectors of n-grams too, which give one to unknown words: fastText, after Bojanowski et al.,
        "Enriching word vectors with subword information", 2017.
    :param dimension: of the vectors.
    :param window: words on either side that are looked at.
    :param min_count: words that occur less often get no vector.
    :param epochs: how often the texts are gone through.
    :param seed: of the random beginning.
    :param progress: called after each epoch with the number of those that are done.
    :raises InvalidInput: where no word is frequent enough, or a setting makes no sense.
    :raises MissingExtra: without gensim.
    """
    for name, value in (("dimension", dimension), ("window", window), ("min_count", min_count), ("epochs", epochs)):
        if value < 1:
            raise InvalidInput(f"{name} is {value}: it is at least 1")
    if algorithm not in get_args(Algorithm):
        raise InvalidInput(f"the algorithm is {algorithm!r}: it is one of {', '.join(get_args(Algorithm))}")
    if not 0 <= seed < 2**32:
        raise InvalidInput(f"seed is {seed}: it is from 0 to 2**32 - 1")
    target = Path(output)
    if not target.parent.is_dir():
        raise InvalidInput(f"{target} cannot be written: there is no folder {target.parent}")
    if target.is_dir():
        raise InvalidInput(f"{target} is a folder: name a file in it")
    if subwords and target.suffix in _TEXT_SUFFIXES:
        raise InvalidInput(f"{target} is a text file, which keeps no n-grams: name the file .bin")
    settings = {
        "sg": int(algorithm == "skip-gram"),
        "vector_size": dimension,
        "window": window,
        "min_count": min_count,
        "epochs": epochs,
        "seed": seed,
        "workers": 1,
    }
    try:  # beside the target, so that it gets there in one step
        beside = tempfile.TemporaryDirectory(dir=target.parent, prefix=".training-")
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error}") from error
    with beside as scratch:
        lines = Path(scratch) / "words"
        with lines.open("w", encoding="utf-8") as file:
            counts = _write_words(corpus, file)
        model = _trained(lines, subwords, settings, progress)
        made = Path(scratch) / "vectors"
        _save(model, made, subwords, is_text=target.suffix in _TEXT_SUFFIXES)
        made.replace(target)
    return TrainedWords(target, len(model.wv), *counts)


def _write_words(corpus: str | os.PathLike[str] | Iterable[str], file: TextIO) -> tuple[int, int, int]:
    """One line of words for each text, or several where it is long; number of texts, of words, of unread files.

    gensim goes through all texts several times; an iterator can be gone through once.
    """
    texts = words = unread = 0
    for document in load(corpus) if isinstance(corpus, str | os.PathLike) else corpus:
        if isinstance(document, Unloaded):
            unread += 1
            continue
        text = document if isinstance(document, str) else getattr(document, "text", None)
        if not isinstance(text, str):
            raise InvalidInput(f"text {texts} of the corpus is of the type {type(document).__name__}, not a string")
        found = list(plain_words(text))
        for start in range(0, len(found), _LONGEST_SENTENCE):
            file.write(" ".join(found[start : start + _LONGEST_SENTENCE]) + "\n")
        texts += 1
        words += len(found)
    return texts, words, unread


def _trained(lines: Path, subwords: bool, settings: dict[str, Any], progress: Callable[[int], None] | None) -> Word2Vec:
    try:
        from gensim.models import FastText, Word2Vec
        from gensim.models.callbacks import CallbackAny2Vec
        from gensim.models.word2vec import LineSentence
    except ModuleNotFoundError as error:
        raise_missing("training word vectors", error)

    class Reporting(CallbackAny2Vec):  # type: ignore[misc]
        done = 0

        def on_epoch_end(self, model: object) -> None:
            del model
            self.done += 1
            if progress is not None:
                progress(self.done)

    model = FastText(bucket=_BUCKETS, **settings) if subwords else Word2Vec(**settings)
    texts = LineSentence(str(lines), max_sentence_length=_LONGEST_SENTENCE)
    model.build_vocab(corpus_iterable=texts)
    if not len(model.wv):
        raise InvalidInput(
            f"no word of the texts occurs {settings['min_count']} times: give more texts, or a lower min_count"
        )
    model.train(
        corpus_iterable=texts,
        total_examples=model.corpus_count,
        epochs=settings["epochs"],
        callbacks=[Reporting()],
    )
    return model


def _save(model: Word2Vec, path: Path, subwords: bool, is_text: bool) -> None:
    if subwords:
        from gensim.models.fasttext import save_facebook_model

        save_facebook_model(model, str(path))
    else:
        model.wv.save_word2vec_format(str(path), binary=not is_text)
