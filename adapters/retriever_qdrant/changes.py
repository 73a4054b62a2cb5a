"""How much was written since the engine last built its graphs."""

from __future__ import annotations

from dataclasses import dataclass

UNINDEXED = 10_000
"""So many vectors are searched one by one before a graph is built: up to here that takes about a millisecond."""

_VACUUM_RECORDS = 1_000
_VACUUM_SHARE = 0.2  # the engine leaves segments alone in which less is deleted


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since the last optimisation. Only speed depends on it.

    :param written: records that are in no graph yet, at most.
    :param removed: records that were deleted or replaced.
    """

    written: int = 0
    removed: int = 0

    def __add__(self, other: Changes) -> Changes:
        return Changes(self.written + other.written, self.removed + other.removed)

    @property
    def total(self) -> int:
        """Of either kind."""
        return self.written + self.removed

    def are_many(self, points: int) -> bool:
        """Whether an optimisation is worth the wait, in which the engine is opened anew and stops all threads.

        Where no more records are there than were written since, no graph holds removed ones.

        :param points: how many records there are.
        """
        has_graph = self.written < points
        return self.written > UNINDEXED or (has_graph and self.removed > max(_VACUUM_RECORDS, _VACUUM_SHARE * points))
