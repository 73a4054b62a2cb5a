"""Models behind OpenAI's API: what is sent, what comes back, and what an index remembers of it. Over real HTTP."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from openai_stand_in import (  # noqa: F401
    DIMENSION,
    Reply,
    plain_environment,
    refusal,
    server,
    small_encoding,
    stand_in,
    unit_of,
    vector_of,
)
from pydantic import ValidationError

from retriever import Document, Retriever
from retriever.embedding import TruncationWarning, resolve_embedding
from retriever.embedding.cache import SETTING, default_cache
from retriever.embedding.openai import OpenAIConfig, OpenAIEmbedding
from retriever.errors import ConfigurationError, EmbeddingError, IndexMismatch, InvalidInput, ManifestUnreadable

pytestmark = pytest.mark.usefixtures("plain_environment")


def made(server, *, options=None, **settings):  # noqa: F811
    config = OpenAIConfig(**{"model": "stand-in", "base_url": server.url, **settings})
    return OpenAIEmbedding(config, **{"timeout": 2, "deadline": 5, **(options or {})})


def test_every_text_is_embedded_once_and_comes_back_in_order(server):  # noqa: F811
    texts = [f"text {n} {'x' * (n % 7)}" for n in range(300)]
    vectors = made(server).embed_documents([*texts, texts[5]])
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, [unit_of(text) for text in [*texts, texts[5]]], atol=1e-6)
    assert {server.embedded[text] for text in texts} == {1}
    assert max(len(request["input"]) for request in server.requests) <= 32
    assert 1 < server.most_side_by_side <= 4


def test_vectors_are_the_servers_to_the_bit_whichever_way_it_writes_them(server):  # noqa: F811
    function = made(server, normalize=False)
    wanted = [vector_of("a"), vector_of("b")]
    assert (function.embed_documents(["a", "b"]) == wanted).all()
    assert server.requests[-1]["encoding_format"] == "base64"
    server.floats = True
    assert (function.embed_documents(["a", "b"]) == wanted).all()


@pytest.mark.parametrize(
    "said",
    ["base64 encoding is not currently supported", "UnsupportedParamsError: Setting {'encoding_format': 'base64'}"],
)
def test_a_server_that_refuses_base64_is_asked_for_numbers_from_then_on(server, said):  # noqa: F811
    server.no_base64, server.floats = said, True
    function = made(server, normalize=False, dimensions=8)
    for text in ("a", "b"):
        assert (function.embed_documents([text])[0] == vector_of(text)).all()
    assert [request["encoding_format"] for request in server.requests] == ["base64", "float", "float"]
    server.faults = [Reply(400, refusal("no encoding_format at all"))]
    with pytest.raises(EmbeddingError, match="no encoding_format at all"):
        function.embed_documents(["c"])


def test_the_order_of_an_answer_is_that_of_its_indices(server):  # noqa: F811
    function = made(server)
    assert function.dimension == DIMENSION
    server.faults = ["shuffled"]
    assert np.allclose(function.embed_documents(["a", "b", "c"]), [unit_of(text) for text in "abc"], atol=1e-6)


def test_an_empty_text_is_a_space_since_the_api_refuses_it(server):  # noqa: F811
    assert np.allclose(made(server).embed_documents(["", "a"]), [unit_of(" "), unit_of("a")], atol=1e-6)


def test_prompts_go_before_documents_and_queries(server):  # noqa: F811
    function = made(server, query_prompt="query: ", document_prompt="passage: ")
    assert np.allclose(function.embed_documents(["a", ""]), [unit_of("passage: a"), unit_of("passage: ")], atol=1e-6)
    assert np.allclose(function.embed_query("a"), unit_of("query: a"), atol=1e-6)


def test_the_dimension_is_known_or_asked_for_or_found_once(server):  # noqa: F811
    for model, dimension in [("text-embedding-3-large", 3072), ("text-embedding-3-small", 1536)]:
        assert made(server, model=model).dimension == dimension
        assert made(server, model=model).max_tokens == 8191
    assert made(server, model="text-embedding-ada-002").dimension == 1536
    assert made(server, dimensions=24).dimension == 24
    assert server.requests == []
    function = made(server)
    assert function.max_tokens is None
    assert [function.dimension, function.dimension] == [DIMENSION] * 2
    assert len(server.requests) == 1


@pytest.mark.usefixtures("small_encoding")
def test_only_other_dimensions_than_the_models_own_are_asked_for(server):  # noqa: F811
    server.dimension = 1536
    for dimensions, asked in [(None, None), (1536, None), (256, 256)]:
        function = made(server, model="text-embedding-3-small", dimensions=dimensions)
        assert function.embed_query("a").shape == (dimensions or 1536,)
        assert server.requests[-1].get("dimensions") == asked


@pytest.mark.parametrize(
    ("model", "dimensions", "said"),
    [("text-embedding-ada-002", 256, "cannot be asked"), ("text-embedding-3-small", 1537, "at most 1536")],
)
def test_dimensions_that_a_model_does_not_have(model, dimensions, said):
    with pytest.raises(ValidationError, match=said):
        OpenAIConfig(model=model, dimensions=dimensions)


def test_requests_are_halved_until_the_server_takes_them(server):  # noqa: F811
    server.most_texts = 5
    texts = [f"text {n}" for n in range(70)]
    vectors = made(server).embed_documents(texts)
    assert np.allclose(vectors, [unit_of(text) for text in texts], atol=1e-6)
    assert {server.embedded[text] for text in texts} == {1}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "This model's maximum context length is 512 tokens, however you requested 700"),
        (400, "the input length exceeds the context length"),
        (413, "`inputs` must have less than 512 tokens. Given: 700"),
        (500, "input (700 tokens) is too large to process. increase the physical batch size"),
    ],
    ids=["vLLM", "Ollama", "TEI", "llama.cpp"],
)
def test_a_text_that_the_server_finds_too_long_is_named(server, status, said):  # noqa: F811
    server.longest, server.too_long = 100, (status, said)
    texts = [f"text {n}" for n in range(20)]
    with pytest.raises(InvalidInput, match=r"stand-in at http.*'far too long far.*has 1300 characters.*max_tokens"):
        made(server).embed_documents([*texts, "far too long " * 100])
    assert made(server).embed_documents(texts).shape == (20, DIMENSION), "the next call is none the worse"


@pytest.mark.usefixtures("small_encoding")
def test_requests_keep_to_the_number_of_tokens(server):  # noqa: F811
    function = made(server, model="text-embedding-3-large", dimensions=8, options={"request_texts": 2048})
    function.embed_documents([f"{n:05} " + "9" * 7_994 for n in range(80)])  # 8,000 tokens each
    assert sorted(len(request["input"]) for request in server.requests) == [6, 37, 37]


def test_counts_of_requests_can_be_set(server):  # noqa: F811
    function = made(server, options={"request_texts": 3, "requests_at_once": 1})
    server.pause = 0.02
    function.embed_documents([f"text {n}" for n in range(12)])
    assert [len(request["input"]) for request in server.requests[1:]] == [3] * 4
    assert server.most_side_by_side == 1


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"deadline": 1}, {"request_texts": 0}, {"requests_at_once": 0}, {"timeout": float("nan")}],
)
def test_settings_of_requests_that_make_no_sense(server, options):  # noqa: F811
    with pytest.raises(ConfigurationError, match="is above 0"):
        made(server, options=options)


# Long texts


@pytest.mark.usefixtures("small_encoding")
def test_the_end_of_a_long_text_is_cut_off_here_and_told_of(server):  # noqa: F811
    function = made(server, model="text-embedding-3-small", dimensions=8, max_tokens=10, document_prompt="d: ")
    assert function.content_tokens("document") == 7
    with pytest.warns(TruncationWarning, match="reads 7 tokens: the end of 1 of 2"):
        vectors = function.embed_documents(["1234567890", "1234567"])
    assert np.allclose(vectors, [unit_of("d: 1234567")] * 2, atol=1e-6)


@pytest.mark.usefixtures("small_encoding")
def test_long_texts_are_refused_or_embedded_in_parts_where_the_settings_say_so(server):  # noqa: F811
    settings = {"model": "text-embedding-3-small", "dimensions": 8, "max_tokens": 10}
    with pytest.raises(InvalidInput, match="reads 10 tokens"):
        made(server, **settings, too_long="error").embed_documents(["1 2 3 4 5 6 7 8 9"])
    assert server.requests == []
    made(server, **settings, too_long="split").embed_documents(["1 2 3 4 5 6 7 8 9"])
    sent = [text for request in server.requests for text in request["input"]]
    assert len(sent) > 1
    assert sorted("".join(sent).replace(" ", "")) == list("123456789")


@pytest.mark.usefixtures("small_encoding")
def test_a_prompt_that_leaves_no_room(server):  # noqa: F811
    function = made(server, model="text-embedding-3-small", max_tokens=3, query_prompt="123")
    with pytest.raises(ConfigurationError, match="the query prompt takes all"):
        function.embed_queries(["4"], warn=False)


# Names and settings


def test_by_name(server, monkeypatch):  # noqa: F811
    plain = resolve_embedding("openai:text-embedding-3-small")
    assert (plain.config.model, plain.config.base_url) == ("text-embedding-3-small", None)
    placed = resolve_embedding(f"openai:@cf/baai/bge-m3@{server.url}/")
    assert (placed.config.model, placed.config.base_url) == ("@cf/baai/bge-m3", server.url)
    assert placed.embed_query("a").shape == (DIMENSION,)
    for function in (plain, placed):
        assert resolve_embedding(function.name).config == function.config
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    found = resolve_embedding("openai:bge-m3")
    assert found.name == f"openai:bge-m3@{server.url}"
    monkeypatch.delenv("OPENAI_BASE_URL")
    again = OpenAIEmbedding.from_config(json.loads(found.config.model_dump_json()))
    assert again.config.base_url == server.url, "no text goes elsewhere because a variable is gone"


@pytest.mark.parametrize("name", ["", "  ", "m@http://", "m@http://host:port/v1", "m@https://a b/v1"])
def test_names_that_lead_nowhere(name):
    with pytest.raises(ConfigurationError, match="openai"):
        OpenAIEmbedding.from_name(name)


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://localhost/v1", "", "http:///v1", "http://[::1/v1"])
def test_addresses_that_are_none(url):
    with pytest.raises(ValidationError, match="base_url"):
        OpenAIConfig(model="m", base_url=url)


def test_openais_own_address_is_the_default():
    assert OpenAIConfig(model="m", base_url="https://api.openai.com/v1/") == OpenAIConfig(model="m")


def test_a_rebuilt_one_has_the_same_fingerprint_and_vectors(server):  # noqa: F811
    first = made(server, query_prompt="q: ", dimensions=12, revision="q8", max_tokens=100, normalize=False)
    with pytest.warns(UserWarning, match="lengths of texts are estimated. Give the model's tokenizer.json"):
        vectors = first.embed_queries(["a", "b"])
    again = OpenAIEmbedding.from_config(json.loads(json.dumps(first.config.model_dump(mode="json"))))
    assert again.fingerprint == first.fingerprint
    with pytest.warns(UserWarning, match="estimated"):
        assert (again.embed_queries(["a", "b"]) == vectors).all()


def tokenizer_json(path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, path.parent.name: 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path.parent.mkdir()
    tokenizer.save(str(path))
    return str(path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Settings, and an index that was built with them."""
    folder = tmp_path_factory.mktemp("built")
    with stand_in() as told:
        base = {
            "model": "stand-in",
            "base_url": told.url,
            "max_tokens": 500,
            "tokeniser": tokenizer_json(folder / "one" / "tokenizer.json"),
        }
        with Retriever.open(str(folder / "index"), embedding=OpenAIEmbedding(OpenAIConfig(**base))) as opened:
            opened.index([Document("a", "a fox")])
        yield base, str(folder / "index")


@pytest.mark.parametrize(
    "change",
    [
        {"model": "another"},
        {"revision": "q8"},
        {"dimensions": 4},
        {"normalize": False},
        {"query_prompt": "q: "},
        {"document_prompt": "d: "},
        {"max_tokens": 400},
        {"tokeniser": "two"},
        {"too_long": "split"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_setting_alone_is_another_function_which_an_index_refuses(built, tmp_path, change):
    base, index = built
    if "tokeniser" in change:
        change = {"tokeniser": tokenizer_json(tmp_path / "two" / "tokenizer.json")}
    own, other = (OpenAIEmbedding(OpenAIConfig(**{**base, **more})) for more in ({}, change))
    assert own.fingerprint != other.fingerprint
    with pytest.raises(IndexMismatch, match=next(iter(change)).removesuffix("s")):
        Retriever.open(index, embedding=other)
    with Retriever.open(index) as opened:
        assert opened.search("fox")[0].document_id == "a"


def test_what_changes_no_vector_changes_no_fingerprint(built, tmp_path, monkeypatch):
    base, _ = built
    monkeypatch.setenv("SOME_API_KEY", "secret")
    own = OpenAIEmbedding(OpenAIConfig(**base))
    copied = tokenizer_json(tmp_path / "copy" / "tokenizer.json")
    (tmp_path / "copy" / "tokenizer.json").write_bytes(Path(base["tokeniser"]).read_bytes())
    for change in (
        {"base_url": base["base_url"].replace("127.0.0.1", "localhost")},
        {"key_variable": "SOME_API_KEY"},
        {"too_long": "error"},
        {"tokeniser": copied},
        {"tokeniser": str(tmp_path / "copy")},
    ):
        assert OpenAIEmbedding(OpenAIConfig(**{**base, **change})).fingerprint == own.fingerprint
    patient = OpenAIEmbedding(OpenAIConfig(**base), timeout=1, deadline=2, request_texts=3, requests_at_once=1)
    assert patient.fingerprint == own.fingerprint


def test_a_model_that_changed_under_its_name_is_refused(server, tmp_path):  # noqa: F811
    with Retriever.open(str(tmp_path / "index"), embedding=made(server, query_prompt="q")) as opened:
        opened.index([Document("a", "a fox")])
    manifest = next((tmp_path / "index").rglob("manifest.json"))
    swapped = json.loads(manifest.read_text(encoding="utf-8"))
    swapped["embedding"]["config"]["query_prompt"] = "r"  # the server gives other vectors
    manifest.write_text(json.dumps(swapped), encoding="utf-8")
    with Retriever.open(str(tmp_path / "index")) as opened, pytest.raises(IndexMismatch, match="other vectors"):
        opened.search("fox")


@pytest.mark.parametrize("change", [{"of a later version": 1}, {"model": 3}, {"base_url": "nowhere"}])
def test_settings_in_a_manifest_that_are_not_understood(server, tmp_path, change):  # noqa: F811
    with Retriever.open(str(tmp_path / "index"), embedding=made(server)) as opened:
        opened.index([Document("a", "a fox")])
    manifest = next((tmp_path / "index").rglob("manifest.json"))
    changed = json.loads(manifest.read_text(encoding="utf-8"))
    changed["embedding"]["config"] |= change
    manifest.write_text(json.dumps(changed), encoding="utf-8")
    with Retriever.open(str(tmp_path / "index")) as opened, pytest.raises(ManifestUnreadable, match="not understood"):
        opened.search("fox")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "ftp://user:secret@proxy"),
        ("HTTPS_PROXY", "http://proxy:port"),
        ("SSL_CERT_FILE", "/no/such/file"),
    ],
)
def test_an_environment_that_no_connection_can_be_made_with(monkeypatch, variable, value):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, value)
    function = OpenAIEmbedding(OpenAIConfig(model="m", base_url="https://models.invalid/v1", dimensions=8))
    with pytest.raises(ConfigurationError, match=rf"models\.invalid.*{variable}") as caught:
        function.embed_query("a")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is not None


# The cache, threads, loops


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(SETTING, "10")
    yield tmp_path / "cache"
    monkeypatch.setenv(SETTING, "10")
    default_cache().close()


@pytest.mark.usefixtures("small_encoding", "cache")
@pytest.mark.parametrize(
    ("settings", "times"),
    [({"model": "text-embedding-3-small", "dimensions": 8}, 2), ({"revision": "2026-11"}, 1), ({}, 2)],
    ids=["a name of OpenAI's at another server", "with a revision", "any other"],
)
def test_vectors_are_cached_where_the_settings_say_all_that_makes_them(server, settings, times):  # noqa: F811
    for _ in range(2):
        made(server, **settings).embed_documents(["a"])
    assert server.embedded["a"] == times


def test_openais_own_models_are_cached():
    assert OpenAIEmbedding(OpenAIConfig(model="text-embedding-3-small")).is_cached
    assert not OpenAIEmbedding(OpenAIConfig(model="another")).is_cached


def test_it_works_inside_an_event_loop_and_from_threads(server):  # noqa: F811
    function = made(server)

    async def ask():
        return function.embed_query("a")

    assert np.allclose(asyncio.run(ask()), unit_of("a"), atol=1e-6)
    found = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: function.embed_query(f"text {n}")})) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.allclose(found[n], unit_of(f"text {n}"), atol=1e-6) for n in range(8))


def test_nothing_runs_on_when_it_is_let_go(server):  # noqa: F811
    before = set(threading.enumerate())
    function = made(server)
    function.embed_query("a")
    (own,) = [thread for thread in set(threading.enumerate()) - before if thread.name == "retriever-openai"]
    del function
    gc.collect()
    own.join(5)
    assert not own.is_alive()


PROGRAM = """
import os, sys
from retriever.embedding import resolve_embedding
import retriever.embedding.openai
assert not {"openai", "tiktoken", "httpx2"} & set(sys.modules)
function = resolve_embedding(sys.argv[1])
print(function.embed_query("a").tolist(), flush=True)
child = os.fork() if hasattr(os, "fork") else 0
print(function.embed_query("b").shape, flush=True)
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_program_ends_by_itself_also_one_that_forked(server):  # noqa: F811
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process", "-c", PROGRAM, f"openai:m@{server.url}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [f"({DIMENSION},)"] * 2


MISSING = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from retriever import MissingExtra, Retriever
try:
    Retriever.open("memory:", embedding="openai:text-embedding-3-small")
except MissingExtra as error:
    print(error)
"""


@pytest.mark.parametrize("missing", ["openai", "tiktoken"])
def test_a_missing_package_says_how_to_install_it(missing):
    said = subprocess.check_output([sys.executable, "-c", MISSING, missing], text=True, timeout=60)
    assert "pip install 'hybrid-retriever[openai]'" in said
