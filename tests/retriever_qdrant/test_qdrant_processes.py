"""Other processes: the one that is killed, and the one that optimises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from qdrant_samples import make_manifest, make_record

from retriever.errors import StoreError, StoreLocked
from retriever.stores import Query
from retriever_qdrant import QdrantStore, child
from retriever_qdrant.changes import Changes

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]),
}

WRITE_AND_DIE = """
import os, signal, sys
from qdrant_samples import make_chunk, make_manifest, make_record
from retriever_qdrant import QdrantStore
store = QdrantStore(sys.argv[1])
if store.read_manifest() is None:
    store.create(make_manifest())
have = store.count()
store.upsert([make_record(f"c{number}", text="x" * 500) for number in range(have, have + 700)])
store.rewrite([make_chunk(f"c{number}", {"run": have}) for number in range(have, have + 10)])
store.delete([f"c{have}"])
store.upsert([make_record(f"c{have}", metadata={"again": True})])
print(have + 700, flush=True)
os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "kill" else os._exit(0)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_what_was_acknowledged_survives_a_kill(tmp_path):
    command = [sys.executable, "-c", WRITE_AND_DIE, str(tmp_path / "index")]
    for run, how in enumerate(["kill", "exit", "kill"], start=1):
        done = subprocess.run([*command, how], env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == str(700 * run), done.stderr
        store = QdrantStore(tmp_path / "index")
        have = 700 * run
        assert store.count() == have
        assert {entry.chunk_id for entry in store.entries()} == {f"c{number}" for number in range(have)}
        last = store.fetch([store.key(f"c{have - 700}"), store.key(f"c{have - 699}")])
        assert [dict(chunk.metadata) for chunk in last.values()] == [{"again": True}, {"run": have - 700}]
        legs = store.search(Query(10_000, np.ones(4, dtype=np.float32), {"word": 1}))
        assert len(legs.semantic) == len(legs.keyword) == have
        store.close()


CREATE = """
import sys
from qdrant_samples import make_manifest
from retriever_qdrant import QdrantStore
store = QdrantStore(sys.argv[1])
print("ready", flush=True)
if store.read_manifest() is None:
    store.create(make_manifest())
"""


def test_create_may_be_killed_at_any_moment(tmp_path, open_store, manifest):
    for delay in (0.0, 0.01, 0.03, 0.1):
        command = [sys.executable, "-c", CREATE, str(tmp_path / "index")]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        store = QdrantStore(tmp_path / "index")
        if store.read_manifest() is None:
            store.create(manifest)
        store.upsert([make_record("a")])
        assert store.count() == 1
        store.destroy()
        assert not (tmp_path / "index").exists()


@pytest.fixture
def low_threshold(monkeypatch):
    monkeypatch.setattr("retriever_qdrant.engine.UNINDEXED", 500)
    monkeypatch.setattr("retriever_qdrant.changes.UNINDEXED", 500)


@pytest.fixture
def filled(tmp_path, open_store, low_threshold) -> QdrantStore:
    store = open_store(tmp_path / "index")
    store.create(make_manifest(dimension=32))
    rows = np.random.default_rng(0).standard_normal((2_000, 32))
    store.upsert([make_record(f"c{number}", row, {f"w{number % 7}": 1}) for number, row in enumerate(rows)])
    return store


def test_optimisation_builds_a_graph_and_loses_nothing(filled):
    query = Query(50, np.ones(32, dtype=np.float32), {"w3": 1})
    before = filled.search(query)
    entries = sorted(filled.entries())
    filled.optimise()
    assert filled._folder.changes() == Changes()
    assert filled._shard.info().indexed_vectors_count == 4_000  # the sparse ones count too
    assert sorted(filled.entries()) == entries
    after = filled.search(query)
    assert len({c.key for c in after.semantic} & {c.key for c in before.semantic}) >= 45
    assert [c.score for c in after.keyword] == pytest.approx([c.score for c in before.keyword])
    filled.upsert([make_record("new", np.ones(32))])
    assert filled.search(query).semantic[0].key == filled.key("new")


def test_many_deletions_are_cleared(filled):
    filled.optimise()
    filled.delete([f"c{number}" for number in range(1_200)])
    assert filled._shard.info().indexed_vectors_count == 4_000
    filled.optimise()
    assert filled._shard.info().indexed_vectors_count < 2_000
    assert filled.count() == 800


def test_optimisation_does_nothing_where_little_changed(store, monkeypatch):
    monkeypatch.setattr("retriever_qdrant.edge_store.optimise_in_child", lambda *_: pytest.fail("started a child"))
    store.upsert([make_record("a")])
    store.optimise()
    assert store._folder.changes() == Changes(1, 0)


def test_a_failing_child_is_reported_and_the_store_goes_on(filled, monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho first line >&2\necho the engine is out of order >&2\nexit 3\n")
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(script))
        with pytest.raises(StoreError, match=r"(?s)status 3: first line.*out of order"):
            filled.optimise()
        patch.setattr(sys, "executable", str(tmp_path / "missing"))
        with pytest.raises(StoreError, match="cannot start"):
            filled.optimise()
    assert filled.count() == 2_000
    assert filled._folder.changes() == Changes(2_000, 0)
    filled.optimise()
    assert filled._folder.changes() == Changes()


def test_the_child_needs_no_pythonpath_and_ignores_the_working_folder(filled, monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (tmp_path / "qdrant_edge.py").write_text("raise SystemExit(9)")
    monkeypatch.setattr(sys, "path", [str(Path(entry or ".").resolve()) for entry in sys.path])
    monkeypatch.chdir(tmp_path)
    filled.optimise()
    assert filled._folder.changes() == Changes()


def test_others_wait_and_threads_run_on(filled, tmp_path):
    """The folder stays locked while the child works, searches wait, and other threads tick."""
    ticks: list[float] = []
    counts: list[int] = []
    done = threading.Event()

    def tick():
        while not done.wait(0.005):
            ticks.append(time.perf_counter())

    def search():
        while not done.is_set():
            counts.append(filled.count())

    threads = [threading.Thread(target=work) for work in (tick, search)]
    for thread in threads:
        thread.start()
    start = time.perf_counter()
    original = child.subprocess.run

    def run(*args, **kwargs):
        with pytest.raises(StoreLocked):
            QdrantStore(tmp_path / "index").count()
        return original(*args, **kwargs)

    try:
        child.subprocess.run = run
        filled.optimise()
    finally:
        child.subprocess.run = original
        took = time.perf_counter() - start
        done.set()
        for thread in threads:
            thread.join(10)
    assert set(counts) == {2_000}
    assert sum(start <= tick <= start + took for tick in ticks) > took / 0.005 / 4


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_the_child_does_not_outlive_its_parent(filled, tmp_path):
    filled.close()
    shard = str(tmp_path / "index" / "shard")
    command = [sys.executable, "-m", "retriever_qdrant.optimise", shard, "1"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is gone" in done.stderr
    program = (
        "import os, subprocess, sys, time\n"
        "from retriever_qdrant.optimise import _die_with\n"
        "if sys.argv[1:]:\n"
        "    _die_with(int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(60)\n"
        "else:\n"
        "    subprocess.Popen([sys.executable, __file__, str(os.getpid())]); time.sleep(60)\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 5
        while _runs(grandchild) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _runs(grandchild)


def _runs(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text("utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # a zombie waits only for whoever inherits it


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_is_told_to_open_it_anew(tmp_path):
    code = """if True:
        import os, sys
        from retriever import Document, Retriever, StoreError
        retriever = Retriever.open(sys.argv[1], embedding="hashed")
        retriever.index([Document("d", "some words")])
        if os.fork() == 0:
            try:
                retriever.search("words")
            except StoreError as error:
                os._exit(7 if "forked" in str(error) else 8)
            os._exit(9)
        _, status = os.wait()
        assert retriever.search("words")
        retriever.close()
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "i")], timeout=60, check=False)
    assert done.returncode == 7
