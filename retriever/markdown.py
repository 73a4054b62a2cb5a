"""What the loaders and the chunker both have to know of Markdown."""

from __future__ import annotations

import re

_ATTRIBUTES = re.compile(r"\s*\{:?\s*[#.][^{}]*\}$")
_CLOSING_MARKS = re.compile(r"(?:^|\s)#+$")


def heading_title(text: str) -> str:
    """The words of a heading, without closing marks and without an attribute list such as ``{ #anchor }``.

    :param text: the line without its opening marks.
    """
    return _CLOSING_MARKS.sub("", _ATTRIBUTES.sub("", text.strip())).strip()
