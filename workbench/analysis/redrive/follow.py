"""What became of re-driven messages: found again in what was loaded since."""

from __future__ import annotations

from typing import Final

from workbench.analysis.dead_letters.groups import counted
from workbench.store import redrives as journal
from workbench.store.database import Database
from workbench.store.table import Table
from workbench.store.view import EVENTS

_DEAD: Final = "log.main.dead_letters"
OUTCOMES: Final = ("arrived", "failed again", "not seen", "not sent")


class Redrives(Table):
    """Re-driven messages, one row each, latest re-drive first, then in the order of sending.

    Columns: ``redrive_id``; ``n``; ``place``, where the dead letter stands, and ``source``; ``topic``,
    ``partition``, ``offset``: where the message arrived; ``sent_at`` (TIMESTAMPTZ, UTC); ``outcome``:
    ``arrived`` (a load read it from its topic), ``failed again`` (it is a dead letter once more: ``failed_as``, its
    ``dead_letter_id``), ``not seen`` (no load has read that far), or ``not sent`` (the sender broke off);
    ``broker``.

    A message that failed again is known by its mark; where the consumer drops headers, by the place from which it
    was read; where that is unknown too, by the event's id and a later time.
    """

    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> number of messages."""
        found = {
            row["outcome"]: row["n"]
            for row in self.query("SELECT outcome, count(*) AS n FROM result GROUP BY ALL").rows()
        }
        return {name: found[name] for name in OUTCOMES if name in found}


def redrives(database: Database) -> Redrives:
    """Follow all messages that were re-driven from a log."""
    place = "m.topic || '/' || m.partition || '/' || m.\"offset\""
    sql = (
        f"WITH sent AS (SELECT m.*, {place} AS arrived_at, r.broker, r.started_at FROM {journal.MESSAGES} m "
        f"JOIN {journal.RUNS} r USING (redrive_id)), "
        "seen AS ("
        + " UNION ".join(
            f"SELECT t.source_position FROM {table} t SEMI JOIN sent ON t.source_position = arrived_at"
            for table in (EVENTS, "log.main.duplicates", "log.main.rejects")
        )
        + "), "
        "by_mark AS (SELECT s.redrive_id, s.source_position, min(d.dead_letter_id) AS failed_as FROM sent s "
        f"JOIN {_DEAD} d ON d.redrive_id = s.redrive_id AND d.redrive_of = s.source_position GROUP BY ALL), "
        "by_place AS (SELECT s.redrive_id, s.source_position, min(d.dead_letter_id) AS failed_as FROM sent s "
        f"JOIN {_DEAD} d ON d.origin_topic = s.topic AND d.origin_partition = s.partition "
        'AND d.origin_offset = s."offset" GROUP BY ALL), '
        "by_event AS (SELECT s.redrive_id, s.source_position, min(d.dead_letter_id) AS failed_as FROM sent s "
        f"JOIN {_DEAD} o ON o.source = s.source AND o.source_position = s.source_position "
        f"JOIN {_DEAD} d ON d.event_id = o.event_id AND d.dead_letter_id > o.dead_letter_id "
        "AND d.redrive_id IS NULL AND d.origin_offset IS NULL AND d.dead_lettered_at > s.sent_at GROUP BY ALL) "
        "SELECT s.redrive_id, s.n, s.source_position AS place, s.source, s.topic, s.partition, "
        "s.\"offset\", s.sent_at, CASE WHEN s.sent_at IS NULL THEN 'not sent' "
        "WHEN coalesce(a.failed_as, b.failed_as, c.failed_as) IS NOT NULL THEN 'failed again' "
        "WHEN seen.source_position IS NOT NULL THEN 'arrived' ELSE 'not seen' END AS outcome, "
        "coalesce(a.failed_as, b.failed_as, c.failed_as) AS failed_as, s.broker FROM sent s "
        "LEFT JOIN seen ON seen.source_position = s.arrived_at "
        "LEFT JOIN by_mark a ON a.redrive_id = s.redrive_id AND a.source_position = s.source_position "
        "LEFT JOIN by_place b ON b.redrive_id = s.redrive_id AND b.source_position = s.source_position "
        "LEFT JOIN by_event c ON c.redrive_id = s.redrive_id AND c.source_position = s.source_position "
        "ORDER BY s.started_at DESC, s.redrive_id, s.n"
    )
    result = Redrives(database, sql, title="Re-drives")
    counts = result.counts
    notes = [
        ", ".join(f"{number:,} {name}" for name, number in counts.items())
        or "nothing was re-driven from this log"
    ]
    if counts.get("not seen"):
        notes.append(
            f"{counted(counts['not seen'], 'message')} were not seen: load the topic, and the dead-letter topic, to know"
        )
    if counts.get("not sent"):
        notes.append(
            "of what was not sent, the topic may hold some: the next plan.send(…) finds out"
        )
    result.notes = tuple(notes)
    return result
