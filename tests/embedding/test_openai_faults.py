"""Servers that are busy, hang, hang up or talk nonsense: every text once and in order, or a typed error in time."""

from __future__ import annotations

import random
import socket
import time
from email.utils import formatdate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_stand_in import SPOILED, Reply, plain_environment, refusal, server, stand_in, unit_of  # noqa: F401

from retriever.embedding.openai import OpenAIConfig, OpenAIEmbedding
from retriever.embedding.openai.refusals import asked_wait
from retriever.errors import ConfigurationError, EmbeddingError, InvalidInput, ModelNotFound, RetrieverError

pytestmark = pytest.mark.usefixtures("plain_environment")

TEXTS = [f"text {n}" for n in range(10)]
SILENT = ["hang", "drip headers", "drip body"]
BROKEN = ["reset", "drop", 408, 409, 425, 429, 500, 502, 503, 504, 529]


def made(server, timeout=0.5, deadline=1.6, **options):  # noqa: F811
    config = OpenAIConfig(model="stand-in", base_url=server.url, dimensions=8)
    return OpenAIEmbedding(config, timeout=timeout, deadline=deadline, **options)


def check(server, function, texts=TEXTS):  # noqa: F811
    vectors = function.embed_documents(texts)
    assert np.allclose(vectors, [unit_of(text) for text in texts], atol=1e-6)


def failure(function, kind=EmbeddingError, texts=TEXTS, within=3):
    """What it raises, in time, with the original as its cause."""
    started = time.monotonic()
    with pytest.raises(RetrieverError) as caught:
        function.embed_documents(texts)
    assert time.monotonic() - started < within
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None
    assert "stand-in at http://127.0.0.1:" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("fault", [*SILENT, *BROKEN, *SPOILED])
def test_what_goes_wrong_once_is_tried_again(server, fault):  # noqa: F811
    server.faults = [fault]
    check(server, made(server))
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", [*SILENT, *BROKEN])
def test_what_stays_wrong_is_an_error_in_time(server, fault):  # noqa: F811
    server.faults = [fault] * 100
    said = failure(made(server))
    assert len(server.requests) >= 2
    if isinstance(fault, int):
        assert f"is not available now (status {fault})" in said
    else:
        assert "within 0.5 seconds" in said if fault in SILENT else "cannot be reached" in said
    assert f"tried {len(server.requests)} times within a deadline of 1.6 seconds" in said


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("html", "no JSON but b'<!doctype html>"),
        ("truncated", "no JSON but b'{"),
        ("garbage", "no JSON"),
        ("nothing", "no JSON but b''"),
        ("error", "the model crashed"),
        ("empty", "0 vectors for 10 texts"),
        ("fewer", "9 vectors for 10 texts"),
        ("more", "11 vectors for 10 texts"),
        ("doubled", "two vectors with the index 0"),
        ("no index", "the index None for 10 texts"),
        ("other dimension", "a vector of 3 dimensions where 8 were due"),
        ("nan", "NaN or infinity in the vector with the index 0"),
        ("no base64", "no vector with the index 0 but '!!!"),
        ("half a float", "no vector with the index 0 but 'MTIzNDU='"),
        ("no vector", "no vector with the index 0 but None"),
        ("list", "no list of vectors but [{"),
    ],
)
def test_nonsense_is_tried_three_times_and_then_shown(server, fault, said):  # noqa: F811
    server.faults = [fault] * 100
    assert said in failure(made(server))
    assert len(server.requests) == 3


def test_every_nonsense_is_tested():
    mark = next(m for m in test_nonsense_is_tried_three_times_and_then_shown.pytestmark if m.name == "parametrize")
    assert {fault for fault, _ in mark.args[1]} == set(SPOILED)


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (Reply(401, refusal("no")), ConfigurationError, "it wants a key"),
        (Reply(403, refusal("no")), ConfigurationError, "refuses access (status 403)"),
        (Reply(404, refusal("model not found, try pulling it first")), ModelNotFound, "pulling it first; check the"),
        (Reply(404, "<html>nginx</html>"), ModelNotFound, "(status 404): check the model's name"),
        (Reply(400, refusal("does not support matryoshka")), EmbeddingError, "refused (status 400): does not support"),
        (Reply(429, refusal("Buy more", code="insufficient_quota")), EmbeddingError, "quota is used up: Buy more"),
        (Reply(422, '{"detail": []}'), EmbeddingError, "refused (status 422)"),
        (Reply(418, "x" * 5_000), EmbeddingError, "…"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else "",
)
def test_what_is_refused_for_good_is_not_tried_again(server, reply, kind, said):  # noqa: F811
    server.faults = [reply]
    told = failure(made(server), kind)
    assert said in told
    assert len(told) < 600
    assert len(server.requests) == 1


def test_nobody_is_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        config = OpenAIConfig(model="stand-in", base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1", dimensions=8)
        function = OpenAIEmbedding(config, timeout=1, deadline=60)
        assert "cannot be reached: ConnectError" in failure(function, within=15)


def test_a_request_beyond_the_tokens_of_a_minute_is_halved_since_no_waiting_helps(server):  # noqa: F811
    said = "Request too large for m on tokens per min (TPM): Limit 40000, Requested 60000."
    server.faults = [Reply(429, refusal(said, type="tokens", code="rate_limit_exceeded"), {"retry-after": "60"})]
    check(server, made(server))
    assert [len(request["input"]) for request in server.requests] == [10, 5, 5]


# Waiting as asked


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"retry-after": "1"}, 1.0),
        ({"retry-after-ms": "600", "retry-after": "9"}, 0.6),
        ({"x-ratelimit-reset-tokens": "700ms"}, 0.7),
        ({"x-ratelimit-reset-requests": "0.5s", "x-ratelimit-remaining-requests": "0"}, 0.5),
        ({"retry-after": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_the_server_asks(server, status, headers, least):  # noqa: F811
    server.faults = [Reply(status, refusal("slower"), headers)]
    check(server, made(server, deadline=3.0))
    assert least <= server.times[1] - server.times[0] < least + 1.0


def test_a_wait_that_would_outlast_the_deadline_is_not_begun(server):  # noqa: F811
    server.faults = [Reply(429, refusal("slower"), {"retry-after": "30"})]
    assert "(status 429): slower (tried once)" in failure(made(server), within=1)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "inf"}, 0),
        ({"retry-after": "nan", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-reset-tokens": "17"}, 17),
        ({"x-ratelimit-reset-requests": "8s"}, 8),
        ({"x-ratelimit-reset-requests": "8s", "x-ratelimit-remaining-requests": "0"}, 8),
        ({"x-ratelimit-reset-requests": "8m", "x-ratelimit-remaining-requests": "9"}, 0),
        ({"x-ratelimit-reset-requests": "8s", "x-ratelimit-reset-tokens": "9s"}, 9),
        ({"retry-after": "2", "x-ratelimit-reset-tokens": "9s"}, 2),
        ({"retry-after": "", "x-ratelimit-reset-tokens": "never"}, 0),
        ({"x-ratelimit-reset-tokens": "9" * 400 + "s"}, 0),
    ],
)
def test_how_servers_say_how_long(headers, seconds):
    assert asked_wait(headers) == pytest.approx(seconds)


def test_a_date_to_wait_for():
    assert 8 < asked_wait({"retry-after": formatdate(time.time() + 10, usegmt=True)}) <= 10


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"]), st.text()))
def test_whatever_a_server_writes_there_is_a_time_or_none(headers):
    assert 0 <= asked_wait(headers) < float("inf")


# Everything at once


@pytest.mark.parametrize("seed", range(8))
def test_a_server_of_moods(seed):
    """Many requests go wrong in one way or another, four at a time."""
    dice = random.Random(seed)
    moods = [*BROKEN, *SPOILED, "hang", "drip body", "shuffled", Reply(429, refusal("slow"), {"retry-after": "0.2"})]
    share = dice.choice([0.1, 0.3, 0.6])
    texts = [f"text {n}" for n in range(120)]
    dice.shuffle(texts)
    with stand_in() as server:  # noqa: F811
        server.most_texts = dice.choice([3, 8, 2048])
        server.faults = [dice.choice(moods) if dice.random() < share else "shuffled" for _ in range(400)]
        function = made(server, timeout=0.3, deadline=6.0, request_texts=8)
        started = time.monotonic()
        said = ""
        try:
            check(server, function, texts)
            assert {server.embedded[text] for text in texts} == {1}
        except EmbeddingError as error:
            said = str(error)
        assert not said or (share > 0.1 and "tried" in said)
        assert time.monotonic() - started < 20


@pytest.mark.parametrize("fault", [500, "hang", "drip body"])
def test_the_first_failure_ends_the_others(server, fault):  # noqa: F811
    """No request is under way or sent any more when the error is raised."""
    server.faults = [Reply(401, refusal("no")), *[fault] * 100]
    started = time.monotonic()
    with pytest.raises(ConfigurationError):
        made(server, request_texts=1, timeout=8, deadline=20).embed_documents(TEXTS)
    assert time.monotonic() - started < 4
    time.sleep(0.05)
    before = len(server.requests)
    time.sleep(0.5)
    assert len(server.requests) == before


def test_a_text_too_long_among_others_is_named_also_after_faults(server):  # noqa: F811
    server.longest = 50
    server.faults = [500, "reset", "html"]
    with pytest.raises(InvalidInput, match="'long long"):
        made(server).embed_documents([*TEXTS, "long " * 20])
