"""Rates: how many events there were in each bucket of time, by type or by another column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from workbench._sql import any_of, ident, text
from workbench.analysis.buckets import choose
from workbench.errors import ConfigError, did_you_mean
from workbench.moments import Clock, check_clock
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

By = Literal["event_type", "stream_type", "source", "actor"]

_PLURAL: Final[dict[str, str]] = {
    "event_type": "types",
    "stream_type": "stream types",
    "source": "sources",
    "actor": "actors",
}


class Rates(Table):
    """Events in each bucket of time.

    Columns: ``moment`` (TIMESTAMPTZ, UTC: the start of the bucket, inclusive; ascending), the column that
    they are counted by (VARCHAR; NULL where the events do not say), and ``events`` (BIGINT; 0 in an empty
    bucket). In each bucket the groups come in the order of ``groups``.

    Attributes
    ----------
    by
        The column that events are counted by.
    every
        The length of a bucket, as DuckDB reads it: ``"1 day"``.
    clock
        The clock of ``moment``.
    groups
        Group -> its number of events, most frequent first; the gathered ones come last.
    gathered
        Whether the last group stands for all the rarer ones.
    words
        How the log was narrowed.
    """

    by: By
    every: str
    clock: Clock
    groups: dict[str | None, int]
    gathered: bool
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Groups:
    """The groups that are counted on their own, and the name that the others share."""

    counts: dict[str | None, int]
    other: str | None


def rates(
    view: View,
    *,
    every: str | None = None,
    by: By = "event_type",
    top: int = 8,
    clock: str | None = None,
) -> Rates:
    """Count events over time.

    Parameters
    ----------
    view
        The events.
    every
        Length of a bucket: ``"1 hour"``, ``"1 day"``, ``"1 month"``. By default the shortest step of a
        clock or a calendar that gives no more than about 200 buckets. Buckets start on the hour, at
        midnight, on Mondays, on the first of a month, all in UTC.
    by
        What to count by: ``"event_type"``, ``"stream_type"``, ``"source"`` or ``"actor"``.
    top
        So many groups are counted on their own; the rarer ones together, as ``other (n types)``.
    clock
        ``"recorded"`` or ``"occurred"``; by default the one on which the log knows more events.

    Returns
    -------
    Rates

    Raises
    ------
    ConfigError
        ``every`` is no length of time or makes too many buckets, ``by`` is no such column.
    MomentError
        No event says when it was, on that clock.
    """
    if by not in get_args(By):
        message = f"by={by!r}: events are counted by {', '.join(get_args(By))}."
        raise ConfigError(message + did_you_mean(str(by), get_args(By)))
    if top < 1:
        message = f"top={top!r} is no number of groups."
        raise ConfigError(message, hint="pass a whole number, 1 or more")
    chosen = view.clock(check_clock(clock))
    time = f"{chosen}_at"
    timed = f"{view.filter} AND isfinite({time})"
    first, last = view.rows(
        f"SELECT epoch_us(min({time})), epoch_us(max({time})) FROM {EVENTS} WHERE {timed}"
    )[0]
    step = choose(view.database, every, first, last)
    groups = _groups(view, timed, by, top)
    result = Rates(
        view.database,
        _sql(time, timed, by, step, groups),
        title=f"Events per {_per(step)} by {by.replace('_', ' ')}",
        notes=_notes(view, chosen, timed, groups),
    )
    result.by, result.every, result.clock = by, step, chosen
    result.groups, result.gathered = groups.counts, groups.other is not None
    result.words = view.words
    return result


def _sql(time: str, timed: str, by: By, step: str, groups: _Groups) -> str:
    """Count in buckets; then lay the counts over the grid of all buckets and groups.

    Buckets are computed on TIMESTAMP in UTC: on TIMESTAMPTZ a day would depend on the session's zone.
    """
    name, interval = ident(by), f"INTERVAL {text(step)}"
    group, last = name, "FALSE"
    if groups.other is not None:
        kept = [value for value in groups.counts if value is not None and value != groups.other]
        unknown = f" OR {name} IS NULL" if None in groups.counts else ""
        group = f"CASE WHEN {any_of(name, kept)}{unknown} THEN {name} ELSE {text(groups.other)} END"
        last = f"coalesce(kind = {text(groups.other)}, FALSE)"
    return (
        f"WITH counted AS (SELECT time_bucket({interval}, make_timestamp(epoch_us({time}))) AS start, "
        f"{group} AS kind, count(*) AS n FROM {EVENTS} WHERE {timed} GROUP BY ALL), "
        "buckets AS (SELECT unnest(generate_series(min(start), max(start), "
        f"{interval})) AS bucket FROM counted), "
        f"kinds AS (SELECT kind AS {name}, sum(n) AS total, {last} AS is_last FROM counted GROUP BY ALL) "
        f"SELECT make_timestamptz(epoch_us(bucket)) AS moment, {name}, coalesce(n, 0) AS events "
        "FROM buckets CROSS JOIN kinds "
        f"LEFT JOIN counted ON start = bucket AND kind IS NOT DISTINCT FROM {name} "
        f"ORDER BY moment, is_last, total DESC, {name} NULLS LAST"
    )


def _groups(view: View, timed: str, by: By, top: int) -> _Groups:
    rows = view.rows(
        f"WITH kinds AS (SELECT {by} AS kind, count(*) AS n FROM {EVENTS} WHERE {timed} GROUP BY ALL) "
        "SELECT kind, n, count(*) OVER (), sum(n) OVER () FROM kinds "
        f"ORDER BY n DESC, kind NULLS LAST LIMIT {top + 1}"
    )
    if not rows or rows[0][2] <= top + 1:  # one group alone is shown as itself
        return _Groups({kind: int(n) for kind, n, _, _ in rows}, None)
    counts: dict[str | None, int] = {kind: int(n) for kind, n, _, _ in rows[:top]}
    other = f"other ({rows[0][2] - top:,} {_PLURAL[by]})"
    while other in counts:  # payloads are hostile: a type may be called so
        other += "…"
    return _Groups(counts | {other: int(rows[0][3]) - sum(counts.values())}, other)


def _per(step: str) -> str:
    """Say a step: ``1 hour`` is 'hour', ``6 hours`` stays."""
    number, _, unit = step.partition(" ")
    return unit if number == "1" else step


def _notes(view: View, clock: Clock, timed: str, groups: _Groups) -> list[str]:
    found = []
    untimed = view.count - sum(groups.counts.values())
    if untimed:
        one = untimed == 1
        be = ("was " if one else "were ") if clock == "recorded" else ""
        words = f"{untimed:,} {'event does' if one else 'events do'} not say when {'it' if one else 'they'} {be}{clock}"
        words += f", and {'is' if one else 'are'} not counted"
        found.append(words)
    if groups.other is not None:
        found.append(f"{groups.other}: rarer than the others, counted together; top= shows more")
    return found
