"""Rates of dead letters: always two numbers, the events given up and the events that they are some of.

An event that was given up twice, by two consumers or again after a re-drive, counts once. It is divided by
the events *of the same types*: nobody notes which events a consumer read, and to divide by all events of the
log would make every rate look better than it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workbench._sql import any_of, ident, text
from workbench.analysis.buckets import choose
from workbench.analysis.dead_letters.groups import PLURAL, By, check_by, counted
from workbench.errors import ConfigError
from workbench.moments import Clock, check_clock
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

if TYPE_CHECKING:
    from workbench.analysis.dead_letters.letters import DeadLetters

#: On each clock, the time of a dead letter.
TIME_OF: Final[dict[str, str]] = {"recorded": "dead_lettered_at", "occurred": "occurred_at"}


class DeadLetterRates(Table):
    """The rate of dead letters in each bucket of time.

    Columns: ``moment`` (TIMESTAMPTZ, UTC: the start of the bucket, inclusive; ascending); the column that they
    are counted by; ``dead_letters``; ``given_up``, distinct events among them; ``events``, all events of the same
    types in the bucket (NULL where no type is known); ``rate`` = ``given_up`` / ``events`` (DOUBLE; NULL where
    there are none). In each bucket the groups come in the order of ``groups``.

    Attributes
    ----------
    total
        The same for all groups together, beside *all* events of the log or view: ``moment``,
        ``dead_letters``, ``given_up``, ``events``, ``rate``.
    fingerprints
        Fingerprint and ``moment`` at which it was first seen, on this clock: ``moment``, ``fingerprint``,
        ``error``, ``dead_letters``.
    by, every, clock, groups, gathered
        As in :class:`~workbench.analysis.rates.Rates`; ``groups`` counts dead letters.
    untimed
        Dead letters that do not say when; they are in no bucket.
    """

    by: By
    every: str
    clock: Clock
    groups: dict[str | None, int]
    gathered: bool
    untimed: int
    total: Table
    fingerprints: Table


def summary(letters: DeadLetters, by: By) -> Table:
    """Count dead letters by a column; see :meth:`DeadLetters.by`."""
    check_by(by)
    view = letters._view

    def make(source: str) -> str:
        name = ident(by)
        return (
            f"WITH letters AS (FROM {source}), "
            f"per_type AS (SELECT event_type, count(*) AS n FROM {EVENTS} WHERE {view.filter} GROUP BY ALL), "
            f"kinds AS (SELECT DISTINCT {name} AS kind, event_type FROM letters WHERE event_type IS NOT NULL), "
            "consumed AS (SELECT kind, sum(coalesce(n, 0))::BIGINT AS events FROM kinds "
            "LEFT JOIN per_type USING (event_type) GROUP BY kind), "
            f"counted AS (SELECT {name} AS kind, count(*) AS dead_letters, count(DISTINCT event_key) AS given_up, "
            "count(DISTINCT stream_id) AS streams, count(DISTINCT fingerprint) AS fingerprints, "
            "min(dead_lettered_at) AS first_at, max(dead_lettered_at) AS last_at FROM letters GROUP BY kind) "
            f"SELECT c.kind AS {name}, dead_letters, given_up, events, given_up / nullif(events, 0) AS rate, "
            "streams, fingerprints, first_at, last_at FROM counted c "
            "LEFT JOIN consumed s ON c.kind IS NOT DISTINCT FROM s.kind "
            "ORDER BY given_up DESC, dead_letters DESC, c.kind NULLS LAST"
        )

    title = f"{letters.title} by {by.replace('_', ' ')}"
    return letters._made(Table, make, title, notes=_typeless(letters))


def over_time(
    letters: DeadLetters, *, every: str | None, by: By, top: int, clock: str | None
) -> DeadLetterRates:
    """Reckon rates in buckets of time; see :meth:`DeadLetters.over_time`."""
    check_by(by)
    if top < 1:
        message = f"top={top!r} is no number of groups."
        raise ConfigError(message, hint="pass a whole number, 1 or more")
    wanted = check_clock(clock)
    if wanted is None:
        ((told,),) = letters._rows("SELECT count(dead_lettered_at) FROM letters")
        wanted = "recorded" if told else "occurred"
    view = letters._view
    at, event_clock = TIME_OF[wanted], _event_clock(view, wanted)
    timed = f"{view.filter} AND isfinite({event_clock}_at)"
    ((first, last, untimed),) = letters._rows(
        f"SELECT epoch_us(min({at})), epoch_us(max({at})), count(*) - count({at}) FROM letters"
    )
    ((begin, end, without),) = view.rows(
        f"SELECT epoch_us(min({event_clock}_at)), epoch_us(max({event_clock}_at)), "
        f"count(*) - count({event_clock}_at) FROM {EVENTS} WHERE {view.filter} AND "
        f"coalesce(isfinite({event_clock}_at), TRUE)"
    )
    known = [time for time in (first, last, begin, end) if time is not None]
    step = choose(view.database, every, min(known, default=None), max(known, default=None))
    groups, other = _groups(letters, by, top)
    grid = _Grid(by, at, f"{event_clock}_at", timed, step, groups, other)
    notes = list(_notes(letters, wanted, event_clock, untimed, without, other))
    per = step.removeprefix("1 ")
    result = letters._made(
        DeadLetterRates,
        grid.by_group,
        f"{letters.title} per {per} by {by.replace('_', ' ')}",
        notes=notes,
    )
    result.by, result.every, result.clock = by, step, wanted
    result.groups, result.gathered, result.untimed = groups, other is not None, untimed
    result.total = letters._made(Table, grid.total, f"{letters.title} per {per}", notes=notes)
    result.fingerprints = letters._made(
        Table,
        lambda source: (
            f"SELECT min({at}) AS moment, fingerprint, error, count(*) AS dead_letters FROM {source} "
            "WHERE fingerprint IS NOT NULL GROUP BY fingerprint, error ORDER BY moment NULLS LAST, fingerprint"
        ),
        f"Fingerprints of {letters.named}",
    )
    return result


class _Grid:
    """The queries that lay dead letters and events over one grid of buckets.

    Buckets are computed on TIMESTAMP in UTC: on TIMESTAMPTZ a day would depend on the session's zone.
    """

    def __init__(
        self,
        by: By,
        at: str,
        event_at: str,
        timed: str,
        step: str,
        groups: dict[str | None, int],
        other: str | None,
    ) -> None:
        self._name, self._at, self._interval = ident(by), at, f"INTERVAL {text(step)}"
        self._kind, self._last = self._name, "FALSE"
        if other is not None:
            kept = [value for value in groups if value is not None and value != other]
            unknown = f" OR {self._name} IS NULL" if None in groups else ""
            self._kind = f"CASE WHEN {any_of(self._name, kept)}{unknown} THEN {self._name} ELSE {text(other)} END"
            self._last = f"coalesce(kind = {text(other)}, FALSE)"
        self._consumed = (
            f"consumed AS (SELECT {self._bucket(event_at)} AS start, event_type, count(*) AS n "
            f"FROM {EVENTS} WHERE {timed} GROUP BY ALL)"
        )
        self._buckets = (
            "buckets AS (SELECT unnest(generate_series(min(start), max(start), "
            f"{self._interval})) AS start FROM (SELECT start FROM counted UNION ALL SELECT start FROM consumed))"
        )

    def _bucket(self, at: str) -> str:
        return f"time_bucket({self._interval}, make_timestamp(epoch_us({at})))"

    def _letters(self, source: str) -> str:
        return (
            f"letters AS (SELECT {self._kind} AS kind, event_type, event_key, {self._at} AS happened FROM {source}), "
            f"counted AS (SELECT {self._bucket('happened')} AS start, kind, count(*) AS dead_letters, "
            "count(DISTINCT event_key) AS given_up FROM letters WHERE isfinite(happened) GROUP BY ALL)"
        )

    def by_group(self, source: str) -> str:
        """Write the query for each group."""
        return (
            f"WITH {self._letters(source)}, {self._consumed}, {self._buckets}, "
            "kinds AS (SELECT DISTINCT kind, event_type FROM letters WHERE event_type IS NOT NULL), "
            "per_kind AS (SELECT start, kind, sum(n)::BIGINT AS events FROM consumed JOIN kinds USING (event_type) "
            "GROUP BY ALL), "
            f"groups AS (SELECT kind, count(*) AS total, count(event_type) AS typed, {self._last} AS is_last "
            "FROM letters GROUP BY kind) "
            f"SELECT make_timestamptz(epoch_us(b.start)) AS moment, g.kind AS {self._name}, "
            "coalesce(dead_letters, 0) AS dead_letters, coalesce(given_up, 0) AS given_up, "
            "CASE WHEN typed > 0 THEN coalesce(events, 0) END AS events, "
            "coalesce(given_up, 0) / nullif(CASE WHEN typed > 0 THEN events END, 0) AS rate "
            "FROM buckets b CROSS JOIN groups g "
            "LEFT JOIN counted c ON c.start = b.start AND c.kind IS NOT DISTINCT FROM g.kind "
            "LEFT JOIN per_kind p ON p.start = b.start AND p.kind IS NOT DISTINCT FROM g.kind "
            f"ORDER BY moment, is_last, total DESC, {self._name} NULLS LAST"
        )

    def total(self, source: str) -> str:
        """Write the query for all groups together."""
        return (
            f"WITH {self._letters(source)}, {self._consumed}, {self._buckets}, "
            f"all_letters AS (SELECT {self._bucket('happened')} AS start, count(*) AS dead_letters, "
            "count(DISTINCT event_key) AS given_up FROM letters WHERE isfinite(happened) GROUP BY ALL), "
            "all_events AS (SELECT start, sum(n)::BIGINT AS events FROM consumed GROUP BY ALL) "
            "SELECT make_timestamptz(epoch_us(b.start)) AS moment, coalesce(dead_letters, 0) AS dead_letters, "
            "coalesce(given_up, 0) AS given_up, coalesce(events, 0) AS events, "
            "coalesce(given_up, 0) / nullif(events, 0) AS rate FROM buckets b "
            "LEFT JOIN all_letters USING (start) LEFT JOIN all_events USING (start) ORDER BY moment"
        )


def _event_clock(view: View, wanted: Clock) -> Clock:
    """The clock of the events; the one asked for, where any event has a time on it."""
    counts = view.remember(f"SELECT count(recorded_at), count(occurred_at) FROM {EVENTS}")[0]
    there = dict(zip(("recorded", "occurred"), counts, strict=True))
    other: Clock = "occurred" if wanted == "recorded" else "recorded"
    return other if there[other] and not there[wanted] else wanted


def _groups(letters: DeadLetters, by: By, top: int) -> tuple[dict[str | None, int], str | None]:
    """Return group -> number of dead letters, and what the rarer ones are called together."""
    name = ident(by)
    rows = letters._rows(
        f", kinds AS (SELECT {name} AS kind, count(*) AS n FROM letters GROUP BY ALL) "
        "SELECT kind, n, count(*) OVER (), sum(n) OVER () FROM kinds "
        f"ORDER BY n DESC, kind NULLS LAST LIMIT {top + 1}"
    )
    if not rows or rows[0][2] <= top + 1:  # one group alone is shown as itself
        return {kind: int(n) for kind, n, _, _ in rows}, None
    counts: dict[str | None, int] = {kind: int(n) for kind, n, _, _ in rows[:top]}
    other = f"other ({rows[0][2] - top:,} {PLURAL[by]})"
    while other in counts:  # payloads are hostile: a type may be called so
        other += "…"
    return counts | {other: int(rows[0][3]) - sum(counts.values())}, other


def _typeless(letters: DeadLetters) -> list[str]:
    ((unknown,),) = letters._rows("SELECT count(*) FROM letters WHERE event_type IS NULL")
    if not unknown:
        return []
    return [
        f"the event type of {counted(unknown, 'dead letter')} is unknown: counted as given up, and not among 'events'"
    ]


def _notes(
    letters: DeadLetters,
    clock: Clock,
    event_clock: Clock,
    untimed: int,
    without: int,
    other: str | None,
) -> list[str]:
    found = []
    if untimed:
        what = "they were given up" if clock == "recorded" else "their event happened"
        found.append(
            f"{counted(untimed, 'dead letter')} of {len(letters):,} do not say when {what}, and are in no bucket"
            + ("; clock='occurred' goes by their events" if clock == "recorded" else "")
        )
    if event_clock != clock:
        found.append(
            f"no event says when it was {clock}: events are counted by when they {event_clock}"
        )
    if without:
        found.append(f"{counted(without, 'event')} have no time on that clock, and are not counted")
    if other is not None:
        found.append(f"{other}: rarer than the others, counted together; top= shows more")
    return found + _typeless(letters)
