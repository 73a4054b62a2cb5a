"""What an indexing run did."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple


class Problem(NamedTuple):
    """A file or document that was not indexed, and why."""

    item: str
    reason: str


@dataclass(slots=True)
class IndexReport:
    """What an indexing run did. Counts are chunks unless another unit is named."""

    source: str
    """Name of the source that was indexed."""
    documents: int = 0
    """Documents that were read."""
    added: int = 0
    """Embedded and written."""
    skipped: int = 0
    """Already there as they should be: nothing was embedded or written."""
    updated: int = 0
    """Span or metadata rewritten, without embedding."""
    deleted: int = 0
    """Removed: their text is gone from its document, or their document from the source."""
    failed: list[Problem] = field(default_factory=list)
    """Documents that could not be read or stored; what the index holds of them was left alone."""
    ignored: list[Problem] = field(default_factory=list)
    """Files that are no text, and empty documents."""
    tokens: int = 0
    """Tokens of all texts that were read, by the embedding function's tokeniser."""
    truncated: int = 0
    """Chunks added that are longer than the model reads; their ends are not embedded."""
    sparse_truncated: int = 0
    """Texts added that are longer than the learned sparse model reads; it does not see their ends."""
    warnings: list[str] = field(default_factory=list)
    """What should be known beside."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by stage: load, chunk, plan, embed, store, optimise. Storing goes on while the next batch is embedded:
    ``store`` is what it takes beyond that, so the stages add up to the time that passed."""

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the time of a block to a stage.

        :param stage: its name.
        """
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
