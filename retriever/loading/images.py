"""Pictures: a document a picture, whose text is what can be said of it in words."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from retriever.errors import InvalidInput
from retriever.loading.outcome import File, Outcome, ReadError
from retriever.markdown import LONGEST_TITLE
from retriever.pictures import EXAMPLE, ORIENTATION, Picture, opened
from retriever.types import Document

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

LONGEST_WORDS = 10_000
"""Characters of what is said of a picture: files have room for hundreds of millions, and its words are one chunk."""

_TITLES = ("Title", 0x9C9B, (2, 5), (2, 105))
_DESCRIPTIONS = ("Description", "Caption", 0x010E, 0x9C9F, 0x9C9C, 0x9C9E, (2, 120), (2, 25))
"""Where people write what a picture shows: text of PNG by its keyword; EXIF by its number (ImageDescription, XPSubject,
XPComment, XPKeywords); IPTC by record and data set (caption, keywords)."""

_LYING = (5, 6, 7, 8)
"""Values of EXIF's orientation by which width and height change places."""

_PIXELS = (b"IDAT", b"acTL", b"fcTL", b"fdAT")
"""Chunks of PNG."""

_NO_WORD = re.compile(r"[\W_]+")


def load_image(file: File) -> Iterator[Outcome]:
    """Read the head of a picture; its pixels are decoded only when it is embedded.

    :param file: the file.
    :return: one document. Its text is the file's name in words, then title and description where the file has them.
    :raises MissingExtra: without Pillow.
    :raises ReadError: if nobody asked for pictures, or it is damaged, empty or too large.
    """
    if not file.images:
        raise ReadError(
            f"a picture: it takes an index whose embedding function reads pictures, such as {EXAMPLE}", "skipped"
        )
    try:
        picture = Picture.of(file.location)
        with file.location.open("rb") as data, opened(data, "it") as image:
            width, height = image.size
            said = _said(image, data)
    except InvalidInput as error:
        raise ReadError(str(error)) from error
    if said.get(ORIENTATION) in _LYING:
        width, height = height, width
    titles = _texts(said, _TITLES)
    lines = dict.fromkeys([_name(file), *titles, *_texts(said, _DESCRIPTIONS)])
    title = titles[0][:LONGEST_TITLE] if titles else None
    text = "\n".join(lines)[:LONGEST_WORDS]
    yield Document(file.path, text, file.metadata(title=title, width=width, height=height), picture=picture)


def _name(file: File) -> str:
    """``red_car-2`` is ``red car 2``."""
    return _NO_WORD.sub(" ", file.location.stem).strip() or file.location.name


def _without_pixels(data: IO[bytes]) -> ImageFile:
    """A PNG of which only the words are left: to tell those behind the pixels, Pillow decodes all frames."""
    from PIL import Image

    data.seek(0)
    kept = io.BytesIO()
    kept.write(data.read(8))
    while len(head := data.read(8)) == 8:
        size = int.from_bytes(head[:4], "big") + 4  # and its checksum
        if head[4:] in _PIXELS:
            data.seek(size, io.SEEK_CUR)
        else:
            kept.write(head + data.read(size))
    kept.seek(0)
    return Image.open(kept, formats=("PNG",))


def _said(image: ImageFile, data: IO[bytes]) -> dict[Any, Any]:
    """What programs and people have written into the file. Some of it may be damaged, which harms no picture."""
    from PIL import IptcImagePlugin

    if image.format == "PNG":
        with suppress(Exception):
            image = _without_pixels(data)
    said: dict[Any, Any] = {}
    with suppress(Exception):
        said |= image.info  # texts of PNG
    with suppress(Exception):
        said |= dict(image.getexif())
    with suppress(Exception):
        said |= IptcImagePlugin.getiptcinfo(image) or {}
    return said


def _texts(said: dict[Any, Any], keys: tuple[Any, ...]) -> list[str]:
    found = []
    for key in keys:
        values = said.get(key)
        for value in values if isinstance(values, list) else [values]:
            text = " ".join(_decoded(value, wide=isinstance(key, int) and key >= 0x9C9B)[:LONGEST_WORDS].split())
            if text:
                found.append(text)
    return list(dict.fromkeys(found))


def _decoded(value: object, *, wide: bool) -> str:
    """Windows writes UTF-16; what Pillow took for Latin 1 is UTF-8 more often than not."""
    if isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        value = bytes(value)
    if isinstance(value, str):
        with suppress(UnicodeError):
            value = value.encode("latin-1").decode()
    if isinstance(value, bytes):
        value = value.decode("utf-16-le", "ignore") if wide else _either(value)
    text = str(value) if isinstance(value, str) else ""
    return text.replace("\0", " ").encode(errors="ignore").decode()


def _either(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
