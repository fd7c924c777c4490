"""What is written on charts: titles, labels and times. Payloads are hostile, so all text is bounded."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

import altair as alt

from workbench._html import plain, visible

LABEL: Final = 30
"""Characters of a label; a longer one loses its middle, since names mostly differ at their ends."""
LINE: Final = 118
"""Characters of a line under the title."""
UNKNOWN: Final = "(unknown)"


def short(value: object, limit: int = LABEL) -> str:
    """Write a value in so many characters at most.

    >>> short("com.example.banking.accounts.events.DepositMade", 24)
    'com.example.…DepositMade'
    """
    if value is None:
        return UNKNOWN
    if value == "":
        return "(empty)"
    text = (
        visible(value, limit=1_000_000) if len(str(value)) <= 1_000 else visible(str(value)[:1_000])
    )
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2 + (limit - 1) % 2
    return f"{text[:head]}…{text[-(limit - 1 - head) :]}"


def labels(values: Iterable[object], limit: int = LABEL) -> list[str]:
    """Label each value, so that no two labels are the same."""
    found: list[str] = []
    for value in values:
        label, again = short(value, limit), 2
        while label in found:
            label, again = f"{short(value, limit - 4)} ({again})", again + 1
        found.append(label)
    return found


def heading(title: str, lines: Sequence[str]) -> alt.TitleParams:
    """Make a title with the lines under it that say range, number and what was left out."""
    written = [row for line in lines for row in wrapped(line)]
    return alt.TitleParams(text=short(title, 90), subtitle=written)


def wrapped(line: str) -> list[str]:
    """Break a sentence into lines that fit under a title."""
    return textwrap.wrap(short(line, 3 * LINE), LINE)


def said(title: str, lines: Sequence[str]) -> str:
    """Make the description that is read out instead of the chart."""
    return " ".join(f"{short(part, 400).rstrip('.')}." for part in (title, *lines) if part)


def stamp(time: dt.datetime) -> str:
    """Write a time as far as it says something: no seconds where there are none, no midnight.

    >>> stamp(dt.datetime(2026, 6, 30, 14, 2, tzinfo=dt.UTC))
    '2026-06-30 14:02Z'
    """
    utc = time.astimezone(dt.UTC)
    if utc.time() == dt.time():
        return f"{utc:%Y-%m-%d}"
    precision = "minutes" if not (utc.second or utc.microsecond) else "seconds"
    return utc.isoformat(sep=" ", timespec=precision).replace("+00:00", "Z")


def span(first: dt.datetime | None, last: dt.datetime | None) -> str:
    """Write a range of time."""
    if first is None or last is None:
        return "no time is known"
    return stamp(first) if first == last else f"{stamp(first)} to {stamp(last)}"


def counted(number: int, word: str) -> str:
    """Write a number of things.

    >>> counted(1, "event"), counted(1200, "event")
    ('1 event', '1,200 events')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def number(value: object) -> str:
    """Write a number for people, exactly.

    >>> number(Decimal("7797.3900")), number(1535), number(None)
    ('7,797.39', '1,535', 'NULL')
    """
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal) and value.is_finite():
        whole, point, places = plain(value).partition(".")
        return f"{int(whole):,}{point}{places}" if not whole.startswith("-0") else plain(value)
    return visible(value, 60)
