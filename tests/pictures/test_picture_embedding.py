"""Pictures through the shared machinery: checked, in batches, once each, cached, and in canaries."""

import numpy as np
import pytest
from picture_samples import CachedColours, Colours, ColoursConfig, draw
from PIL import Image

from retriever import EmbeddingError, EmbeddingFunction, IndexMismatch, InvalidInput, ManifestUnreadable, Picture
from retriever.embedding import resolve_embedding
from retriever.embedding.base import CANARIES
from retriever.embedding.cache import SETTING, default_cache
from retriever.identity import embedding_manifest, verify_canaries


def test_pictures_and_words_share_a_space(colours, tmp_path):
    function = colours()
    red, blue = draw(tmp_path / "a.png", "red"), draw(tmp_path / "b.png", "blue")
    vectors = function.embed_images([red, str(blue), red.read_bytes(), Image.open(blue), Picture.of(red)])
    assert vectors.dtype == np.float32
    assert vectors[:, :3].argmax(axis=1).tolist() == [0, 2, 0, 2, 0]
    assert function.embed_query("a blue thing")[:3].argmax() == 2
    assert function.embed_images([]).shape == (0, 4)


def test_equal_pictures_are_embedded_once_and_in_batches(colours, tmp_path):
    paths = [draw(tmp_path / f"{n}.png", "red", size=(n % 50 + 1, 9)) for n in range(120)]
    function = colours()
    function.embed_images(paths)
    assert sorted(colours.seen) == sorted({(n % 50 + 1, 9) for n in range(120)})


def test_a_bad_one_is_named_and_the_others_are_had_all_the_same(colours, tmp_path):
    paths = [draw(tmp_path / f"{n}.png", size=(n + 1, 9)) for n in range(70)]
    for n in (3, 40):
        paths[n].write_bytes(paths[n].read_bytes()[:50])
    function = colours()
    with pytest.raises(InvalidInput, match=r"3\.png"):
        function.embed_images(paths)
    pictures = [Picture.of(path) for path in paths]
    vectors, unreadable = function.embed_readable(pictures)
    assert set(unreadable) == {pictures[3].digest, pictures[40].digest}
    assert vectors.keys() | unreadable.keys() == {picture.digest for picture in pictures}
    assert len(vectors) == 68


@pytest.mark.parametrize("given", ["a.png", b"bytes"])
def test_a_single_picture_is_no_list(colours, given):
    with pytest.raises(InvalidInput, match="list of pictures"):
        colours().embed_images(given)


def test_functions_of_texts_refuse_pictures(tmp_path):
    function = resolve_embedding("hashed")
    assert not function.reads_images
    with pytest.raises(InvalidInput, match="hashed:256 reads no pictures"):
        function.embed_images([draw(tmp_path / "a.png")])
    assert len(function.canaries()) == len(CANARIES)


@pytest.mark.parametrize(
    ("made", "reason"), [([[np.nan] * 4], r"NaN.*picture.*a\.png"), ([[1, 2]], "shape"), ("x", "array")]
)
def test_unusable_vectors_are_refused_by_name(tmp_path, made, reason):
    class Bad(Colours):
        def _embed_images(self, images):
            return made

    with pytest.raises(EmbeddingError, match=reason):
        Bad().embed_images([draw(tmp_path / "a.png")])


def test_what_it_makes_of_a_picture_is_all_that_is_held(tmp_path):
    """One picture is open at a time, however many there are in a batch."""

    class Shrinking(Colours):
        def _prepare_image(self, image):
            return image.resize((2, 2))

    function = Shrinking()
    Colours.reset()
    function.embed_images([draw(tmp_path / f"{n}.png", size=(n + 2, 9)) for n in range(3)])
    assert Colours.seen == [(2, 2)] * 3


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(SETTING, "100")
    yield
    default_cache().close()


def test_the_cache_goes_by_content_and_keeps_no_damaged_ones(colours, cache, tmp_path):
    path = draw(tmp_path / "a.png", size=(11, 9))
    bad = tmp_path / "bad.png"
    bad.write_bytes(path.read_bytes()[:50])
    first = CachedColours().embed_images([path])
    moved = path.rename(tmp_path / "moved.png")
    assert (CachedColours().embed_images([moved]) == first).all()
    assert colours.seen == [(11, 9)]
    CachedColours().embed_images([moved], fresh=True)
    assert colours.seen == [(11, 9)] * 2
    for _ in range(2):
        assert CachedColours().embed_readable([Picture.of(bad)])[1]
    with pytest.raises(InvalidInput, match="bad"):
        CachedColours().embed_images([bad])


def test_a_digest_as_a_text_is_no_picture(colours, cache, tmp_path):
    picture = Picture.of(draw(tmp_path / "a.png"))
    function = CachedColours()
    assert not (function.embed_images([picture]) == function.embed_documents([picture.digest])).all()


def test_another_tower_for_pictures_is_noticed(colours):
    recorded = embedding_manifest(colours())
    assert len(recorded.canaries) == len(CANARIES) + 1
    verify_canaries(recorded, colours(), "here")
    colours.tinted = 2.0  # texts have the same vectors as before
    with pytest.raises(IndexMismatch, match="picture"):
        verify_canaries(recorded, colours(), "here")
    colours.tinted = 0.0
    assert colours(ColoursConfig(tint=1)).fingerprint != colours().fingerprint


def test_manifests_from_before_pictures_stay_valid(colours):
    recorded = embedding_manifest(colours())
    old = recorded.model_copy(update={"canaries": recorded.canaries[:-1]})
    verify_canaries(old, colours(), "here")
    damaged = recorded.model_copy(update={"canaries": recorded.canaries[:-2]})
    with pytest.raises(ManifestUnreadable, match="canaries"):
        verify_canaries(damaged, colours(), "here")


def test_writing_one_method_is_enough():
    class Texts(EmbeddingFunction):
        kind = "texts"
        dimension = 1

        def _embed(self, texts, role):
            return [[1]] * len(texts)

    assert not Texts().reads_images
    assert Colours().reads_images
