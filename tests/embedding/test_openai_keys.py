"""A key is sent where it belongs, and is nowhere else."""

from __future__ import annotations

import json
import logging
import os
import pickle
import traceback
import warnings

import pytest
from openai_stand_in import Reply, plain_environment, refusal, server, small_encoding, stand_in, vector_of  # noqa: F401
from pydantic import ValidationError

from retriever import Document, Retriever
from retriever.embedding.cache import SETTING, default_cache
from retriever.embedding.openai import OpenAIConfig, OpenAIEmbedding
from retriever.embedding.openai.config import find_key
from retriever.errors import ConfigurationError, RetrieverError

pytestmark = pytest.mark.usefixtures("plain_environment")

SECRET = "sk-very-secret-0123456789"
ECHO = refusal("you sent {{key}}") | {"sent": "{{key}}"}
FAULTS = {
    "401": Reply(401, ECHO),
    "403": Reply(403, ECHO),
    "404": Reply(404, ECHO),
    "400": Reply(400, ECHO),
    "413": Reply(413, ECHO),
    "429": Reply(429, ECHO),
    "quota": Reply(429, refusal("{{key}} has no quota", code="insufficient_quota")),
    "500": Reply(500, ECHO),
    "500 as text": Reply(500, "no {{key}}", {"content-type": "text/plain"}),
    "200": Reply(200, ECHO),
    "200 as a page": Reply(200, "<html>{{key}}</html>", {"content-type": "text/html"}),
    "200 as vectors": Reply(200, {"data": [{"index": 0, "embedding": "{{key}}"}]}),
    "200 as a long page": Reply(200, f"<html>{'x' * 60}{{{{key}}}}{'x' * 60}</html>", {"content-type": "text/html"}),
    "500 as a long text": Reply(500, f"{'x' * 285}{{{{key}}}}", {"content-type": "text/plain"}),
    "hang": "hang",
    "reset": "reset",
}


def made(server, **settings):  # noqa: F811
    settings = {"model": "stand-in", "dimensions": 8, "key_variable": "STAND_IN_API_KEY", **settings}
    return OpenAIEmbedding(OpenAIConfig(base_url=server.url, **settings), timeout=1, deadline=1.5)


@pytest.fixture
def with_key(monkeypatch, server):  # noqa: F811
    monkeypatch.setenv("STAND_IN_API_KEY", SECRET)
    server.key = SECRET
    return server


def everything_of(error):
    """All that could be shown of an error and of what led to it."""
    shown = "".join(traceback.format_exception(error, chain=True))
    while error is not None:
        shown += repr(error) + str(error) + repr(getattr(error, "body", "")) + getattr(error, "message", "")
        error = error.__cause__ or error.__context__
    return shown


def variables_of(error):
    """What tools that show an error with the local variables would show, but for those of the tests."""
    shown = []
    while error is not None:
        for frame in traceback.TracebackException.from_exception(error, capture_locals=True).stack:
            if frame.filename != __file__:
                shown += [f"{frame.name}: {name} = {value}" for name, value in (frame.locals or {}).items()]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_and_no_log_shows_it_not_even_where_a_server_quotes_it(with_key, caplog, fault):
    function = made(with_key)
    function.embed_query("works")
    with_key.faults = [FAULTS[fault]] * 50
    with caplog.at_level(logging.DEBUG), pytest.raises(RetrieverError) as caught:
        function.embed_documents(["a"])
    assert SECRET[:8] not in everything_of(caught.value), "nor a part of it"
    assert SECRET not in variables_of(caught.value)
    ours = [record for record in caplog.records if record.name.startswith("retriever")]
    assert not any(SECRET in record.getMessage() for record in ours)
    assert SECRET not in caplog.text, "nor in what the client logs"


def test_the_stand_in_does_quote_it(with_key):
    """The test above would find it: without care it is in the client's own error."""
    import openai

    with_key.faults = [Reply(400, ECHO)]
    http = openai.DefaultHttpxClient(trust_env=False)
    client = openai.OpenAI(api_key=SECRET, base_url=with_key.url, http_client=http)
    with client, pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="m", input=["a"])
    assert SECRET in everything_of(caught.value)


@pytest.mark.usefixtures("small_encoding")
def test_nothing_that_is_kept_or_shown_holds_it(with_key, tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(SETTING, "10")
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        function = made(with_key, model="text-embedding-3-small", max_tokens=20, revision="1")
        with Retriever.open(str(tmp_path / "index"), embedding=function) as opened:
            opened.index([Document("a", "a quick fox, a lazy dog, and much more of them")])
            opened.search("fox")
            shown = repr(opened.info()) + repr(opened) + repr(opened.verify())
        function.embed_documents(["1234567890" * 3])
    default_cache().close()
    assert with_key.headers[-1]["authorization"] == f"Bearer {SECRET}", "it was in use"
    shown += repr(function) + str(function) + function.name + repr(function.fingerprint) + repr(function.config)
    shown += function.config.model_dump_json() + repr(function.config.model_dump()) + caplog.text
    shown += "".join(str(warning.message) for warning in warned) + "".join(capfd.readouterr())
    assert "not embedded" in shown, "warnings were given"
    assert SECRET not in shown
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"manifest.json", "embeddings.sqlite"} <= {path.name for path in files}
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("store", ["qdrant:{}", "chroma:{}"])
def test_nor_does_a_pickle_a_manifest_in_any_store_or_the_command_line(with_key, tmp_path, run_cli, store):
    function = OpenAIEmbedding(made(with_key).config)
    address = store.format(tmp_path / "index")
    with Retriever.open(address, embedding=function) as opened:
        opened.index([Document("a", "a fox")])
        assert SECRET not in opened.manifest.model_dump_json()
    assert SECRET.encode() not in pickle.dumps(function), "after its key was in use"
    for command in (["info"], ["search", "fox"]):
        assert SECRET not in "".join(map(str, run_cli(*command, "--store", address)))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": SECRET},
        {"key": SECRET},
        {"key_variable": SECRET},
        {"model": SECRET},
        {"base_url": f"https://{SECRET}@localhost/v1"},
        {"base_url": f"https://user:{SECRET}@localhost/v1"},
        {"base_url": f"https://localhost/v1?api-key={SECRET}"},
        {"base_url": f"https://localhost/v1#{SECRET}"},
    ],
)
def test_a_key_given_anywhere_else_is_refused_and_not_repeated(settings):
    with pytest.raises(ValidationError) as caught:
        OpenAIConfig(**{"model": "m", **settings})
    assert SECRET not in everything_of(caught.value)


@pytest.mark.parametrize(
    "name", [SECRET, f"m@https://user:{SECRET}@localhost/v1", f"m@https://localhost/v1?key={SECRET}"]
)
def test_nor_is_one_in_a_name(name):
    with pytest.raises(ConfigurationError, match="openai") as caught:
        OpenAIEmbedding.from_name(name)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_nor_is_one_in_the_address_that_the_environment_gives(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://user:{SECRET}@localhost/v1")
    with pytest.raises(ValidationError, match="a key belongs in the environment") as caught:
        OpenAIConfig(model="m")
    assert SECRET not in everything_of(caught.value)


def test_an_argument_for_it_does_not_exist(server):  # noqa: F811
    with pytest.raises(TypeError, match="api_key") as caught:
        OpenAIEmbedding(OpenAIConfig(model="m", base_url=server.url), api_key=SECRET)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("end", [" twice", "…", "\r\nx-more: 1", '"', "'", "\\"])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(server, monkeypatch, end):  # noqa: F811
    monkeypatch.setenv("STAND_IN_API_KEY", SECRET + end)
    with pytest.raises(ConfigurationError, match="the key in STAND_IN_API_KEY") as caught:
        made(server).embed_query("a")
    assert SECRET not in everything_of(caught.value) + variables_of(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("key", ["1", "AA", "index"])
def test_a_short_key_that_an_answer_happens_to_hold_harms_no_vector(server, monkeypatch, key):  # noqa: F811
    monkeypatch.setenv("STAND_IN_API_KEY", key)
    texts = [f"text {n}" for n in range(40)]
    found = made(server, normalize=False, dimensions=512).embed_documents(texts)
    assert (found == [vector_of(text, 512) for text in texts]).all()


def test_a_line_end_around_it_is_not_part_of_it(server, monkeypatch):  # noqa: F811
    monkeypatch.setenv("STAND_IN_API_KEY", f" {SECRET}\n")
    assert find_key(OpenAIConfig(model="m", base_url=server.url, key_variable="STAND_IN_API_KEY")) == SECRET


# Which server gets which key


@pytest.fixture
def more_headers(plain_environment, monkeypatch):  # noqa: F811
    """What the client sends by itself, whichever server it talks to."""
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"x-gateway: {SECRET}\nauthorization: Bearer {SECRET}")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-mine")


def sent_along(server):  # noqa: F811
    """What of it was sent with the last request."""
    return {"x-gateway", "openai-organization", "openai-project"} & set(server.headers[-1])


@pytest.mark.usefixtures("more_headers")
def test_headers_from_the_environment_go_where_openais_key_goes(server, monkeypatch):  # noqa: F811
    made(server, key_variable=None).embed_query("a")
    assert sent_along(server) == set()
    assert "authorization" not in server.headers[-1]
    assert SECRET not in repr(server.headers)
    monkeypatch.setenv("STAND_IN_API_KEY", "its-own")
    made(server).embed_query("a")
    assert server.headers[-1]["authorization"] == "Bearer its-own"
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    made(server).embed_query("a")
    assert sent_along(server) == {"x-gateway", "openai-organization", "openai-project"}
    assert server.headers[-1]["authorization"] == "Bearer its-own"


@pytest.mark.usefixtures("more_headers")
def test_neither_key_nor_headers_follow_to_another_server(with_key, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", with_key.url)
    with stand_in() as other:
        with_key.faults = [Reply(307, "", {"location": f"{other.url}/embeddings"})]
        made(with_key).embed_query("a")
        assert sent_along(with_key), "the first server got them"
        assert other.embedded["a"] == 1
        assert sent_along(other) == set()
        assert SECRET not in repr(other.headers)


def test_a_server_that_needs_none_gets_none(server, monkeypatch):  # noqa: F811
    """OpenAI's key in the environment is no business of a server on this machine, or in somebody's index."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    made(server, model="m", key_variable=None).embed_query("a")
    assert SECRET not in json.dumps(server.headers)
    assert "authorization" not in server.headers[-1]


def test_openais_key_goes_to_openai_and_where_the_environment_says(server, monkeypatch):  # noqa: F811
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert find_key(OpenAIConfig(model="m")) == SECRET
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY is sent to OpenAI") as caught:
        made(server, key_variable="OPENAI_API_KEY").embed_query("a")
    assert server.url in str(caught.value)
    assert server.requests == []
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
    server.key = SECRET
    OpenAIEmbedding(OpenAIConfig(model="m")).embed_query("a")
    assert server.embedded["a"] == 1
    other = OpenAIConfig(model="m", base_url="http://127.0.0.1:1/v1")
    assert find_key(other) is None


def test_a_missing_key_is_told_of_before_anything_is_sent(server, monkeypatch):  # noqa: F811
    with pytest.raises(ConfigurationError, match="put it into the environment as OPENAI_API_KEY"):
        OpenAIEmbedding.from_name("m").canaries()
    with pytest.raises(ConfigurationError, match="put it into the environment as STAND_IN_API_KEY"):
        made(server).embed_query("a")
    assert server.requests == []


def test_a_refused_key_is_told_of_by_the_name_of_its_variable(with_key):
    with_key.key = "another"
    with pytest.raises(ConfigurationError, match=r"check the key in STAND_IN_API_KEY") as caught:
        made(with_key).embed_query("a")
    assert SECRET not in everything_of(caught.value)


def test_a_server_that_wants_a_key_says_which_variable(server):  # noqa: F811
    server.key = SECRET
    with pytest.raises(ConfigurationError, match="name the variable with key_variable"):
        made(server, key_variable=None).embed_query("a")


@pytest.mark.parametrize("name", ["PATH", "AWS_SECRET_ACCESS_KEY", "lower_api_key", "A B_API_KEY", "_API_KEY", ""])
def test_only_variables_that_are_called_like_a_key_can_be_named(name):
    """An index that somebody else made names the variable, too."""
    with pytest.raises(ValidationError, match="key_variable"):
        OpenAIConfig(model="m", key_variable=name)


def test_the_environment_is_left_as_it_is(with_key):
    before = dict(os.environ)
    made(with_key).embed_query("a")
    assert dict(os.environ) == before


def test_a_manifest_cannot_ask_for_a_key(server, monkeypatch, tmp_path):  # noqa: F811
    """Whoever can write to a store could name a server of his own, and any variable."""
    monkeypatch.setenv("STAND_IN_API_KEY", SECRET)
    with Retriever.open(tmp_path / "index", embedding=made(server)) as retriever:
        retriever.index([Document("a", "text")])
    asked = len(server.requests)
    with Retriever.open(tmp_path / "index") as retriever:
        with pytest.raises(ConfigurationError, match="asks for the key in STAND_IN_API_KEY") as caught:
            retriever.search("text")
        assert SECRET not in str(caught.value)
    assert len(server.requests) == asked
    with Retriever.open(tmp_path / "index", embedding=made(server)) as retriever:
        assert retriever.search("text")
    monkeypatch.setenv("OPENAI_BASE_URL", made(server).config.url)
    with Retriever.open(tmp_path / "index") as retriever:
        assert retriever.search("text")


def test_a_manifest_cannot_name_a_server_elsewhere(monkeypatch):
    config = OpenAIConfig(model="m", base_url="http://models.example.org/v1").model_dump(mode="json")
    with pytest.raises(ConfigurationError, match=r"example\.org.*would get every query.*give the embedding function"):
        OpenAIEmbedding.check_recorded(config, {}, "the index")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models.example.org/v1/")
    OpenAIEmbedding.check_recorded(config, {}, "the index")


@pytest.mark.parametrize(("name", "is_fine"), [("GITHUB_TOKEN", False), ("OPENAI_WORK_API_KEY", True)])
def test_a_manifest_cannot_have_a_strange_key_sent_to_openai(name, is_fine):
    config = OpenAIConfig(model="text-embedding-3-small", key_variable=name).model_dump(mode="json")
    if is_fine:
        OpenAIEmbedding.check_recorded(config, {}, "the index")
    else:
        with pytest.raises(ConfigurationError, match=f"asks for the key in {name}"):
            OpenAIEmbedding.check_recorded(config, {}, "the index")
