"""bm25s: BM25 over arrays, exact, in memory.

Measured: tokenising with its own English stop words and Snowball's stemmer, and building the index; then tokenising a
query and ``retrieve`` for k of the corpus. Fair: k1 1.2 and b 0.75, as ours; Lucene's form of the formula. It has
neither vectors nor filters, and an index is built whole: a second ingest builds it anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from retriever.evaluation.runs import Scored
from retriever.evaluation.systems import Passage, System, Where, register_system
from retriever.types import FloatMatrix, FloatVector


@register_system
class Bm25s(System):
    """An index in memory."""

    name = "bm25s"
    legs = frozenset({"keyword"})
    filters = False
    is_persistent = False
    needs: ClassVar[Mapping[str, str]] = {"bm25s": "bm25s", "Stemmer": "PyStemmer"}

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self._passages: list[Passage] = []
        self._index: Any = None
        self._stemmer: Any = None

    def ingest(self, passages: Sequence[Passage], vectors: FloatMatrix | None) -> None:  # noqa: ARG002 - it has none
        """Build the index of all passages so far."""
        import bm25s
        import Stemmer

        self._passages += passages
        self._stemmer = Stemmer.Stemmer("english")
        tokens = bm25s.tokenize(
            [passage.text for passage in self._passages], stopwords="en", stemmer=self._stemmer, show_progress=False
        )
        self._index = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
        self._index.index(tokens, show_progress=False)

    def search(self, text: str, vector: FloatVector | None, k: int, filter: Where | None = None) -> list[Scored]:  # noqa: A002, ARG002 - it has neither
        """By the words."""
        import bm25s

        if filter:
            raise ValueError("bm25s has no filters")
        tokens = bm25s.tokenize([text], stopwords="en", stemmer=self._stemmer, show_progress=False)
        rows, scores = self._index.retrieve(tokens, k=min(k, len(self._passages)), show_progress=False)
        found = np.flatnonzero(scores[0] > 0)  # the rest does not match at all
        return [(self._passages[int(rows[0][place])].id, float(scores[0][place])) for place in found]

    def close(self) -> None:
        """Nothing to let go of."""
