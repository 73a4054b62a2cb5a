"""What the engine raises, in the words of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from retriever.errors import RetrieverError, StoreError, StoreLocked

_LOCKED = "WouldBlock"  # how the write-ahead log says that another process has it


@contextmanager
def engine_errors(where: str) -> Iterator[None]:
    """Turn whatever the engine raises inside into errors of this package.

    :param where: the store's address, for messages.
    :raises StoreLocked: where another process holds the engine's write-ahead log.
    :raises StoreError: for everything else, with the original as cause.
    """
    try:
        yield
    except RetrieverError:
        raise
    except Exception as error:
        if _LOCKED in str(error):
            raise StoreLocked(f"{where} is held by another process; close it there first") from error
        raise StoreError(f"{where}: {error}") from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise StoreError(f"{where}: the engine stopped at a damaged or unexpected file: {error}") from error


def is_panic(error: BaseException | None) -> bool:
    """Whether it is the engine's panic, which derives from ``BaseException`` and has no importable class.

    :param error: anything.
    """
    return type(error).__name__ == "PanicException"
