"""Sending points in requests that a server takes: of bounded size, and halved where even that is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from retriever.batched import bounded
from retriever.errors import RecordsRefused, StoreUnavailable
from retriever.stores import Record
from retriever.types import Chunk, Metadata
from retriever_qdrant.server_errors import RequestTooLarge

T = TypeVar("T", Record, Chunk)
Item = TypeVar("Item")

MOST_RECORDS = 256
"""Records a request."""

MOST_BYTES = 8 * 2**20
"""Bytes a request, about, unless a single record has more."""

REQUEST_LIMIT = 32 * 2**20
"""Bytes that a server takes over REST, unless it was told otherwise."""

_SHOWN = 5


class Sender(Generic[T]):
    """Sends records or chunks, and keeps account of those that were too large.

    :param send: writes some of them in one request; ``retry`` is False where another attempt cannot help.
    """

    def __init__(self, send: Callable[[Sequence[T], bool], None]) -> None:
        self._send: Callable[[Sequence[T], bool], None] = send
        self._refused: dict[str, str] = {}

    def run(self, items: Sequence[T], where: str) -> None:
        """Write all that the server takes.

        :param items: any number.
        :param where: the store's address, for messages.
        :raises RecordsRefused: at the end, naming those that are too large by themselves.
        :raises StoreError: where it fails for another reason; what was sent before is written.
        """
        for batch in requests(items, weight):
            self._halving(batch)
        if self._refused:
            shown = ", ".join(list(self._refused)[:_SHOWN])
            more = f" and {len(self._refused) - _SHOWN} more" if len(self._refused) > _SHOWN else ""
            reason = next(iter(self._refused.values()))
            raise RecordsRefused(
                f"{where}: too large for one request: chunk {shown}{more} ({reason}); make them smaller, or raise the "
                "server's service.max_request_size_mb",
                list(self._refused),
            )

    def _halving(self, batch: Sequence[T]) -> None:
        alone = len(batch) == 1
        # A server may hang up on a request that is too large before it has read it all: no reason to come again.
        oversize = alone and weight(batch[0]) > REQUEST_LIMIT
        try:
            self._send(batch, not oversize)
        except (RequestTooLarge, StoreUnavailable) as error:
            if isinstance(error, StoreUnavailable) and not oversize:
                raise
            if alone:
                self._refused[_id(batch[0])] = str(error)
            else:
                middle = len(batch) // 2
                self._halving(batch[:middle])
                self._halving(batch[middle:])


def requests(items: Iterable[Item], weigh: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Cut what is sent into requests of bounded count and size, in order.

    :param items: any number.
    :param weigh: about how many bytes of JSON an item is.
    """
    return bounded(items, weigh, MOST_RECORDS, MOST_BYTES)


def weight(item: Record | Chunk) -> int:
    """About how many bytes of JSON: a number of a vector takes some 20.

    :param item: to be sent.
    """
    if isinstance(item, Record):
        terms = len(item.terms) + (0 if item.sparse is None else len(item.sparse))
        return 20 * item.vector.size + sparse_weight(terms) + weight(item.chunk)
    return 400 + len(item.text.encode()) + _metadata_weight(item.metadata)


def sparse_weight(terms: int) -> int:
    """About how many bytes of JSON a sparse vector is.

    :param terms: how many it has.
    """
    return 30 * terms


def _metadata_weight(metadata: Metadata) -> int:
    return sum(len(key) + len(str(value).encode()) for key, value in metadata.items())


def _id(item: Record | Chunk) -> str:
    return item.chunk.id if isinstance(item, Record) else item.id
