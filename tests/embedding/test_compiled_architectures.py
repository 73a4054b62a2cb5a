"""Architectures other than BERT on OpenVINO and ONNX Runtime, beside the library's own ``encode``."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from compiled_models import kind_of, make_transformer

from retriever.errors import ConfigurationError, EmbeddingError

TEXTS = ["short", "how do i rotate the signing key", "the quick brown fox " * 20, "word " * 60, ""]

ARCHITECTURES = {
    # Padding in front of a text, or far behind it, attends to nothing.
    "Qwen3": {"pooling": "lasttoken", "pads_left": True, "num_key_value_heads": 2, "head_dim": 8},
    "ModernBert": {"pooling": "mean", "local_attention": 8, "num_hidden_layers": 3, "global_attn_every_n_layers": 2},
    "XLMRoberta": {"pooling": "cls", "type_vocab_size": 1},
    "MPNet": {"pooling": "mean"},
}

pytestmark = [
    pytest.mark.slow,  # test_compiled.py proves the same on BERT
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVER_CACHE", str(tmp_path_factory.mktemp("converted")))
        patch.setenv("RETRIEVER_EMBEDDING_CACHE", "0")
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Each made once."""
    made = {}

    def make(architecture, **settings):
        if architecture not in made:
            folder = tmp_path_factory.mktemp("models") / architecture
            made[architecture] = make_transformer(folder, architecture, **settings)
        return made[architecture]

    return make


def converted(kind, model, **settings):
    cls, config = kind_of(kind)
    return cls(config(model=str(model), **settings))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["openvino", "onnx"])
def test_vectors_are_those_of_encode(kind, architecture, models):
    from sentence_transformers import SentenceTransformer

    model = models(architecture, reads=100, **ARCHITECTURES[architecture])
    ours, theirs = converted(kind, model), SentenceTransformer(str(model), device="cpu")
    expected = np.stack([theirs.encode(text, normalize_embeddings=True) for text in TEXTS])
    assert np.abs(ours.embed_documents(TEXTS) - expected).max() < 1e-5
    assert np.abs(np.stack([ours.embed_query(text) for text in TEXTS]) - expected).max() < 1e-5


def test_int8_with_padding_in_front_does_not_depend_on_the_batch(models):
    settings = {"pads_left": True, "num_key_value_heads": 2, "initializer_range": 0.5}
    model = models("Qwen2", pooling="lasttoken", reads=100, **settings)
    ours = converted("openvino", model, precision="int8")
    alone = np.stack([ours.embed_documents([text])[0] for text in TEXTS])
    assert np.abs(ours.embed_documents(TEXTS) - alone).max() < 1e-5


@pytest.mark.parametrize("kind", ["openvino", "onnx"])
def test_a_model_without_as_many_positions_as_it_says(kind, tmp_path):
    # RoBERTa begins to count behind the number of the padding token.
    model = make_transformer(tmp_path / "few", "Roberta", "mean", max_position_embeddings=64, reads=64)
    ours = converted(kind, model)
    assert ours.embed_query("the key").shape == (32,)
    with pytest.raises(EmbeddingError, match=f"{kind}:.*few failed: "):
        ours.embed_query("word " * 63)


@pytest.mark.parametrize("kind", ["openvino", "onnx"])
def test_what_a_converter_cannot_do_is_named(kind, tmp_path):
    from safetensors.torch import load_file, save_file

    model = make_transformer(tmp_path / "small", "Roberta", "mean", reads=64)
    weights = load_file(model / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][:8].clone()
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    config = model / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 8}))
    with pytest.raises(ConfigurationError, match=r"cannot be converted \(.*use sentence-transformers:.*small"):
        converted(kind, model).embed_query("the key")


@pytest.mark.parametrize("kind", ["openvino", "onnx"])
def test_a_converted_model_that_this_version_cannot_load(kind, tmp_path, monkeypatch, models):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
    model = models("XLMRoberta", reads=100, **ARCHITECTURES["XLMRoberta"])
    before = converted(kind, model).embed_query("the key")
    (about,) = tmp_path.glob("models/*/model.json")
    graph = about.parent / {"openvino": "model.xml", "onnx": "model.onnx"}[kind]
    graph.write_bytes(b"of another version")
    said = json.loads(about.read_text())
    said["files"][graph.name] = hashlib.sha256(b"of another version").hexdigest()
    about.write_text(json.dumps(said))
    with pytest.raises(ConfigurationError, match=f"cannot be loaded by .*: delete {about.parent}, and"):
        converted(kind, model).embed_query("the key")
    for file in about.parent.iterdir():
        file.unlink()
    about.parent.rmdir()
    assert np.abs(converted(kind, model).embed_query("the key") - before).max() < 1e-6


FULL = """
import resource, sys
from retriever.embedding import resolve_embedding
import openvino, torch
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    resolve_embedding(sys.argv[1]).embed_query("the key")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("kind", ["openvino", "onnx"])
def test_a_disk_without_room_is_named(kind, tmp_path, monkeypatch, models):
    kind_of(kind)
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
    model = models("XLMRoberta", reads=100, **ARCHITECTURES["XLMRoberta"])
    said = subprocess.run(
        [sys.executable, "-c", FULL, f"{kind}:{model}"], capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("ConfigurationError a converted model cannot be kept"), said
    assert "set RETRIEVER_CACHE" in said
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == []
