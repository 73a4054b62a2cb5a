"""HTML, and Word documents by way of HTML, as Markdown: headings are what chunks are cut at."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from retriever.errors import MissingExtra
from retriever.loading.decode import read_text
from retriever.loading.outcome import File, Outcome, parsing
from retriever.markdown import LONGEST_TITLE
from retriever.types import Document

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

_NOT_TEXT = ("script", "style", "noscript", "template", "title", "svg", "iframe", "object")

_BLOCKS = (
    *("address", "aside", "center", "details", "dialog", "fieldset", "figure", "footer", "form", "header", "hgroup"),
    *("legend", "main", "nav", "optgroup", "option", "search", "select", "summary"),
)
"""What stands on lines of its own, and the converter to Markdown does not know."""


def load_html(file: File) -> Iterator[Outcome]:
    """Read a web page.

    :param file: the file.
    :return: one document.
    :raises MissingExtra: without the packages that read it.
    :raises ReadError: if it is not text.
    """
    _require_html("HTML files")
    text, title = _to_markdown(read_text(file.location), "HTML file")
    yield Document(file.path, text, file.metadata(title=title))


def load_docx(file: File) -> Iterator[Outcome]:
    """Read a Word document.

    :param file: the file.
    :return: one document.
    :raises MissingExtra: without the packages that read it.
    :raises ReadError: if it is damaged, or protected by a password.
    """
    mammoth = _require_mammoth()
    _require_html("Word files")
    no_image = mammoth.images.img_element(lambda _: {})
    with file.location.open("rb") as handle, parsing(".docx file (damaged, or protected by a password?)"):
        html: str = mammoth.convert_to_html(handle, convert_image=no_image).value
    text, _ = _to_markdown(html, ".docx file")
    yield Document(file.path, text, file.metadata())


def _require_html(feature: str) -> None:
    try:
        import bs4  # noqa: F401
        import lxml  # noqa: F401
        import markdownify  # noqa: F401
    except ImportError as error:
        raise MissingExtra(feature, "files") from error


def _require_mammoth() -> ModuleType:
    try:
        import mammoth
    except ImportError as error:
        raise MissingExtra("Word files", "files") from error
    return mammoth  # type: ignore[no-any-return]


def _to_markdown(html: str, what: str) -> tuple[str, str | None]:
    """The text of a page, and its title."""
    from markdownify import ATX, MarkdownConverter

    # Escapes would put backslashes into identifiers, which are then not found.
    converter = MarkdownConverter(
        heading_style=ATX, escape_asterisks=False, escape_underscores=False, escape_misc=False
    )
    with parsing(what):
        soup = _parse(html)
        title = " ".join(soup.title.get_text().split())[:LONGEST_TITLE] if soup.title else None
        _drop_what_is_not_text(soup)
        for block in soup(_BLOCKS):
            block.name = "div"
        return converter.convert_soup(soup).strip(), title


def _parse(html: str) -> BeautifulSoup:
    from bs4 import BeautifulSoup

    with warnings.catch_warnings():
        # A page that looks like a file name, or like XML, is read all the same.
        warnings.simplefilter("ignore")
        return BeautifulSoup(html, "lxml")


def _drop_what_is_not_text(soup: BeautifulSoup) -> None:
    from bs4.element import CData, PreformattedString

    for string in soup.find_all(string=True):
        # Comments, declarations and processing instructions are strings too.
        if isinstance(string, PreformattedString) and not isinstance(string, CData):
            string.extract()
    for tag in soup(_NOT_TEXT):
        tag.decompose()
    for image in soup("img"):
        # Its address may be the whole image, in base 64.
        image.replace_with(str(image.get("alt") or ""))
