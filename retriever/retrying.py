"""Trying again: with growing pauses, for as long as a deadline allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_random_exponential

from retriever.errors import StoreError, StoreUnavailable

T = TypeVar("T")

_BACKOFF = wait_random_exponential(multiplier=0.2, max=5.0)


def retried(call: Callable[[], T], *, deadline: float, timeout: float) -> T:
    """Call until it succeeds, fails for good, or the deadline leaves no time for another attempt.

    Pauses grow at random up to 5 seconds, and are never shorter than what the store asks for.

    :param call: may be repeated; raises errors of this package, of which only retryable ones are tried again.
    :param deadline: seconds for all attempts together.
    :param timeout: seconds that one attempt may take: no attempt begins that could outlast the deadline.
    :return: what the call returns.
    :raises StoreError: the last one.
    """
    attempts = Retrying(
        stop=stop_before_delay(max(0.0, deadline - timeout)),
        wait=_pause,
        retry=retry_if_exception(lambda error: isinstance(error, StoreError) and error.retryable),
        reraise=True,
    )
    return attempts(call)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after if isinstance(error, StoreUnavailable) else None
    return max(asked or 0.0, _BACKOFF(state))
