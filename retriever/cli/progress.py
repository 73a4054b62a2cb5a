"""Progress lines. How much there is, is known only at the end, so they count up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from retriever.indexing import Progress as IndexProgress
from retriever.report import IndexReport


@contextmanager
def index_progress(name: str, *, hidden: bool) -> Iterator[IndexProgress]:
    """Show a line on standard error while a path is indexed, where that is a terminal.

    :param name: of the path.
    :param hidden: show nothing.
    """
    with _line(hidden) as show:

        def update(report: IndexReport) -> None:
            show(
                f"{name}: {report.documents:,} documents, {report.added:,} chunks embedded, "
                f"{report.skipped:,} already there"
            )

        yield update


@contextmanager
def chunk_progress(doing: str, *, hidden: bool) -> Iterator[Callable[[int], None]]:
    """Show how many chunks are done, on standard error, where that is a terminal.

    :param doing: what is done to them.
    :param hidden: show nothing.
    """
    with _line(hidden) as show:
        yield lambda done: show(f"{doing}: {done:,} chunks")


@contextmanager
def epoch_progress(epochs: int, *, hidden: bool) -> Iterator[Callable[[int], None]]:
    """Show how far training is, on standard error, where that is a terminal.

    :param epochs: how many there are.
    :param hidden: show nothing.
    """
    with _line(hidden) as show:
        yield lambda done: show(f"training: {done} of {epochs} epochs")


@contextmanager
def step_progress(*, hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each step of which it is known how much there is, on standard error, where that is a terminal.

    :param hidden: show nothing.
    """
    console = Console(stderr=True)
    if hidden or not console.is_terminal:
        yield lambda *_: None
        return
    columns = [TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("reading the index", total=None)
        yield lambda doing, done, total: bars.update(task, description=doing, completed=done, total=total)


@contextmanager
def _line(hidden: bool) -> Iterator[Callable[[str], None]]:
    console = Console(stderr=True)
    if hidden or not console.is_terminal:
        yield lambda _: None
        return
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(20), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("reading", total=None)
        yield lambda text: bars.update(task, description=text)
