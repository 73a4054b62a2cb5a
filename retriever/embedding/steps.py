"""How a batch becomes vectors: of texts, and of pictures, which are opened one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from retriever.errors import InvalidInput
from retriever.pictures import Picture
from retriever.types import FloatMatrix

if TYPE_CHECKING:
    from retriever.embedding.base import EmbeddingFunction, Role


class Steps(Protocol):
    """The two steps of a batch."""

    ahead: bool
    """Whether ``prepare`` is worth a thread of its own."""

    room: int | None
    """How much of an item's length is read; None for all of it."""

    def prepare(self, items: Sequence[str], /) -> Any:  # noqa: ANN401
        """What ``embed`` takes."""

    def embed(self, prepared: Any, /) -> ArrayLike:  # noqa: ANN401
        """A row each."""


class TextSteps:
    """Texts, in the hands of the function.

    :param function: whose methods do it.
    :param role: whether the texts are documents or queries.
    """

    def __init__(self, function: EmbeddingFunction, role: Role) -> None:
        self._function = function
        self.role: Role = role
        self.ahead = function.prepares
        self.room = function.content_tokens(role)

    def prepare(self, texts: Sequence[str]) -> Any:  # noqa: ANN401
        """What ``_prepare`` makes of them."""
        return self._function._prepare(texts, self.role)

    def embed(self, prepared: Any) -> ArrayLike:  # noqa: ANN401
        """What ``_embed`` makes of that."""
        return self._function._embed(prepared, self.role)


class PictureSteps:
    """Pictures, named by their digests; those that cannot be opened are left out.

    :param function: that reads pictures.
    :param pictures: by digest.
    """

    ahead = True
    room: int | None = None

    def __init__(self, function: EmbeddingFunction, pictures: Mapping[str, Picture]) -> None:
        self._function = function
        self._pictures = pictures
        self.unreadable: dict[str, InvalidInput] = {}
        """By digest, why a picture has no vector."""

    def prepare(self, digests: Sequence[str]) -> list[tuple[str, Any]]:
        """Name of each, and what the function takes of it: None where it cannot be opened."""
        return [(self._pictures[digest].name, self._opened(digest)) for digest in digests]

    def _opened(self, digest: str) -> Any:  # noqa: ANN401 - whatever the function makes of a picture
        try:
            return self._function._prepare_image(self._pictures[digest].open())
        except InvalidInput as error:
            self.unreadable[digest] = error
            return None

    def embed(self, prepared: Sequence[tuple[str, Any]]) -> FloatMatrix:
        """A row each; zeros for what could not be opened."""
        rows = [row for row, (_, image) in enumerate(prepared) if image is not None]
        vectors = np.zeros((len(prepared), self._function.dimension), dtype=np.float32)
        if rows:
            made = self._function._embed_images([prepared[row][1] for row in rows])
            vectors[rows] = self._function._checked(made, [prepared[row][0] for row in rows], "picture")
        return vectors


def prepared(batches: Sequence[list[int]], items: Sequence[str], steps: Steps) -> Iterator[tuple[list[int], Any]]:
    """Each batch with what ``embed`` takes; the next one is made while the caller works on this one.

    :param batches: rows of the items.
    :param items: all of them.
    :param steps: that prepare them.
    """
    if not steps.ahead or len(batches) < 2:
        yield from ((rows, steps.prepare([items[row] for row in rows])) for rows in batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="retriever-prepare") as ahead:
        coming = ahead.submit(steps.prepare, [items[row] for row in batches[0]])
        for rows, following in zip(batches, [*batches[1:], []], strict=True):
            taken = coming.result()
            if following:
                coming = ahead.submit(steps.prepare, [items[row] for row in following])
            yield rows, taken
