"""The command line. Typer and Rich are imported here and nowhere else."""

from __future__ import annotations

import sys

from rich.console import Console

from retriever.cli.app import app
from retriever.errors import RetrieverError


def main() -> None:
    """Run the command line; a user's mistake gets one line and exit code 1, not a traceback."""
    try:
        app()
    except RetrieverError as error:
        console = Console(stderr=True)
        console.print("[bold red]error:[/] ", end="")
        console.print(str(error), highlight=False, soft_wrap=True, markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to finish", file=sys.stderr)  # noqa: T201
        sys.exit(130)
