"""A plan to send dead letters' events again: what, where, in which order, and what to expect of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from workbench import _html
from workbench._sql import text
from workbench.analysis.dead_letters.base import LETTERS
from workbench.analysis.dead_letters.groups import counted
from workbench.analysis.definition import Definition, check
from workbench.analysis.redrive.verdicts import VERDICTS, of_unknown, verdicts
from workbench.sources.dead_letters.original import ELSEWHERE
from workbench.store import redrives as journal
from workbench.store.table import Table
from workbench.store.view import EVENTS

if TYPE_CHECKING:
    from workbench.analysis.dead_letters.letters import DeadLetters
    from workbench.analysis.redrive.send import Redriven

FAILING: Final = ("fails", "fails late", "unreadable", "unknown")
"""Verdicts for which a message is held back unless ``failing=True``."""
MOST_REASONS: Final = 6


class RedrivePlan(Table):
    """What a re-drive would send: one row for each event, in the order of origin.

    Columns: ``n`` (BIGINT, from 1: the order); ``dead_letter_id``, ``place`` (of the dead letter that is sent;
    it is the message's mark), ``dead_letters`` (how many there are of this event); ``event_type``,
    ``stream_id``, ``version``; ``verdict`` (NULL: no definition was given) and ``why``, see
    :data:`~workbench.analysis.redrive.verdicts.VERDICTS`; ``later_events``, events of the stream behind this one
    that are not in this plan (NULL: the log does not have the event); ``redrives``, how often it had been
    re-driven and failed again; ``to_topic``, and the origin, ``origin_topic``, ``origin_partition``,
    ``origin_offset``; ``sendable`` (BOOLEAN: it can be sent through a broker); ``state``: ``to send``, ``sent``
    (by an earlier re-drive), ``unsure`` (an earlier re-drive broke off; the topic tells when this plan is sent) or
    ``held back``, and ``because``.

    The order is by topic, partition and offset; where these are unknown, by position in the log, else by
    stream and version.
    """

    letters: DeadLetters
    definition: Definition | None
    to: str | None

    @property
    def counts(self) -> dict[str, int]:
        """State -> number of events."""
        rows = self._run(
            f"SELECT state, count(*) FROM {self._stored} GROUP BY state ORDER BY state"
        )
        return dict(rows.fetchall())

    @property
    def verdicts(self) -> dict[str, int]:
        """Verdict -> number of events; empty where no definition was given."""
        rows = self._run(
            f"SELECT verdict, count(*) FROM {self._stored} WHERE verdict IS NOT NULL GROUP BY verdict"
        )
        found = dict(rows.fetchall())
        return {name: found[name] for name in VERDICTS if name in found}

    def reasons(self) -> Table:
        """Count by verdict and reason: ``verdict``, ``why``, ``events``, ``example`` (``dead_letter_id``)."""
        sql = (
            "SELECT verdict, why, count(*) AS events, min(dead_letter_id) AS example "
            f"FROM {self._stored} WHERE verdict IS NOT NULL GROUP BY ALL ORDER BY events DESC, verdict, why"
        )
        table = Table(self._database, sql, title=f"Verdicts of: {self.title}")
        table._owner = self
        return table

    def send(
        self,
        broker: str,
        *,
        to: str | None = None,
        rate: float | None = 50.0,
        failing: bool = False,
        timeout: float = 30.0,
        **client_options: Any,
    ) -> Redriven:
        """Send what is ``to send``, each message exactly once, in order: the one verb here that writes to a broker.

        The original key, value and headers are sent, without what was added when the message was given up,
        and two headers more: ``workbench-redrive-id`` and ``workbench-redrive-of`` (where the dead letter
        stands). A message goes to the partition that it came from, each when the one before it in its
        partition is acknowledged. The log's file keeps a journal. A sender that is killed, even with
        ``kill -9``, is simply run again: what the topic holds already is found by its marks from where the
        topic ended before the first message, and the rest is sent.

        Parameters
        ----------
        broker
            ``"broker:9092"``, several with commas.
        to
            The topic; by default each event's own (or that of the plan).
        rate
            Messages a second at most; None: as fast as they are acknowledged.
        failing
            Send those, too, that would fail again.
        timeout
            Seconds to wait for the broker.
        **client_options
            As for :func:`workbench.kafka`: ``security_protocol``, ``sasl_mechanism``, ….

        Returns
        -------
        Redriven
            What was sent; :meth:`EventLog.redrives` tells later what became of it.

        Raises
        ------
        ConfigError
            The log is in memory, a topic does not exist, or another process is sending.
        SourceUnavailable
            The broker is not reachable or refused a message. What was sent is noted; send the plan again.
        SourceDataLost
            An earlier re-drive broke off, and the topic no longer tells what arrived.
        """
        from workbench.analysis.redrive.send import send

        chosen = self if to is None or to == self.to else plan(self.letters, self.definition, to)
        return send(
            chosen, broker, rate=rate, failing=failing, timeout=timeout, options=client_options
        )

    # -- looking ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        lines = [_html.line(self.title), *(f"  {line}" for line in map(_html.line, self.said()))]
        names, numeric, rows, _ = self._preview()
        if rows:
            lines.append(_html.text_table(names, rows, numeric=numeric))
        return "\n".join([*lines, *map(_html.line, self.notes)])

    def _repr_html_(self) -> str:
        names, numeric, rows, count = self._preview()
        body = "".join(_html.note(line) for line in self.said())
        if rows:
            body += _html.table(names, rows, numeric=numeric)
        body += "".join(_html.note(line) for line in [self._more(count), *self.notes] if line)
        return _html.card(self.title, body, subtitle="a dry run: nothing was sent")

    def _preview(self) -> tuple[list[str], list[bool], list[tuple[object, ...]], int]:
        names = [
            "n",
            "event_type",
            "stream_id",
            "verdict",
            "why",
            "later_events",
            "to_topic",
            "state",
            "because",
        ]
        rows = self._run(
            f"SELECT {', '.join(names)} FROM {self._stored} ORDER BY n LIMIT 10"
        ).fetchall()
        return names, [name in ("n", "later_events") for name in names], rows, len(self)

    def said(self) -> list[str]:
        """Return what would happen, in sentences."""
        counts = self.counts
        found = [
            ", ".join(f"{counts[name]:,} {name}" for name in STATES if name in counts)
            or "nothing to send"
        ]
        if self.definition is not None:
            said = self.verdicts
            found.append(
                f"with {self.definition.name!r}: "
                + (
                    ", ".join(f"{number:,} {name}" for name, number in said.items())
                    or "nothing to try"
                )
            )
            found += [
                f"{row['verdict']}: {row['why']} ({row['events']:,}, as dead letter {row['example']})"
                for row in self.reasons()
                .query("SELECT * FROM result WHERE verdict <> 'folds'")
                .rows(MOST_REASONS)
            ]
        return found


STATES: Final = ("to send", "unsure", "sent", "held back")


def plan(letters: DeadLetters, definition: Definition | None, to: str | None) -> RedrivePlan:
    """Plan a re-drive; see :meth:`DeadLetters.redrive`."""
    if definition is not None:
        check(definition)
    database = letters._database
    ordered = _ordered(letters, to)
    title = "Re-drive plan" + (f" to {to}" if to else "") + f": {letters.title}"
    result = RedrivePlan(database, _sql(ordered, "NULL"), title=title)
    result.letters, result.definition, result.to = letters, definition, to
    kept = database.keep(ordered, result, "plan")
    tried = _tried(letters, definition, kept)
    tries = "NULL" if tried is None else database.keep_arrow(tried, result, "verdicts")
    result._stored = database.keep(_sql(kept, tries), result, "plan")
    if tried is not None:
        result.sql = f"-- the verdicts of {definition.name!r} are made in Python, and are NULL here\n{result.sql}"  # type: ignore[union-attr]  # tried says that there is one
    result.notes = tuple(_notes(result))
    return result


def _sql(ordered: str, tries: str) -> str:
    """Lay the verdicts beside the ordered events, and say what becomes of each."""
    source = ordered if ordered.startswith("memory.") else f"({ordered})"
    verdict = "NULL::VARCHAR AS verdict, NULL::VARCHAR AS why"
    join = ""
    if tries != "NULL":
        verdict, join = "v.verdict, v.why", f"LEFT JOIN {tries} v USING (dead_letter_id)"
    listed = ", ".join(f"'{name}'" for name in FAILING)
    return (
        f"WITH tried AS (SELECT o.*, {verdict} FROM {source} o {join}), "
        "judged AS (SELECT *, CASE WHEN unsure_in IS NOT NULL THEN 'unsure' "
        "WHEN sent_in IS NOT NULL THEN 'sent' WHEN obstacle IS NOT NULL THEN 'held back' "
        f"WHEN verdict IN ({listed}) THEN 'held back' ELSE 'to send' END AS state FROM tried) "
        "SELECT n, dead_letter_id, place, dead_letters, event_type, stream_id, version, verdict, why, later_events, "
        "redrives, to_topic, origin_topic, origin_partition, origin_offset, obstacle IS NULL AS sendable, state, "
        "CASE state "
        "WHEN 'unsure' THEN unsure_in || ' broke off' WHEN 'sent' THEN 'by ' || sent_in "
        "WHEN 'held back' THEN coalesce(obstacle, 'it ' || CASE verdict WHEN 'unreadable' THEN 'is unreadable' "
        "WHEN 'unknown' THEN 'cannot be tried' ELSE verdict END || ' in replay') END AS because, source "
        "FROM judged ORDER BY n"
    )


def _ordered(letters: DeadLetters, to: str | None) -> str:
    """Write the query for the events in the order of origin, and what is known of each without trying it."""
    destination = "origin_topic" if to is None else text(to)
    sent = (
        "SELECT m.source, m.source_position AS place, m.topic, max(m.sent_at) AS sent_at, "
        "arg_max('the re-drive ' || m.redrive_id || ' to ' || r.broker, r.started_at) AS redrive_id, "
        "bool_or(m.sent_at IS NULL) AS open "
        f"FROM {journal.MESSAGES} m JOIN {journal.RUNS} r USING (redrive_id) GROUP BY ALL"
    )
    elsewhere = " ".join(f"WHEN {text(name)} THEN {text(why)}" for name, why in ELSEWHERE.items())
    original = "try(json_extract(CAST(try(decode(d.raw)) AS JSON), '$.originalEvent')) IS NULL"
    return (
        f"WITH letters AS (SELECT *, source_position AS place, coalesce({destination}, "
        f"min({destination}) OVER (PARTITION BY event_key)) AS to_topic FROM {letters._stored}), "
        f"sent AS ({sent}), "
        "known AS (SELECT l.*, s.sent_at, s.redrive_id AS sent_in, coalesce(s.open, FALSE) AS open, CASE "
        f"l.format {elsewhere} END AS elsewhere FROM letters l LEFT JOIN sent s ON s.source = l.source "
        "AND s.place = l.place AND s.topic = l.to_topic), "
        # What was sent and failed again is a dead letter of its own, and can be sent again.
        "events AS (SELECT *, max(sent_at) OVER same AS last_sent, arg_max(sent_in, sent_at) OVER same AS last_sent_in, "
        "arg_max(sent_in, open) FILTER (open) OVER same AS open_in, count(*) OVER same AS dead_letters FROM known "
        "WINDOW same AS (PARTITION BY event_key, to_topic)), "
        "chosen AS (SELECT *, sent_at IS NULL AND NOT open AND (last_sent IS NULL OR redrive_id IS NOT NULL "
        "OR coalesce(dead_lettered_at > last_sent, FALSE)) AS is_new FROM events "
        "QUALIFY row_number() OVER (PARTITION BY event_key, to_topic ORDER BY open DESC, is_new DESC, "
        "elsewhere IS NOT NULL, redrives DESC, origin_offset IS NULL, dead_letter_id) = 1), "
        # Events of a stream behind each one, without those of this plan; in one pass over the streams.
        "own AS (SELECT DISTINCT position FROM chosen WHERE position IS NOT NULL), "
        "behind AS (SELECT position, count(*) FILTER (NOT given_up) OVER (PARTITION BY stream_id "
        "ORDER BY version DESC NULLS FIRST, position DESC ROWS UNBOUNDED PRECEDING) AS later_events FROM ("
        f"SELECT e.stream_id, e.version, e.position, own.position IS NOT NULL AS given_up FROM {EVENTS} e "
        "SEMI JOIN (SELECT stream_id FROM chosen) c ON c.stream_id = e.stream_id LEFT JOIN own USING (position))) "
        "SELECT row_number() OVER (ORDER BY c.origin_topic NULLS LAST, c.origin_partition NULLS LAST, "
        "c.origin_offset NULLS LAST, c.position NULLS LAST, c.stream_id NULLS LAST, c.version NULLS LAST, "
        "c.dead_letter_id) AS n, dead_letter_id, c.place, c.source, dead_letters, c.event_type, c.stream_id, c.version, "
        "b.later_events, c.redrives, c.to_topic, c.origin_topic, c.origin_partition, c.origin_offset, c.position, "
        "CASE WHEN NOT is_new AND NOT open THEN last_sent_in END AS sent_in, open_in AS unsure_in, CASE "
        "WHEN elsewhere IS NOT NULL THEN elsewhere WHEN c.format IS NULL THEN 'its format is not known' "
        "WHEN c.to_topic IS NULL THEN 'its topic is not known: say to=' "
        "WHEN d.raw IS NULL THEN 'it has no value; without one it would delete its key in a compacted topic' "
        f"WHEN c.format = 'reference' AND {original} THEN 'its original event cannot be read' END AS obstacle "
        f"FROM chosen c JOIN {LETTERS} d USING (dead_letter_id) LEFT JOIN behind b ON b.position = c.position ORDER BY n"
    )


def _tried(letters: DeadLetters, definition: Definition | None, kept: str) -> pa.Table | None:
    """Try each event with a definition: ``dead_letter_id``, ``verdict``, ``why``."""
    if definition is None:
        return None
    view, database = letters._view.whole, letters._database
    ids = {
        position: letter
        for letter, position in database.rows(
            f"SELECT dead_letter_id, position FROM {kept} WHERE position IS NOT NULL"
        )
    }
    found = {ids[at]: one for at, one in verdicts(definition, view, list(ids)).items()}
    unknown = (
        "SELECT dead_letter_id, l.stream_id, l.event_type, l.version, coalesce(l.event_id, l.source_position) AS event_id, "
        "l.occurred_at, l.dead_lettered_at AS recorded_at, l.correlation_id, l.causation_id, "
        "CAST(d.data AS VARCHAR) AS data, l.source, l.source_position "
        f"FROM {kept} k JOIN {letters._stored} l USING (dead_letter_id) JOIN {LETTERS} d USING (dead_letter_id) "
        "WHERE k.position IS NULL AND d.data IS NOT NULL AND l.stream_id IS NOT NULL AND l.event_type IS NOT NULL "
        "ORDER BY k.n"
    )
    found |= of_unknown(definition, view, database.cursor().sql(unknown).to_arrow_table())
    rows = database.rows(f"SELECT dead_letter_id FROM {kept} ORDER BY n")
    unread = ("unreadable", "its payload, its type or its stream cannot be told")
    said = [found.get(letter, unread) for (letter,) in rows]
    return pa.table(
        {
            "dead_letter_id": pa.array([letter for (letter,) in rows], pa.int64()),
            "verdict": pa.array([verdict for verdict, _ in said], pa.string()),
            "why": pa.array([why for _, why in said], pa.string()),
        }
    )


def _notes(result: RedrivePlan) -> list[str]:
    risky, unlinked, keyless, several, again = result._run(
        "SELECT count(*) FILTER (later_events > 0), count(*) FILTER (later_events IS NULL), "
        "count(*) FILTER (d.key IS NULL), count(*) FILTER (dead_letters > 1), count(*) FILTER (redrives > 0) "
        f"FROM {result._stored} JOIN {LETTERS} d USING (dead_letter_id) WHERE state = 'to send'"
    ).fetchall()[0]
    notes = []
    if risky:
        notes.append(
            f"behind {counted(risky, 'event')} later events of the same stream were processed: sent again, they come late"
        )
    if unlinked:
        notes.append(
            f"whether later events were processed is unknown for {counted(unlinked, 'event')}"
        )
    if again:
        notes.append(f"{counted(again, 'event')} had been re-driven before, and failed again")
    if several:
        notes.append(f"{counted(several, 'event')} have several dead letters, and are sent once")
    if keyless:
        notes.append(
            f"{counted(keyless, 'message')} have no key: only their partition keeps their order"
        )
    if result.to is None and result.counts.get("to send"):
        notes.append(
            "to its own topic each message reaches every consumer of it, not only the one that failed; to= names another"
        )
    notes.append("nothing was sent: plan.send('broker:9092') does")
    return notes
