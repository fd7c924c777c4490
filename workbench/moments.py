"""Moments: up to where a log is read. A moment is inclusive.

There are two clocks. ``recorded`` is when the system wrote an event down: what was *known*. ``occurred`` is
when it happened: what was *true*. Both together answer 'what was believed at K about T'.
"""

from __future__ import annotations

import datetime as dt
import operator
import zoneinfo
from dataclasses import dataclass
from typing import Literal, SupportsIndex, get_args

from workbench.errors import ConfigError, MomentError, did_you_mean

Clock = Literal["recorded", "occurred"]
Time = str | dt.datetime


def parse_time(value: Time, what: str = "as_of") -> dt.datetime:
    """Read a time; return it in UTC.

    Parameters
    ----------
    value
        An aware datetime, or ISO 8601 text with an offset.
    what
        The argument's name, for the message.

    Raises
    ------
    MomentError
        The time is naive or unreadable. The workbench never guesses a time zone.

    Examples
    --------
    >>> parse_time("2026-06-30T16:02+02:00")
    datetime.datetime(2026, 6, 30, 14, 2, tzinfo=datetime.timezone.utc)
    """
    if isinstance(value, str):
        try:
            parsed = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            message = f"{what}={value!r} is no time that can be read."
            raise MomentError(message, hint="write it as 2026-06-30T14:02Z") from None
    elif isinstance(value, dt.datetime):
        parsed = value
    else:
        message = f"{what}={value!r} is no time, but {type(value).__name__}."
        raise MomentError(
            message, hint="pass an aware datetime or text such as '2026-06-30T14:02Z'"
        )
    if parsed.tzinfo is None or parsed.utcoffset() is None:
        message = f"{what}={str(value)!r} says no time zone."
        raise MomentError(
            message,
            hint=f"write {parsed.isoformat(timespec='minutes')}Z for UTC, or give its offset",
        )
    try:
        return parsed.astimezone(dt.UTC)
    except OverflowError:
        message = f"{what}={str(value)!r} is before year 1 or after year 9999 in UTC."
        raise MomentError(message) from None


def check_clock(clock: str | None) -> Clock | None:
    """Check a clock's name.

    Raises
    ------
    MomentError
        There is no such clock.
    """
    if clock is not None and clock not in get_args(Clock):
        message = f"clock={clock!r}: there are two clocks, 'recorded' and 'occurred'."
        raise MomentError(message + did_you_mean(clock, get_args(Clock)))
    return clock  # type: ignore[return-value]  # checked above


def check_zone(timezone: str | None) -> None:
    """Check a time zone's name.

    Raises
    ------
    ConfigError
        There is no such zone.
    """
    if timezone is not None and timezone not in zoneinfo.available_timezones():
        message = f"there is no time zone {timezone!r}."
        raise ConfigError(message + did_you_mean(timezone, zoneinfo.available_timezones()))


@dataclass(frozen=True, slots=True)
class Moment:
    """A cut-off: a time on a clock, a position, a version, or any of them together."""

    time: dt.datetime | None = None
    clock: Clock | None = None
    known_at: dt.datetime | None = None
    position: int | None = None
    version: int | None = None

    @classmethod
    def of(
        cls,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
        version: int | None = None,
    ) -> Moment:
        """Build a moment from the arguments that every verb takes."""
        chosen = check_clock(clock)
        position, version = _whole(position, "position"), _whole(version, "version")
        if known_at is not None:
            if chosen == "recorded":
                message = (
                    "known_at is the recorded clock already; as_of then runs on the occurred one."
                )
                raise MomentError(message, hint="leave clock= out")
            chosen = "occurred"
        return cls(
            None if as_of is None else parse_time(as_of),
            chosen,
            None if known_at is None else parse_time(known_at, "known_at"),
            position,
            version,
        )

    @property
    def is_end(self) -> bool:
        """Whether nothing is cut off."""
        return all(cut is None for cut in (self.time, self.known_at, self.position, self.version))

    def __str__(self) -> str:
        parts = []
        if self.time is not None:
            parts.append(f"as of {_shown(self.time)}" + (f" ({self.clock})" if self.clock else ""))
        if self.known_at is not None:
            parts.append(f"as known at {_shown(self.known_at)}")
        if self.position is not None:
            parts.append(f"up to position {self.position:,}")
        if self.version is not None:
            parts.append(f"up to version {self.version:,}")
        return ", ".join(parts) or "at the end of the log"


def _whole(number: object, what: str) -> int | None:
    """Check a whole number; NumPy's are as good as Python's."""
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, SupportsIndex):
        message = f"{what}={number!r} is no whole number."
        raise MomentError(message)
    return operator.index(number)


def _shown(time: dt.datetime) -> str:
    return time.isoformat(sep=" ").replace("+00:00", "Z")
