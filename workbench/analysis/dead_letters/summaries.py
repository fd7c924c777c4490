"""Attempts, the time until a consumer gave up, and the streams that are affected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workbench._sql import ident
from workbench.analysis.dead_letters.groups import By, check_by, counted
from workbench.store.table import Table
from workbench.store.view import EVENTS

if TYPE_CHECKING:
    from workbench.analysis.dead_letters.letters import DeadLetters

_ARRIVED: Final = "coalesce(origin_at, recorded_at)"
_TOOK: Final = f"epoch_us(dead_lettered_at) - epoch_us({_ARRIVED})"


class Attempts(Table):
    """Dead letters by how often the consumer had tried.

    Columns: ``attempts`` (BIGINT, ascending; NULL, last: the format does not tell), ``dead_letters`` (BIGINT),
    ``share`` (DOUBLE, 0 to 1).
    """


def attempts(letters: DeadLetters) -> Attempts:
    """Count dead letters by attempts."""
    notes = []
    ((unknown, blocked),) = letters._rows(
        "SELECT count(*) - count(attempts), count(*) FILTER (role = 'blocked') FROM letters"
    )
    if unknown:
        notes.append(f"{counted(unknown, 'dead letter')} of {len(letters):,} do not tell (NULL)")
    if blocked:
        notes.append(
            f"{blocked:,} were never tried: they are blocked behind the first of their sequence"
        )
    return letters._made(
        Attempts,
        lambda source: (
            "SELECT attempts, count(*) AS dead_letters, count(*) / sum(count(*)) OVER () AS share "
            f"FROM {source} GROUP BY attempts ORDER BY attempts NULLS LAST"
        ),
        f"Attempts of {letters.named}",
        notes=notes,
    )


def time_to_dead_letter(letters: DeadLetters, by: By) -> Table:
    """Tell how long it took to give up; see :meth:`DeadLetters.time_to_dead_letter`."""
    check_by(by)
    name = ident(by)
    quantiles = ", ".join(
        f"to_microseconds(CAST(quantile_cont(took, {share}) AS BIGINT)) AS {column}"
        for column, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
    )

    def make(source: str) -> str:
        return (
            f"WITH took AS (SELECT {name} AS kind, format, dead_lettered_at, {_TOOK} AS took, {_ARRIVED} AS arrived "
            f"FROM {source}) SELECT kind AS {name}, count(*) AS dead_letters, count(took) AS known, {quantiles}, "
            "to_microseconds(max(took)) AS longest, nullif(concat_ws('; ', "
            "CASE WHEN count(*) FILTER (dead_lettered_at IS NULL) > 0 THEN 'n/a where it is not told when a message was "
            "given up (' || array_to_string(list_sort(list(DISTINCT coalesce(format, 'unknown format')) "
            "FILTER (dead_lettered_at IS NULL)), ', ') || ')' END, "
            "CASE WHEN count(*) FILTER (dead_lettered_at IS NOT NULL AND arrived IS NULL) > 0 "
            "THEN 'n/a where it is not known when the event came' END), '') AS note FROM took GROUP BY kind "
            "ORDER BY dead_letters DESC, kind NULLS LAST"
        )

    ((copied, backwards),) = letters._rows(
        "SELECT count(*) FILTER (format IN ('connect', 'streams') AND dead_lettered_at IS NULL), "
        f"count(*) FILTER ({_TOOK} < 0) FROM letters"
    )
    notes = []
    if copied:
        notes.append(
            f"Kafka Connect and Kafka Streams copy the source's timestamp: of {counted(copied, 'dead letter')} it "
            "cannot be known when they were given up, unless the topic keeps the broker's time (LogAppendTime)"
        )
    if backwards:
        notes.append(
            f"{counted(backwards, 'dead letter')} were given up before they came: two clocks disagree"
        )
    title = f"Time to dead letter by {by.replace('_', ' ')}, of {letters.named}"
    return letters._made(Table, make, title, notes=notes)


def streams(letters: DeadLetters) -> Table:
    """List affected streams with what came later; see :meth:`DeadLetters.streams`."""

    def make(source: str) -> str:
        return (
            f"WITH letters AS (FROM {source} WHERE stream_id IS NOT NULL), "
            "affected AS (SELECT stream_id, count(*) AS dead_letters, count(DISTINCT event_key) AS given_up, "
            "count(*) FILTER (role = 'root') AS roots, min(version) AS first_version, "
            "min(position) AS first_position FROM letters GROUP BY stream_id), "
            f"touched AS (SELECT e.stream_id, e.position, coalesce(e.version > first_version, e.position > first_position) "
            f"AS later, coalesce(e.recorded_at, e.occurred_at) AS happened FROM {EVENTS} e JOIN affected USING (stream_id)), "
            "own AS (SELECT DISTINCT position FROM letters WHERE position IS NOT NULL), "
            "since AS (SELECT stream_id, count(*) FILTER (later AND own.position IS NULL) AS later_events, "
            "count(later) AS compared, max(happened) AS last_event_at FROM touched LEFT JOIN own USING (position) "
            "GROUP BY stream_id) "
            "SELECT stream_id, dead_letters, given_up, roots, first_version, first_position, "
            "CASE WHEN compared > 0 THEN later_events END AS later_events, last_event_at "
            "FROM affected LEFT JOIN since USING (stream_id) "
            "ORDER BY later_events DESC NULLS LAST, dead_letters DESC, stream_id"
        )

    ((unknown,),) = letters._rows("SELECT count(*) FROM letters WHERE stream_id IS NULL")
    notes = []
    if unknown:
        notes.append(f"the stream of {counted(unknown, 'dead letter')} is unknown")
    if letters._view.conditions:
        # A re-drive meets all that was processed, whatever this view shows of it.
        notes.append("later events are those of the whole log, not of this view alone")
    return letters._made(Table, make, f"Streams of {letters.named}", notes=notes)
