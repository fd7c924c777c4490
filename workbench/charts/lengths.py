"""Lengths of time on charts: from milliseconds to months on one axis, each in the unit that people use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_UNITS: Final = (
    ("d", 86_400.0),
    ("h", 3_600.0),
    ("min", 60.0),
    ("s", 1.0),
    ("ms", 0.001),
    ("µs", 0.000_001),
)
_TICKS: Final = (
    *(0.001, 0.01, 0.1, 1, 10, 60, 600, 3_600, 6 * 3_600, 86_400, 7 * 86_400, 30 * 86_400),
    *(365 * 86_400, 3_650 * 86_400),
)


def lasting(length: float | None) -> str:
    """Write a length in seconds for people.

    >>> lasting(0.0785), lasting(75), lasting(3_600), lasting(4 * 86_400 + 3), lasting(None)
    ('78 ms', '75 s', '1 h', '4 d', 'unknown')
    """
    if length is None:
        return "unknown"
    if length < 0:
        return f"-{lasting(-length)}"
    for unit, size in _UNITS:
        # '90 min' and '36 h' say more than '1.5 h' and '1.5 d'.
        if length == size or length >= size * (2 if unit in ("min", "h", "d") else 1):
            count = length / size
            return (
                f"{count:.0f} {unit}"
                if count >= 10 or round(count, 1) == round(count)
                else f"{count:.1f} {unit}"
            )
    return "0 s"


def ticks(lengths: Iterable[float | None]) -> list[float]:
    """Choose round lengths for a logarithmic axis that spans these."""
    known = [length for length in lengths if length is not None and length > 0]
    if not known:
        return [1]
    low, high = min(known), max(known)
    inside = [tick for tick in _TICKS if low / 10 <= tick <= high * 10]
    return inside or [low]
