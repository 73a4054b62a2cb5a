"""Cutting a stream into batches: by count, as ``itertools.batched`` of Python 3.12 does, or by count and size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of at most ``size`` items, in order; the input is read only as far as needed.

    :param items: any number.
    :param size: at least 1.
    """
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def bounded(items: Iterable[_T], weigh: Callable[[_T], int], most: int, most_bytes: int) -> Iterator[list[_T]]:
    """Lists of bounded count and size, in order; an item that is larger by itself has a list of its own.

    :param items: any number; read only as far as needed.
    :param weigh: about how many bytes an item is.
    :param most: items in a list, at least 1.
    :param most_bytes: of a list.
    """
    batch: list[_T] = []
    size = 0
    for item in items:
        more = weigh(item)
        if batch and (len(batch) >= most or size + more > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += more
    if batch:
        yield batch
