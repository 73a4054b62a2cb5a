"""What may be in the folder, who may hold it, and what is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from qdrant_samples import make_manifest, make_record

from retriever.address import parse_address
from retriever.errors import (
    ConfigurationError,
    ManifestUnreadable,
    NotAStore,
    StoreError,
    StoreLocked,
    StoreNotFound,
)
from retriever_qdrant import QdrantStore


def listing(path: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else None for p in path.rglob("*")}


def test_constructing_touches_nothing(tmp_path):
    store = QdrantStore(tmp_path / "index")
    assert store.address == f"qdrant:{tmp_path / 'index'}"
    store.close()
    store.close()
    assert not listing(tmp_path)


def test_addresses():
    assert QdrantStore.from_address(parse_address("./a b")).address == "qdrant:a b"
    with pytest.raises(ConfigurationError, match="which collection"):
        QdrantStore.from_address(parse_address("qdrant://host:6334"))
    with pytest.raises(ConfigurationError, match="which folder"):
        QdrantStore.from_address(parse_address("qdrant:"))


@pytest.mark.parametrize("exists", [False, True])
def test_no_manifest_where_nothing_is(tmp_path, open_store, exists):
    path = tmp_path / "deep" / "index"
    if exists:
        path.mkdir(parents=True)
    before = listing(tmp_path)
    store = open_store(path)
    assert store.read_manifest() is None
    with pytest.raises(StoreNotFound):
        store.count()
    with pytest.raises(StoreNotFound):
        store.upsert([make_record("a")])
    store.destroy()
    assert listing(tmp_path) == before


def test_a_file_is_not_a_store(tmp_path, open_store, manifest):
    (tmp_path / "index").write_text("mine")
    store = open_store(tmp_path / "index")
    for act in (store.read_manifest, store.count, store.destroy, lambda: store.create(manifest)):
        with pytest.raises(NotAStore, match="is a file"):
            act()
    assert (tmp_path / "index").read_text() == "mine"


@pytest.mark.parametrize("names", [["notes.txt"], ["manifest.json"], ["segments/a", "wal/b"], ["lock"]])
def test_a_foreign_folder_is_left_alone(tmp_path, open_store, manifest, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = listing(tmp_path)
    store = open_store(tmp_path)
    for act in (store.read_manifest, store.count, store.destroy, lambda: store.create(manifest)):
        with pytest.raises(NotAStore):
            act()
    assert listing(tmp_path) == before


def test_a_path_below_a_file_names_it(tmp_path, open_store, manifest):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="file"):
        open_store(tmp_path / "file" / "index").create(manifest)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_rights_is_named(tmp_path, open_store, manifest):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="writable"):
            open_store(tmp_path / "index").create(manifest)
    finally:
        tmp_path.chmod(0o700)


def test_an_operating_system_error_names_the_path(tmp_path, open_store, manifest, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path / "index"))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"index: Permission denied.*writable") as caught:
        open_store(tmp_path / "index").create(manifest)
    assert isinstance(caught.value.__cause__, PermissionError)


def test_manifest_comes_back(store, open_store, manifest):
    assert store.read_manifest() == manifest
    store.close()
    store.close()
    assert open_store(Path(store.address.removeprefix("qdrant:"))).read_manifest() == manifest


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 999}', '{"schema_version": 1}', "\x00\xff"])
def test_an_unreadable_manifest(store, tmp_path, text):
    store.close()
    (tmp_path / "index" / "manifest.json").write_text(text, "latin-1")
    with pytest.raises(ManifestUnreadable):
        store.read_manifest()
    with pytest.raises(ManifestUnreadable):
        store.count()
    store.destroy()
    assert not (tmp_path / "index").exists()


def test_a_missing_shard_says_what_to_do(store, tmp_path):
    store.close()
    shutil.rmtree(tmp_path / "index" / "shard")
    with pytest.raises(StoreError, match=r"restore .* or destroy"):
        store.count()
    assert not (tmp_path / "index" / "shard").exists()


@pytest.mark.parametrize("damaged", ["edge_config.json", "segment.json", "status.dat"])
def test_a_damaged_shard_says_what_to_do(store, tmp_path, damaged):
    """``status.dat`` makes the engine panic, which is no ``Exception``."""
    store.upsert([make_record("a")])
    store.close()
    for file in (tmp_path / "index" / "shard").rglob(damaged):
        file.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"restore .* or destroy") as caught:
            store.count()
        assert caught.value.__cause__ is not None
    store.destroy()
    assert not (tmp_path / "index").exists()


def test_create_refuses_an_index(store, manifest):
    store.upsert([make_record("a")])
    with pytest.raises(StoreError, match="already"):
        store.create(manifest)
    assert store.count() == 1


@pytest.mark.parametrize("stop_at", ["make", "create_shard", "write_manifest"])
def test_an_interrupted_create_is_run_again(tmp_path, open_store, manifest, monkeypatch, stop_at):
    class Interrupted(BaseException):
        pass

    def stop(*args, **kwargs):
        raise Interrupted

    store = open_store(tmp_path / "index")
    with monkeypatch.context() as patch:
        if stop_at == "make":
            patch.setattr("retriever_qdrant.folder.Folder.acquire", stop)
        elif stop_at == "create_shard":
            patch.setattr("retriever_qdrant.engine.change_fields", stop)
        else:
            patch.setattr("retriever_qdrant.folder.Folder.write_manifest", stop)
        with pytest.raises(Interrupted):
            store.create(manifest)
    store._shard = None  # as if the process had died
    store.close()
    again = open_store(tmp_path / "index")
    assert again.read_manifest() is None
    with pytest.raises(StoreNotFound):
        again.count()
    again.create(manifest)
    again.upsert([make_record("a")])
    assert again.count() == 1


def test_destroy_leaves_what_is_not_ours(store, tmp_path, manifest):
    store.upsert([make_record("a")])
    (tmp_path / "index" / "notes.txt").write_text("mine")
    store.destroy()
    assert listing(tmp_path / "index") == {"notes.txt": b"mine"}
    with pytest.raises(NotAStore):
        store.create(manifest)


def test_destroy_and_create_again(store, tmp_path, manifest):
    store.upsert([make_record("a")])
    store.destroy()
    assert not (tmp_path / "index").exists()
    assert store.read_manifest() is None
    store.create(make_manifest(dimension=2))
    assert store.count() == 0
    store.upsert([make_record("b", (1, 0))])
    assert store.count() == 1


def test_destroy_clears_an_interrupted_create(tmp_path, open_store):
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "retriever.json").touch()
    open_store(tmp_path / "index").destroy()
    assert not (tmp_path / "index").exists()


def test_two_stores_in_one_process(store, open_store, tmp_path, manifest):
    other = open_store(tmp_path / "index")
    for act in (other.read_manifest, other.count, other.destroy, lambda: other.create(manifest)):
        with pytest.raises(StoreLocked, match=f"another store object of this process .{os.getpid()}"):
            act()
    store.close()
    assert other.count() == 0
    with pytest.raises(StoreLocked):
        store.count()


HOLD = """
import sys
from retriever_qdrant import QdrantStore
store = QdrantStore(sys.argv[1])
print(store.count(), flush=True)
sys.stdin.read()
"""


def test_another_process_is_named(store, tmp_path):
    store.upsert([make_record("a")])
    store.close()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "index")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        with pytest.raises(StoreLocked, match=f"held by process {process.pid}"):
            store.read_manifest()
        with pytest.raises(StoreLocked):
            store.count()
        process.kill()
    assert (tmp_path / "index" / "owner").read_text() == str(process.pid)  # nobody cleaned up
    assert store.count() == 1
    assert (tmp_path / "index" / "owner").read_text() == str(os.getpid())


def test_a_stale_note_blames_nobody(store, open_store, tmp_path):
    other = open_store(tmp_path / "index")
    (tmp_path / "index" / "owner").write_text("2147483646")
    with pytest.raises(StoreLocked, match="held by another process;"):
        other.count()
    (tmp_path / "index" / "owner").write_text("")
    with pytest.raises(StoreLocked, match="held by another process;"):
        other.count()


def test_the_engines_own_lock_counts_too(store, tmp_path):
    import qdrant_edge

    store.close()
    shard = qdrant_edge.EdgeShard.load(str(tmp_path / "index" / "shard"))
    with pytest.raises(StoreLocked):
        store.count()
    shard.close()
    assert store.count() == 0
