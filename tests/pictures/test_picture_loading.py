"""Files of pictures become documents whose text says what is known of them."""

import zlib

import pytest
from picture_samples import draw
from PIL import Image, PngImagePlugin

from retriever import InvalidInput, Picture, Unloaded, load
from retriever.loading.images import LONGEST_WORDS


def only(folder, **settings):
    (outcome,) = load(folder, images=True, **settings)
    return outcome


def test_a_folder_of_pictures(album):
    documents = list(load(album, images=True))
    assert [(d.id, d.text) for d in documents] == [
        ("garden.webp", "garden"),
        ("notes.txt", "The meeting is on Monday."),
        ("red_car.png", "red car"),
        ("trips/IMG-0001.JPG", "IMG 0001"),
    ]
    assert documents[2].metadata == {"path": "red_car.png", "format": "image", "width": 40, "height": 30}
    assert documents[2].picture == Picture.of(album / "red_car.png")
    assert documents[1].picture is None


def test_without_a_function_that_reads_them_they_are_ignored_and_it_says_what_to_do(album):
    outcomes = list(load(album))
    assert [outcome.path for outcome in outcomes if isinstance(outcome, Unloaded)] == [
        "garden.webp",
        "red_car.png",
        "trips/IMG-0001.JPG",
    ]
    assert {(o.kind, "clip-ViT-B-32" in o.reason) for o in outcomes if isinstance(o, Unloaded)} == {("skipped", True)}


@pytest.mark.parametrize(
    ("name", "words"),
    [("___.png", "___.png"), ("红色-汽车.png", "红色 汽车"), ("a.b (2).png", "a b 2"), ("ÉTÉ_2024.png", "ÉTÉ 2024")],
)
def test_names_in_words(tmp_path, name, words):
    draw(tmp_path / name)
    assert only(tmp_path).text == words


def test_what_exif_says_of_a_picture(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "  A car\nin the rain"
    exif[0x9C9B] = "雨中的汽车\0".encode("utf-16-le")
    exif[0x9C9E] = "Auto;été".encode("utf-16-le")
    draw(tmp_path / "dsc_7.jpg", format="JPEG", exif=exif)
    document = only(tmp_path)
    assert document.text == "dsc 7\n雨中的汽车\nA car in the rain\nAuto;été"
    assert document.metadata["title"] == "雨中的汽车"


def test_utf_8_in_exif_is_read_as_such(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "Straße 街道".encode()
    draw(tmp_path / "a.jpg", format="JPEG", exif=exif)
    assert only(tmp_path).text == "a\nStraße 街道"


def test_what_png_says_of_a_picture(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "Dusk")
    info.add_itxt("Description", "The harbour, 港口")
    info.add_text("Software", "a camera")
    draw(tmp_path / "dusk.png", pnginfo=info)
    document = only(tmp_path)
    assert document.text == "dusk\nDusk\nThe harbour, 港口"
    assert document.metadata["title"] == "Dusk"


def test_words_of_png_are_read_without_its_pixels(tmp_path):
    """They may lie behind these, which may be many frames."""
    path = draw(tmp_path / "a.png", size=(400, 300))
    png = bytearray(path.read_bytes())
    words = b"tEXtDescription\0The harbour"
    chunk = (len(words) - 4).to_bytes(4, "big") + words + zlib.crc32(words).to_bytes(4, "big")
    png[-12:-12] = chunk  # before the last one
    path.write_bytes(png)
    assert only(tmp_path).text == "a\nThe harbour"
    start = png.index(b"IDAT") + 4
    png[start : start + 9] = b"no pixels"
    path.write_bytes(png)
    document = only(tmp_path)
    assert document.text == "a\nThe harbour"
    with pytest.raises(InvalidInput):
        document.picture.open()


def test_damaged_words_of_png_harm_no_picture_and_no_other_words(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "Dusk")
    path = draw(tmp_path / "a.png", pnginfo=info)
    path.write_bytes(path.read_bytes()[:-12] + b"\xff" * 30)
    assert only(tmp_path).text == "a\nDusk"


def test_width_and_height_are_those_that_are_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw(tmp_path / "a.jpg", size=(40, 20), format="JPEG", exif=exif)
    document = only(tmp_path)
    assert (document.metadata["width"], document.metadata["height"]) == document.picture.open().size == (20, 40)


def test_a_picture_takes_no_book_for_its_words(tmp_path):
    draw(tmp_path / "a.tif", tiffinfo={0x010E: "word " * 100_000})
    assert only(tmp_path).text == ("a\n" + "word " * 2_000)[:LONGEST_WORDS].rstrip()


def iptc(*fields):
    """A Photoshop block as programs for press photographers write it."""
    data = b"".join(bytes([0x1C, *key]) + len(value).to_bytes(2, "big") + value for key, value in fields)
    block = b"8BIM\x04\x04\x00\x00" + len(data).to_bytes(4, "big") + data + b"\0" * (len(data) % 2)
    content = b"Photoshop 3.0\0" + block
    return b"\xff\xed" + (len(content) + 2).to_bytes(2, "big") + content


def test_what_iptc_says_of_a_picture(tmp_path):
    path = draw(tmp_path / "press.jpg", format="JPEG")
    jpeg = path.read_bytes()
    block = iptc(
        ((2, 5), b"The mayor"), ((2, 25), b"city"), ((2, 25), "Zürich".encode()), ((2, 120), b"Opens a bridge")
    )
    path.write_bytes(jpeg[:2] + block + jpeg[2:])
    assert only(tmp_path).text == "press\nThe mayor\nOpens a bridge\ncity\nZürich"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_damaged_words_harm_no_picture(tmp_path):
    path = draw(tmp_path / "a.jpg", format="JPEG")
    jpeg = path.read_bytes()
    bad = b"Exif\0\0MM\x00\x2a\xff\xff\xff\xff" + b"\xff" * 40
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(bad) + 2).to_bytes(2, "big") + bad + jpeg[2:])
    document = only(tmp_path)
    assert document.text == "a"
    assert document.picture.open().size == (40, 30)


def test_the_content_decides_not_the_name(tmp_path):
    draw(tmp_path / "a.png", format="JPEG")
    (tmp_path / "b.png").write_text("only text")
    (tmp_path / "c.jpg").write_bytes(b"")
    first, *others = load(tmp_path, images=True)
    assert first.picture.open().size == (40, 30)
    assert [(o.path, o.kind) for o in others] == [("b.png", "failed"), ("c.jpg", "failed")]
    assert "no picture" in others[0].reason
    assert "empty" in others[1].reason


def test_one_file_may_be_the_root(tmp_path):
    path = draw(tmp_path / "a.png")
    assert [document.id for document in load(path, images=True)] == ["a.png"]


def test_a_document_takes_no_other_picture(tmp_path):
    from retriever import Document
    from retriever.planning import check_document

    with pytest.raises(InvalidInput, match=r"Picture\.of"):
        check_document(Document("a", "", picture=str(tmp_path)))
