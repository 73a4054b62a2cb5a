"""Numbers that a JSON payload does not bring back.

The engine keeps payloads as JSON and reads floats with one rounding too many: one in nine of random numbers, and of
modification times of files, comes back one unit in the last place off, which breaks equality and ranges. Those are
kept as two integers instead, which order like the floats they stand for.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

_EXACT_POWER = 22  # 10.0**22 is the last power of ten without error
_EXACT_INTEGER = 2**53 // 10  # as its digits are written with a zero behind the point
_LOW = 2**32
_SIGN = 2**63


def survives_json(value: float) -> bool:
    """Whether reading the float's digits as an integer and scaling that gives the float back.

    So the engine reads, with a rounding at each step; a reader that rounds once gives every float back.

    :param value: finite.
    """
    if value.is_integer() and abs(value) <= _EXACT_INTEGER:
        return True
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    power = int(exponent or 0) - len(fraction)
    if abs(power) > _EXACT_POWER:
        return False
    digits, scale = float(int(whole + fraction)), 10.0 ** abs(power)
    return (digits * scale if power > 0 else digits / scale) == abs(value)


def split(value: float) -> dict[str, int]:
    """Two integers that order like the floats: first by ``h``, then by ``l``.

    :param value: finite; ``-0.0`` counts as ``0.0``.
    """
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    order = bits if bits < _SIGN else _SIGN - bits
    return {"h": order // _LOW, "l": order % _LOW}


def join(parts: Mapping[str, Any]) -> float:
    """The float that :func:`split` was given.

    :param parts: with ``h`` and ``l``.
    """
    order = int(parts["h"]) * _LOW + int(parts["l"])
    bits = order if order >= 0 else _SIGN - order
    value: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return value
