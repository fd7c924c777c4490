"""What is written on charts: titles, labels and times. Payloads are hostile, so all text is bounded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final

import altair as alt

from workbench._html import visible

LABEL: Final = 36
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
    text = visible(value, limit=1_000_000) if len(str(value)) <= 1_000 else visible(str(value)[:1_000])
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2 + (limit - 1) % 2
    return f"{text[:head]}…{text[-(limit - 1 - head):]}"


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
    return alt.TitleParams(text=short(title, 90), subtitle=[short(line, LINE) for line in lines if line])


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
