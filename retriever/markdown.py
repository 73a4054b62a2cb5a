"""What the loaders and the chunker both have to know of Markdown."""

from __future__ import annotations

import re

LONGEST_TITLE = 200
"""Characters. What is longer is no title: every chunk below it would carry it along."""

_ATTRIBUTES = re.compile(r"\{:?\s*[#.][^{}]*\}")


def heading_title(text: str) -> str:
    """The words of a heading, without closing marks and without an attribute list such as ``{ #anchor }``.

    :param text: the line without its opening marks.
    """
    text = text.strip()
    brace = text.rfind("{")
    if brace >= 0 and _ATTRIBUTES.fullmatch(text, brace):
        text = text[:brace].rstrip()
    unmarked = text.rstrip("#")
    return unmarked.rstrip() if not unmarked or unmarked[-1].isspace() else text
