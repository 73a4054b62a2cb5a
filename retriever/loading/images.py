"""Pictures: a document a picture, whose text is what can be said of it in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from retriever.errors import InvalidInput
from retriever.loading.outcome import File, Outcome, ReadError
from retriever.markdown import LONGEST_TITLE
from retriever.pictures import EXAMPLE, Picture, opened
from retriever.types import Document

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_TITLES = ("Title", 0x9C9B, (2, 5), (2, 105))
_DESCRIPTIONS = ("Description", "Caption", 0x010E, 0x9C9F, 0x9C9C, 0x9C9E, (2, 120), (2, 25))
"""Where people write what a picture shows: text of PNG by its keyword; EXIF by its number (ImageDescription, XPSubject,
XPComment, XPKeywords); IPTC by record and data set (caption, keywords)."""

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
            said = _said(image)
    except InvalidInput as error:
        raise ReadError(str(error)) from error
    titles = _texts(said, _TITLES)
    lines = dict.fromkeys([_name(file), *titles, *_texts(said, _DESCRIPTIONS)])
    title = titles[0][:LONGEST_TITLE] if titles else None
    yield Document(file.path, "\n".join(lines), file.metadata(title=title, width=width, height=height), picture=picture)


def _name(file: File) -> str:
    """``red_car-2`` is ``red car 2``."""
    return _NO_WORD.sub(" ", file.location.stem).strip() or file.location.name


def _said(image: ImageFile) -> dict[Any, Any]:
    """What programs and people have written into the file. Some of it may be damaged, which harms no picture."""
    from PIL import IptcImagePlugin

    said: dict[Any, Any] = {}
    with suppress(Exception):
        said |= dict(getattr(image, "text", None) or {})
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
            text = " ".join(_decoded(value, wide=isinstance(key, int) and key >= 0x9C9B).split())
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
