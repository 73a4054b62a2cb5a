"""Vectors of a length that Qdrant can scale: it leaves very short ones as they are, and loses very long ones."""

from __future__ import annotations

import math

import numpy as np

from retriever.types import FloatVector


def direction(vector: FloatVector) -> FloatVector:
    """The vector as the engine shall have it: of length 1, unless it is zero, or so near that the engine can do it.

    :param vector: finite.
    """
    exact = vector.astype(np.float64)  # in which no square of a float32 overflows, or vanishes
    square = float(exact @ exact)
    if 0.25 < square < 4.0 or not square:  # nearly all: embeddings have length 1
        return vector
    return (exact / math.sqrt(square)).astype(np.float32)
