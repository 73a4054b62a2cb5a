"""A progress line for indexing: how many documents are known only at the end, so it counts up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from retriever.indexing import Progress as Callback
from retriever.report import IndexReport


@contextmanager
def index_progress(name: str, *, hidden: bool) -> Iterator[Callback | None]:
    """Show a line on standard error while a path is indexed, where that is a terminal.

    :param name: of the path.
    :param hidden: show nothing.
    """
    console = Console(stderr=True)
    if hidden or not console.is_terminal:
        yield None
        return
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(20), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(f"{name}: reading", total=None)

        def update(report: IndexReport) -> None:
            bars.update(
                task,
                description=f"{name}: {report.documents:,} documents, {report.added:,} chunks embedded, "
                f"{report.skipped:,} already there",
            )

        yield update
