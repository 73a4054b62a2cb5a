"""The part of a hit to show, with the matched terms marked."""

from __future__ import annotations

import re
from bisect import bisect_left

from rich.padding import Padding
from rich.text import Text

from retriever.keyword.analyser import Analyser
from retriever.types import Hit

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

WIDTH = 400
"""Characters shown of a hit."""


def snippet(hit: Hit, analyser: Analyser) -> Padding:
    """The stretch of a hit's text with the most matches.

    :param hit: what was found.
    :param analyser: the index's own, to find where the matched terms are.
    """
    matched = set(hit.matched_terms)
    spans = [(t.start, t.end) for t in analyser.tokens(hit.text) if not matched.isdisjoint(t.terms)]
    start, end = _window(hit.text, spans)
    text = Text(printable(hit.text[start:end]))
    for left, right in spans:
        if start <= left and right <= end:
            text.stylize("bold yellow", left - start, right - start)
    text = Text("\n").join(line for line in text.split("\n") if line.plain.strip())
    lead = Text("… " if start else "")
    tail = Text(" …" if end < len(hit.text) else "")
    return Padding(Text.assemble(lead, text, tail), (0, 0, 0, 3))


def printable(text: str) -> str:
    """The text with control characters replaced, so that a document cannot steer the terminal.

    :param text: from a document; tabs and line feeds stay.
    """
    return _CONTROL.sub("�", text)


def _window(text: str, spans: list[tuple[int, int]]) -> tuple[int, int]:
    """Start and end of the best stretch, at white space where that is near."""
    if len(text) <= WIDTH:
        return 0, len(text)
    starts = [start for start, _ in spans]
    best = max(starts, key=lambda s: bisect_left(starts, s + WIDTH * 3 // 4) - bisect_left(starts, s), default=0)
    start = max(0, min(best - WIDTH // 8, len(text) - WIDTH))
    end = min(len(text), start + WIDTH)
    if start:
        start = text.find(" ", start, start + 20) + 1 or start
    if end < len(text):
        cut = text.rfind(" ", end - 20, end)
        end = cut if cut > 0 else end
    return start, end
