"""Pictures: what they are known by, and how one is opened.

A picture is a file or some bytes. It is opened only when it is embedded, so that any number of them can be indexed;
what an index keeps of it is its digest, beside words that are known of it.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from retriever.errors import InvalidInput
from retriever.registry import raise_missing

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

    PictureInput: TypeAlias = "str | os.PathLike[str] | bytes | Image | Picture"
    """What public functions accept as a picture."""

DIGEST = "image_sha256"
"""Metadata key that makes a record a picture's: the digest of the file. Texts cannot have it."""

EXAMPLE = "sentence-transformers/clip-ViT-B-32"
"""A model that reads pictures, for messages."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What is read, by its content whatever the file's name; Pillow's names."""

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""How files of folders are named that are taken for pictures."""

ORIENTATION = 0x0112
"""Number of the EXIF tag that says how a picture is to be turned."""

_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""By its value (CIPA DC-008, 4.6.4), what shows the picture upright; Pillow's names."""

LARGEST_PIXELS = 89_000_000
"""Beyond this Pillow suspects a file that was made to fill the memory."""
LARGEST_BYTES = 256 * 1024**2
LONGEST_SHAPE = 100
"""Most times that one side may be as long as the other. Models resize the shorter one to some 224 pixels, and the
longer one in proportion: a line of one pixel by 60,000 would take gigabytes."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture; made by :meth:`of`.

    :param content: path of its file; or the file's bytes; or an image of Pillow's.
    :param digest: SHA-256 of the file, in hexadecimal digits; of size and pixels for an image of Pillow's.
    """

    content: Path | bytes | Image = field(repr=False, compare=False)
    digest: str

    @classmethod
    def of(cls, given: PictureInput) -> Picture:
        """The picture in a file or in memory. A file is read once for its digest, and not decoded.

        :param given: a path, the bytes of a file, an image of Pillow's; a picture is returned as it is.
        :raises InvalidInput: where there is no such file, or it is something else.
        """
        if isinstance(given, Picture):
            return given
        if isinstance(given, bytes):
            return cls(given, hashlib.sha256(given).hexdigest())
        if isinstance(given, str | os.PathLike):
            path = Path(given)
            with _opened(path) as file:
                return cls(path, hashlib.file_digest(file, "sha256").hexdigest())
        if not hasattr(given, "getexif"):  # Pillow may not be there to ask
            raise InvalidInput(f"a picture is a path, bytes or an image of Pillow's, not a {type(given).__name__}")
        with _decoding("the image"):
            image = _rgb(given)
        return cls(image, hashlib.sha256(f"RGB {image.size} ".encode() + image.tobytes()).hexdigest())

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.content) if isinstance(self.content, Path) else f"picture {self.digest[:12]}…"

    @property
    def bytes_held(self) -> int:
        """How much memory it takes; a file takes none."""
        if isinstance(self.content, Path):
            return 0
        return len(self.content) if isinstance(self.content, bytes) else 3 * self.content.width * self.content.height

    def open(self) -> Image:
        """Decode it: the first frame, turned as EXIF says, in RGB, on white where it is transparent.

        :raises InvalidInput: where it is damaged, too large, or its file is not the one that it was.
        :raises MissingExtra: without Pillow.
        """
        if not isinstance(self.content, Path | bytes):
            return self.content
        data = self.content if isinstance(self.content, bytes) else self._read(self.content)
        with opened(io.BytesIO(data), self.name) as image, _decoding(self.name):
            return _rgb(image)

    def _read(self, path: Path) -> bytes:
        with _opened(path) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != self.digest:
            raise InvalidInput(f"{path} has changed since it was found: index it again")
        return data


@contextmanager
def opened(data: IO[bytes], name: str) -> Iterator[ImageFile]:
    """An image of Pillow's whose head has been read; its pixels are decoded when they are asked for.

    :param data: a file.
    :param name: of it, for messages.
    :raises InvalidInput: where it is no picture, damaged or too large.
    :raises MissingExtra: without Pillow.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise_missing("pictures", error)
    with _decoding(name):
        if not data.read(1):
            raise InvalidInput(f"{name} is empty")
        data.seek(0)
        image = Image.open(data, formats=FORMATS)
        _check_size(*image.size, name)
    with image:
        yield image


def canary() -> Image:
    """A picture that is the same on every machine: colours, edges and a gradient."""
    from PIL import Image

    across, down = np.meshgrid(np.arange(64), np.arange(48))
    channels = [across * 4, down * 5, ((across // 8 + down // 8) % 2) * 200]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def is_picture(metadata: Mapping[str, object]) -> bool:
    """Whether a record is a picture's.

    :param metadata: of the chunk.
    """
    return DIGEST in metadata


def find_picture(source: str, metadata: Mapping[str, Any]) -> Picture:
    """The file of a picture that was indexed from a folder.

    :param source: of the chunk: the full path of the folder.
    :param metadata: of the chunk.
    :raises InvalidInput: where there is no such file any more, or it is another picture now.
    """
    folder, path = Path(source), Path(str(metadata.get("path", "")))
    # Whoever can write to a store says what is opened here: nothing that a folder would not have given.
    is_inside = folder.is_absolute() and not path.is_absolute() and ".." not in path.parts
    if not is_inside or path.suffix.lower() not in EXTENSIONS:
        raise InvalidInput("its file is not known, only pictures of folders can be read again: index its source again")
    picture = Picture.of(folder / path)
    if picture.digest != metadata[DIGEST]:
        raise InvalidInput(f"{picture.name} is another picture now: index its source again")
    return picture


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """A file of a size that can be read: opening a named pipe would wait for its writer."""
    if not _can_be_named(path):
        raise InvalidInput(f"no file can have the name {str(path)!r}")
    try:
        if path.exists() and not path.is_file():
            raise InvalidInput(f"{path} is no file")
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > LARGEST_BYTES:
                raise InvalidInput(f"{path} is larger than {LARGEST_BYTES // 1024**2} MiB: save it smaller")
            yield file
    except OSError as error:
        raise InvalidInput(f"the picture {path} cannot be read: {error.strerror or error}") from error


def _can_be_named(path: Path) -> bool:
    """What an index says may be anything."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Decoders of other people's formats raise anything."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except (InvalidInput, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise InvalidInput(f"{name} is no picture in a format that is read ({', '.join(FORMATS)})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except Exception as error:
        raise InvalidInput(f"{name} is damaged: {' '.join(str(error).split())[:200]}") from error


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > LARGEST_PIXELS:
        raise _too_large(name)
    if not width or not height:
        raise InvalidInput(f"{name} has no pixels")
    if max(width, height) > LONGEST_SHAPE * min(width, height):
        raise InvalidInput(f"{name} is {width} by {height} pixels, too long and narrow for a model: crop it")


def _too_large(name: str) -> InvalidInput:
    return InvalidInput(f"{name} has more than {LARGEST_PIXELS // 10**6} million pixels: save it smaller")


def _rgb(image: Image) -> Image:
    from PIL import Image

    _check_size(*image.size, "the image")
    image.load()
    with suppress(Exception):  # EXIF that cannot be read turns nothing; exif_transpose also fails if it cannot write it
        turn = _TURNS.get(image.getexif().get(ORIENTATION, 1))
        image = image.transpose(Image.Transpose[turn]) if turn else image
    if image.mode.startswith(("I", "F")):  # would be clipped to white
        image = Image.fromarray(_eight_bits(np.asarray(image), wide=not image.mode.startswith("I;16")))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    page = Image.new("RGB", layer.size, "white")
    page.paste(layer, mask=layer.getchannel("A"))
    return page


def _eight_bits(values: Any, *, wide: bool) -> Any:  # noqa: ANN401 - arrays of any type
    """Grey levels of 16 bits; of 32 bits or fractions stretched over the range that there is."""
    if not wide:
        return (values >> 8).astype(np.uint8)
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    values = np.clip(np.nan_to_num(values, nan=low), low, high)
    return ((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
