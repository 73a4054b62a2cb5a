"""What a server answers: vectors in the order of the texts, or a word on why it is unusable."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from retriever.types import FloatMatrix, FloatVector

_SHOWN = 80


def read_answer(content: bytes, count: int, dimension: int | None) -> FloatMatrix:
    """The vectors of an answer, put in order by their index.

    :param content: the body.
    :param count: how many texts were sent.
    :param dimension: of the vectors; None where that is not known yet.
    :return: float32, shape ``(count, dimension)``.
    :raises ValueError: saying what came instead; may quote the body.
    """
    items = _items(content)
    if len(items) != count:
        raise ValueError(f"{len(items)} vectors for {count} texts")
    vectors: dict[int, FloatVector] = {}
    for item in items:
        index = item.get("index") if isinstance(item, Mapping) else None
        if type(index) is not int or not 0 <= index < count:
            raise ValueError(f"a vector with the index {_short(index)} for {count} texts")
        if index in vectors:
            raise ValueError(f"two vectors with the index {index}")
        vectors[index] = _vector(item.get("embedding"), index)
        wanted = dimension or len(vectors[items[0]["index"]])
        if len(vectors[index]) != wanted:
            raise ValueError(f"a vector of {len(vectors[index])} dimensions where {wanted} were due")
    return np.stack([vectors[index] for index in range(count)])


def _items(content: bytes) -> list[Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON but {_short(content)}") from error
    items = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(items, list):
        raise ValueError(f"no list of vectors but {_short(body)}")  # noqa: TRY004 - of the server's answer
    return items


def _vector(given: Any, index: int) -> FloatVector:  # noqa: ANN401 - whatever came
    """From base64, as was asked for, or from a list of numbers, as some servers answer all the same."""
    try:
        with np.errstate(over="ignore"):
            vector = (
                np.frombuffer(base64.b64decode(given, validate=True), dtype="<f4").astype(np.float32)
                if isinstance(given, str)
                else np.asarray(given, dtype=np.float32)
            )
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"no vector with the index {index} but {_short(given)}") from error
    if vector.ndim != 1 or not len(vector):
        raise ValueError(f"no vector with the index {index} but {_short(given)}")
    if not np.isfinite(vector).all():
        raise ValueError(f"NaN or infinity in the vector with the index {index}")
    return vector


def _short(given: object) -> str:
    said = repr(given)
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
