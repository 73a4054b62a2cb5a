"""Word vectors in the binary form of word2vec: a header line, then each word, a space, and its vector."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from retriever.embedding.words.reading import (
    LONGEST_LINE,
    check_numbers,
    check_shape,
    decoded,
    exactly,
    refused,
    until,
)
from retriever.embedding.words.text_file import header
from retriever.embedding.words.vectors import WordVectors


def read_word2vec(file: BinaryIO, path: Path, limit: int | None) -> WordVectors:
    """Read a binary file. Of a word that comes twice the first vector counts.

    :param file: at its beginning.
    :param path: of the file, for messages.
    :param limit: read no more words than this.
    :raises ModelNotFound: naming the word that is broken.
    """
    found = header(file.readline(LONGEST_LINE))
    if found is None:
        raise refused(path, "line 1 is not the numbers of words and of dimensions")
    count, dimension = found
    check_shape(count, dimension, path)
    words: dict[str, None] = {}
    numbers = bytearray()  # grows without a second copy of it all; what the header promises is not believed
    for number in range(1, min(limit or count, count) + 1):
        what = f"word {number} of {count:,}"
        word = decoded(until(file, b" ", path, what).lstrip(b"\n"))  # some programs end vectors with a line break
        vector = exactly(file, 4 * dimension, path, what)
        if word not in words:
            words[word] = None
            numbers += vector
    names = list(words)
    matrix = np.frombuffer(numbers, dtype="<f4").reshape(len(names), dimension)
    check_numbers(matrix, names, path)
    return WordVectors(names, matrix)
