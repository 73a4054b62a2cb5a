"""Vectors of a length that Qdrant can scale: it leaves very short ones as they are, and loses very long ones."""

from __future__ import annotations

import numpy as np

from retriever.types import FloatVector


def direction(vector: FloatVector) -> FloatVector:
    """The vector as the engine shall have it: of length 1, unless it is zero, or so near that the engine can do it.

    :param vector: finite.
    """
    with np.errstate(over="ignore"):
        square = float(vector @ vector)
    if 0.25 < square < 4.0:  # nearly all: embeddings have length 1
        return vector
    exact = vector.astype(np.float64)
    norm = float(np.linalg.norm(exact))
    return (exact / norm).astype(np.float32) if norm else vector
