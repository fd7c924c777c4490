"""The canonical bytes of an event: what is hashed, defined so that any other program can do the same.

The columns of ``events`` (:data:`workbench.event.COLUMNS`) are written one after the other, in that order:

========================  ==================================================  =================  ========
column                    bytes                                               example            NULL
========================  ==================================================  =================  ========
text, JSON                length in bytes of its UTF-8, ``:``, these bytes    ``5:acc-1``        ``:``
whole number              decimal digits, ``;``                               ``42;``            ``;``
time                      microseconds since 1970-01-01T00:00Z, UTC, ``;``    ``1750000000;``    ``;``
========================  ==================================================  =================  ========

Infinite times are written ``infinity;`` and ``-infinity;``. JSON is its text as stored, byte for byte.
Lengths come before text, so no two different events have the same bytes, also one after the other.
"""

from __future__ import annotations

from typing import Final

from workbench._sql import ident
from workbench.event import COLUMNS

RULE: Final = (
    "SHA-256 over columns in order; text and JSON: length in bytes of UTF-8, ':', bytes (NULL ':'); whole "
    "numbers: decimal, ';' (NULL ';'); times: microseconds since 1970-01-01T00:00Z, ';' (NULL ';')"
)
"""The same in one sentence, as written into evidence packs."""


def canonical_sql() -> str:
    """Write the SQL expression, a VARCHAR, that gives the canonical bytes of a row of ``events``."""
    return f"concat({', '.join(_parts(name, kind) for name, kind in COLUMNS.items())})"


def digest_sql() -> str:
    """Write the SQL expression that gives an event's own SHA-256, in 64 hex digits."""
    return f"sha256({canonical_sql()})"


def _parts(name: str, kind: str) -> str:
    column = ident(name)
    if kind == "TIMESTAMPTZ":  # an infinite one has no microseconds
        return f"coalesce(CAST(epoch_us({column}) AS VARCHAR), CAST({column} AS VARCHAR)), ';'"
    if kind == "BIGINT":
        return f"{column}, ';'"
    return f"strlen({column}), ':', {column}"  # strlen counts bytes, and concat leaves out NULL
