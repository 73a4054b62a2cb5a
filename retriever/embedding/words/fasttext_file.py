"""fastText's own binary files: words with counts, and a matrix of vectors of words and of n-grams.

The layout is that of ``FastText::saveModel`` in github.com/facebookresearch/fastText, version 12.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from retriever.embedding.words.reading import (
    check_numbers,
    check_shape,
    decoded,
    exactly,
    is_packed,
    refused,
    until,
)
from retriever.embedding.words.vectors import Subwords, WordVectors
from retriever.registry import raise_missing
from retriever.types import FloatMatrix

MAGIC = struct.pack("<i", 793_712_314)

_VERSION = 12
_SUPERVISED = 3
_ARGUMENTS = struct.Struct("<12id")  # dim ws epoch min_count neg word_ngrams loss model bucket minn maxn lr_update t
_DICTIONARY = struct.Struct("<3i2q")  # entries, words, labels, tokens, pruned entries
_ENTRY = struct.Struct("<qb")  # count, type
_MATRIX = struct.Struct("<?2q")  # quantised, rows, columns
_ALPHABET = 50_000
"""So many words, the most frequent, show what characters a language is written in; behind them come strays."""
_SAMPLE = 1000  # rows that are looked at for NaN: the whole of a large file is never read


def read_fasttext(file: BinaryIO, path: Path, limit: int | None) -> WordVectors:
    """Read a fastText model. Its matrix stays on disk and is mapped into memory, unless the file is packed.

    :param file: at its beginning.
    :param path: of the file.
    :param limit: know no more words than this; others are made from their n-grams.
    :raises ModelNotFound: naming what is broken or not supported.
    :raises MissingExtra: without gensim, which hashes n-grams.
    """
    try:
        import gensim.models.fasttext  # noqa: F401 - before gigabytes are read
    except ModuleNotFoundError as error:
        raise_missing(f"the fastText model {path}", error)
    magic, version = struct.unpack("<4si", exactly(file, 8, path, "its header"))
    if magic != MAGIC or version != _VERSION:
        raise refused(path, f"it is not a fastText model of version {_VERSION}")
    dim, _, _, _, _, _, _, model, bucket, shortest, longest, _, _ = _ARGUMENTS.unpack(
        exactly(file, _ARGUMENTS.size, path, "its header")
    )
    if model == _SUPERVISED:
        raise refused(path, "it is a classifier (fasttext supervised), whose vectors are not of meaning")
    words, counts = _dictionary(file, path)
    if bucket < 0 or not 0 <= longest <= 100 or (longest and not 0 <= shortest <= longest):
        raise refused(path, f"its header says {bucket:,} n-grams of {shortest} to {longest} characters")
    matrix = _matrix(file, path, dim, len(words) + bucket)
    first_bucket = len(words)
    known = words[:limit]
    check_numbers(np.asarray(matrix[: min(_SAMPLE, len(known))]), known, path)
    # Without n-grams a word's vector is its row.
    subwords = None
    if bucket and longest:
        subwords = Subwords(shortest, longest, bucket, alphabet=frozenset().union(*words[:_ALPHABET]))
    return WordVectors(known, matrix, counts[: len(known)], subwords, first_bucket)


def _dictionary(file: BinaryIO, path: Path) -> tuple[list[str], NDArray[np.int64]]:
    entries, count, labels, _, pruned = _DICTIONARY.unpack(exactly(file, _DICTIONARY.size, path, "its dictionary"))
    if count < 1 or labels or entries != count or pruned > 0:
        raise refused(path, f"its dictionary has {count:,} words, {labels:,} labels, {pruned:,} pruned n-grams")
    words: dict[str, int] = {}
    for number in range(1, count + 1):
        what = f"word {number} of {count:,}"
        word = decoded(until(file, b"\0", path, what))
        if word in words:  # two that are the same but for broken bytes; rows must stay in step
            word = f"{word}\0{number}"
        words[word] = _ENTRY.unpack(exactly(file, _ENTRY.size, path, what))[0]
    return list(words), np.fromiter(words.values(), dtype=np.int64, count=len(words))


def _matrix(file: BinaryIO, path: Path, dimension: int, rows: int) -> FloatMatrix:
    quantised, found, columns = _MATRIX.unpack(exactly(file, _MATRIX.size, path, "its matrix"))
    if quantised:
        raise refused(path, "it is quantised (.ftz): use the .bin file that it was made from")
    check_shape(found, columns, path)
    if (found, columns) != (rows, dimension):
        raise refused(path, f"its matrix is {found:,} x {columns:,}, not {rows:,} x {dimension:,} as its header says")
    size = 4 * found * columns
    if is_packed(file):
        flat = np.frombuffer(exactly(file, size, path, "its matrix"), dtype="<f4")
        return flat.reshape(found, columns)
    start = file.tell()
    if path.stat().st_size < start + size:
        raise refused(path, "it ends in the middle of its matrix: was it downloaded to its end?")
    # A copy on write: what the file has is never changed.
    return np.memmap(path, dtype="<f4", mode="r", offset=start, shape=(found, columns))
