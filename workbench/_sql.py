"""Building SQL text safely: every value and name passes through here.

The workbench shows the SQL behind each result, so that text has to run as it stands: values are written
as literals, not bound. Payloads never become SQL; only what a user types as an argument does.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

DECIMAL: Final = "DECIMAL(38,18)"
"""How numbers are read: exact for any amount of money, and for what floats leave behind (0.30000000000000004)."""

Value = str | int | bool | float | Decimal | dt.datetime | None


def ident(name: str) -> str:
    """Quote an identifier.

    >>> print(ident('odd "name'))
    "odd ""name"
    """
    if "\x00" in name:
        message = "a name holds a NUL character"
        raise ValueError(message)
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Write a string literal.

    >>> text("it's")
    "'it''s'"
    """
    parts = ["'" + part.replace("'", "''") + "'" for part in value.split("\x00")]
    return parts[0] if len(parts) == 1 else "(" + " || chr(0) || ".join(parts) + ")"


def literal(value: Value) -> str:
    """Write a value as a SQL literal; times are UTC, money is DECIMAL.

    >>> literal(Decimal("1.10"))
    "CAST('1.10' AS DECIMAL(38,18))"
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"CAST({text(repr(value))} AS DOUBLE)"
    if isinstance(value, Decimal):
        return f"CAST({text(str(value))} AS {DECIMAL})"
    if isinstance(value, dt.datetime):
        return f"TIMESTAMPTZ {text(value.astimezone(dt.UTC).isoformat(sep=' '))}"
    return text(value)


def any_of(expression: str, values: Iterable[Value]) -> str:
    """``expression IN (…)``; an empty list is FALSE, never a syntax error."""
    listed = ", ".join(literal(value) for value in values)
    return f"{expression} IN ({listed})" if listed else "FALSE"


def json_path(path: str) -> str:
    r"""Turn ``a.b`` into the JSON path ``$."a"."b"`` (a key with a dot in it is written ``a\.b``).

    >>> json_path("customer.id")
    '$."customer"."id"'
    """
    keys = json_keys(path)
    return "$" + "".join('."' + key.replace("\\", "\\\\").replace('"', '\\"') + '"' for key in keys)


def json_keys(path: str) -> list[str]:
    r"""Split a path into its keys.

    >>> json_keys(r"a\.b.c")
    ['a.b', 'c']
    """
    keys: list[str] = [""]
    escaped = False
    for char in path:
        if escaped:
            keys[-1] += char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ".":
            keys.append("")
        else:
            keys[-1] += char
    return keys


def json_text(column: str, path: str) -> str:
    """Read one field of a JSON column as text; NULL when absent or null. See :func:`json_exact` for numbers."""
    return f"json_extract_string({column}, {text(json_path(path))})"


def json_exact(column: str, path: str, read: Callable[[str], str]) -> str:
    """Read one field of a JSON column, a number with all its digits, by way of ``read``.

    DuckDB reads a number with a point as a DOUBLE: 12345678901234567.89 would become 12345678901234568.0.
    Where a number behind this key is that long, its text is cut out of the payload. The key may be there
    more than once; then the numbers that are this DOUBLE count, and where they differ, nothing is guessed.
    """
    extracted = json_text(column, path)
    payload = f"CAST({column} AS VARCHAR)"
    key = _key_pattern(json_keys(path)[-1]) + r"\s*:\s*"
    found = (
        f"list_sort(list_distinct(list_filter(regexp_extract_all({payload}, {text(_BEFORE_KEY + key + _NUMBER)}, 1), "
        f"lambda number: try_cast(number AS DOUBLE) = try_cast({extracted} AS DOUBLE))))"
    )
    exact = (
        f"CASE len({found}) WHEN 0 THEN {extracted} WHEN 1 THEN {found}[1] "
        f"ELSE array_to_string({found}, ' or ') END"
    )
    return (
        f"CASE WHEN regexp_matches({payload}, {text(key + _LONG)}) "
        f"AND json_type({column}, {text(json_path(path))}) = 'DOUBLE' THEN {read(exact)} ELSE {read(extracted)} END"
    )


_BEFORE_KEY: Final = r"[{,\s]"
_NUMBER: Final = r"(-?\d[\d.eE+-]*)"
#: Sixteen digits: fifteen are the most that a DOUBLE always gives back.
_LONG: Final = r"-?[\d.]{16}"


def _key_pattern(key: str) -> str:
    """Match a key as JSON writes it; what is not ASCII may be escaped or not."""
    pattern = ""
    for char in key:
        if char in '"\\':
            pattern += "\\\\" + ("\\\\" if char == "\\" else char)
        elif char.isascii() and char.isprintable():
            pattern += re.escape(char)
        else:
            units = char.encode("utf-16-be").hex()
            escaped = "".join(rf"\\u(?i:{units[at : at + 4]})" for at in range(0, len(units), 4))
            pattern += f"(?:{escaped}|{re.escape(char)})"
    return f'"{pattern}"'


#: A time as text that says its offset; without one it is naive and not accepted.
AWARE = r"(?:[zZ]|[+-]\d{2}(?::?\d{2})?)\s*$"


def aware_time(expression: str) -> str:
    """Parse a time given as text; NULL when it is unreadable or has no offset."""
    # The colon between hours and minutes tells '2026-01-01' (naive date, whose '-01' looks like an offset) apart.
    return (
        f"CASE WHEN regexp_matches({expression}, {text(AWARE)}) AND regexp_matches({expression}, "
        rf"'\d:\d') THEN try_cast({expression} AS TIMESTAMPTZ) END"
    )


def decimal(expression: str) -> str:
    """Read a number given as text, exactly, or NULL: 20 digits before the point, 18 behind it.

    A cast to DECIMAL rounds in silence, so a number with more decimals, or with an exponent that hides
    them, is refused here rather than changed.
    """
    return (
        f"CASE WHEN regexp_full_match({expression}, '-?\\d+(\\.\\d{{1,18}}0*)?([eE]\\+?\\d+)?') "
        f"THEN try_cast({expression} AS {DECIMAL}) END"
    )


def number(expression: str) -> str:
    """Keep text that is a number of JSON; NULL for any other."""
    return f"CASE WHEN regexp_full_match({expression}, '-?\\d+(\\.\\d+)?([eE][+-]?\\d{{1,4}})?') THEN {expression} END"
