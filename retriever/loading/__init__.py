"""Files and folders to documents.

>>> from retriever.loading import Unloaded, load
>>> for outcome in load("docs"):  # doctest: +SKIP
...     if isinstance(outcome, Unloaded):
...         print(outcome.path, outcome.reason)

Nothing that a file contains ends the run: what cannot be read comes out as an :class:`Unloaded`, in its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from retriever.errors import InvalidInput
from retriever.loading.formats import read, supported_formats
from retriever.loading.outcome import Unloaded
from retriever.loading.walk import walk
from retriever.types import Document

__all__ = ["Unloaded", "load", "supported_formats"]


def load(root: str | os.PathLike[str], *, images: bool = False) -> Iterator[Document | Unloaded]:
    """Stream the documents of a file or folder, in sorted path order.

    Ids are paths relative to the root, with ``/``; a row or page of a file is ``path#7``, ``path#its-id`` or
    ``path#page=7``. Hidden entries of a folder, ``__pycache__``, ``node_modules`` and indexes of this package are
    passed over.

    A document whose id equals the path of an :class:`Unloaded`, or goes on from it with ``/`` or ``#``, may still be
    there, unread; all of them may if the path is ``.``. Whoever forgets documents that are gone waits for the end of
    the stream, and spares those.

    :param root: a folder; or a file, which is then read whatever its name.
    :param images: whether pictures become documents, for an embedding function that reads them.
    :return: documents, blank ones for files that are empty; and what gave none.
    :raises InvalidInput: if there is nothing at ``root``.
    """
    if not os.fspath(root):
        raise InvalidInput("an empty path cannot be loaded; the current folder is '.'")
    location = Path(root)
    try:
        location.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(f"{os.fspath(root)!r} cannot be loaded: {reason}") from error
    return _stream(location, images)


def _stream(root: Path, images: bool) -> Iterator[Document | Unloaded]:
    for found in walk(root):
        if isinstance(found, Unloaded):
            yield found
        else:
            yield from read(found, images)
