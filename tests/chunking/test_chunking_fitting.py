"""Chunks that turn out to be too long when counted alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from retriever.chunking.fitting import Piece, fit
from retriever.tokeniser import Tokeniser

TEXT = "Some words, and then 今天天气很好我们去公园散步 and " + "x/1-" * 300 + " some more of them."


@pytest.mark.parametrize("budget", [4, 10, 100])
def test_pieces_are_halved_until_they_fit(tokeniser: Tokeniser, budget: int):
    third = len(TEXT) // 3
    pieces = [Piece(0, 2 * third, 0, counted=False), Piece(third, len(TEXT), 0, counted=False)]
    [found] = fit([TEXT], [pieces], tokeniser, budget)
    for piece, encoding in zip(found, tokeniser.encode_batch([TEXT[p.start : p.end] for p in found]), strict=True):
        assert piece.counted
        assert piece.tokens == len(encoding) <= budget
    for before, piece in pairwise(found):
        assert before.start < piece.start
        assert before.end < piece.end
        assert not TEXT[before.end : piece.start].strip()
    assert (found[0].start, found[-1].end) == (0, len(TEXT))


def test_what_is_counted_is_left_alone(tokeniser: Tokeniser):
    piece = Piece(0, len(TEXT), 7, counted=True)
    assert fit([TEXT], [[piece]], tokeniser, 8) == [[piece]]


def test_one_character_is_not_halved(tokeniser: Tokeniser):
    [found] = fit(["\ufdfa"], [[Piece(0, 1, 0, counted=False)]], tokeniser, 0)
    assert [(piece.start, piece.end) for piece in found] == [(0, 1)]
