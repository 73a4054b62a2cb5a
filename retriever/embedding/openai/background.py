"""An event loop in a thread of its own: requests side by side, each with a true limit of its time."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_FAREWELL = 1.0  # seconds that closing connections may take


class Background:
    """Runs coroutines for as long as somebody holds it.

    A socket's own time limit is for one read, so that a server which sends a byte now and then is never done; and a
    thread that waits cannot be stopped. A coroutine can. A caller may be inside an event loop itself.

    :param close: awaited in the thread at the end. Must not hold this object.
    """

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_serve, args=(self._loop, close), name="retriever-openai", daemon=True)
        thread.start()
        self.close = weakref.finalize(self, _stop, self._loop, thread)
        """Ends it; called by itself when nobody holds this any more, or the program ends."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns.

        :param work: is cancelled where the caller is interrupted.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def _serve(loop: asyncio.AbstractEventLoop, close: Callable[[], Awaitable[None]]) -> None:
    async def end() -> None:
        await close()

    try:
        loop.run_forever()
        loop.run_until_complete(end())
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():  # the garbage collector may call from there
        thread.join(_FAREWELL)
