"""Which format a file of word vectors has, told by its content, and reading it.

Nothing here runs code that a file brings: gensim's own format is a pickle, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from retriever.embedding.words.fasttext_file import MAGIC, read_fasttext
from retriever.embedding.words.reading import LONGEST_LINE, check_encoding, opened, refused
from retriever.embedding.words.text_file import header, read_text
from retriever.embedding.words.vectors import WordVectors
from retriever.embedding.words.word2vec_file import read_word2vec

Format = Literal["word2vec", "word2vec-text", "glove", "fasttext"]
"""word2vec's binary and text form, GloVe's text without a header, fastText's own model with n-grams. A fastText
``.vec`` file is ``word2vec-text``. Each may be packed with gzip."""

_READERS: dict[Format, Callable[[BinaryIO, Path, int | None], WordVectors]] = {
    "word2vec": read_word2vec,
    "word2vec-text": partial(read_text, with_header=True),
    "glove": partial(read_text, with_header=False),
    "fasttext": read_fasttext,
}
_FOREIGN = {
    b"PK": "it is a zip archive: unpack it",
    b"\x93NUMPY": "it is a numpy array without the words",
    b"\x89HDF": "it is an HDF5 file",
}


def load_word_vectors(path: Path, form: Format | None = None, limit: int | None = None) -> WordVectors:
    """Read a file of word vectors.

    :param path: of the file.
    :param form: its format; None to see it from the content.
    :param limit: know no more words than this, the first of the file: the most frequent ones in the usual files.
    :raises ModelNotFound: where it cannot be used; the message names the file and the line or word.
    :raises MissingExtra: for a fastText model without gensim.
    """
    found = detect_format(path)
    if form is not None and (form == "fasttext") != (found == "fasttext"):
        raise refused(path, f"its content is {found}, not {form}: leave the format out")
    with opened(path) as file, np.errstate(over="ignore"):  # numbers too large become infinity, which is refused
        vectors = _READERS[form or found](file, path, limit)
    check_encoding(vectors.words, path)
    return vectors


def detect_format(path: Path) -> Format:
    """The format of a file, from its first lines.

    :param path: of the file.
    :raises ModelNotFound: where it is no file of word vectors.
    """
    with opened(path) as file:
        first = file.readline(LONGEST_LINE)
        second = file.readline(LONGEST_LINE)
    if first.startswith(MAGIC):
        return "fasttext"
    _refuse_foreign(first, path)
    shape = header(first)
    if shape is None:
        return "glove"
    if second and _is_text(second, shape[1]):
        return "word2vec-text"
    # A GloVe file of one dimension whose first word is a number looks the same, and nobody has one.
    return "word2vec"


def _refuse_foreign(start: bytes, path: Path) -> None:
    if start[:1] == b"\x80" and start[1:2] <= b"\x05":  # how pickles of protocols 2 to 5 begin
        raise refused(
            path,
            "it is a pickle, as gensim's save() writes, and opening one runs whatever code it brings. Where you trust "
            "it, convert it: KeyedVectors.load(...).save_word2vec_format('vectors.bin', binary=True), or for a whole "
            "model Word2Vec.load(...).wv.save_word2vec_format('vectors.bin', binary=True), and for one of fastText "
            "save_facebook_model(FastText.load(...), 'vectors.bin')",
        )
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            raise refused(path, what)
    if not start.strip():
        raise refused(path, "line 1 is empty")
    if b"\0" in start:
        raise refused(path, "it is neither text nor word2vec's or fastText's binary form")


def _is_text(line: bytes, dimension: int) -> bool:
    numbers = line.rstrip(b"\r\n ").rsplit(b" ", dimension)[1:]
    try:
        with np.errstate(over="ignore"):
            return len(np.array(numbers, dtype=np.float32)) > 0
    except ValueError:
        return False
