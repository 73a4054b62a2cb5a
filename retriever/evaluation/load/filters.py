"""Searches with a filter that lets a known share of the records through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retriever.evaluation.systems import Passage, Where

_YES = "yes"


def key(share: float) -> str:
    """The metadata key of a share.

    :param share: of the records, from 0 to 1.
    """
    return f"share_{share:g}".replace(".", "_")


def where(share: float) -> Where:
    """The filter that lets a share through.

    :param share: of the records.
    """
    return {key(share): _YES}


def members(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which records a filter lets through: as many as the share says, rounded, at least one, anywhere among them.

    :param count: of the records.
    :param share: from 0 to 1.
    :param seed: the same seed gives the same records.
    """
    random = np.random.default_rng([seed, round(share * 1e6)])
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[random.permutation(count)[: max(1, round(share * count))]] = True
    return chosen


def marked(passages: Sequence[Passage], shares: Sequence[float], seed: int) -> list[Passage]:
    """The same passages, with the metadata that the filters look at. A key that does not hold is not there.

    :param passages: any number.
    :param shares: of each filter.
    :param seed: as for :func:`members`.
    """
    chosen = {key(share): members(len(passages), share, seed) for share in shares}
    return [
        replace(passage, metadata={**passage.metadata, **{name: _YES for name, rows in chosen.items() if rows[row]}})
        for row, passage in enumerate(passages)
    ]
