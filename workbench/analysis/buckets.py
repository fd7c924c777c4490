"""Buckets of time on a step that people count in."""

from __future__ import annotations

from typing import Final

from workbench._sql import text
from workbench.errors import ConfigError, QueryError
from workbench.store.database import Database

#: The steps that people count time in; the first that gives no more than `FEW` buckets is taken.
STEPS: Final = (
    *("1 second", "5 seconds", "15 seconds", "1 minute", "5 minutes", "15 minutes"),
    *("1 hour", "3 hours", "6 hours", "1 day", "1 week"),
    *("1 month", "3 months", "1 year", "10 years", "100 years"),
)
FEW: Final = 200
"""About so many buckets are chosen by default."""
MOST: Final = 20_000
"""More buckets than this are refused: nobody can read them."""

_WRITE: Final = "write '15 minutes', '1 hour', '1 day' or '1 month'"


def choose(database: Database, every: str | None, first: int | None, last: int | None) -> str:
    """Check a step, or choose one for a range of time (in microseconds since 1970).

    Raises
    ------
    ConfigError
        ``every`` is no length of time, or makes too many buckets.
    """
    if every is None:
        return next(
            (step for step in STEPS if _buckets(database, step, first, last) <= FEW), STEPS[-1]
        )
    try:
        count = _buckets(database, every, first or 0, last or 0)
    except QueryError as error:
        message = f"every={every!r} is no length of time that makes buckets."
        raise ConfigError(message, hint=_WRITE) from error
    if count < 1:
        message = f"every={every!r}: a bucket has to be longer than nothing."
        raise ConfigError(message, hint=_WRITE)
    if count > MOST:
        message = f"every={every!r} makes {count:,} buckets; {MOST:,} are the most."
        raise ConfigError(
            message, hint="take a longer step, or narrow the log first: log.between(start, end)"
        )
    return every


def _buckets(database: Database, step: str, first: int | None, last: int | None) -> int:
    """About how many buckets a step makes between two times (µs); 0 where it cannot make any."""
    if first is None or last is None:
        return 0
    interval = f"CAST({text(step)} AS INTERVAL)"
    # time_bucket is there to be asked: it refuses steps that mix months and days.
    return int(
        database.rows(
            f"SELECT CASE WHEN epoch({interval}) > 0 THEN "
            f"1 + ({last - first} / 1e6 / epoch({interval}))::BIGINT ELSE 0 END, "
            f"CASE WHEN epoch({interval}) > 0 THEN time_bucket({interval}, make_timestamp({first})) END"
        )[0][0]
    )
