"""PDF: a document a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from retriever.errors import MissingExtra
from retriever.loading.outcome import File, Outcome, ReadError, Unloaded, parsing
from retriever.markdown import LONGEST_TITLE
from retriever.types import Document

if TYPE_CHECKING:
    from pypdf import PdfReader


def load_pdf(file: File) -> Iterator[Outcome]:
    """Read a PDF, page by page.

    :param file: the file.
    :return: a document a page, ``file.pdf#page=1`` the first; pages without text are reported.
    :raises MissingExtra: without the package that reads it.
    :raises ReadError: if it is damaged or encrypted.
    """
    try:
        from pypdf import PdfReader
    except ImportError as error:
        raise MissingExtra("PDF files", "files") from error
    with file.location.open("rb") as handle:
        with parsing("PDF"):
            reader = PdfReader(handle)
            _unlock(reader)
            pages = len(reader.pages)
        if not pages:
            raise ReadError("it has no pages", "skipped")
        title = _title(reader)
        for number in range(1, pages + 1):
            yield _page(file, reader, number, title)


def _unlock(reader: PdfReader) -> None:
    """Many files are encrypted with an empty password, only to forbid printing."""
    if reader.is_encrypted and not reader.decrypt(""):
        raise ReadError("encrypted; save a copy without the password")


def _title(reader: PdfReader) -> str | None:
    try:
        with parsing("title"):
            title = reader.metadata.title if reader.metadata else None
    except ReadError:
        return None
    return title.strip()[:LONGEST_TITLE] if isinstance(title, str) else None


def _page(file: File, reader: PdfReader, number: int, title: str | None) -> Document | Unloaded:
    page_id = f"{file.path}#page={number}"
    try:
        with parsing("page"):
            text = reader.pages[number - 1].extract_text()
    except ReadError as error:
        return Unloaded(page_id, f"page {number} is {error.reason}", error.kind)
    if not text.strip():
        return Unloaded(page_id, f"page {number} has no text; scanned?", "skipped")
    return Document(page_id, text, file.metadata(title=title, page=number))
