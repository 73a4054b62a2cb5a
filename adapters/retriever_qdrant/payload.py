"""Records as payloads: the same fields on every kind of Qdrant.

The payload of a chunk::

    {"id": ..., "document": ..., "source": ..., "text": ..., "start": 0, "end": 9, "hash": ...,
     "meta": {"year": 2024, "tags": ["a", "b"]},     keys escaped by retriever.metadata.escape_key
     "lists": ["tags"],                              keys whose value is a list
     "split": ["score"],                             keys with floats that JSON would change ...
     "floats": {"score": [{"i": 0, "h": 1, "l": 2}]}}   ... each as two integers, with its place in the value

``lists``, ``split`` and ``floats`` are there only where they hold something.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from retriever.metadata import escape_key, record_hash, unescape_key
from retriever.stores import Entry
from retriever.types import Chunk, Metadata, MetadataValue, Scalar
from retriever_qdrant.numbers import join, split, survives_json

DENSE = "dense"
"""Name of the vector of the semantic leg."""

KEYWORD = "keyword"
"""Name of the sparse vector of the keyword leg."""

SPARSE = "sparse"
"""Name of the learned sparse vector, where the index has one."""

ENTRY_FIELDS = ["id", "document", "source", "hash"]
"""What of the payload the ledger needs."""

BUILT_IN = ("document", "source", "lists", "split")
"""Fields of strings that always have a payload index."""

_NAMESPACE = uuid.UUID("5b0c7c4e-6f0f-4d0e-9a39-2f6e1c8f7a11").bytes
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def point_id(chunk_id: str) -> str:
    """The id of a chunk's point, since Qdrant takes UUIDs only.

    It is ``uuid5``, written out because that is three times as quick.

    :param chunk_id: any string.
    """
    digest = hashlib.sha1(_NAMESPACE + chunk_id.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:12]}5{digest[13:16]}{_VARIANT[digest[16]]}{digest[17:32]}"


def is_point_id(key: str) -> bool:
    """Whether the engine accepts a string as a point's id.

    :param key: any string.
    """
    try:
        return uuid.UUID(key).hex == key
    except ValueError:
        return False


def metadata_path(key: str) -> str:
    """Where the value of a metadata key is in the payload, as Qdrant writes paths.

    :param key: as the user knows it.
    """
    return f'meta."{escape_key(key)}"'


def to_payload(chunk: Chunk) -> dict[str, Any]:
    """All of a chunk as a JSON object.

    :param chunk: with clean metadata.
    """
    return {
        "id": chunk.id,
        "document": chunk.document_id,
        "source": chunk.source,
        "text": chunk.text,
        "start": chunk.start,
        "end": chunk.end,
        "hash": record_hash(chunk),
        **_metadata_fields(chunk.metadata),
    }


def to_chunk(payload: Mapping[str, Any]) -> Chunk:
    """The chunk that :func:`to_payload` was given.

    :param payload: whole.
    """
    return Chunk(
        id=payload["id"],
        document_id=payload["document"],
        text=payload["text"],
        start=payload["start"],
        end=payload["end"],
        metadata=_metadata(payload),
        source=payload["source"],
    )


def to_entry(payload: Mapping[str, Any]) -> Entry:
    """A line of the ledger.

    :param payload: with at least :data:`ENTRY_FIELDS`.
    """
    return Entry(payload["id"], payload["document"], payload["source"], payload["hash"])


def _metadata_fields(metadata: Metadata) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    lists: list[str] = []
    floats: dict[str, list[dict[str, int]]] = {}
    for name, value in metadata.items():
        key = escape_key(name)
        kind = type(value)
        if kind in _KEPT_AS_IT_IS or (kind is float and survives_json(value)):  # type: ignore[arg-type]
            plain[key] = value
            continue
        is_list = not isinstance(value, str | int | float)
        elements: list[Scalar] = list(value) if is_list else [value]  # type: ignore[arg-type,list-item]
        safe, unsafe = _separate(elements)
        if is_list:
            lists.append(key)
        if safe:
            plain[key] = safe if is_list else safe[0]
        if unsafe:
            floats[key] = unsafe
    fields: dict[str, Any] = {"meta": plain}
    if lists:
        fields["lists"] = lists
    if floats:
        fields |= {"split": list(floats), "floats": floats}
    return fields


_KEPT_AS_IT_IS = (str, int, bool)  # most values are of these: the rest is for lists, and floats that are split


def _separate(elements: Sequence[Scalar]) -> tuple[list[Scalar], list[dict[str, int]]]:
    """What JSON keeps, and what has to be split, with its place."""
    safe: list[Scalar] = []
    unsafe: list[dict[str, int]] = []
    for place, element in enumerate(elements):
        if isinstance(element, float):
            element = float(element)  # numpy's float64 is a float with another repr
            if not survives_json(element):
                unsafe.append({"i": place, **split(element)})
                continue
        safe.append(element)
    return safe, unsafe


def _metadata(payload: Mapping[str, Any]) -> Metadata:
    plain, floats = payload["meta"], payload.get("floats", {})
    lists = set(payload.get("lists", ()))
    metadata: dict[str, MetadataValue] = {}
    for key in {**plain, **floats}:
        value = plain.get(key, [])
        if key in floats:
            value = _merged(value, floats[key]) if key in lists else join(floats[key][0])
        metadata[unescape_key(key)] = value
    return metadata


def _merged(safe: Sequence[Scalar], unsafe: Sequence[Mapping[str, int]]) -> MetadataValue:
    elements = list(safe)
    for parts in unsafe:  # in rising order of place, so each lands where it was
        elements.insert(parts["i"], join(parts))
    return elements  # type: ignore[return-value]  # homogeneous, as it was
