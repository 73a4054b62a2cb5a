"""What is being done, on standard error: bars where that is a terminal, else a line for each task that took a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

_WORTH_TELLING = 1.0  # seconds


class Progress:
    """Tells people how far it is.

    :param hidden: tell nothing.
    """

    def __init__(self, *, hidden: bool = False) -> None:
        self._console = Console(stderr=True)
        self._hidden = hidden

    def say(self, message: str) -> None:
        """A line.

        :param message: plain text.
        """
        if not self._hidden:
            self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A bar while something is done, and a line once it is.

        :param description: of the work.
        :param total: how many steps it has; None where that is not known.
        :return: a function that is called with how many steps were done since.
        """
        started = time.perf_counter()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        off = self._hidden or not self._console.is_terminal
        with Bars(*columns, console=self._console, transient=True, disable=off) as bars:
            number = bars.add_task(description, total=total)
            yield lambda steps: bars.advance(number, steps)
        seconds = time.perf_counter() - started
        if seconds >= _WORTH_TELLING:
            self.say(f"{description}: {seconds:.1f} s")
