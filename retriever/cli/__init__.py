"""The command line. Typer and Rich are imported here and nowhere else."""

from __future__ import annotations

import signal
import sys
from io import TextIOWrapper
from typing import NoReturn

from rich.console import Console

from retriever.cli.app import app
from retriever.errors import RetrieverError


class _Interrupted(BaseException):
    """Instead of KeyboardInterrupt, which Typer swallows without a word."""


def main() -> None:
    """Run the command line; a user's mistake gets one line and exit code 1, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        _show_what_cannot_be_encoded(stream)
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except RetrieverError as error:
        console = Console(stderr=True)
        console.print("[bold red]error:[/] ", end="")
        console.print(str(error), highlight=False, soft_wrap=True, markup=False)
        sys.exit(1)
    except _Interrupted:
        print("interrupted; run the same command again to finish", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(*_: object) -> NoReturn:
    raise _Interrupted


def _show_what_cannot_be_encoded(stream: object) -> None:
    """A terminal or pipe that knows no Chinese gets escapes, not a traceback."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
