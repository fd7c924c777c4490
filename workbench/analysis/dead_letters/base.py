"""Each dead letter with what the log knows of it: its event, its fingerprint, its role. One query.

**Which event it is.** By the event's id; where the message does not tell it, by the id that another dead
letter of the same origin (topic, partition, offset) tells, or by the origin itself where the topic was loaded.
A message that was re-driven and failed again is the same event. What the log knows of an event counts more
than what its dead letter says, and where the letter is silent about its origin, the place from which the log read
the event is it.

**Roles.** ``root``: it failed by itself. ``blocked``: it waits in a parked sequence (Axon) behind the first one,
and was never tried. ``follower``: another event of the same stream that the same consumer (where none is told:
the same dead-letter topic or table) had given up earlier; it may have failed for that alone. *Earlier* is by
version, then by when it was given up, then by the order of loading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workbench._sql import ident
from workbench.analysis.dead_letters.fingerprint import (
    error_sql,
    fingerprint_sql,
    frame_sql,
)
from workbench.event import COLUMNS
from workbench.store.database import Database
from workbench.store.fields import DUCK_TYPES, Field
from workbench.store.view import EVENTS, View

LETTERS: Final = "log.main.dead_letters"

ROLES: Final = ("root", "blocked", "follower")

MOST_HOPS: Final = 100
"""A message that was re-driven more often goes round in a circle."""

#: The columns of the result, in order.
SHOWN: Final = (
    "dead_letter_id", "dead_lettered_at", "consumer", "event_type", "stream_id", "version", "error",
    "fingerprint", "error_class", "error_message", "attempts", "role", "event_id", "position", "occurred_at",
    "recorded_at", "origin_topic", "origin_partition", "origin_offset", "origin_at", "correlation_id",
    "causation_id", "sequence_id", "sequence_index", "redrive_id", "redrive_of", "redrives", "format",
    "source", "source_position", "load_id", "parse_error", "event_key",
)  # fmt: skip

_OF_EVENT: Final = (
    "position", "event_id", "event_type", "stream_id", "stream_type", "version", "actor", "schema_version",
    "occurred_at", "recorded_at", "correlation_id", "causation_id",
)  # fmt: skip
#: What both an event and its dead letter tell.
_BOTH: Final = ("event_id", "event_type", "stream_id", "version", "correlation_id", "causation_id")
_ORIGIN: Final = {"topic": "VARCHAR", "partition": "INTEGER", "offset": "BIGINT"}
_PLACE: Final = "origin_topic || '/' || origin_partition || '/' || origin_offset"
_OF_KAFKA: Final = "e.source IN (SELECT source FROM log.main.loads WHERE kind = 'kafka')"
#: The consumer; where none is told, the dead-letter topic or table.
_WHO: Final = "coalesce(d.consumer, d.source || '/' || split_part(d.source_position, '/', 1))"
_LAST: Final = "9223372036854775807"
_REPLACED: Final = (
    *_BOTH, *(f"origin_{part}" for part in _ORIGIN), "raw", "key", "headers", "data", "error_stack",
)  # fmt: skip


def letters_sql(view: View) -> str:
    """Write the query for the dead letters of a view, in the order in which they were loaded.

    A narrowed view has those of its events. On its clocks, ``recorded`` is when a letter was given up (where
    that is unknown: when its event was recorded or sent, since it cannot have been earlier), and ``occurred``
    when its event happened.
    """
    ours = ", ".join(ident(name) for name in SHOWN)
    kept = "" if not view.conditions else f" SEMI JOIN ({members_sql(view)}) USING (dead_letter_id)"
    return f"{_with()} SELECT {ours} FROM told{kept} ORDER BY dead_letter_id"


def keep_all(database: Database, owner: object) -> str:
    """Keep all dead letters of the log, with the columns that conditions may ask for; return the table.

    The same query in three steps, since DuckDB cannot foresee how few events the first ones find.
    """
    kept: dict[str, str] = {}
    for name in ("ids", "hits", "told"):
        kept[name] = database.keep(f"{_with(kept)} FROM {name}", owner, f"dead_letters_{name}")
    return kept["told"]


def members_sql(view: View, known: str = "") -> str:
    """Write the query for the ids of those dead letters that are in a view."""
    return f"SELECT dead_letter_id FROM ({as_events_sql(view, known)}) WHERE {view.filter}"


def as_events_sql(view: View, known: str = "") -> str:
    """Lay dead letters out as rows of ``events``, so that a condition over events can be asked of them."""
    replaced = {
        "recorded_at": "coalesce(t.dead_lettered_at, t.recorded_at, t.origin_at)",
        "data": "d.data",
        "metadata": "CAST(NULL AS JSON)",
        "source": "coalesce(t.event_source, t.source)",
        "source_position": "coalesce(t.event_place, t.source_position)",
    }
    columns = [f"{replaced.get(name, f't.{name}')} AS {ident(name)}" for name in COLUMNS]
    listed = ", ".join(columns)
    sql = f"SELECT t.dead_letter_id, {listed} FROM {known or 'told'} t JOIN {LETTERS} d USING (dead_letter_id)"
    typed = view.remember("SELECT column_name, path, type FROM log.main.typed_columns")
    made = []
    for name, path, kind in typed:
        column, _, inner = path.partition(".")
        made.append(
            f"CAST({Field(column, inner, kind).value_sql} AS {DUCK_TYPES[kind]}) AS {ident(name)}"
        )
    return f"SELECT *, {', '.join(made)} FROM ({sql})" if made else sql


def _with(kept: Mapping[str, str] | None = None) -> str:
    """Define ``told``: one row for each dead letter of the log; ``kept`` names tables that hold steps already."""
    steps = {**_events(), **_keys(), **_errors(), **_joined(), **_roles()}
    steps |= {name: f"FROM {table}" for name, table in (kept or {}).items()}
    # RECURSIVE for the chain of re-drives; the other steps are plain.
    return "WITH RECURSIVE " + ", ".join(f"{name} AS ({sql})" for name, sql in steps.items())


def _events() -> dict[str, str]:
    """Find the event of each dead letter: by its id, else by where its message came from."""
    of_event = ", ".join(f"e.{name} AS of_{name}" for name in _OF_EVENT)
    in_topic = (
        f"CASE WHEN {_OF_KAFKA} AND regexp_full_match(e.source_position, '[^/]+/\\d+/\\d+') THEN "
        "regexp_extract(e.source_position, '([^/]+)/(\\d+)/(\\d+)', ['topic', 'partition', 'offset']) END AS of_place"
    )
    return {
        "places": f"SELECT dead_letter_id, event_id, source_position, {_PLACE} AS origin FROM {LETTERS}",
        "ids": "SELECT dead_letter_id, origin, source_position, coalesce(event_id, CASE WHEN origin IS NOT NULL "
        "THEN max(event_id) OVER (PARTITION BY origin) END) AS known_id FROM places",
        # Positions first: the ids of all events are looked at, and nothing else of them.
        "by_id": f"SELECT dead_letter_id, position FROM {EVENTS} JOIN ids ON {EVENTS}.event_id = known_id",
        "rest": "FROM ids ANTI JOIN by_id USING (dead_letter_id) WHERE origin IS NOT NULL",
        "by_place": f"SELECT dead_letter_id, position FROM {EVENTS} e JOIN rest ON e.source_position = origin "
        f"WHERE {_OF_KAFKA}",
        "hits": "FROM by_id UNION ALL FROM by_place",
        "linked": f"SELECT dead_letter_id, {of_event}, e.source AS event_source, e.source_position AS event_place, "
        f"{in_topic} FROM hits JOIN {EVENTS} e USING (position)",
    }


def _keys() -> dict[str, str]:
    """Give all dead letters of one event the same key, those after a re-drive included."""
    better = "CASE WHEN {0}.own_key NOT LIKE 'place %' THEN {0}.own_key END"
    return {
        "again": f"SELECT dead_letter_id, redrive_of AS before, 0 AS hops FROM {LETTERS} WHERE redrive_of IS NOT NULL "
        f"UNION ALL SELECT a.dead_letter_id, b.redrive_of, a.hops + 1 FROM again a JOIN {LETTERS} b "
        f"ON b.source_position = a.before WHERE a.hops < {MOST_HOPS}",
        "hops": "SELECT dead_letter_id, arg_max(before, hops) FILTER (before IS NOT NULL) AS first_place, "
        "count(before) AS redrives FROM again GROUP BY dead_letter_id",
        "named": "SELECT ids.dead_letter_id, ids.source_position, coalesce('event ' || of_position, 'id ' || known_id, "
        "'place ' || origin) AS own_key FROM ids LEFT JOIN linked USING (dead_letter_id)",
        "firsts": "SELECT source_position, min(own_key) AS own_key FROM named GROUP BY ALL",
        "keyed": f"SELECT n.dead_letter_id, coalesce({better.format('f')}, {better.format('n')}, f.own_key, n.own_key, "
        "'letter ' || n.dead_letter_id) AS event_key, coalesce(redrives, 0) AS redrives FROM named n "
        "LEFT JOIN hops USING (dead_letter_id) LEFT JOIN firsts f ON f.source_position = hops.first_place",
    }


def _errors() -> dict[str, str]:
    return {
        "framed": f"SELECT dead_letter_id, error_class, error_message, {frame_sql('error_stack')} AS frame FROM {LETTERS}",
        "marked": f"SELECT dead_letter_id, {error_sql('error_class', 'error_message', 'frame')} AS error FROM framed",
    }


def _joined() -> dict[str, str]:
    """Lay side by side what the dead letter tells and what the log knows; the log counts more."""
    both = ", ".join(f"coalesce(of_{name}, d.{name}) AS {name}" for name in _BOTH)
    origin = ", ".join(
        f"CASE WHEN d.origin_topic IS NULL AND d.origin_offset IS NULL THEN CAST(of_place.{part} AS {kind}) "
        f"ELSE d.origin_{part} END AS origin_{part}"
        for part, kind in _ORIGIN.items()
    )
    return {
        "joined": f"SELECT d.* EXCLUDE ({', '.join(_REPLACED)}), {both}, {origin}, of_position AS position, "
        "of_stream_type AS stream_type, of_actor AS actor, of_schema_version AS schema_version, "
        "coalesce(of_occurred_at, d.origin_at) AS occurred_at, of_recorded_at AS recorded_at, event_source, "
        f"event_place, event_key, redrives, error, {fingerprint_sql('error')} AS fingerprint, {_WHO} AS who "
        f"FROM {LETTERS} d JOIN keyed USING (dead_letter_id) JOIN marked USING (dead_letter_id) "
        "LEFT JOIN linked USING (dead_letter_id)"
    }


def _roles() -> dict[str, str]:
    """Tell roots from what failed, or waits, behind them.

    By groups, not by windows: a window over many small partitions takes far longer.
    """
    return {
        "queues": f"SELECT source, consumer, sequence_id, min(sequence_index) AS head FROM {LETTERS} "
        "WHERE sequence_index IS NOT NULL GROUP BY ALL",
        "lines": f"SELECT who, stream_id, arg_min(event_key, (coalesce(version, {_LAST}), "
        f"coalesce(epoch_us(dead_lettered_at), {_LAST}), dead_letter_id)) AS first_key FROM joined "
        "WHERE stream_id IS NOT NULL GROUP BY ALL HAVING min(event_key) <> max(event_key)",
        "told": "SELECT j.* EXCLUDE (who), CASE WHEN j.sequence_index > head THEN 'blocked' "
        "WHEN j.sequence_index IS NULL AND event_key <> first_key THEN 'follower' ELSE 'root' END AS role "
        "FROM joined j LEFT JOIN lines l ON l.who = j.who AND l.stream_id = j.stream_id "
        "LEFT JOIN queues q ON q.source = j.source AND q.consumer IS NOT DISTINCT FROM j.consumer "
        "AND q.sequence_id IS NOT DISTINCT FROM j.sequence_id",
    }
