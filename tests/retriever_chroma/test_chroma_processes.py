"""Second processes, forks, kills, and files that a kill damaged."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time

import chromadb
import pytest
from chroma_samples import chunk_id, keyword, make_manifest, make_record, semantic

from retriever.errors import StoreDamaged, StoreError, StoreLocked
from retriever.testing.samples import corpus
from retriever_chroma import ChromaStore, folder
from retriever_chroma import probe as probing

A, B = chunk_id("a"), chunk_id("b")


def run(code: str, *arguments: object) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout.strip()


TRY = """
    import sys
    from retriever.errors import StoreError
    from retriever_chroma import ChromaStore
    store = ChromaStore(path=sys.argv[1])
    try:
        print(store.count())
    except StoreError as error:
        print(type(error).__name__, error)
"""


def test_a_second_process_is_kept_out(store, tmp_path):
    """Also one that would only read: see the docstring of retriever_chroma.lock."""
    store.upsert([make_record(A)])
    said = run(TRY, tmp_path / "index")
    assert said.startswith("StoreLocked")
    assert f"process {os.getpid()}" in said
    store.close()
    assert run(TRY, tmp_path / "index") == "1"
    assert store.count() == 1


HOLD = """
    import sys, time
    from retriever_chroma import ChromaStore
    store = ChromaStore(path=sys.argv[1])
    store.count()
    print("ready", flush=True)
    time.sleep(60)
"""


def test_this_process_is_kept_out_until_the_other_is_killed(store, tmp_path):
    store.close()
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path / "index")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(StoreLocked, match=f"process {other.pid}"):
            store.count()
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert store.count() == 0


def _count_in_fork(store: ChromaStore, answers: multiprocessing.Queue) -> None:
    try:
        answers.put(store.count())
    except StoreError as error:
        answers.put(str(error))
    store.close()


def test_a_forked_process_is_told_to_open_anew(store):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    store.count()
    child = context.Process(target=_count_in_fork, args=(store, answers))
    child.start()
    assert "before this process was forked" in answers.get(timeout=20)
    child.join(20)
    assert store.count() == 0


def test_a_folder_closed_in_good_order_is_not_probed(store, tmp_path, open_store, monkeypatch):
    probed = []
    monkeypatch.setattr(folder, "probe", lambda *arguments: probed.append(arguments) or {})
    store.upsert([make_record(A)])
    store.close()
    again = open_store(path=tmp_path / "index")
    assert again.count() == 1
    again.close()
    assert probed == []
    client = chromadb.PersistentClient(tmp_path / "index")
    client.get_collection("retriever", embedding_function=None).delete(ids=[A])
    client.close()
    assert open_store(path=tmp_path / "index").count() == 0
    assert len(probed) == 1


KILLED = """
    import sys, os, signal
    from retriever_chroma import ChromaStore
    from retriever.testing.samples import chunk_id, make_record
    store = ChromaStore(path=sys.argv[1])
    store.upsert([make_record(chunk_id("b"), text="cherry")])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_the_folder_is_probed_and_the_replica_comes_in_step(store, tmp_path, monkeypatch):
    store.upsert([make_record(A)])
    store.close()
    with pytest.raises(subprocess.CalledProcessError):
        run(KILLED, tmp_path / "index")
    probed = []
    monkeypatch.setattr(folder, "probe", lambda *a: (probed.append(a), probing.probe(*a))[1])
    assert keyword(store, "cherry") == [B]
    assert set(semantic(store)) == {A, B}
    assert len(probed) == 1


@pytest.fixture
def damaged(tmp_path, store):
    """A folder whose vector index was cut, as by a kill while it was being saved."""
    store.upsert(corpus(1_500))
    store.close()
    files = list((tmp_path / "index").glob("*/data_level0.bin"))
    assert files, "Chroma has saved its index"
    files[0].write_bytes(files[0].read_bytes()[:1_000])
    for file in (tmp_path / "index").glob("*/header.bin"):
        file.write_bytes(b"\xff" * 100)
    (tmp_path / "index" / ".retriever" / "clean").unlink()
    return store


def test_damaged_files_are_found_by_the_probe(damaged):
    with pytest.raises(StoreDamaged, match=r"retriever repair --store chroma:.*index") as caught:
        damaged.count()
    assert not caught.value.retryable
    damaged.close()


def test_a_folder_with_damage_never_counts_as_closed_in_good_order(damaged, tmp_path, open_store):
    """Whichever collection was opened last, and however often."""
    other = open_store(path=tmp_path / "index", collection="other")
    other.create(make_manifest())
    other.upsert([make_record(A)])
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="ended a process"):
            damaged.count()
        damaged.close()
        other.close()
        assert not (tmp_path / "index" / ".retriever" / "clean").exists()
        assert other.count() == 1
        assert keyword(other, "word") == semantic(other) == [A]
    other.close()


def test_every_collection_is_probed(damaged, tmp_path, open_store):
    for name in ("abc", "xyz"):
        open_store(path=tmp_path / "index", collection=name).create(make_manifest())
    damaged.close()
    assert list(probing.probe(tmp_path / "index", ["abc", "retriever", "xyz"], "here")) == ["retriever"]
    assert probing.probe(tmp_path / "index", ["xyz"], "here") == {}
    (tmp_path / "index" / "chroma.sqlite3").write_bytes(b"x" * 9_000)
    with pytest.raises(StoreDamaged, match="here is damaged"):
        probing.probe(tmp_path / "index", ["abc"], "here")


def test_what_is_damaged_can_be_destroyed(damaged, tmp_path, open_store):
    other = open_store(path=tmp_path / "index", collection="other")
    other.create(make_manifest())
    damaged.destroy()
    damaged.create(make_manifest())
    damaged.upsert([make_record(A)])
    assert keyword(damaged, "word") == semantic(damaged) == [A]
    other.destroy()
    damaged.destroy()
    assert not (tmp_path / "index").exists()


def test_a_probe_that_takes_too_long(damaged, monkeypatch):
    monkeypatch.setattr(probing, "TIME_LIMIT", 0.2)
    started = time.monotonic()
    with pytest.raises(StoreDamaged, match="more than"):
        damaged.count()
    assert time.monotonic() - started < 5


def test_a_probe_that_dies(store, tmp_path, monkeypatch):
    store.close()
    (tmp_path / "index" / ".retriever" / "clean").unlink()
    shim = tmp_path / "shim"
    (shim / "chromadb").mkdir(parents=True)
    (shim / "chromadb" / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(sys, "path", [str(shim), *sys.path])
    with pytest.raises(StoreDamaged, match=f"status -{signal.SIGSEGV.value}"):
        store.count()


def test_the_marks_of_a_folder(store, tmp_path):
    home = tmp_path / "index" / ".retriever"
    assert int((home / "owner").read_text()) == os.getpid()
    assert not (home / "clean").exists()
    store.upsert([make_record(A)])
    store.close()
    assert int((home / "clean").read_text()) == 1
    assert not (home / "owner").exists()
    assert json.loads(store._open().replica._index.position())["position"] == 1
    assert make_manifest() == store.read_manifest()
