"""Where blocking work goes so that an event loop is free: two small pools of threads for the whole package."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

_THREADS = 4
"""Few, because they share the interpreter's lock with the loop: each that computes in Python holds it for 5 ms at a
time, and the loop waits behind all of them (on two cores, while 1, 4 and 16 threads did nothing but compute, it ran
again after at most 12, 170 and 390 ms). Work here mostly waits for a network or computes outside the lock; four such
calls at a time keep a local model or server busy. What writes has as many threads of its own: writers of an index
wait for one another, and a few of them would keep every query waiting.
"""

_making = threading.Lock()
_pools: dict[bool, ThreadPoolExecutor] = {}  # by whether what they run writes


async def off_loop(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a function that reads on a thread of the package, with the caller's context variables.

    Callbacks, tracing and run names of LangChain travel in those. At exit the interpreter waits for what runs.

    :param function: may block.
    :param args: its positional arguments.
    :param kwargs: its keyword arguments.
    """
    return await _run(False, function, *args, **kwargs)


async def write_off_loop(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """As :func:`off_loop`, for a function that writes to an index.

    :param function: may block, and wait for other writers.
    :param args: its positional arguments.
    :param kwargs: its keyword arguments.
    """
    return await _run(True, function, *args, **kwargs)


async def _run(writes: bool, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    context = copy_context()

    def call() -> _T:
        try:
            return context.run(function, *args, **kwargs)
        except StopIteration as error:  # a future cannot carry it: its awaiter would hang
            raise RuntimeError("StopIteration was raised") from error

    return await asyncio.get_running_loop().run_in_executor(_executor(writes), call)


def _executor(writes: bool) -> ThreadPoolExecutor:
    with _making:
        if writes not in _pools:
            _pools[writes] = ThreadPoolExecutor(_THREADS, thread_name_prefix="retriever-langchain")
        return _pools[writes]


def _forget() -> None:
    """A forked child has none of its parent's threads; it makes pools of its own, with a lock that nobody holds."""
    global _making, _pools
    _making, _pools = threading.Lock(), {}


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget)
