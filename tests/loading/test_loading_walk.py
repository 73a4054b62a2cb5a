from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import retriever
from retriever.errors import InvalidInput
from retriever.loading import Unloaded, load
from retriever.types import Document

REPOSITORY = Path(retriever.__file__).parents[1]


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"text of {path}", encoding="utf-8")


def ids(root: Path) -> list[str]:
    return [outcome.id if isinstance(outcome, Document) else f"!{outcome.path}" for outcome in load(root)]


@pytest.fixture
def _alarm():
    """Ends a test that blocks."""

    def give_up(*_):
        raise TimeoutError("blocked")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_paths_are_relative_with_slashes_and_sorted(tmp_path):
    paths = ["b.txt", "a/c.txt", "a/b/d.txt", "a.txt", "中文/文档.md", "Z.md", "a-b.txt"]
    write(tmp_path, *paths)
    assert ids(tmp_path) == sorted(paths)
    document = next(iter(load(tmp_path)))
    assert document == Document("Z.md", "text of Z.md", {"path": "Z.md", "format": "markdown"})


def test_root_may_end_in_a_slash_or_be_relative(tmp_path, monkeypatch):
    write(tmp_path, "a/b.txt")
    assert [d.id for d in load(f"{tmp_path}/")] == ["a/b.txt"]
    monkeypatch.chdir(tmp_path)
    assert [d.id for d in load(".")] == ["a/b.txt"]
    assert [d.id for d in load("a/..")] == ["a/b.txt"]


def test_hidden_and_noise_folders_are_passed_over(tmp_path):
    write(tmp_path, "a.txt", ".env", ".git/config", "__pycache__/x.txt", "b/node_modules/x.js", "b/c.txt")
    (tmp_path / "node_modules").write_text("a file of that name is not noise")
    assert ids(tmp_path) == ["a.txt", "b/c.txt", "node_modules"]


def test_a_root_is_read_whatever_its_name(tmp_path):
    write(tmp_path, ".hidden.txt", ".folder/a.txt")
    assert ids(tmp_path / ".hidden.txt") == [".hidden.txt"]
    assert ids(tmp_path / ".folder") == ["a.txt"]


@pytest.mark.parametrize("root", ["no such thing", "", "a\0b"])
def test_no_root(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not root:
        # An empty string would be the current folder, and that is hardly what was meant.
        with pytest.raises(InvalidInput, match="empty"):
            load(root)
        return
    with pytest.raises(InvalidInput, match="cannot be loaded") as raised:
        load(root)
    assert repr(root) in str(raised.value)


def test_empty_folder(tmp_path):
    assert list(load(tmp_path)) == []


def test_symbolic_links_are_followed(tmp_path):
    write(tmp_path, "outside/one.txt", "outside/two/three.txt")
    root = tmp_path / "root"
    root.mkdir()
    (root / "file.txt").symlink_to(tmp_path / "outside/one.txt")
    (root / "folder").symlink_to(tmp_path / "outside/two")
    assert ids(root) == ["file.txt", "folder/three.txt"]


def test_loops_are_reported_and_left(tmp_path):
    write(tmp_path, "a/b/c.txt")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/b/top").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    assert list(load(tmp_path))[1:3] == [
        Unloaded("a/b/top", "symbolic link loop", "skipped"),
        Unloaded("a/b/up", "symbolic link loop", "skipped"),
    ]
    assert ids(tmp_path) == ["a/b/c.txt", "!a/b/top", "!a/b/up", "!self"]


def test_a_folder_is_read_at_its_first_path_only(tmp_path):
    write(tmp_path, "a/x.txt")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    reason = "the same folder as a, which has been read"
    assert list(load(tmp_path))[1:] == [Unloaded("b", reason, "skipped"), Unloaded("c", reason, "skipped")]


@pytest.mark.usefixtures("_alarm")
def test_links_that_cross_do_not_multiply(tmp_path):
    for folder in range(12):
        write(tmp_path, f"{folder}/x.txt")
        for other in range(12):
            (tmp_path / f"{folder}/to{other}").symlink_to(tmp_path / str(other))
    assert sum(isinstance(outcome, Document) for outcome in load(tmp_path)) == 12


@pytest.mark.parametrize("beside", ["manifest.json", "shard/segment"])
def test_indexes_of_this_package_are_passed_over(tmp_path, beside):
    write(tmp_path, "a.txt", "index/retriever.json", f"index/{beside}", "mine/retriever.json", "other/manifest.json")
    assert ids(tmp_path) == ["a.txt", "mine/retriever.json", "other/manifest.json"]
    assert list(load(tmp_path / "index")) == [Unloaded(".", "is an index of this package", "skipped")]


def test_broken_link(tmp_path):
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    assert list(load(tmp_path)) == [Unloaded("gone.txt", "broken symbolic link", "failed")]


@pytest.mark.usefixtures("_alarm")
def test_what_is_no_file_is_never_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path)  # the address of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.txt")
        outcomes = list(load(tmp_path))
    assert [(o.path, o.kind) for o in outcomes] == [
        ("pipe.txt", "skipped"),
        ("socket.txt", "skipped"),
        ("zero.txt", "skipped"),
    ]
    assert [o.path for o in load(tmp_path / "pipe.txt")] == ["pipe.txt"]


def test_a_name_that_is_not_unicode(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("text")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/fold\xe9r")).mkdir()
    outcomes = list(load(tmp_path))
    assert [(o.path, o.kind) for o in outcomes] == [("caf\\udce9.txt", "failed"), ("fold\\udce9r", "failed")]
    assert "rename" in outcomes[0].reason


def test_folders_deeper_than_the_stack(tmp_path):
    folders = [tmp_path]
    while len(os.fspath(folders[-1])) < 3900:
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    assert len(folders) > sys.getrecursionlimit()
    (folders[-1] / "x.txt").write_text("deep")
    try:
        assert [d.text for d in load(tmp_path)] == ["deep"]
    finally:
        # pytest's own removal recurses
        (folders[-1] / "x.txt").unlink()
        for folder in reversed(folders[1:]):
            folder.rmdir()


AS_NOBODY = """
import json, os, sys
b"x".decode("utf-8-sig")  # imports it: nobody may have no right to
from retriever.loading import Unloaded, load
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    try:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
    except OSError:
        sys.exit(77)
print(json.dumps([[o.path, o.kind, o.reason] if isinstance(o, Unloaded) else o.id for o in load(sys.argv[2])]))
"""


def load_as_nobody(folder: Path, root: str) -> list[object]:
    """In a process of its own, since root may read everything. It gets to the folder before it gives up its rights."""
    run = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, folder, root], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    if run.returncode == 77:
        pytest.skip("cannot become another user here")
    assert not run.stderr
    return json.loads(run.stdout)


def test_permission_denied(tmp_path):
    write(tmp_path, "a.txt", "locked/b.txt", "secret.txt", "z.txt")
    tmp_path.chmod(0o755)
    (tmp_path / "a.txt").chmod(0o644)
    (tmp_path / "z.txt").chmod(0o644)
    (tmp_path / "secret.txt").chmod(0)
    (tmp_path / "locked").chmod(0)
    try:
        assert load_as_nobody(tmp_path, ".") == [
            "a.txt",
            ["locked", "failed", "cannot be opened: Permission denied"],
            ["secret.txt", "failed", "cannot be read: Permission denied"],
            "z.txt",
        ]
        assert load_as_nobody(tmp_path, "locked") == [[".", "failed", "cannot be opened: Permission denied"]]
    finally:
        (tmp_path / "locked").chmod(0o755)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and cannot be read")
def test_a_read_that_fails():
    [outcome] = load("/proc/self/mem")
    assert outcome == Unloaded("mem", "cannot be read: Input/output error", "failed")


def test_a_file_that_goes_while_the_folder_is_read(tmp_path):
    write(tmp_path, "a.txt", "b.txt")
    stream = load(tmp_path)
    assert next(stream).id == "a.txt"
    (tmp_path / "b.txt").unlink()
    assert [(o.path, o.kind) for o in stream] == [("b.txt", "failed")]
