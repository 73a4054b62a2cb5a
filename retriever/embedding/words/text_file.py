"""Word vectors as text, a word and its numbers a line: GloVe, and word2vec and fastText with a header before them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from retriever.embedding.words.reading import LONGEST_LINE, check_numbers, check_shape, decoded, refused
from retriever.embedding.words.vectors import WordVectors
from retriever.types import FloatVector

_NUMBER_BEHIND = re.compile(rb" -?\d+\.\d+$")


def header(line: bytes) -> tuple[int, int] | None:
    """Number of words and of dimensions; None where the line is none of word2vec's headers.

    :param line: the first one of a file.
    """
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() and len(part) < 19 for part in parts):
        return None
    return int(parts[0]), int(parts[1])


def read_text(file: BinaryIO, path: Path, limit: int | None, *, with_header: bool) -> WordVectors:
    """Read a text file.

    A word may have spaces in it, as some of GloVe's do. Of a word that comes twice the first vector counts.

    :param file: at its beginning.
    :param path: of the file, for messages.
    :param limit: read no more words than this.
    :param with_header: whether the first line has the numbers of words and of dimensions, as word2vec's files do.
    :raises ModelNotFound: naming the line that is broken.
    """
    lines = _lines(file, path)
    count, dimension = None, None
    if with_header:
        found = header(next(lines, (1, b""))[1])
        if found is None:
            raise refused(path, "line 1 is not the numbers of words and of dimensions")
        count, dimension = found
        check_shape(count, dimension, path)
    wanted = min(n for n in (limit, count, 2**62) if n is not None)
    words: dict[str, None] = {}
    numbers = bytearray()  # grows without a second copy of it all
    read = 0
    for number, line in lines:
        if read >= wanted:
            break
        if not line.strip():
            continue
        dimension = dimension or _dimension(line, path, number)
        word, vector = _parsed(line, dimension, path, number)
        if word not in words:
            words[word] = None
            numbers += vector.tobytes()
        read += 1
    if not words or dimension is None:
        raise refused(path, "there are no words in it")
    if read < wanted and count is not None:
        raise refused(path, f"line 1 says {count:,} words, but there are {read:,}: was it downloaded to its end?")
    names = list(words)
    matrix = np.frombuffer(numbers, dtype=np.float32).reshape(len(names), dimension)
    check_numbers(matrix, names, path)
    return WordVectors(names, matrix)


def _lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    number = 1
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise refused(path, f"line {number} is longer than {LONGEST_LINE:,} bytes")
        yield number, line.rstrip(b"\r\n ")
        number += 1


def _dimension(line: bytes, path: Path, number: int) -> int:
    dimension = line.count(b" ")
    if not dimension:
        raise refused(path, f"line {number} is not a word with numbers behind it: {decoded(line[:60])!r}")
    check_shape(1, dimension, path)
    return dimension


def _parsed(line: bytes, dimension: int, path: Path, number: int) -> tuple[str, FloatVector]:
    word, *numbers = line.rsplit(b" ", dimension)
    try:
        vector = np.array(numbers, dtype=np.float32)
    except ValueError as error:
        raise refused(path, f"line {number}: {error}", error) from error
    # Some of GloVe's words have a space in them, but none ends with a number like those of vectors.
    if len(vector) != dimension or not word.strip() or _NUMBER_BEHIND.search(word):
        raise refused(path, f"line {number} has {len(line.split()) - 1} numbers, not {dimension}")
    return decoded(word), vector
