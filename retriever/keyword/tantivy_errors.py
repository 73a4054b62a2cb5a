"""What tantivy raises: ``ValueError`` for everything, and panics at damaged files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from retriever.errors import RetrieverError, StoreError


@contextmanager
def engine_errors(convert: Callable[[BaseException], StoreError]) -> Iterator[None]:
    """Turn what the engine raises inside into an error of this package; everything else passes.

    :param convert: makes the error to raise.
    """
    try:
        yield
    except RetrieverError:
        raise
    except BaseException as error:
        if not _is_of_engine(error):
            raise
        raise convert(error) from error


def _is_of_engine(error: BaseException) -> bool:
    """A panic derives from ``BaseException`` and has no importable class."""
    return isinstance(error, ValueError | OSError) or type(error).__name__ == "PanicException"
