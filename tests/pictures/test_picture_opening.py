"""A picture is opened as people see it, or refused by name."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_samples import draw
from PIL import Image

from retriever import InvalidInput, Picture
from retriever.pictures import LARGEST_PIXELS, LONGEST_SHAPE, canary


def encoded(image, form, **settings):
    data = io.BytesIO()
    image.save(data, form, **settings)
    return data.getvalue()


def seen(data):
    """Colours of the corners: top left, top right, bottom left, bottom right."""
    image = Picture.of(data).open()
    assert image.mode == "RGB"
    pixels = np.asarray(image)
    return [tuple(round(v / 64) for v in pixels[y, x]) for y, x in ((2, 2), (2, -3), (-3, 2), (-3, -3))]


RED, BLUE, WHITE, GREY = (4, 0, 0), (0, 0, 4), (4, 4, 4), (2, 2, 2)


def halves():
    """Red on the left, blue on the right, wider than high."""
    image = Image.new("RGB", (64, 32), "red")
    image.paste("blue", (32, 0, 64, 32))
    return image


@pytest.mark.parametrize(
    ("form", "mode"),
    [(form, "RGB") for form in ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")]
    + [
        ("PNG", "P"),
        ("GIF", "P"),
        ("JPEG", "CMYK"),
        ("TIFF", "CMYK"),
        ("PNG", "RGBA"),
        ("WEBP", "RGBA"),
        ("TIFF", "LAB"),
    ],
)
def test_every_format_and_mode_shows_the_same(form, mode):
    if mode == "LAB":
        from PIL import ImageCms

        transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        data = encoded(ImageCms.applyTransform(halves(), transform), form)
    else:
        data = encoded(halves().convert(mode), form)
    colours = np.array(seen(data))
    assert np.abs(colours - [RED, BLUE, RED, BLUE]).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_exif_says(orientation):
    """The stored pixels are turned against it, so that what is seen is red on the left."""
    undo = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[orientation]
    stored = halves()
    for method in undo:
        stored = stored.transpose(method)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, "PNG", exif=exif)
    assert seen(data) == [RED, BLUE, RED, BLUE]
    assert Picture.of(data).open().size == (64, 32)


def test_it_is_turned_also_where_its_exif_cannot_be_written_again():
    """As of some cameras and phones: a tag of another type than it should have."""
    tags = [(0x0112, 3, 6), (0x011A, 1, 1)]  # orientation; a resolution that is a byte
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"
    jpeg = encoded(halves().transpose(Image.Transpose.ROTATE_90), "JPEG")
    data = jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:]
    assert Picture.of(data).open().size == (64, 32)
    assert seen(data) == [RED, BLUE, RED, BLUE]


def test_transparency_is_white():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (4, 0, 8, 8))
    assert seen(encoded(image, "PNG")) == [WHITE, BLUE, WHITE, BLUE]
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.paste(1, (4, 0, 8, 8))
    assert seen(encoded(palette, "PNG", transparency=0)) == [WHITE, BLUE, WHITE, BLUE]
    assert seen(encoded(Image.new("LA", (8, 8), (0, 0)), "PNG")) == [WHITE] * 4


def test_grey_of_sixteen_and_thirty_two_bits_is_not_clipped():
    ramp = np.zeros((8, 8), np.uint16)
    ramp[:, 4:] = 0x8000
    assert seen(encoded(Image.fromarray(ramp), "PNG")) == [(0, 0, 0), GREY, (0, 0, 0), GREY]
    fractions = Image.fromarray(np.linspace(-1, 3, 64, dtype=np.float32).reshape(8, 8))
    low, _, _, high = seen(encoded(fractions, "TIFF"))
    assert low < high
    depths = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    depths[0, 0], depths[0, 1], depths[0, 2] = np.inf, -np.inf, np.nan
    low, _, _, high = seen(encoded(Image.fromarray(depths), "TIFF"))
    assert low < high
    assert seen(encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF")) == [(0, 0, 0)] * 4


def test_black_and_white():
    assert seen(encoded(Image.new("1", (8, 8), 1), "PNG")) == [WHITE] * 4
    assert seen(encoded(Image.new("I", (8, 8), 7), "TIFF")) == [(0, 0, 0)] * 4  # all alike: nothing to stretch


def test_of_an_animation_the_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    assert seen(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])) == [RED] * 4


def test_the_digest_is_that_of_the_file_wherever_it_is(tmp_path):
    path = draw(tmp_path / "a.png")
    picture = Picture.of(path)
    assert picture == Picture.of(str(path)) == Picture.of(path.read_bytes()) == Picture.of(picture)
    assert picture != Picture.of(draw(tmp_path / "b.png", "blue"))
    assert picture.bytes_held == 0
    assert Picture.of(path.read_bytes()).bytes_held == path.stat().st_size
    image = Image.open(path)
    assert Picture.of(image) == Picture.of(image.convert("RGB"))
    assert Picture.of(image).bytes_held == 40 * 30 * 3
    assert "red" not in repr(Picture.of(b"red"))


def test_an_image_in_memory_is_copied():
    image = Image.new("RGB", (4, 4), "red")
    picture = Picture.of(image)
    image.paste("blue", (0, 0, 4, 4))
    assert picture.open().getpixel((0, 0)) == (255, 0, 0)


def png(**changed):
    """A small PNG that says it is of any size."""
    head = struct.pack(">IIBBBBB", changed.get("width", 8), changed.get("height", 8), 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 9))]
    parts = [struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


WHOLE = encoded(halves(), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"no picture", "no picture in a format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture in a format"),
        (WHOLE[: len(WHOLE) // 2], "damaged"),
        (WHOLE[:4], "no picture|damaged"),
        (encoded(halves(), "PNG")[:60], "damaged"),
        (png(), "damaged"),
        (png(width=10_000, height=LARGEST_PIXELS // 10_000 + 1), "million pixels"),
        (png(width=60_000, height=60_000), "million pixels"),
        (png(width=0), "damaged|no pixels|no picture"),
        (encoded(Image.new("RGB", (LONGEST_SHAPE + 1, 1)), "PNG"), "long and narrow"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_read_is_refused(data, reason, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for content in (data, path):
        with pytest.raises(InvalidInput, match=reason):
            Picture.of(content).open()


FILES = {form: encoded(halves(), form) for form in ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")}


@given(
    st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255))), st.integers(0, 99)
)
def test_whatever_is_in_a_file_it_is_a_picture_or_refused(form, changes, missing):
    data = bytearray(FILES[form])
    for place, value in changes:
        data[place % len(data)] = value
    try:
        image = Picture.of(bytes(data[: len(data) - missing])).open()
    except InvalidInput:
        return
    assert image.mode == "RGB"
    assert image.width * image.height <= LARGEST_PIXELS


def test_a_large_picture_is_refused_where_warnings_are_errors(tmp_path):
    with pytest.raises(InvalidInput, match="million pixels"):
        Picture.of(png(width=10_000, height=9_000)).open()


@pytest.mark.parametrize("given", [3, None, ["a.png"]])
def test_what_is_no_picture_at_all(given):
    with pytest.raises(InvalidInput, match="path, bytes or an image"):
        Picture.of(given)


def test_files_that_are_not_there_or_no_files(tmp_path):
    with pytest.raises(InvalidInput, match=r"gone\.png"):
        Picture.of(tmp_path / "gone.png")
    with pytest.raises(InvalidInput, match="no file"):
        Picture.of(tmp_path)
    for name in ("a\0b.png", "\ud800.png"):
        with pytest.raises(InvalidInput, match="no file can have the name"):
            Picture.of(tmp_path / name)


def test_a_file_that_changed_since_is_not_taken_for_what_it_was(tmp_path):
    picture = Picture.of(draw(tmp_path / "a.png", "red"))
    draw(tmp_path / "a.png", "blue")
    with pytest.raises(InvalidInput, match="changed"):
        picture.open()
    (tmp_path / "a.png").unlink()
    with pytest.raises(InvalidInput, match=r"a\.png"):
        picture.open()


def test_the_test_picture_never_changes():
    """Its vectors are in manifests."""
    assert Picture.of(canary()).digest == "e3425587b975316d543179db9d0f93feade43510daa403d448de859ffc802dda"
