"""Other processes: one that is killed, one that reads, one that damages files."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from retriever.errors import StoreDamaged, StoreError
from retriever.filters import Exists
from retriever.keyword.index import KeywordRecord
from retriever.keyword.tantivy_index import TantivyIndex
from retriever.types import Chunk

SHARED = """
import os, resource, signal, sys
from retriever.keyword.index import KeywordRecord
from retriever.keyword.tantivy_index import TantivyIndex
from retriever.types import Chunk

def make(name, **metadata):
    return KeywordRecord(Chunk(name, "doc", "", 0, 0, metadata), {"word": 1, name: 2}, name)

index = TantivyIndex(sys.argv[1])
"""

WRITE_FOR_EVER = """
step = int(index.position() or 0)
while True:
    assert index.lock()
    step += 1
    index.upsert([make(f"c{step}-{number}", step=step) for number in range(7)])
    index.delete([f"c{step - 1}-0"])
    index.commit(str(step))
    print(step, flush=True)
"""


def make(name, **metadata) -> KeywordRecord:
    return KeywordRecord(Chunk(name, "doc", "", 0, 0, metadata), {"word": 1}, name)


def write(index, *records, position="here"):
    assert index.lock()
    index.upsert(records)
    index.commit(position)


@contextmanager
def child(program: str, folder):
    process = subprocess.Popen(
        [sys.executable, "-c", SHARED + program, str(folder)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def check_steps(index: TantivyIndex) -> int:
    """The position and the records are of one commit."""
    step = int(index.position() or 0)
    wanted = {f"c{n}-{number}" for n in range(1, step + 1) for number in range(7) if number or n == step}
    assert set(index.digests()) == set(index.matching(Exists("step")).ids) == wanted
    assert {key for key, _ in index.search({"word": 1}, 10_000)} == wanted
    assert index.count() == len(wanted)
    return step


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_writer_leaves_a_whole_commit_and_no_lock(tmp_path):
    choose = random.Random()
    told = 0
    for _ in range(6):
        with child(WRITE_FOR_EVER, tmp_path) as process:
            told = int(process.stdout.readline())
            time.sleep(choose.random() * 0.3)
            process.kill()
            told = int((process.stdout.read().split() or [told])[-1])
        index = TantivyIndex(tmp_path)
        assert check_steps(index) >= told
        assert index.lock(), "the lock of the killed process is in the way"
        index.rollback()
    write(index, position=str(told))
    unused = [path for path in (tmp_path / "tantivy").iterdir() if path.suffix == ".store"]
    assert len(unused) <= index._view().searcher.num_segments + 1, "what killed writers left is not cleared"


def test_files_of_a_commit_that_was_not_finished_are_not_in_the_way(tmp_path):
    """As a kill just before the end of a commit leaves them: the next commit needs the same names."""
    write(TantivyIndex(tmp_path), make("a"), make("b"), position="one")
    before = {path: path.read_bytes() for path in (tmp_path / "tantivy").iterdir()}
    managed = tmp_path / "tantivy" / ".managed.json"
    write(TantivyIndex(tmp_path), make("a", new=True), position="two")
    for path, content in before.items():
        if path != managed:
            path.write_bytes(content)
    assert files(tmp_path, ".del")
    index = TantivyIndex(tmp_path)
    assert index.position() == "one"
    write(index, make("a", new=True), position="two")
    assert index.matching(Exists("new")) == (["a"], True)
    assert index.count() == 2


def test_a_reader_sees_whole_commits_while_another_process_writes(tmp_path):
    with child(WRITE_FOR_EVER, tmp_path) as process:
        process.stdout.readline()
        index = TantivyIndex(tmp_path)
        seen = set()
        until = time.monotonic() + 60
        while len(seen) < 20 and time.monotonic() < until:
            index.refresh()
            seen.add(check_steps(index))
        assert len(seen) == 20


HOLD = """
assert index.lock()
index.upsert([make("c")])
print("locked", flush=True)
sys.stdin.readline()
index.commit("theirs")
print("done", flush=True)
sys.stdin.readline()
"""


def test_the_lock_of_another_process_is_respected(tmp_path):
    index = TantivyIndex(tmp_path)
    with child(HOLD, tmp_path) as process:
        assert process.stdout.readline() == "locked\n"
        start = time.perf_counter()
        assert not index.lock()
        assert time.perf_counter() - start < 1
        assert index.position() is None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        assert index.lock()
        assert index.position() == "theirs"
        index.rollback()


LIMITED = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
assert index.lock()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    index.upsert([make(f"c{number}") for number in range(20_000)])
    index.commit("more")
except Exception as error:
    print(type(error).__name__, error, flush=True)
index.rollback()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(index.position(), index.count(), flush=True)
assert index.lock()
index.upsert([make("b")])
index.commit("two")
print(index.position(), index.count(), flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on file sizes here")
def test_a_full_disk_is_told_and_loses_only_the_changes(tmp_path):
    write(TantivyIndex(tmp_path), make("a"), position="one")
    with child(LIMITED, tmp_path) as process:
        answers = process.stdout.read().splitlines()
    assert answers[0].startswith("StoreError the keyword index in ")
    assert "cannot be written" in answers[0]
    assert answers[1:] == ["one 1", "two 2"]


def files(folder, suffix):
    return [path for path in (folder / "tantivy").iterdir() if path.name.endswith(suffix)]


def emptied(folder):
    for path in files(folder, ".idx") + files(folder, ".term") + files(folder, ".store"):
        path.write_bytes(b"")


def shortened(folder):
    for path in files(folder, ".term"):
        path.write_bytes(path.read_bytes()[:-100])


def without_segments(folder):
    for path in files(folder, ".store"):
        path.unlink()


def with_broken_meta(folder):
    (folder / "tantivy" / "meta.json").write_text('{"segments": 3')


def with_another_version(folder):
    marker = folder / "tantivy" / "replica.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "version": 99}))


def with_broken_marker(folder):
    (folder / "tantivy" / "replica.json").write_text("{")


def of_another_schema(folder):
    meta = folder / "tantivy" / "meta.json"
    content = json.loads(meta.read_text())
    content["schema"] = content["schema"][1:]
    meta.write_text(json.dumps(content))


def interrupted_while_made(folder):
    for path in (folder / "tantivy").iterdir():
        if path.name != "replica.json":
            path.unlink()


DAMAGE = [
    *(emptied, shortened, without_segments, with_broken_meta),
    *(with_another_version, with_broken_marker, of_another_schema, interrupted_while_made),
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_an_index_that_cannot_be_read_is_made_anew_by_the_next_writer(tmp_path, damage):
    write(TantivyIndex(tmp_path), *(make(f"c{number}") for number in range(100)), position="one")
    damage(tmp_path)
    index = TantivyIndex(tmp_path)
    assert index.position() is None
    assert index.count() == 0
    assert index.search({"word": 1}, 5) == []
    write(index, make("new"), position="two")
    assert (index.position(), set(index.digests())) == ("two", {"new"})
    assert [key for key, _ in index.search({"word": 1}, 5)] == ["new"]
    assert TantivyIndex(tmp_path).position() == "two"


def test_damage_that_a_search_meets_is_told_once_and_mended_by_the_next_writer(tmp_path):
    write(TantivyIndex(tmp_path), *(make(f"c{number}") for number in range(3_000)), position="one")
    index, other = TantivyIndex(tmp_path), TantivyIndex(tmp_path)
    for path in files(tmp_path, ".store"):
        content = bytearray(path.read_bytes())
        content[10 : len(content) // 2] = os.urandom(len(content) // 2 - 10)
        path.write_bytes(content)
    for reader in (index, other):
        assert reader.count() == 3_000
        with pytest.raises(StoreDamaged, match="built anew"):
            reader.digests()
        reader.refresh()
        assert (reader.position(), reader.count(), reader.search({"word": 1}, 5)) == (None, 0, [])
    write(index, make("new"), position="two")
    other.refresh()
    for reader in (index, other):
        assert (reader.position(), set(reader.digests())) == ("two", {"new"})


def test_a_reader_survives_that_the_index_is_destroyed_and_made_again(tmp_path):
    writer, reader = TantivyIndex(tmp_path / "index"), TantivyIndex(tmp_path / "index")
    write(writer, make("a"), position="one")
    assert reader.position() == "one"
    writer.destroy()
    assert set(reader.digests()) == {"a"}
    reader.refresh()
    assert (reader.position(), reader.digests()) == (None, {})
    write(writer, make("b"), position="two")
    reader.refresh()
    assert (reader.position(), set(reader.digests())) == ("two", {"b"})
    writer.destroy()
    write(writer, make("c"), position="three")
    reader.refresh()
    assert (reader.position(), set(reader.digests())) == ("three", {"c"})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_may_search(tmp_path):
    index = TantivyIndex(tmp_path)
    write(index, make("a"), position="one")
    process = os.fork()
    if not process:
        os._exit(0 if [key for key, _ in index.search({"word": 1}, 5)] == ["a"] else 1)
    assert os.waitpid(process, 0)[1] == 0


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="readable and writable"):
        TantivyIndex(tmp_path / "index").lock()
