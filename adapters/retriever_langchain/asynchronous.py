"""The asynchronous twin of a method, made from the method: there is one piece of logic, and it runs off the loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

from retriever_langchain.executor import off_loop, write_off_loop

T = TypeVar("T")


def asynchronous(method: Callable[..., T], *, writes: bool = False) -> Callable[..., Coroutine[Any, Any, T]]:
    """A coroutine function that runs a method of the same object in the package's executor.

    :param method: a synchronous one; where a subclass overrides it, the override is run.
    :param writes: whether it may wait for other writers.
    """
    name = method.__name__
    run_off_loop = write_off_loop if writes else off_loop

    @wraps(method)
    async def twin(self: object, /, *args: Any, **kwargs: Any) -> T:
        run: Callable[..., T] = getattr(self, name)
        return await run_off_loop(run, *args, **kwargs)

    return twin
