"""Folders with pictures, from files to hits, on every kind of store."""

import numpy as np
import pytest
from picture_samples import CachedColours, draw
from PIL import Image

from retriever import Document, InvalidInput, MemoryStore, Picture, Retriever, StoreError
from retriever.embedding.cache import SETTING, default_cache
from retriever.pictures import DIGEST


@pytest.fixture(params=["memory:", "edge", "chroma::memory:"])
def opened(request, tmp_path, colours):
    if request.param == "edge":
        pytest.importorskip("qdrant_edge")
    if request.param == "chroma::memory:":
        pytest.importorskip("chromadb")
    address = tmp_path / "index" if request.param == "edge" else request.param
    with Retriever.open(address, embedding="colours") as retriever:
        colours.reset()
        yield retriever


def names(hits):
    return [hit.document_id.rpartition("::")[2] for hit in hits]


def test_words_find_pictures_in_either_leg_and_fused(opened, album):
    report = opened.index(album)
    assert (report.documents, report.added, report.failed, report.ignored) == (4, 4, [], [])
    assert names(opened.search("something blue", 1, mode="semantic")) == ["trips/IMG-0001.JPG"]
    assert names(opened.search("garden", 1, mode="keyword")) == ["garden.webp"]
    best = opened.search("a red car")[0]
    assert names([best]) == ["red_car.png"]
    assert best.legs["semantic"].rank == best.legs["keyword"].rank == 1
    assert best.text == "red car"
    assert (best.chunk.start, best.chunk.end) == (0, 7)
    assert best.chunk.metadata["format"] == "image"


def test_only_pictures_by_a_filter(opened, album):
    opened.index(album)
    assert set(names(opened.search("Monday", filter={"format": "image"}))) == {
        "red_car.png",
        "garden.webp",
        "trips/IMG-0001.JPG",
    }
    assert names(opened.search("blue", 1, filter={"format": "text"})) == ["notes.txt"]


def test_a_picture_finds_its_like(opened, album):
    opened.index(album)
    vector = opened.embedding.embed_images([Image.new("RGB", (9, 9), (0, 100, 0))])[0]
    assert names(opened.search_by_vector(vector, 1)) == ["garden.webp"]


def test_again_nothing_is_embedded(opened, album, colours):
    opened.index(album)
    colours.reset()
    report = opened.index(album)
    assert (report.skipped, report.added, report.updated, report.deleted) == (4, 0, 0, 0)
    assert (colours.seen, colours.read) == ([], [])


def test_a_changed_picture_of_the_same_name_is_embedded_again(opened, album, colours):
    opened.index(album)
    colours.reset()
    draw(album / "red_car.png", "green", size=(7, 7))
    report = opened.index(album)
    assert (report.added, report.deleted, report.skipped) == (1, 1, 3)
    assert (7, 7) in colours.seen
    assert set(names(opened.search("green", 2, mode="semantic"))) == {"red_car.png", "garden.webp"}


def test_other_metadata_is_rewritten_without_embedding(opened, tmp_path, colours):
    picture = Picture.of(draw(tmp_path / "a.png"))
    opened.index([Document("a", "an apple", {"n": 1}, picture)])
    colours.reset()
    report = opened.index([Document("a", "an apple", {"n": 2}, picture)])
    assert (report.updated, report.added, colours.seen) == (1, 0, [])
    assert opened.search("apple", 1)[0].chunk.metadata == {"n": 2, "format": "image", DIGEST: picture.digest}


def test_pictures_without_a_word(opened, tmp_path):
    opened.index([Document("a", "", {"format": "scan"}, Picture.of(draw(tmp_path / "a.png", "blue").read_bytes()))])
    (hit,) = opened.search("blue", 1)
    assert (hit.text, hit.chunk.metadata["format"]) == ("", "scan")
    assert opened.verify().problems == []


def test_a_removed_picture_goes(opened, album):
    opened.index(album)
    (album / "garden.webp").unlink()
    assert opened.index(album).deleted == 1
    assert "garden.webp" not in names(opened.search("green"))


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\x00", b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_bad_files_are_told_of_and_the_rest_indexed(opened, album, content):
    (album / "bad.jpg").write_bytes(content)
    report = opened.index(album)
    assert [problem.item for problem in report.failed] == ["bad.jpg"]
    assert report.added == 4


def test_one_whose_pixels_are_damaged_keeps_what_the_index_had(opened, album):
    opened.index(album)
    path = draw(album / "red_car.png", "green", size=(300, 300))
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5_000])
    report = opened.index(album)
    assert (report.added, report.deleted) == (0, 0)
    ((item, reason),) = report.failed
    assert item.endswith("red_car.png")
    assert "damaged" in reason
    assert names(opened.search("red", 1, mode="semantic")) == ["red_car.png"]
    draw(path, "blue")
    report = opened.index(album)
    assert (report.added, report.deleted, report.failed) == (1, 1, [])


def test_a_long_name_is_not_cut_nor_counted_as_too_long(opened, tmp_path):
    draw(tmp_path / "album" / "one_two_three_four_five_six_seven_eight_nine_ten.png")
    report = opened.index(tmp_path / "album")
    assert (report.added, report.truncated, report.tokens) == (1, 0, 0)
    assert opened.search("eight", 1)[0].text == "one two three four five six seven eight nine ten"


def test_upserted_pictures(opened, tmp_path, colours):
    red, blue = Picture.of(draw(tmp_path / "r.png", "red")), Picture.of(draw(tmp_path / "b.png", "blue"))
    assert opened.upsert([Document("a", "thing", {}, red), Document("b", "thing")]).added == 2
    colours.reset()
    assert opened.upsert([Document("a", "thing", {}, red)]).skipped == 1
    assert opened.upsert([Document("a", "thing", {"n": 1}, red)]).updated == 1
    assert colours.seen == []
    assert opened.upsert([Document("a", "thing", {}, blue)]).added == 1
    assert opened.search("blue", 1, mode="semantic")[0].document_id == "a"
    assert opened.upsert([Document("a", "thing")]).added == 1, "the picture's vector is not the text's"
    assert DIGEST not in opened.get(["a"])[0].metadata
    assert opened.upsert([Document("b", "thing", {}, red)]).added == 1
    assert opened.search("red", 1, mode="semantic")[0].document_id == "b"


def test_copies_are_embedded_once(opened, tmp_path, colours):
    for n in range(5):
        draw(tmp_path / "album" / f"{n}.png", size=(13, 9))
    assert opened.index(tmp_path / "album").added == 5
    assert colours.seen.count((13, 9)) == 1


def test_an_index_of_texts_ignores_pictures_and_refuses_given_ones(album, tmp_path):
    retriever = Retriever.open("memory:", embedding="hashed")
    report = retriever.index(album)
    assert (report.added, len(report.ignored), report.failed) == (1, 3, [])
    report = retriever.index([Document("a", "words", {}, Picture.of(album / "red_car.png")), Document("b", "words")])
    assert report.added == 1
    assert [(p.item, "hashed:256 reads none" in p.reason) for p in report.failed] == [("a", True)]


def test_a_text_cannot_pass_for_a_picture(colours):
    retriever = Retriever.open("memory:", embedding="colours")
    retriever.index([Document("a", "red", {DIGEST: "0" * 64})])
    assert DIGEST not in retriever.search("red", 1)[0].chunk.metadata


class Dying(MemoryStore):
    """Fails at one upsert, as a kill would."""

    left = 1

    def upsert(self, records):
        if not self.left:
            self.left = 99
            raise StoreError("the store is gone")
        self.left -= 1
        super().upsert(records)


def test_an_interrupted_run_is_finished_by_the_next(colours, tmp_path):
    for n in range(300):
        draw(tmp_path / "album" / f"{n}.png", size=(n % 20 + 1, n // 20 + 1))
    retriever = Retriever.open(Dying(), embedding="colours")
    with pytest.raises(StoreError, match="gone"):
        retriever.index(tmp_path / "album")
    kept = retriever.store.count()
    assert 0 < kept < 300
    report = retriever.index(tmp_path / "album")
    assert (report.skipped, report.added) == (kept, 300 - kept)
    assert retriever.verify().problems == []


def test_moved_files_come_from_the_cache(colours, monkeypatch, tmp_path, album):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(SETTING, "100")
    try:
        retriever = Retriever.open("memory:", embedding=CachedColours())
        retriever.index(album)
        colours.reset()
        (album / "red_car.png").rename(album / "old.png")
        report = retriever.index(album)
        assert (report.added, report.deleted) == (1, 1)
        assert colours.seen == []
    finally:
        default_cache().close()


def test_the_words_of_pictures_say_nothing_of_what_the_model_can_read(colours, album):
    """Unknown words in names do not weaken the semantic leg; lengths count as those of any record."""

    class Marking(type(colours.tokeniser)):
        unknown_id = 0

    class Ignorant(colours):
        kind = "ignorant"
        tokeniser = Marking()

    (album / "notes.txt").unlink()
    retriever = Retriever.open("memory:", embedding=Ignorant())
    retriever.index(album)
    assert retriever.manifest.calibration.unknown_rate == 0
    assert retriever.recalibrate().calibration.unknown_rate == 0
    retriever.index([Document("t", "words that it does not know")])
    assert retriever.recalibrate().calibration.unknown_rate == 1


def test_memory_is_bounded_for_pictures_given_as_bytes(colours, monkeypatch, tmp_path):
    """Windows are smaller the more they hold."""
    monkeypatch.setattr("retriever.indexing.WINDOW_CHARACTERS", 10)
    monkeypatch.setattr("retriever.indexing.CALIBRATION_BYTES", 1)
    data = draw(tmp_path / "a.bmp", size=(30, 30), format="BMP").read_bytes()
    taken, written = [], []

    class Watching(MemoryStore):
        def upsert(self, records):
            super().upsert(records)
            written.append((self.count(), len(taken)))

    def stream():
        for n in range(6):
            taken.append(n)
            yield Document(str(n), "", {}, Picture.of(data))

    Retriever.open(Watching(), embedding="colours").index(stream())
    assert max(written) == (6, 6)
    assert all(there == read for there, read in written)


def test_source_of_a_picture_is_checked_as_any(colours, album):
    retriever = Retriever.open("memory:", embedding="colours")
    retriever.index(album, source="photos")
    assert retriever.search("red", 1)[0].document_id == "photos::red_car.png"
    with pytest.raises(InvalidInput):
        retriever.index(album / "gone.png")
