"""Counts chunks again where the sum of their words may be wrong, and splits those that are too long.

A sum of words is exact where tokens do not depend on what is beside the word. They do for most tokenisers
other than BERT's, and for all where a word was cut up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from retriever.chunking.words import GROUP
from retriever.tokeniser import Tokeniser


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk to be.

    :param start: offset of the first character.
    :param end: offset after the last.
    :param tokens: how many, by the best knowledge so far.
    :param counted: whether that is known for certain.
    """

    start: int
    end: int
    tokens: int
    counted: bool


def fit(texts: Sequence[str], pieces: Sequence[list[Piece]], tokeniser: Tokeniser, budget: int) -> list[list[Piece]]:
    """The pieces of each text, all counted and none with more tokens than the budget.

    A single character stays, however many tokens it has.
    """
    fitting = [[piece for piece in some if piece.counted] for some in pieces]
    waiting = [(i, piece) for i, some in enumerate(pieces) for piece in some if not piece.counted]
    while waiting:
        too_long = []
        for batch in _batches(waiting):
            encodings = tokeniser.encode_batch([texts[i][piece.start : piece.end] for i, piece in batch])
            for (i, piece), encoding in zip(batch, encodings, strict=True):
                if len(encoding) <= budget or piece.end - piece.start == 1:
                    fitting[i].append(replace(piece, tokens=len(encoding), counted=True))
                else:
                    too_long.append((i, piece))
        waiting = [(i, half) for i, piece in too_long for half in _halves(texts[i], piece)]
    return [_in_order(some) for some in fitting]


def _batches(waiting: list[tuple[int, Piece]]) -> Iterator[list[tuple[int, Piece]]]:
    batch: list[tuple[int, Piece]] = []
    size = 0
    for i, piece in waiting:
        batch.append((i, piece))
        size += piece.end - piece.start
        if size >= GROUP:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _halves(text: str, piece: Piece) -> list[Piece]:
    """The piece cut near its middle, at a space if one is there."""
    middle = (piece.start + piece.end) // 2
    space = text.rfind(" ", (piece.start + middle) // 2, middle)
    cut = space if space > piece.start else middle
    halves = []
    for start, end in ((piece.start, cut), (cut, piece.end)):
        words = text[start:end]
        start += len(words) - len(words.lstrip())
        if words.strip():
            halves.append(Piece(start, start + len(words.strip()), 0, counted=False))
    return halves


def _in_order(pieces: list[Piece]) -> list[Piece]:
    """By start and by end; a piece that lies in another one, as halves and overlaps can, is left out."""
    kept: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (piece.start, -piece.end)):
        if not kept or piece.end > kept[-1].end:
            kept.append(piece)
    return kept
