"""A torch model in several processes, in batches by tokens; and embedding functions carried to other processes."""

import copy
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from compiled_models import make_model

from retriever.embedding import EmbeddingFunction, resolve_embedding
from retriever.embedding.sentence_transformers import SentenceTransformerConfig, SentenceTransformerEmbedding
from retriever.embedding.wrapped import CallableEmbedding
from retriever.errors import ConfigurationError, EmbeddingError
from retriever.tokeniser import WordTokeniser

TEXTS = [" ".join(["the quick fox word"] * (1 + n % 4)) + f" {n}" for n in range(300)]

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    pytest.importorskip("sentence_transformers")
    return make_model(tmp_path_factory.mktemp("processes") / "tiny")


def made(model, **settings):
    return SentenceTransformerEmbedding(SentenceTransformerConfig(model=str(model)), device="cpu", **settings)


@pytest.fixture(scope="module")
def several(tiny):
    function = made(tiny, processes=2)
    yield function
    function.close()


def workers(function):
    return function._processes._pool._processes


def test_several_processes_give_the_same_vectors_in_the_same_order(tiny, several):
    alone = made(tiny)
    assert several.fingerprint == alone.fingerprint
    assert several.config == alone.config
    vectors = several.embed_documents(TEXTS)
    assert len(workers(several)) == 2
    assert os.getpid() not in workers(several)
    assert np.abs(vectors - alone.embed_documents(TEXTS)).max() < 1e-6
    assert np.abs(several.embed_documents(TEXTS[::-1]) - vectors[::-1]).max() < 1e-6
    assert np.abs(several.embed_queries(TEXTS) - alone.embed_queries(TEXTS)).max() < 1e-6


@pytest.mark.slow
def test_a_fork_has_processes_of_its_own(several):
    vectors = several.embed_documents(TEXTS)
    child = os.fork()
    if not child:
        try:
            several.close()  # not those of the parent
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.abs(several.embed_documents(TEXTS) - vectors).max() < 1e-6


def test_a_process_that_dies_is_an_error_and_the_next_call_starts_others(several):
    vectors = several.embed_documents(TEXTS)
    os.kill(next(iter(workers(several))), signal.SIGKILL)
    time.sleep(0.2)
    with pytest.raises(EmbeddingError, match="a process that embeds failed"):
        several.embed_documents(TEXTS)
    assert np.abs(several.embed_documents(TEXTS) - vectors).max() < 1e-6


@pytest.mark.slow
def test_they_end_with_close_and_with_the_object(several):
    several.embed_documents(TEXTS)
    running = list(workers(several).values())
    several.close()
    assert not any(process.is_alive() for process in running)
    several.embed_documents(TEXTS)
    processes = several._processes
    running = list(workers(several).values())
    several._processes = None
    del processes
    gc.collect()
    for process in running:
        process.join(30)
    assert not any(process.is_alive() for process in running)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_what_is_wrong(tiny, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from retriever.embedding.sentence_transformers import *\n"
        f"config = SentenceTransformerConfig(model={str(tiny)!r})\n"
        "function = SentenceTransformerEmbedding(config, device='cpu', processes=2)\n"
        "function.embed_documents([f'the word {n}' for n in range(300)])\n",
        "utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    assert "EmbeddingError: a process that embeds failed" in done.stderr
    assert "__main__" in done.stderr


@pytest.mark.parametrize("settings", [{"processes": 0}, {"batch_tokens": 0}])
def test_settings_below_one_are_refused(tiny, settings):
    with pytest.raises(ConfigurationError, match="at least 1"):
        made(tiny, **settings)


def test_a_batch_holds_so_many_tokens(tiny):
    function = made(tiny, batch_tokens=40)
    given = []

    class Noting(SentenceTransformerEmbedding):
        def _embed(self, texts, role):
            given.append(texts.ids.shape)
            return super()._embed(texts, role)

    noting = Noting(function.config, device="cpu", batch_tokens=40)
    vectors = noting.embed_documents(TEXTS[:40])
    assert max(rows * (length - 2) for rows, length in given) <= 40
    assert max(rows for rows, _ in given) > 1
    assert np.abs(vectors - made(tiny).embed_documents(TEXTS[:40])).max() < 1e-6
    assert made(tiny).batch_tokens is None, "nothing is loaded yet"


def test_texts_that_are_cut_count_as_long_as_what_is_read(tiny):
    function = made(tiny, batch_tokens=4 * 22)
    function.embed_documents(["the word " * 11, "fox"])
    batches = list(function._batches(range(8), [22] * 8))
    assert [len(batch) for batch in batches] == [4, 4]
    with pytest.warns(UserWarning, match="the end of 8 of 8"):
        function.embed_documents([f"{n} " + "the word " * 500 for n in range(8)])


def test_a_large_call_is_counted_in_pieces():
    class Counting(WordTokeniser):
        most = 0

        def encode_batch(self, texts):
            Counting.most = max(Counting.most, len(texts))
            return super().encode_batch(texts)

    class Counted(EmbeddingFunction):
        kind, dimension, max_tokens, tokeniser = "counted", 1, 50, Counting()

        def _embed(self, texts, role):
            return [[len(text)] for text in texts]

    function = Counted()
    texts = [f"text {n} " + "x" * (n % 7) for n in range(5_000)]
    assert function.embed_documents(texts)[:, 0].tolist() == [len(text) for text in texts]
    assert 0 < Counting.most <= 512


def _embedded(function, texts, answers):
    answers.put(function.embed_documents(texts))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_function_goes_to_another_process(method):
    function = resolve_embedding("hashed:16")
    wanted = function.embed_documents(TEXTS[:3])
    context = multiprocessing.get_context(method)
    answers = context.SimpleQueue()
    child = context.Process(target=_embedded, args=(function, TEXTS[:3], answers))
    child.start()
    assert (answers.get() == wanted).all()
    child.join(60)


def test_a_pickle_holds_settings_and_no_model(tiny, several):
    several.embed_documents(TEXTS)
    data = pickle.dumps(several)
    assert len(data) < 2_000
    again = pickle.loads(data)
    assert again.fingerprint == several.fingerprint
    assert np.abs(again.embed_documents(TEXTS[:9]) - several.embed_documents(TEXTS[:9])).max() < 1e-6
    assert copy.deepcopy(several).config == several.config


def test_what_wraps_an_object_is_not_pickled():
    function = CallableEmbedding(lambda texts: [[1.0]] * len(texts), "mine")
    with pytest.raises(ConfigurationError, match="callable:mine cannot be pickled"):
        pickle.dumps(function)
