"""The files of a folder, in order, without getting lost in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from retriever.loading.outcome import Kind, Unloaded, one_line

NOISE = frozenset({"__pycache__", "node_modules"})
"""Folders that hold nothing anyone wrote."""

_Identity = tuple[int, int]
"""Device and inode of a folder."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that the walk came upon.

    :param path: relative to the root, with ``/``.
    :param location: where it is.
    """

    path: str
    location: Path


@dataclass(frozen=True, slots=True)
class _Node:
    """A place to visit.

    :param path: relative to the root; empty for the root.
    :param location: where it is.
    :param above: device and inode of every folder above it.
    """

    path: str
    location: Path
    above: frozenset[_Identity] = frozenset()

    def without(self, reason: str, kind: Kind) -> Unloaded:
        printable = self.path.encode("utf-8", "backslashreplace").decode()
        return Unloaded(printable or ".", reason, kind)


def walk(root: Path) -> Iterator[Found | Unloaded]:
    """Find the files under a folder, sorted by path.

    Hidden entries and :data:`NOISE` are passed over in silence; the root itself may be either. So are the folders of
    this package's indexes. A folder that several paths lead to is read at the first of them.

    :param root: a folder, or a file, which is then the only one.
    :return: files, and what is neither file nor folder, or cannot be opened.
    """
    # A stack of its own, because folders may nest deeper than Python's.
    stack = [_Node("" if root.is_dir() else root.name, root)]
    read: dict[_Identity, str] = {}
    while stack:
        node = stack.pop()
        outcome = _visit(node, read)
        if isinstance(outcome, list):
            stack.extend(reversed(outcome))
        else:
            yield outcome


def _visit(node: _Node, read: dict[_Identity, str]) -> list[_Node] | Found | Unloaded:
    """Look at one place without opening it, unless it is a folder: opening a named pipe waits for its writer."""
    if not _is_unicode(node.path):
        return node.without("its name is not valid UTF-8; rename it", "failed")
    try:
        status = node.location.stat()
        if stat.S_ISDIR(status.st_mode):
            return _children(node, (status.st_dev, status.st_ino), read)
    except FileNotFoundError:
        gone = "broken symbolic link" if node.location.is_symlink() else "it vanished while the folder was read"
        return node.without(gone, "failed")
    except OSError as error:
        return node.without(f"cannot be opened: {error.strerror or one_line(error)}", "failed")
    if stat.S_ISREG(status.st_mode):
        return Found(node.path, node.location)
    return node.without("not a file: a socket, pipe or device", "skipped")


def _children(node: _Node, identity: _Identity, read: dict[_Identity, str]) -> list[_Node] | Unloaded:
    if identity in node.above:
        return node.without("symbolic link loop", "skipped")
    if identity in read:
        # Links that cross would multiply the paths to it without end.
        return node.without(f"the same folder as {read[identity]}, which has been read", "skipped")
    with os.scandir(node.location) as scan:
        entries = list(scan)
    if _is_index(entries):
        return [] if node.path else node.without("is an index of this package", "skipped")
    read[identity] = node.path
    kept = sorted((_sort_key(e), e.name) for e in entries if not _is_passed_over(e))
    above = node.above | {identity}
    prefix = f"{node.path}/" if node.path else ""
    return [_Node(prefix + name, node.location / name, above) for _, name in kept]


def _is_index(entries: Iterable[os.DirEntry[str]]) -> bool:
    """Whether a store of this package keeps its data there: it would be read as text, and change by being indexed."""
    names = {entry.name: entry for entry in entries}
    return "retriever.json" in names and ("manifest.json" in names or ("shard" in names and _is_folder(names["shard"])))


def _sort_key(entry: os.DirEntry[str]) -> str:
    """Folders sort as the paths in them do: ``a.txt`` comes before ``a/b.txt``."""
    return f"{entry.name}/" if _is_folder(entry) else entry.name


def _is_passed_over(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(".") or (entry.name in NOISE and _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
