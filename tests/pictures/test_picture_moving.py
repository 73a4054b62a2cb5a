"""Indexes with pictures that are checked, copied, repaired and looked at."""

import json
from dataclasses import replace

import numpy as np
import pytest
from picture_samples import Colours, ColoursConfig, draw

from retriever import Document, IndexMismatch, InvalidInput, MemoryStore, Picture, Retriever, copy_index, repair_index
from retriever.doctor import examine
from retriever.pictures import DIGEST, find_picture, is_picture
from retriever.repairing import Salvage, Salvaged


class Kept(MemoryStore):
    """Keeps its records when it is closed, as stores on disk do; can lose vectors, and be repaired."""

    def __init__(self, name="kept"):
        super().__init__(name)
        self.lost = set()
        self.new = None

    def repair(self):
        return self

    def salvage(self):
        def records():
            for entry in self.entries():
                (chunk,) = self.fetch([entry.chunk_id]).values()
                vector = self.vectors([entry.chunk_id])[entry.chunk_id]
                yield Salvaged(chunk, None if entry.chunk_id in self.lost else vector)

        return Salvage(self.read_manifest(), records())

    def replacement(self):
        self.new = self.new or Kept("new")
        return self.new

    def replace(self):
        self._records = self.new._records
        return True


@pytest.fixture
def kept(colours, album):
    store = Kept()
    retriever = Retriever.open(store, embedding="colours")
    retriever.index(album)
    colours.reset()
    return store


def chunks(store):
    return {c.metadata.get("path", c.id): c for c in store.fetch([e.chunk_id for e in store.entries()]).values()}


def vector(store, path):
    chunk = chunks(store)[path]
    return store.vectors([chunk.id])[chunk.id]


def test_verify_embeds_pictures_anew(kept, colours):
    report = Retriever.open(kept).verify()
    assert (report.problems, report.warnings, report.sampled) == ([], [], 4)
    assert (40, 30) in colours.seen


def test_verify_finds_a_vector_that_is_not_the_pictures(kept):
    chunk = chunks(kept)["red_car.png"]
    record = kept._records[chunk.id]
    kept._records[chunk.id] = type(record)(chunk, np.array([0, 0, 1, 0], np.float32), record.terms)
    (problem,) = Retriever.open(kept).verify().problems
    assert "red_car.png" in problem


def test_verify_says_which_pictures_it_could_not_look_at(kept, album):
    (album / "garden.webp").unlink()
    draw(album / "red_car.png", "blue")
    report = Retriever.open(kept).verify()
    assert (report.problems, report.sampled) == ([], 2)
    assert "2 pictures of the sample" in report.warnings[0]


def test_a_copy_has_the_very_vectors_and_needs_no_files(kept, album):
    for path in album.rglob("*.*"):
        path.unlink()
    report = copy_index(kept, target := Kept("copy"))
    assert (report.copied, report.lost) == (4, 0)
    assert (vector(target, "red_car.png") == vector(kept, "red_car.png")).all()


class Others(Colours):
    """Another model of pictures: its first dimension is turned."""

    kind = "others"

    def _embed_images(self, images):
        return super()._embed_images(images) * [-1, 1, 1, 1]


def test_a_copy_to_another_model_reads_the_pictures_again(kept, album):
    (album / "garden.webp").unlink()
    draw(album / "trips" / "IMG-0001.JPG", "red", format="JPEG")
    report = copy_index(kept, target := Kept("copy"), embedding=Others(ColoursConfig(tint=1)))
    assert (report.chunks, report.copied, report.lost, report.truncated) == (4, 2, 2, 0)
    told = " ".join(report.problems)
    assert "garden.webp" in told
    assert "another picture now" in told
    assert set(chunks(target)) == {"red_car.png", "notes.txt"}
    assert vector(target, "red_car.png")[0] < 0


def test_a_copy_to_a_model_of_texts_never_embeds_the_words_of_pictures(kept):
    report = copy_index(kept, target := Kept("copy"), embedding="hashed")
    assert (report.copied, report.lost) == (1, 3)
    assert all("reads no pictures" in problem for problem in report.problems)
    assert set(chunks(target)) == {"notes.txt"}


def test_pictures_that_came_from_no_folder_are_lost_by_name(colours, album):
    store = Kept()
    retriever = Retriever.open(store, embedding="colours")
    picture = Picture.of(album / "red_car.png")
    retriever.index([Document("given", "", {"path": str(album / "red_car.png")}, picture)])
    report = copy_index(store, Kept("copy"), embedding=Others())
    assert report.lost == 1
    assert report.problems[0].startswith("given: ")
    assert "index its source again" in report.problems[0]


@pytest.mark.parametrize("path", ["../album/red_car.png", "", "{album}/red_car.png", "gone.png"])
def test_paths_lead_nowhere_else(album, path, monkeypatch):
    monkeypatch.chdir(album.parent)
    digest = Picture.of(album / "red_car.png").digest
    assert find_picture(str(album), {"path": "red_car.png", DIGEST: digest}).digest == digest
    with pytest.raises(InvalidInput):
        find_picture(str(album), {"path": path.format(album=album), DIGEST: digest})
    with pytest.raises(InvalidInput):
        find_picture("album", {"path": "red_car.png", DIGEST: digest})


def test_only_what_is_named_as_a_picture_is_opened(album):
    """An index that others can write to may name any file."""
    secret = album / "notes.txt"
    with pytest.raises(InvalidInput, match="not known"):
        find_picture(str(album), {"path": "notes.txt", DIGEST: Picture.of(secret).digest})


@pytest.mark.parametrize("path", ["a\0b.png", "gone.png", "x" * 5_000 + ".png"])
def test_whatever_path_an_index_names_the_check_goes_on(kept, path):
    chunk = chunks(kept)["red_car.png"]
    record = kept._records[chunk.id]
    astray = replace(chunk, metadata={**chunk.metadata, "path": path})
    kept._records[chunk.id] = type(record)(astray, record.vector, record.terms)
    report = Retriever.open(kept).verify()
    assert report.sampled == 3
    assert "1 pictures of the sample" in report.warnings[0]


def test_repair_reads_lost_pictures_again_or_says_which_are_lost(kept, album):
    before = vector(kept, "red_car.png")
    kept.lost = {chunks(kept)[path].id for path in ("red_car.png", "garden.webp", "notes.txt")}
    (album / "garden.webp").unlink()
    report = repair_index(kept)
    assert (report.chunks, report.embedded) == (3, 2)
    (told,) = report.lost
    assert "garden.webp" in told
    assert set(chunks(kept)) == {"red_car.png", "notes.txt", "trips/IMG-0001.JPG"}
    assert vector(kept, "red_car.png") == pytest.approx(before)


def test_a_picture_that_is_lost_is_lost_with_its_sparse_vector(colours, album, terms):
    store = Kept()
    Retriever.open(store, embedding="colours", sparse="counting").index(album)
    store.lost = {chunks(store)[path].id for path in ("red_car.png", "garden.webp")}
    (album / "garden.webp").unlink()
    terms.reset()
    assert repair_index(store).embedded == 1
    assert {"red car", "IMG 0001"} < set(terms.documents)
    assert "garden" not in terms.documents
    found = Retriever.open(store).search("a red car", mode="sparse")
    assert [hit.text for hit in found] == ["red car"]


def test_recalibrating_keeps_the_vectors(kept):
    before = vector(kept, "garden.webp")
    Retriever.open(kept).recalibrate()
    assert (vector(kept, "garden.webp") == before).all()


def test_another_model_of_pictures_is_refused(kept, colours):
    colours.tinted = 3.0
    with pytest.raises(IndexMismatch, match="picture"):
        Retriever.open(kept).search("red")


def test_doctor_counts_pictures(colours, album):
    draw(album / "again.png", "red")
    report = examine(album, "colours")
    assert (report.documents, report.pictures, report.reads_images, report.duplicates) == (1, 4, True, 1)
    assert (report.near_empty, report.problems) == ([], [])
    report = examine(album, "hashed")
    assert (report.documents, report.pictures, report.reads_images, report.unreadable) == (1, 4, False, [])
    (album / "notes.txt").unlink()
    report = examine(album, "colours")
    assert (report.problems, report.verdict) == ([], "colours reads these pictures")
    assert examine(album, "hashed").problems == ["there is no text at all"]


def test_the_command_line(colours, album, run_cli, tmp_path):
    store = tmp_path / "index"
    code, out, _ = run_cli("doctor", album, "-e", "colours")
    assert code == 0
    assert "3 pictures, which colours reads" in out
    assert "left out" in run_cli("doctor", album, "-e", "hashed")[1]
    assert run_cli("index", album, "--store", store, "-e", "colours")[0] == 0
    code, out, _ = run_cli("search", "a red car", "--store", store, "--filter", '{"format": "image"}', "--json")
    hit = json.loads(out)["hits"][0]
    assert (hit["metadata"]["path"], hit["text"], hit["source"]) == ("red_car.png", "red car", album.as_posix())
    assert "red_car.png" in run_cli("search", "a red car", "--store", store)[1]
    (album / "garden.webp").unlink()
    code, out, _ = run_cli("copy", store, tmp_path / "copy", "-e", "hashed")
    assert code == 3
    assert "picture" in out
    code, out, _ = run_cli("verify", "--store", store)
    assert code == 0
    assert "garden.webp" in out.replace("\n", ""), "long lines are wrapped"


def test_langchain_gets_a_document(kept):
    pytest.importorskip("langchain_core")
    from retriever_langchain import RetrieverVectorStore

    Retriever.open(kept)
    found = RetrieverVectorStore(kept).similarity_search("red", k=1)[0]
    assert found.page_content == "red car"
    assert is_picture(found.metadata)
