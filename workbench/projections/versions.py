"""Versions of payloads, put in order: '2' before '10', '1' before '1.1' before '2.0.0'."""

from __future__ import annotations

import re
from collections.abc import Iterable


def order_of(version: str | None) -> tuple[tuple[int, int, str], ...]:
    """Return a key to sort versions by; numbers in them count as numbers, and no version comes first.

    >>> sorted(["10", "2", "2.1.0", "v3", None], key=order_of)
    [None, '2', '2.1.0', '10', 'v3']
    """
    if version is None:
        return ()
    parts = re.findall(r"\d+|[^\d.\-_+\s]+", version)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def newest(versions: Iterable[str | None]) -> str | None:
    """Return the last of some versions.

    >>> newest(["1", "2.1.0", None])
    '2.1.0'
    """
    return max(versions, key=lambda version: (order_of(version), version or ""), default=None)
