"""Bytes to text: which encoding a file is in.

Order of belief: byte order mark, valid UTF-8, what the file itself declares, a guess. A file whose encoding cannot be
told, or that does not keep to it, is refused with a reason.

Unicode is told reliably, and so is what a file truly declares. A guess is good for the encodings that Windows uses for
Western European languages, Cyrillic, Greek, Hebrew and Turkish, for Chinese (GBK, Big5), Korean (EUC-KR) and Japanese
(Shift-JIS, and EUC-JP with kana in it). Others may be taken for one of these and be read wrongly, without a word: Thai,
Arabic in ISO 8859-6, Baltic languages, Czech and Polish in ISO 8859-2, KOI8-U, those of old Macs and of DOS. Convert
such files to UTF-8.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from retriever.loading.guess import guess
from retriever.loading.outcome import ReadError

UTF8 = "utf-8-sig"
"""UTF-8, with or without a mark."""

LARGEST_TEXT = 64 * 1024**2
"""Bytes of the largest file that is read whole. The chunker takes up to 200 times as much memory."""

LONGEST_LINE = 64 * 1024**2
"""Characters of the longest line, or field of a table, in a file that is read bit by bit."""

_BLOCK = 1024**2
_HEAD = 64 * 1024
_SAMPLE = 16 * 1024

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(location: Path) -> str:
    """Read a whole text file.

    :param location: the file.
    :return: its text, newlines as they are, without a byte order mark.
    :raises ReadError: if it is binary, too large, or its encoding cannot be told.
    """
    with location.open("rb") as handle:
        codec = _from_head(handle)
        size = os.fstat(handle.fileno()).st_size
        if size > LARGEST_TEXT:
            raise ReadError(f"larger than {LARGEST_TEXT // 1024**2} MiB; split it")
        codec = codec or _from_content(handle)
        handle.seek(0)
        data = handle.read()
    if b"\0" in data and codec not in _WIDE:
        raise _binary()
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise undecodable(error) from error


@contextmanager
def open_text(location: Path, newline: str) -> Iterator[TextIO]:
    """Open a text file to be read bit by bit, however large it is.

    Bytes that are not UTF-8 come through as surrogates, so that they cost one row and not the file; see
    :func:`is_damaged`.

    :param location: the file.
    :param newline: as in :func:`open`.
    :return: the open file.
    :raises ReadError: if it is binary, or its encoding cannot be told or is not kept to.
    """
    with location.open("rb") as handle:
        codec = _from_head(handle) or _from_content(handle)
    errors = "surrogateescape" if codec == UTF8 else "strict"
    with location.open(encoding=codec, errors=errors, newline=newline) as text:
        try:
            yield text
        except UnicodeDecodeError as error:
            raise undecodable(error) from error


def lines(text: TextIO) -> Iterator[str]:
    """Read line by line, and stop at one that would fill the memory.

    :param text: an open file.
    :return: lines, with their ends.
    :raises ReadError: if a line is longer than :data:`LONGEST_LINE`.
    """
    while line := text.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise ReadError(f"a line is longer than {LONGEST_LINE // 1024**2} Mi characters")
        yield line


_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


def is_damaged(text: str) -> bool:
    """Whether text from :func:`open_text` holds bytes that could not be decoded."""
    return not text.isascii() and _ESCAPED_BYTE.search(text) is not None


def undecodable(error: UnicodeDecodeError) -> ReadError:
    """Say where a file breaks its own encoding."""
    codec = "UTF-8" if error.encoding in ("utf-8", UTF8) else error.encoding
    return ReadError(f"not valid {codec} at byte {error.start}; save it again as UTF-8")


def _binary() -> ReadError:
    return ReadError("binary, and not of a format that is read", "skipped")


_WIDE = ("utf-16", "utf-32", "utf-16-le", "utf-16-be")


def _from_head(handle: BinaryIO) -> str | None:
    """The encoding, where the first bytes tell it; so that large binary files are not read any further."""
    head = handle.read(_HEAD)
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return codec
    if b"\0" not in head:
        return None
    for codec, high in (("utf-16-le", 1), ("utf-16-be", 0)):
        if _is_unmarked_utf16(head, codec, high):
            return codec
    raise _binary()


def _is_unmarked_utf16(head: bytes, codec: str, high: int) -> bool:
    """Text in a Latin script has a zero in almost every second byte; little else has, and prints."""
    if len(head) % 2 or 10 * head[high::2].count(0) < 9 * (len(head) // 2):
        return False
    text = codecs.getincrementaldecoder(codec)("replace").decode(head)
    return all(c.isprintable() or c.isspace() for c in text)


def _from_content(handle: BinaryIO) -> str:
    handle.seek(0)
    if _is_utf8(handle):
        return UTF8
    handle.seek(0)
    head = handle.read(_HEAD)
    handle.seek(0)
    sample, cut = _sample(handle)
    codec = UTF8 if _is_broken_utf8(sample) else _declared(head, sample) or guess(sample, cut=cut)
    if codec is None:
        raise ReadError("its encoding cannot be told; save it as UTF-8")
    return codec


def _is_utf8(handle: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := handle.read(_BLOCK):
            if b"\0" in block:
                raise _binary()
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


# Beyond the usual ones for layout: bell, backspace, escape, and the end-of-file of DOS.
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x19\x1c-\x1f\x7f]")


def _sample(handle: BinaryIO) -> tuple[bytes, bool]:
    """Lines with bytes beyond ASCII, and whether the last one had to be cut.

    A line feed is never a part of a character in any encoding that is guessed.
    """
    lines = bytearray()
    while len(lines) < _SAMPLE and (line := handle.readline(_SAMPLE)):
        if not line.isascii():
            lines += line
    if len(_CONTROL.findall(lines)) * 50 > len(lines):
        raise _binary()
    return bytes(lines), not lines.endswith(b"\n")


def _is_broken_utf8(sample: bytes) -> bool:
    """UTF-8 with a few bad bytes: reading it in another encoding would garble all the good ones."""
    text = sample.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(c > "\x7f" for c in text) - bad
    return good > 2 * bad


_DECLARATION = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w-]+)
    | \A\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w-]+)
    | \A(?:[^\n]{0,200}\n)?[ \t]*\#[^\n]{0,200}?coding[:=][ \t]*([\w-]+)""",
    re.IGNORECASE | re.VERBOSE,
)

# What the names mean in practice. Unicode is not among them: it has been tried, and it was not.
_DECLARED = {
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "cp936": "gb18030", "big5": "cp950",
    "big5-hkscs": "big5hkscs", "shift-jis": "cp932", "sjis": "cp932", "windows-31j": "cp932", "euc-jp": "euc_jp",
    "euc-kr": "cp949", "ks-c-5601-1987": "cp949", "iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252",
    "iso-8859-9": "cp1254", "koi8-r": "koi8_r", "koi8-u": "koi8_u", "tis-620": "cp874", "windows-874": "cp874",
}  # fmt: skip
_NUMBERED = re.compile("(?:windows-|cp)(125[0-8])|(iso-8859-[0-9]{1,2})")


def _declared(head: bytes, sample: bytes) -> str | None:
    """The encoding that the file names, if its bytes agree."""
    found = _DECLARATION.search(head[:4096])
    if found is None:
        return None
    name = next(group for group in found.groups() if group).decode("ascii", "ignore").lower().replace("_", "-")
    codec = _DECLARED.get(name)
    if codec is None and (numbered := _NUMBERED.fullmatch(name)):
        codec = f"cp{numbered[1]}" if numbered[1] else name
    try:
        codecs.getincrementaldecoder(codec or "ascii")().decode(sample)
    except (UnicodeDecodeError, LookupError):
        return None
    return codec
