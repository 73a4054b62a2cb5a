"""Cutting a stream into batches, as ``itertools.batched`` of Python 3.12 does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
