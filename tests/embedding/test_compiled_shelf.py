"""Where converted models are kept: whole or not there."""

import subprocess
import sys
import threading
import time

import pytest

from retriever.embedding.compiled.shelf import About, shelved
from retriever.embedding.tokens import TokenRules
from retriever.errors import ConfigurationError

ABOUT = About(
    dimension=2,
    pooling="mean",
    rules=TokenRules(max_tokens=8, pad_id=0),
    query_prompt="",
    document_prompt="",
    made_with="hand",
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make():
    def made(folder):
        made.calls += 1
        time.sleep(0.05)
        (folder / "weights").write_bytes(b"0123456789")
        return ABOUT

    made.calls = 0
    return made


def test_it_is_made_once(cache, make):
    folder, about = shelved("key", make)
    assert (folder / "weights").read_bytes() == b"0123456789"
    assert about.made_with == "hand"
    assert shelved("key", make) == (folder, about) == shelved("key", None)
    assert make.calls == 1
    assert shelved("other", None) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "half-written", "not json", "other json"])
def test_what_is_damaged_is_made_anew(cache, make, damage):
    folder, _ = shelved("key", make)
    weights, about = folder / "weights", folder / "model.json"
    {
        "cut": lambda: weights.write_bytes(b"01234"),
        "changed": lambda: weights.write_bytes(b"0123456780"),
        "missing": weights.unlink,
        "half-written": about.unlink,
        "not json": lambda: about.write_text("{"),
        "other json": lambda: about.write_text("{}"),
    }[damage]()
    assert shelved("key", None) is None
    shelved("key", make)
    assert make.calls == 2
    assert weights.read_bytes() == b"0123456789"
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["key"]


def test_a_failed_conversion_leaves_nothing(cache):
    def fail(folder):
        (folder / "weights").write_bytes(b"half")
        raise ConfigurationError("no such model")

    with pytest.raises(ConfigurationError, match="no such model"):
        shelved("key", fail)
    assert [path for path in (cache / "models").iterdir() if path.is_dir()] == []


KILLED = """
import os, sys
from retriever.embedding.compiled.shelf import shelved
def make(folder):
    (folder / "weights").write_bytes(b"half")
    os.kill(os.getpid(), 9)
shelved("key", make)
"""


def test_a_killed_conversion_is_begun_anew_and_leaves_nothing(cache, make):
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert shelved("key", None) is None
    folder, _ = shelved("key", make)
    assert (folder / "weights").read_bytes() == b"0123456789"
    assert [path.name for path in (cache / "models").iterdir() if path.is_dir()] == ["key"]


def test_several_at_once_make_one(cache, make):
    found = []
    threads = [threading.Thread(target=lambda: found.append(shelved("key", make))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert make.calls == 1


def test_a_cache_that_cannot_be_written_is_named(cache, make):
    cache.write_text("a file")
    with pytest.raises(ConfigurationError, match="set RETRIEVER_CACHE"):
        shelved("key", make)
