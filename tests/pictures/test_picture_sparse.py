"""Pictures beside a learned sparse model: it reads their words, the embedding function the pictures."""

import numpy as np
import pytest
from picture_samples import Colours, draw

from retriever import Document, Picture, Retriever, copy_index
from retriever.registry import register
from retriever.testing import CountingSparse
from retriever.tokeniser import FastTokeniser

pytest.importorskip("qdrant_edge")


class KnowsFew(CountingSparse):
    """Its tokeniser knows the words of the text, none of the pictures'."""

    kind = "knows-few"

    @property
    def tokeniser(self):
        from tokenizers import Tokenizer, models, pre_tokenizers

        known = {"[UNK]": 0, **{word: n for n, word in enumerate(["The", "meeting", "is", "on", "Monday", "."], 1)}}
        tokenizer = Tokenizer(models.WordLevel(known, "[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        return FastTokeniser(tokenizer)


class Turned(Colours):
    """Another model of pictures."""

    kind = "turned"

    def _embed_images(self, images):
        return super()._embed_images(images) * [-1, 1, 1, 1]


@pytest.fixture
def few():
    unregister = register("retriever.sparse", KnowsFew.kind, KnowsFew)
    yield KnowsFew
    unregister()


@pytest.fixture
def opened(tmp_path, colours, terms):
    with Retriever.open(tmp_path / "index", embedding="colours", sparse="counting") as retriever:
        yield retriever


def held(retriever):
    """Of each record its path, its vector and its sparse vector."""
    store = retriever.store
    keys = [store.key(entry.chunk_id) for entry in store.entries()]
    chunks, vectors, sparse = store.fetch(keys), store.vectors(keys), store.sparse_vectors(keys)
    return {chunks[key].metadata["path"]: (vectors[key], sparse[key]) for key in keys}


def same(one, other):
    assert one.keys() == other.keys()
    for path, (vector, sparse) in one.items():
        assert np.abs(vector - other[path][0]).max() < 1e-6
        assert sparse == other[path][1]


def paths(hits):
    return [hit.chunk.metadata["path"] for hit in hits]


def test_a_folder_is_indexed_searched_and_left_as_it_is(opened, album, colours, terms):
    report = opened.index(album)
    assert (report.added, report.failed) == (4, [])
    assert paths(opened.search("something blue", 1, mode="semantic")) == ["trips/IMG-0001.JPG"]
    assert paths(opened.search("gardens", 1, mode="sparse")) == ["garden.webp"]
    best = opened.search("a red car")[0]
    assert paths([best]) == ["red_car.png"]
    assert [best.legs[leg].rank for leg in ("semantic", "keyword", "sparse")] == [1, 1, 1]
    assert set(paths(opened.search("red", filter={"format": "image"}))) == set(held(opened)) - {"notes.txt"}
    (words,) = terms().encode_documents(["red car"])
    vector, sparse = held(opened)["red_car.png"]
    assert sparse == words
    assert vector[0] > 0.99, "the picture's, not that of its words"
    colours.reset()
    terms.reset()
    before = held(opened)
    assert opened.index(album).skipped == 4
    opened.recalibrate()
    assert (colours.seen, colours.read, terms.documents) == ([], [], [])
    same(held(opened), before)


def test_a_picture_that_cannot_be_read_is_in_no_leg(opened, album, terms):
    damaged = (album / "garden.webp").read_bytes()[:60]
    opened.index(album)
    before = held(opened)
    terms.reset()
    broken = Document("broken", "a broken garden", picture=Picture.of(damaged))
    assert [problem.item for problem in opened.index([broken], source="given").failed] == ["given::broken"]
    assert terms.documents == []
    same(held(opened), before)


def test_verify_looks_at_both_vectors(opened, album):
    opened.index(album)
    report = opened.verify()
    assert (report.problems, report.warnings, report.sampled) == ([], [], 4)
    (album / "garden.webp").unlink()
    report = opened.verify()
    assert (report.problems, report.sampled) == ([], 3)
    assert "1 pictures of the sample" in report.warnings[0]


def test_a_copy_has_both_vectors_and_needs_neither_files_nor_models(opened, album, tmp_path, colours, terms):
    opened.index(album)
    before = held(opened)
    opened.close()
    for path in album.rglob("*.*"):
        path.unlink()
    colours.reset()
    terms.reset()
    assert copy_index(tmp_path / "index", tmp_path / "copy").copied == 4
    assert (colours.seen, colours.read, terms.documents) == ([], [], [])
    with Retriever.open(tmp_path / "copy") as copy:
        same(held(copy), before)
        assert paths(copy.search("a red car", 1)) == ["red_car.png"]


def test_a_copy_to_another_model_keeps_the_sparse_vectors_of_what_it_can_read(opened, album, tmp_path, terms):
    opened.index(album)
    before = held(opened)
    opened.close()
    draw(album / "garden.webp", "red")
    terms.reset()
    report = copy_index(tmp_path / "index", tmp_path / "copy", embedding=Turned())
    assert (report.copied, report.lost, terms.documents) == (3, 1, [])
    assert "garden.webp" in report.problems[0]
    with Retriever.open(tmp_path / "copy", embedding=Turned()) as copy:
        after = held(copy)
        assert {path: sparse for path, (_, sparse) in after.items()} == {
            path: sparse for path, (_, sparse) in before.items() if path != "garden.webp"
        }
        assert after["red_car.png"][0][0] < 0
        assert copy.verify().problems == []


def test_a_copy_to_another_sparse_model_encodes_the_words_of_pictures(opened, album, tmp_path, colours, terms, few):
    opened.index(album)
    before = held(opened)
    opened.close()
    colours.reset()
    terms.reset()
    report = copy_index(tmp_path / "index", tmp_path / "copy", sparse="knows-few")
    assert (report.copied, report.lost, colours.seen, colours.read) == (4, 0, [], [])
    assert {"red car", "garden"} < set(terms.documents)
    with Retriever.open(tmp_path / "copy") as copy:
        same(held(copy), before)
        assert copy.manifest.calibration.sparse_unknown_rate == 0, "words of pictures do not count"
        assert copy.recalibrate().calibration.sparse_unknown_rate == 0


def test_words_of_pictures_do_not_count_as_unknown(tmp_path, album, colours, few):
    with Retriever.open(tmp_path / "index", embedding="colours", sparse="knows-few") as retriever:
        retriever.index(album)
        assert retriever.manifest.calibration.sparse_unknown_rate == 0
        (album / "more.txt").write_text("elsewhere entirely")
        retriever.index(album)
        retriever.recalibrate()
        assert retriever.manifest.calibration.sparse_unknown_rate == pytest.approx(2 / 8)
