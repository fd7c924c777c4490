"""Sentences about causes, for somebody who reads them at three in the morning."""

from __future__ import annotations

import datetime as dt


def counted(number: int, thing: str) -> str:
    """Write a number of things.

    >>> counted(1, "row"), counted(1200, "event")
    ('1 row', '1,200 events')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def between(first: dt.datetime | None, last: dt.datetime | None) -> str:
    """Write a range of time, UTC, to the minute where that tells the ends apart.

    >>> day = dt.datetime(2026, 6, 30, 14, 2, tzinfo=dt.UTC)
    >>> between(day, day.replace(minute=5))
    'between 2026-06-30 14:02Z and 14:05Z'
    """
    if first is None or last is None:
        return "at times that are not known"
    first, last = first.astimezone(dt.UTC), last.astimezone(dt.UTC)
    if first == last:
        return f"at {_stamp(first, seconds=True)}"
    seconds = last - first < dt.timedelta(minutes=2)
    end = _stamp(last, seconds=seconds)
    same_day = first.date() == last.date()
    return (
        f"between {_stamp(first, seconds=seconds)} and {end.partition(' ')[2] if same_day else end}"
    )


def spread(first: int, last: int) -> str:
    """Write a range of positions.

    >>> spread(88120, 88140), spread(7, 7)
    ('positions 88,120-88,140', 'position 7')
    """
    return f"position {first:,}" if first == last else f"positions {first:,}-{last:,}"


def _stamp(time: dt.datetime, *, seconds: bool) -> str:
    return f"{time:%Y-%m-%d %H:%M:%SZ}" if seconds else f"{time:%Y-%m-%d %H:%MZ}"
