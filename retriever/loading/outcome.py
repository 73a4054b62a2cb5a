"""What comes of a file: documents, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retriever.errors import MissingExtra
from retriever.types import Document, Scalar

Kind = Literal["skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A file, folder, page or row that gave no document.

    :param path: relative to the root, with ``/``; ``.`` for the root itself; ``file#7`` for a part of a file.
    :param reason: one line for people, with what to do where there is something to do.
    :param kind: ``skipped`` for what holds no text that could be read; ``failed`` for what may well hold some.
    """

    path: str
    reason: str
    kind: Kind


Outcome = Document | Unloaded


@dataclass(frozen=True, slots=True)
class File:
    """A file to be read.

    :param path: relative to the root, with ``/``: the id of its document, or how the ids of its documents begin.
    :param location: where it is.
    :param format: name of its format.
    :param language: of source code, else empty.
    :param images: whether pictures are wanted.
    """

    path: str
    location: Path
    format: str
    language: str = ""
    images: bool = False

    def metadata(self, **more: Scalar | None) -> dict[str, Scalar]:
        """What is known of every document of the file.

        :param more: further fields; empty ones are left out.
        :return: a new dict.
        """
        fields = {"path": self.path, "format": self.format, "language": self.language, **more}
        return {name: value for name, value in fields.items() if value not in (None, "")}


class ReadError(Exception):
    """A file cannot be turned into documents; becomes its :class:`Unloaded`.

    :param reason: one line for people.
    :param kind: as in :class:`Unloaded`.
    """

    def __init__(self, reason: str, kind: Kind = "failed") -> None:
        self.reason = reason
        self.kind = kind
        super().__init__(reason)


def one_line(error: BaseException, limit: int = 200) -> str:
    """Say an error in one line.

    :param error: what was raised.
    :param limit: longest line, in characters.
    :return: its message, or its type where it has none.
    """
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= limit else line[: limit - 1] + "…"


@contextmanager
def parsing(what: str) -> Iterator[None]:
    """Turn whatever a parser trips over into a :class:`ReadError`.

    Parsers of other people's formats raise anything, ``KeyError`` and ``RecursionError`` included. One bad file must
    not end the run.

    :param what: the kind of file, for the message.
    :raises ReadError: for any error but those that already say what they mean.
    """
    try:
        yield
    except (OSError, MissingExtra, ReadError):
        raise
    except Exception as error:
        raise ReadError(f"not a readable {what}: {one_line(error)}") from error
