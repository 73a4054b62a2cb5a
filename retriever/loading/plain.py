"""Markdown, plain text, source code and configuration: the text as it is."""

from __future__ import annotations

from collections.abc import Iterator

from retriever.loading.decode import read_text
from retriever.loading.outcome import File, Outcome
from retriever.markdown import LONGEST_TITLE, heading_title
from retriever.types import Document


def load_text(file: File) -> Iterator[Outcome]:
    """Read a file as it is. A blank one gives a blank document, so that what it said before is forgotten.

    :param file: the file.
    :return: one document.
    :raises ReadError: if it is not text.
    """
    yield Document(file.path, read_text(file.location), file.metadata())


def load_markdown(file: File) -> Iterator[Outcome]:
    """Read Markdown as it is; a first line that is a heading is its title.

    :param file: the file.
    :return: one document.
    :raises ReadError: if it is not text.
    """
    text = read_text(file.location)
    yield Document(file.path, text, file.metadata(title=_title(text)))


def _title(text: str) -> str | None:
    line = text[:1000].lstrip().partition("\n")[0]
    title = heading_title(line[2:]) if line.startswith("# ") else ""
    return title if 0 < len(title) <= LONGEST_TITLE else None
