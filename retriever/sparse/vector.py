"""A learned sparse vector: which terms of a model's vocabulary a text has, and how much each of them weighs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retriever.errors import InvalidInput

MOST_INDEX = 2**32 - 1
"""What stores take."""


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """Terms with their weights; terms that are not there weigh 0. Two vectors are compared by their dot product.

    :param indices: of the terms: uint32, distinct, ascending.
    :param weights: float32, finite, above 0, one for each index.
    :raises InvalidInput: where they are not so.
    """

    indices: NDArray[np.uint32]
    weights: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.indices.dtype != np.uint32 or self.weights.dtype != np.float32:
            raise InvalidInput("a sparse vector has uint32 indices and float32 weights: make it with SparseVector.of")
        if self.indices.ndim != 1 or self.indices.shape != self.weights.shape:
            raise InvalidInput(
                f"a sparse vector has a weight for each index, not shapes {self.indices.shape} and {self.weights.shape}"
            )
        if not (self.indices[1:] > self.indices[:-1]).all():
            raise InvalidInput("the indices of a sparse vector are distinct and ascending")
        if not (np.isfinite(self.weights).all() and (self.weights > 0).all()):
            raise InvalidInput("the weights of a sparse vector are finite and above 0")
        self.indices.flags.writeable = self.weights.flags.writeable = False  # stores hand out what they hold

    @classmethod
    def of(cls, indices: ArrayLike, weights: ArrayLike) -> SparseVector:
        """A vector from terms in any order; those that weigh 0 are left out.

        :param indices: whole numbers from 0 to 2³² - 1, distinct.
        :param weights: numbers from 0, one for each.
        :raises InvalidInput: for anything else.
        """
        try:
            places = np.asarray(indices)
            with np.errstate(over="ignore"):  # becomes infinity, which is refused
                values = np.asarray(weights, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"a sparse vector is made of numbers: {error}") from None
        if places.size and places.dtype.kind not in "iu":
            raise InvalidInput(f"the indices of a sparse vector are whole numbers, not {places.dtype}")
        if places.size and not 0 <= int(places.min()) <= int(places.max()) <= MOST_INDEX:
            raise InvalidInput("the indices of a sparse vector are from 0 to 2**32 - 1")
        places = places.astype(np.uint32)
        if places.ndim == 1 and places.shape == values.shape:
            kept = values != 0
            places, values = places[kept], values[kept]
            order = np.argsort(places, kind="stable")
            places, values = places[order], values[order]
        return cls(places, values)

    def dot(self, other: SparseVector) -> float:
        """The sum over shared terms of the products of their weights.

        :param other: of the same model.
        """
        if not len(self):
            return 0.0
        places = np.minimum(np.searchsorted(self.indices, other.indices), len(self) - 1)
        shared = self.indices[places] == other.indices
        mine, theirs = self.weights[places[shared]], other.weights[shared]
        return float(mine.astype(np.float64) @ theirs.astype(np.float64))

    def cosine(self, other: SparseVector) -> float:
        """The dot product of both at length 1; 1 where both are empty, 0 where one is.

        :param other: of the same model.
        """
        if not len(self) or not len(other):
            return float(len(self) == len(other))
        return self.dot(other) / float(np.sqrt(self.dot(self)) * np.sqrt(other.dot(other)))

    def __len__(self) -> int:
        return len(self.indices)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseVector):
            return NotImplemented
        return np.array_equal(self.indices, other.indices) and np.array_equal(self.weights, other.weights)

    __hash__ = None  # type: ignore[assignment]  # it holds arrays


NOTHING = SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))
"""Of a text without any term."""


def strongest(vectors: list[SparseVector]) -> SparseVector:
    """For each term the greatest of its weights: how SPLADE pools tokens, and so the parts of a long text.

    :param vectors: at least one.
    """
    if len(vectors) == 1:
        return vectors[0]
    places = np.unique(np.concatenate([vector.indices for vector in vectors]))
    weights = np.zeros(len(places), np.float32)
    for vector in vectors:
        rows = np.searchsorted(places, vector.indices)
        weights[rows] = np.maximum(weights[rows], vector.weights)
    return SparseVector(places, weights)
