"""The rules of metadata: what a value may be, when two values are equal, how a key is stored."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _json_text
from urllib.parse import unquote

from retriever.errors import InvalidInput
from retriever.types import Chunk, MetadataValue, Scalar

MAX_INTEGER = 2**53
"""Beyond this a float no longer holds every integer, and stores that keep numbers as floats would lie."""

_UNSAFE_IN_KEY = re.compile(r"[\x00-\x1f\x7f%\"'\\.\[\]$#]")


def check_text(text: str, what: str) -> None:
    """Refuse a string that cannot be written as UTF-8.

    :param text: the string.
    :param what: how the message names it.
    :raises InvalidInput: where it is no string, or holds a lone surrogate.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"{what} is a {type(text).__name__}, not a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{what} holds a lone surrogate at character {error.start}: it cannot be stored as UTF-8"
        ) from None


def check_scalar(value: object, what: str) -> Scalar:
    """Return the value if a store can hold it.

    :param value: anything.
    :param what: how the message names it.
    :raises InvalidInput: for other types, NaN, infinities, integers beyond ±2**53 and lone surrogates.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        check_text(value, what)
        return value
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise InvalidInput(f"{what} is an integer beyond ±2**53: store it as a string")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"{what} is {value}: only finite numbers can be stored")
        return value
    raise InvalidInput(f"{what} is a {type(value).__name__}: only str, int, float and bool can be stored")


def family(value: Scalar) -> str:
    """``bool``, ``number`` or ``string``: values of different families are never equal.

    :param value: a scalar.
    """
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"


def clean_metadata(metadata: Mapping[str, object], what: str) -> dict[str, MetadataValue]:
    """Check metadata and drop what means "absent" (``None`` and ``[]``).

    :param metadata: flat, with string keys.
    :param what: how a message names its owner, for example ``document 'a.md'``.
    :return: a new dictionary in the same order; tuples become lists.
    :raises InvalidInput: naming the key, for nested, mixed or unstorable values.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidInput(f"{what}: its metadata is a {type(metadata).__name__}, not a dictionary")
    clean: dict[str, MetadataValue] = {}
    for key, value in metadata.items():
        if not isinstance(key, str) or not key:
            raise InvalidInput(f"{what}: metadata key {key!r} is not a non-empty string")
        check_text(key, f"{what}: a metadata key")
        if value is None:
            continue
        where = f"{what}: metadata {key!r}"
        if isinstance(value, list | tuple):
            if value:
                clean[key] = _clean_list(value, where)
        else:
            clean[key] = check_scalar(value, where)
    return clean


def _clean_list(values: Sequence[object], where: str) -> MetadataValue:
    scalars = [check_scalar(value, f"{where}[{i}]") for i, value in enumerate(values)]
    if len({family(scalar) for scalar in scalars}) > 1:
        raise InvalidInput(f"{where} mixes strings, numbers or booleans in one list")
    return scalars  # type: ignore[return-value]  # homogeneous, as was just checked


@lru_cache(maxsize=1024)
def escape_key(key: str) -> str:
    r"""A metadata key as stores keep it: control characters and ``% " ' \ . [ ] $ #`` in percent form.

    Reversible by :func:`unescape_key`.

    :param key: any non-empty string.
    """
    return _UNSAFE_IN_KEY.sub(lambda match: f"%{ord(match[0]):02X}", key)


def unescape_key(key: str) -> str:
    """The metadata key that :func:`escape_key` was given.

    :param key: an escaped key.
    """
    return unquote(key)


def record_hash(chunk: Chunk) -> str:
    """32 hexadecimal digits over all of a chunk but its ids.

    Span and metadata may change while the text stays: then the record is rewritten. The text is in it so that damage
    to a stored one is noticed.

    :param chunk: with clean metadata. ``1`` and ``1.0`` hash apart: a changed type is rewritten.
    """
    pairs = [f"{_json_text(key)}: {_json(value)}" for key, value in sorted(chunk.metadata.items())]
    facts = f"{chunk.start} {chunk.end} {_json_text(chunk.source)} {{{', '.join(pairs)}}} {chunk.text}"
    return hashlib.blake2b(facts.encode(), digest_size=16).hexdigest()


def _json(value: MetadataValue) -> str:
    """As ``json.dumps``, which makes an encoder for each call: every record passes here."""
    kind = type(value)
    if kind is str:
        return _json_text(value)  # type: ignore[arg-type]
    if kind is int or kind is float:
        return repr(value)
    if isinstance(value, str | int | float):
        return json.dumps(value)
    return f"[{', '.join(map(_json, value))}]"
