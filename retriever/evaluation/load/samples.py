"""What a load run saw: for each request when it should have begun, did begin, and ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Call = Callable[[int], object]
"""One request; told its number, counted from 0. Raises where it fails; called from several threads."""

Seconds = NDArray[np.float64]
"""Shape ``(requests,)``; moments are counted from the beginning of the run."""

UNFINISHED = "unfinished"
"""What a request that never came back is counted as among the errors."""


@dataclass(slots=True)
class Request:
    """One request while it is under way; the fields are those of :class:`Samples`."""

    intended: float
    late: float = 0.0
    started: float = np.inf
    ended: float = np.inf
    error: str | None = UNFINISHED

    def send(self, number: int, call: Call, clock: Callable[[], float], timeout: float) -> None:
        """Make it, and note how it went.

        :param number: of the request.
        :param call: is called once.
        :param clock: seconds since the run began.
        :param timeout: what took longer than so many seconds, from when it was due, has failed.
        """
        error: str | None = None
        self.started = clock()
        try:
            call(number)
        except Exception as raised:  # noqa: BLE001, RUF100 - whatever it is, it is counted
            error = type(raised).__name__
        self.ended = clock()
        if error is None and self.ended - self.intended > timeout:
            error = "TimeoutError"
        self.error = error


@dataclass(frozen=True, slots=True)
class Samples:
    """The requests of one run, in the order in which they were due.

    :param intended: when each was due. Latency counts from here, so waiting for a busy client or server is in it
        (what is left out elsewhere is called coordinated omission).
    :param started: when it was sent.
    :param ended: when its answer, or its error, was there; ``inf`` where it never came back.
    :param late: for how long it had to wait because no worker was free: above 0 the generator was too small.
    :param failed: whether it raised, took longer than its time limit, or did not come back.
    :param errors: failures by type.
    """

    intended: Seconds
    started: Seconds
    ended: Seconds
    late: Seconds
    failed: NDArray[np.bool_]
    errors: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.intended)

    @classmethod
    def of(cls, requests: Sequence[Request]) -> Samples:
        """Samples from what was noted, in the order of when they were due.

        :param requests: of one run.
        """
        ordered = sorted(requests, key=lambda request: request.intended)
        errors = [request.error for request in ordered]
        return cls(
            intended=np.array([request.intended for request in ordered], dtype=np.float64),
            started=np.array([request.started for request in ordered], dtype=np.float64),
            ended=np.array([request.ended for request in ordered], dtype=np.float64),
            late=np.array([request.late for request in ordered], dtype=np.float64),
            failed=np.array([error is not None for error in errors], dtype=np.bool_),
            errors=dict(sorted(Counter(error for error in errors if error is not None).items())),
        )

    @property
    def latency(self) -> Seconds:
        """Seconds from when each was due to its end; ``inf`` where it failed."""
        return np.where(self.failed, np.inf, self.ended - self.intended)

    @property
    def offered(self) -> float:
        """Requests that were due a second."""
        return _rate(len(self), self.intended)

    @property
    def achieved(self) -> float:
        """Requests that were answered a second."""
        return _rate(int((~self.failed).sum()), self.ended[np.isfinite(self.ended)])


def _rate(count: int, moments: Seconds) -> float:
    return count / float(moments.max()) if moments.size and moments.max() > 0 else 0.0
