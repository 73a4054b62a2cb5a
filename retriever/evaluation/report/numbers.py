"""How figures are written: for people, the same in every form of a report."""

from __future__ import annotations

import math

_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1_000


def score(value: float | None) -> str:
    """A measure from 0 to 1.

    :param value: of it; None where it was not measured.
    """
    return "–" if value is None else f"{value:.3f}"


def signed(value: float) -> str:
    """A difference.

    :param value: of it.
    """
    return f"{value:+.3f}".replace("-", "−")


def chance(p: float) -> str:
    """A p value.

    :param p: of it.
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float) -> str:
    """A share.

    :param share: from 0 to 1.
    """
    number = 100 * share
    return f"{number:.0f} %" if math.isclose(number, round(number), abs_tol=0.05) else f"{number:.1f} %"


def duration(seconds: float | None) -> str:
    """A time.

    :param seconds: how long; ``inf`` where so many requests failed that no time is known.
    """
    if seconds is None:
        return "–"
    if math.isinf(seconds):
        return "failed"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds * 1e6)} µs"


def rate(value: float | None) -> str:
    """So many a second.

    :param value: how many.
    """
    return "–" if value is None else _digits(value)


def size(count: float | None) -> str:
    """An amount of memory.

    :param count: bytes.
    """
    if count is None:
        return "–"
    power = 0
    while abs(count) >= _THOUSAND and power < len(_UNITS) - 1:
        count, power = count / _THOUSAND, power + 1
    return f"{_digits(count)} {_UNITS[power]}"


def money(value: float | None, currency: str) -> str:
    """A price.

    :param value: of it; None where it is not known.
    :param currency: its sign or name.
    """
    return "–" if value is None else f"{_digits(value)} {currency}"


def _digits(value: float) -> str:
    """Three digits that count, and no more."""
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(places, 6)}f}"
