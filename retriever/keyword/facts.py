"""From metadata to tokens that a keyword engine can look up, so that it answers filters with our meaning.

A fact is one token: a letter for its kind, the key, the value. Every question that a filter asks is then the look-up
of a token, of a set of tokens, or of those that fit a pattern::

    r                          a record; the replica's own note is none
    e4:year                    has the key
    s4:lang de                 a string, or an element of a list of strings (without the space)
    b5:draft 1                 a boolean
    n4:year c09f9 c09f900 ...  a number: 16 hexadecimal digits that sort as numbers do, and their beginnings
    l4:tags                    the value is a list
    x4:body                    the value is a string too long for substrings to be found in it

A key is written with its length before it, so that no key and value can pass for another.
"""

from __future__ import annotations

import re
import struct
from hashlib import blake2b

from retriever.filters import Key, Operator, Reserved
from retriever.types import Chunk, Scalar

RECORD = "r"
"""A fact of every record."""

LONGEST_VALUE = 1_000
"""Bytes. Of a longer string only the hash is kept: equality stays exact, substrings are not found in it."""

LONGEST_SUBSTRING = 64
"""Characters. The engine refuses patterns of more than 1,000 states; a longer operand is cut to this length."""

_DOUBLE = struct.Struct(">d")
_BITS = struct.Struct(">Q")
_LONGEST_KEY = 40  # characters; a key is part of every token, and of patterns
_DIGITS = "0123456789abcdef"
_ALL_DIGITS = 16
_BEGINNINGS = (5, 7)
"""How many digits are indexed beside all 16, so that a range over many different numbers visits few tokens: five are
the sign, the exponent and 256 steps between a power of two and the next."""


def facts(chunk: Chunk) -> list[str]:
    """Every fact of a chunk that a filter can ask for.

    :param chunk: with clean metadata.
    """
    found = [RECORD]
    found += _scalar_facts(_name(Reserved.SOURCE), chunk.source)
    found += _scalar_facts(_name(Reserved.DOCUMENT), chunk.document_id)
    for key, value in chunk.metadata.items():
        name = _name(key)
        found.append(f"e{name}")
        if isinstance(value, str | int | float):
            found += _scalar_facts(name, value)
        else:
            found.append(f"l{name}")
            for element in value:
                found += _value_facts(name, element)
    return found


def _scalar_facts(name: str, value: Scalar) -> list[str]:
    if isinstance(value, str) and _is_long(value):
        return [_equal(name, value), f"x{name}"]
    return _value_facts(name, value)


def _value_facts(name: str, value: Scalar) -> list[str]:
    fact = _equal(name, value)
    if isinstance(value, str | bool):
        return [fact]
    return [fact, *[fact[: length - _ALL_DIGITS] for length in _BEGINNINGS]]


def _equal(name: str, value: Scalar) -> str:
    if isinstance(value, str):
        return f"h{name}{short_hash(value)}" if _is_long(value) else f"s{name}{value}"
    return f"b{name}{int(value)}" if isinstance(value, bool) else f"n{name}{_sortable(value)}"


def exists(key: Key) -> str:
    """The fact that a key is there.

    :param key: of the metadata, or a reserved one.
    """
    return RECORD if isinstance(key, Reserved) else f"e{_name(key)}"


def is_list(key: Key) -> str:
    """The fact that the value is a list.

    :param key: of the metadata; no record has this fact for a reserved one.
    """
    return f"l{_name(key)}"


def is_long(key: Key) -> str:
    """The fact that the value is a string in which substrings are not found.

    :param key: of the metadata, or a reserved one.
    """
    return f"x{_name(key)}"


def equal(key: Key, value: Scalar) -> str:
    """The fact that the value, or an element of it, equals another.

    :param key: of the metadata, or a reserved one.
    :param value: to compare with.
    """
    return _equal(_name(key), value)


def substring_pattern(key: Key, operand: str) -> str:
    """A regular expression for the strings that hold another.

    :param key: of the metadata, or a reserved one.
    :param operand: of which only the first :data:`LONGEST_SUBSTRING` characters count.
    """
    return f"s{re.escape(_name(key))}(?s:.)*{re.escape(operand[:LONGEST_SUBSTRING])}(?s:.)*"


def range_pattern(key: Key, operator: Operator, bound: float) -> str:
    """A regular expression for the numbers on one side of a bound.

    :param key: of the metadata, or a reserved one.
    :param operator: ``gt``, ``gte``, ``lt`` or ``lte``.
    :param bound: to compare with.
    """
    digits = _sortable(float(bound))
    sides = [digits] if operator in ("gte", "lte") else []
    for place, digit in enumerate(digits):
        value = int(digit, 16)
        others = _DIGITS[value + 1 :] if operator in ("gt", "gte") else _DIGITS[:value]
        if others:
            length = next(n for n in (*_BEGINNINGS, _ALL_DIGITS) if n > place)
            sides.append(f"{digits[:place]}[{others}][{_DIGITS}]{{{length - place - 1}}}")
    return f"n{re.escape(_name(key))}({'|'.join(sides)})"


def short_hash(text: str) -> str:
    """32 hexadecimal digits in place of a text too long for a token.

    :param text: any.
    """
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _is_long(text: str) -> bool:
    return len(text) > LONGEST_VALUE // 4 and len(text.encode()) > LONGEST_VALUE


def _name(key: Key) -> str:
    """Ends by itself: ``4:year``, ``#`` and a hash for a long key, ``$source:`` for a reserved one."""
    if isinstance(key, Reserved):
        return f"{key.value}:"
    return f"{len(key)}:{key}" if len(key) <= _LONGEST_KEY else f"#{short_hash(key)}"


def _sortable(number: float) -> str:
    """Digits whose order is that of the numbers: all bits of a negative one are flipped, else only the sign."""
    (bits,) = _BITS.unpack(_DOUBLE.pack(number + 0.0))  # -0.0 becomes 0.0
    return f"{bits ^ (2**64 - 1 if bits >> 63 else 2**63):016x}"
