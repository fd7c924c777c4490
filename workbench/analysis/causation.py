"""Causation: who caused what, in one flow or from one event."""

from __future__ import annotations

import datetime as dt
import html
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from workbench import _html
from workbench._sql import text
from workbench.analysis.links import NONE, Forest, Ints, Links, forest, links
from workbench.analysis.outline import Line, outline, shape
from workbench.errors import QueryError, did_you_mean
from workbench.moments import Clock
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

SHOWN: Final = 40
"""So many lines of a tree are in a repr; ``tree()`` gives more."""


class Causation(Table):
    """The events of one flow, each below the one that caused it, with the dead letters among them.

    Columns: ``ord`` (BIGINT: the order of the tree, from 0), ``depth`` (BIGINT: causes above it),
    ``kind`` (``event`` or ``dead letter``), ``position``, ``parent`` (position of the cause), ``cause``
    (``first``: it names none; ``known``; ``unknown``: the event it names is not in this log; ``itself``;
    ``cycle``: its cause comes from itself, so the circle is cut open here), ``after`` (INTERVAL since the
    cause; negative when it claims to be earlier), ``effects`` (how many it caused itself), ``below`` (how
    many in all), ``event_type``, ``stream_id``, ``version``, ``actor``, ``moment`` (TIMESTAMPTZ, UTC, on
    ``clock``), ``event_id``, ``causation_id``, ``correlation_id``, ``source``, ``source_position``,
    ``error``. In the order of the tree: effects in the order of the log.

    Attributes
    ----------
    id
        What was asked for.
    by
        Whether that is the id of a ``correlation`` or of an ``event``.
    clock
        The clock of ``moment``.
    events, dead_letters, roots, orphans, cycles, itself
        Numbers: events; dead letters among them; events at the top of a tree; events whose cause is not in
        this log; circles; events that name themselves.
    depth
        The most causes that stand above one event.
    """

    id: str
    by: Literal["correlation", "event"]
    clock: Clock
    events: int
    dead_letters: int
    roots: int
    orphans: int
    cycles: int
    itself: int
    depth: int

    def tree(self, limit: int = 200) -> str:
        """Return the tree as indented text; of a large one the upper levels, and how many are below."""
        lines, more = outline(self, limit)
        found = [_line(line) for line in lines]
        if more:
            found.append(f"… and {more:,} more at the top")
        return "\n".join(found)

    def stops(self) -> Table:
        """List where it stopped: what caused nothing more, latest first."""
        return self.query(
            "SELECT kind, position, event_type, stream_id, version, moment, depth, error FROM result "
            "WHERE effects = 0 ORDER BY moment DESC NULLS LAST, position DESC",
            title=f"Where {self.id} stopped",
        )

    def _subtitle(self) -> str:
        words = [counted(self.events, "event")]
        if self.dead_letters:
            words.append(counted(self.dead_letters, "dead letter"))
        words.append(counted(self.roots, "tree"))
        words.append(f"{self.depth:,} deep")
        return ", ".join(words)

    def __repr__(self) -> str:
        lines = [_html.line(f"{self.title} — {self._subtitle()}"), self.tree(SHOWN)]
        lines.extend(_html.line(note) for note in self.notes)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        style = "margin:4px 0;line-height:1.45;background:none;color:inherit"
        body = f'<pre style="{style}">{html.escape(self.tree(SHOWN))}</pre>'
        body += "".join(_html.note(line) for line in self.notes)
        return _html.card(self.title, body, subtitle=self._subtitle())


def counted(number: int, word: str) -> str:
    """Write a number of things."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


# -- one flow ------------------------------------------------------------------------------------


def causation(view: View, id: str) -> Causation:
    """Build the graph of one correlation, or of what one event comes from and led to.

    Parameters
    ----------
    view
        The events.
    id
        A correlation id; else the id of an event: then what caused it, and all that it caused.

    Raises
    ------
    QueryError
        No event has this id.
    """
    by, seeds, likely = _find(view, id)
    graph = _whole(view, seeds, likely, only_lines_of_seed=by == "event")
    laid = shape(graph.links, graph.forest)
    letters = _dead_letters(view, graph.links.position, id if by == "correlation" else None)
    clock = view.clock(None)
    result = Causation(
        view.database,
        "",
        title=f"Causation of {by} {id}",
        notes=_notes(graph, letters),
    )
    nodes = view.database.keep_arrow(laid.rows(graph.links, graph.forest), result, "causation")
    result.sql = f"SELECT * FROM ({_sql(view, nodes, clock, letters)}) ORDER BY ord"
    result._stored = view.database.keep(result.sql, result, "causation")
    result.id, result.by, result.clock = id, by, clock
    result.events, result.dead_letters = len(graph.links.position), len(letters)
    result.roots = int((graph.forest.parent == NONE).sum())
    result.orphans, result.itself = int(graph.links.orphans.sum()), int(graph.links.itself.sum())
    result.cycles = graph.forest.cycles
    result.depth = int(graph.forest.depth.max(initial=0))
    return result


@dataclass(frozen=True, slots=True)
class _Graph:
    links: Links
    forest: Forest


def _find(view: View, id: str) -> tuple[Literal["correlation", "event"], str, str | None]:
    """Say what an id is; return the condition that finds it, and one that likely holds all of its flow."""
    same = f"correlation_id = {text(id)}"
    if view.rows(f"SELECT 1 FROM {EVENTS} WHERE {view.filter} AND {same} LIMIT 1"):
        return "correlation", same, same
    one = f"event_id = {text(id)}"
    found = view.rows(f"SELECT correlation_id FROM {EVENTS} WHERE {view.filter} AND {one} LIMIT 1")
    if not found:
        near = view.rows(
            f"SELECT DISTINCT correlation_id FROM {EVENTS} WHERE {view.filter} "
            f"AND jaro_winkler_similarity(correlation_id, {text(id)}) > 0.9 LIMIT 200"
        )
        message = f"{view.database.label}: no event has {id!r} as its correlation or its id."
        raise QueryError(
            message + did_you_mean(id, [row[0] for row in near]),
            hint="log.sql('SELECT correlation_id, count(*) FROM events GROUP BY ALL') lists the flows",
        )
    flow = found[0][0]
    return "event", one, None if flow is None else f"correlation_id = {text(flow)}"


def _whole(view: View, seeds: str, likely: str | None, *, only_lines_of_seed: bool) -> _Graph:
    """Find all that the seeds come from and led to, also where that leaves the correlation."""
    clock = view.clock(None)
    found = links(view, clock, likely) if likely is not None else None
    if found is None or not _closed(view, found, str(likely)):
        found = links(view, clock)
    elif not only_lines_of_seed:
        return _Graph(found, forest(found.parent))
    start = _positions(view, seeds)
    keep = _reached(found, np.searchsorted(found.position, start))
    place = np.full(len(keep) + 1, NONE)
    place[:-1][keep] = np.arange(int(keep.sum()))
    some = found.of(keep, place[found.parent[keep]])
    return _Graph(some, forest(some.parent))


def _positions(view: View, condition: str) -> Ints:
    rows = view.rows(
        f"SELECT position FROM {EVENTS} WHERE ({view.filter}) AND {condition} ORDER BY position"
    )
    return np.array([row[0] for row in rows], dtype=np.int64)


def _closed(view: View, found: Links, likely: str) -> bool:
    """Whether no link leads into these events from outside, nor out of them."""
    outside = f"{view.filter} AND ({likely}) IS NOT TRUE"
    inside = f"{view.filter} AND {likely}"
    causes = f"SELECT causation_id AS id FROM {EVENTS} WHERE {inside} AND causation_id IS NOT NULL"
    ids = f"SELECT event_id AS id FROM {EVENTS} WHERE {inside}"
    if found.orphans.any() and view.rows(
        f"SELECT 1 FROM {EVENTS} SEMI JOIN ({causes}) ON event_id = id WHERE {outside} LIMIT 1"
    ):
        return False
    return not view.rows(
        f"SELECT 1 FROM {EVENTS} SEMI JOIN ({ids}) ON causation_id = id WHERE {outside} LIMIT 1"
    )


def _reached(found: Links, start: Ints) -> Any:
    """Flag what the events of ``start`` come from, and all that comes from them."""
    parent = found.parent
    below = np.zeros(len(parent) + 1, dtype=bool)
    below[start] = True
    up = np.append(np.where(parent == NONE, len(parent), parent), len(parent))
    # Each pass looks twice as far up; on a circle one round is enough.
    for _ in range(len(parent).bit_length()):
        below |= below[up]
        up = up[up]
    reached = below[:-1].copy()
    line = np.unique(parent[start][parent[start] != NONE])
    above = np.zeros(len(parent), dtype=bool)
    while len(line):
        line = line[~above[line]]
        above[line] = True
        line = parent[line]
        line = np.unique(line[line != NONE])
    return reached | above


def has_dead_letters(view: View) -> bool:
    """Whether the log holds any; a file of an older format has no table for them."""
    tables = view.remember(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'log' AND schema_name = 'main' AND table_name = 'dead_letters'"
    )
    return bool(tables and view.remember("SELECT 1 FROM log.main.dead_letters LIMIT 1"))


def _dead_letters(view: View, positions: Ints, correlation: str | None) -> list[int]:
    """Find dead letters of these events, or of the flow; a file of an older format has none."""
    if not has_dead_letters(view):
        return []
    chosen = pa.table({"position": pa.array(positions)})
    con = view.database.cursor()
    con.register("chosen_positions", chosen)
    flow = "" if correlation is None else f" OR correlation_id = {text(correlation)}"
    ids = f"SELECT event_id FROM {EVENTS} SEMI JOIN chosen_positions USING (position)"
    rows = con.execute(
        f"SELECT dead_letter_id FROM log.main.dead_letters WHERE event_id IN ({ids}) "
        f"OR (event_id IS NULL AND causation_id IN ({ids})){flow} ORDER BY dead_letter_id"
    ).fetchall()
    con.unregister("chosen_positions")
    return [int(row[0]) for row in rows]


def _sql(view: View, nodes: str, clock: Clock, letters: list[int]) -> str:
    """Join the nodes with what the events say; dead letters stand below the event that they are of."""
    time = f"{clock}_at"
    events = (
        "SELECT n.ord::DOUBLE AS place, n.depth, 'event' AS kind, n.position, n.parent, n.cause, "
        f"e.{time} - c.{time} AS after, n.effects, n.below, e.event_type, e.stream_id, e.version, e.actor, "
        f"e.{time} AS moment, e.event_id, e.causation_id, e.correlation_id, e.source, e.source_position, "
        f"NULL::VARCHAR AS error FROM {nodes} n JOIN {EVENTS} e USING (position) "
        f"LEFT JOIN {EVENTS} c ON c.position = n.parent"
    )
    if not letters:
        return f"SELECT row_number() OVER (ORDER BY place) - 1 AS ord, * EXCLUDE (place) FROM ({events})"
    listed = ", ".join(map(str, letters))
    # Of the event itself where the log has it, else of the event that caused it.
    dead = (
        "SELECT coalesce(own.place, up.place, 1e18) + 0.5 AS place, coalesce(own.depth, up.depth, -1) + 1 AS depth, 'dead letter' AS kind, "
        "NULL AS position, coalesce(own.position, up.position) AS parent, CASE WHEN coalesce(own.position, up.position) IS NOT NULL THEN 'known' "
        "WHEN d.event_id IS NULL AND d.causation_id IS NULL THEN 'first' ELSE 'unknown' END, "
        "d.dead_lettered_at - coalesce(own.moment, up.moment), 0, 0, d.event_type, d.stream_id, d.version, d.consumer, "
        "d.dead_lettered_at, d.event_id, coalesce(d.event_id, d.causation_id), d.correlation_id, d.source, d.source_position, "
        "left(concat_ws(': ', d.error_class, d.error_message), 500) FROM log.main.dead_letters d "
        "LEFT JOIN told own ON own.event_id = d.event_id "
        "LEFT JOIN told up ON own.position IS NULL AND up.event_id = d.causation_id "
        f"WHERE d.dead_letter_id IN ({listed})"
    )
    return (
        f"WITH told AS ({events}), dead AS ({dead}), every AS (FROM told UNION ALL FROM dead), "
        "own AS (SELECT parent AS position, count(*) AS n FROM dead GROUP BY 1) "
        "SELECT row_number() OVER (ORDER BY place, moment, source_position) - 1 AS ord, "
        "every.* EXCLUDE (place) REPLACE (effects + coalesce(n, 0) AS effects) "
        "FROM every LEFT JOIN own ON own.position = every.position AND kind = 'event'"
    )


def _notes(graph: _Graph, letters: list[int]) -> list[str]:
    found = []
    orphans, itself = int(graph.links.orphans.sum()), int(graph.links.itself.sum())
    if orphans:
        found.append(f"{orphans:,} name a cause that is not in this log")
    if graph.forest.cycles:
        on = int(graph.forest.on_cycle.sum())
        found.append(f"{on:,} events cause each other in a circle: it is cut open at the earliest")
    if itself:
        found.append(f"{itself:,} name themselves as their cause")
    roots = int((graph.forest.parent == NONE).sum())
    if roots - orphans - itself - graph.forest.cycles > 1:
        found.append(
            f"{roots - orphans - itself - graph.forest.cycles:,} name no cause: several beginnings, or ids were not handed on"
        )
    if letters:
        found.append(f"{len(letters):,} dead letters, below the event that a consumer gave up")
    return found


# -- text ----------------------------------------------------------------------------------------


def _line(line: Line) -> str:
    sign = {"dead letter": "✗ ", "missing": "? "}.get(line.kind, "")
    words = [f"{'  ' * line.depth}{sign}{_html.visible(line.name, 80)}"]
    if line.where:
        words.append(_html.visible(line.where, 60))
    if line.after is not None:
        words.append(gap(line.after))
    if line.remark:
        words.append(_html.visible(line.remark, 120))
    if line.hidden:
        words.append(f"… {line.hidden:,} more below")
    return "  ".join(words)


def gap(length: dt.timedelta) -> str:
    """Write how long after its cause something happened.

    >>> gap(dt.timedelta(seconds=75)), gap(dt.timedelta(milliseconds=-12))
    ('+1m 15s', '-12ms')
    """
    sign = "-" if length < dt.timedelta() else "+"
    seconds = abs(length).total_seconds()
    if seconds < 1:
        return f"{sign}{seconds * 1000:.3g}ms"
    if seconds < 60:
        return f"{sign}{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [
        f"{number}{unit}"
        for number, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s"))
        if number
    ]
    return sign + " ".join(parts[:2])
