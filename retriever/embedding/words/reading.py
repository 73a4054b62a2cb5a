"""Reading files that may be broken or hostile: bounded, and with errors that name the file and the place."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from retriever.errors import ModelNotFound
from retriever.types import FloatMatrix

LONGEST_LINE = 2**20
"""Bytes of a line of text. 4,096 dimensions take about 50,000."""
LONGEST_WORD = 2**12
"""Bytes of a word."""
MOST_DIMENSIONS = 2**16

_LARGEST = 1e10
_GZIP = b"\x1f\x8b"
_MARK = b"\xef\xbb\xbf"
"""What some editors put before UTF-8."""
_BROKEN = 0.2
"""Share of words with broken bytes from which a file counts as written in another encoding; some have a few."""
_FEW = 10
_BLOCK = 2**24  # bytes read at once: a header that promises too much costs no more memory than this


def refused(path: Path, what: str, cause: BaseException | None = None) -> ModelNotFound:
    """The error for a file that cannot be used.

    :param path: of the file.
    :param what: is wrong with it, with the line or the word.
    :param cause: the original error.
    """
    error = ModelNotFound(f"{path} is no usable file of word vectors: {what}")
    error.__cause__ = cause
    return error


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to be read, unpacked where it is in gzip form, which its content tells.

    :param path: of the file.
    :raises ModelNotFound: where it cannot be read.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP
            plain.seek(0)
            file = cast("BinaryIO", gzip.GzipFile(fileobj=plain)) if packed else plain
            if file.read(len(_MARK)) != _MARK:
                file.seek(0)
            yield file
    except FileNotFoundError as error:
        raise ModelNotFound(f"there is no file of word vectors at {path}: check the path") from error
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise refused(path, f"it cannot be read ({error})", error) from error


def is_packed(file: BinaryIO) -> bool:
    """Whether the file is unpacked while it is read, so that it cannot be mapped into memory.

    :param file: from :func:`opened`.
    """
    return isinstance(file, gzip.GzipFile)


def exactly(file: BinaryIO, size: int, path: Path, what: str) -> bytes:
    """The next bytes.

    :param file: to be read.
    :param size: how many.
    :param path: of the file, for the message.
    :param what: they are, for the message.
    :raises ModelNotFound: where the file ends before.
    """
    parts: list[bytes] = []
    while size > 0:
        part = file.read(min(size, _BLOCK))
        if not part:
            raise refused(path, f"it ends in the middle of {what}: was it downloaded to its end?")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def until(file: BinaryIO, mark: bytes, path: Path, what: str) -> bytes:
    """The bytes of a word, without the mark behind it.

    :param file: to be read, one that buffers.
    :param mark: a single byte.
    :param path: of the file, for the message.
    :param what: it is, for the message.
    :raises ModelNotFound: where there is no such mark in reach.
    """
    word = bytearray()
    while (byte := file.read(1)) != mark:
        if not byte:
            raise refused(path, f"it ends in the middle of {what}: was it downloaded to its end?")
        word += byte
        if len(word) > LONGEST_WORD:
            raise refused(path, f"{what} is longer than {LONGEST_WORD:,} bytes")
    return bytes(word)


def decoded(word: bytes) -> str:
    """A word; bytes that are not UTF-8 are replaced, since well-known files cut words in the middle of a character.

    :param word: as the file has it.
    """
    return word.decode("utf-8", "replace")


def check_encoding(words: Sequence[str], path: Path) -> None:
    """Refuse a file whose words are not in UTF-8: none of them would ever be found.

    :param words: from :func:`decoded`.
    :param path: of the file.
    :raises ModelNotFound: where more than a few are broken.
    """
    broken = [word for word in words if "\ufffd" in word]
    if len(broken) > max(_FEW, _BROKEN * len(words)):
        raise refused(
            path,
            f"{len(broken):,} of its {len(words):,} words are not UTF-8, such as {broken[0][:60]!r}: "
            "convert a text file with iconv -f ENCODING -t UTF-8",
        )


def check_shape(count: int, dimension: int, path: Path) -> None:
    """Refuse a header that no file of vectors has.

    :param count: of words.
    :param dimension: of vectors.
    :param path: of the file.
    :raises ModelNotFound: for numbers out of range.
    """
    if count < 1 or not 0 < dimension <= MOST_DIMENSIONS:
        raise refused(path, f"its header says {count:,} vectors of {dimension:,} dimensions")


def check_numbers(matrix: FloatMatrix, words: list[str], path: Path) -> None:
    """Refuse NaN, infinity, and numbers that no model learns but damaged bytes are full of.

    :param matrix: a row for each word.
    :param words: for the message.
    :param path: of the file.
    :raises ModelNotFound: naming the first such word.
    """
    if matrix.min() > -_LARGEST and matrix.max() < _LARGEST:  # not so for NaN; makes no copy of it all
        return
    row = int(np.flatnonzero(~(np.abs(matrix) < _LARGEST).all(axis=1))[0])
    raise refused(
        path,
        f"the vector of word {row + 1}, {words[row][:60]!r}, holds NaN, infinity or a number beyond {_LARGEST:g}",
    )
