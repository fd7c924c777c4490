"""One row's two histories: what it should have been after each event, and what it was, by a hypothesis.

The row's events are copied into a log in memory, in the order in which they were applied by the hypothesis,
and run there as those of any log are. That works for projections and for folds, and proves the hypothesis anew.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from workbench._sql import ident, text
from workbench.analysis.definition import Definition, history_rows
from workbench.analysis.explain import causes
from workbench.errors import ConfigError
from workbench.event import COLUMNS
from workbench.moments import Moment
from workbench.store.database import Database
from workbench.store.fields import field
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

if TYPE_CHECKING:
    from workbench.analysis.explain.result import Explanation

_AS_STORED: Final = "as stored"
"""The schema version of an event that no upcaster is to touch."""


class Histories(Table):
    """A row after each of its events: as it should have been, and as it was by a hypothesis.

    Columns: ``moment`` (UTC), ``position``, ``version``, ``event_type``; ``guilty``, whether the hypothesis
    involves this event; ``same``, whether both are equal after it; then each compared column twice, as
    ``right_…`` and ``wrong_…``, NULL where there is no row. In the order in which the events apply.

    Attributes
    ----------
    key
        Of the row.
    cause
        Of the hypothesis.
    compared
        The columns.
    """

    key: str
    cause: str
    compared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Applied:
    """An event that the row had, by the hypothesis; ``anchor``, the event of the log at whose turn it had it."""

    position: int
    anchor: int
    raw: bool = False


def histories(explanation: Explanation, hypothesis: dict[str, Any]) -> Histories:
    """Rebuild both histories of one row, by one of its hypotheses (as ``explanation.row(key)`` gives them).

    Raises
    ------
    ConfigError
        The row is unexplained.
    """
    suspects = explanation.suspects
    database, keys = explanation._database, suspects.work.keys
    shown = ", ".join(str(hypothesis[name]) for name in keys)
    same = " AND ".join(f"s.{ident(name)} = {text(str(hypothesis[name]))}" for name in keys)
    found = database.rows(
        f"SELECT wb_k, cause, lo, hi, lo2, hi2, detail, o.position, o.event_type, o.moment, o.stream_version "
        f"FROM {explanation.kept} h JOIN {suspects.table} s USING (wb_k) LEFT JOIN {suspects.tape} o "
        f"ON o.wb_k = h.other_k AND o.wb_n = h.other_n WHERE {same} AND h.rank = {int(hypothesis['rank'])}"
    )
    if not found:
        message = f"the row {shown} is unexplained: no history is known that led to it."
        raise ConfigError(
            message, hint="log.timeline(stream, definition) shows what it should have been"
        )
    k, cause, lo, hi, lo2, hi2, detail, *stranger = found[0]
    events = database.rows(
        f"SELECT position, stream_version, event_type, moment FROM {suspects.tape} WHERE wb_k = {k} ORDER BY wb_n"
    )
    positions = [row[0] for row in events]
    at = None if stranger[0] is None else sum(one < stranger[0] for one in positions)
    if cause == causes.OTHER_SNAPSHOT:
        applied = [
            *(_Applied(position, 2 * hi) for position in _events_of(explanation, str(detail))[:hi]),
            *(_Applied(position, 2 * n) for n, position in enumerate(positions, 1) if n > hi),
        ]
    else:
        applied = _changed(cause, positions, (lo, hi), (lo2, hi2), detail, stranger[0], at)
    guilty = {n for a, b in ((lo, hi), (lo2, hi2)) if a is not None for n in range(a, b + 1)}
    lines = [
        {
            "anchor": 2 * n,
            "position": p,
            "version": v,
            "event_type": t,
            "moment": m,
            "guilty": n in guilty,
        }
        for n, (p, v, t, m) in enumerate(events, 1)
    ]
    if at is not None:
        own = {"position": stranger[0], "version": stranger[3], "event_type": stranger[1]}
        lines.insert(at, {"anchor": 2 * at + 1, **own, "moment": stranger[2], "guilty": True})
    right = [_Applied(position, 2 * n) for n, position in enumerate(positions, 1)]
    result = Histories(
        database,
        "-- folded from copies of the events",
        title=f"{shown}: as it should have been, and as it was ({cause})",
    )
    result.key, result.cause, result.compared = shown, cause, explanation.diff.compared
    sides = [
        _states(explanation, right, result),
        _states(explanation, applied, result),
    ]
    result._stored = _joined(database, lines, sides, result)
    return result


def _events_of(explanation: Explanation, key: str) -> list[int]:
    """The positions of another row's events, in the order in which they apply."""
    suspects = explanation.suspects
    whole = " || ', ' || ".join(ident(name) for name in suspects.work.keys)
    keys = ", ".join(
        f"CAST({suspects.work.view.read(item).value} AS VARCHAR) AS {ident(name)}"
        for name, item in suspects.definition.key.items()
    )
    database = explanation._database
    table = database.keep(
        f"SELECT 1 AS wb_k, * FROM (SELECT DISTINCT {keys} FROM {EVENTS} WHERE {suspects.work.view.filter}) WHERE {whole} = {text(key)}",
        explanation,
        "other",
    )
    events = suspects.numbered(suspects.events({}, table), table)
    return [row[0] for row in database.rows(f"SELECT position FROM ({events}) ORDER BY wb_n")]


def _changed(
    cause: str,
    positions: Sequence[int],
    first: tuple[Any, Any],
    second: tuple[Any, Any],
    detail: str | None,
    stranger: int | None,
    at: int | None,
) -> list[_Applied]:
    """The events as the row had them."""
    lo, hi = first
    everything = [_Applied(position, 2 * n) for n, position in enumerate(positions, 1)]
    if cause == causes.TWO:
        ways = str(detail).split(", ")
        # From behind, so that the numbers in front still hold.
        changed = _one(ways[1], everything, *second)
        return _one(ways[0], changed, lo, hi)
    if stranger is not None and at is not None:
        return [*everything[:at], _Applied(stranger, 2 * at + 1), *everything[at:]]
    if cause == causes.NOT_UPCAST:
        return [replace(one, raw=lo <= n <= hi) for n, one in enumerate(everything, 1)]
    if cause == causes.SWAPPED:
        earlier, later = everything[lo - 1], everything[hi - 1]
        pair = [replace(later, anchor=earlier.anchor), replace(earlier, anchor=later.anchor)]
        return [*everything[: lo - 1], *pair, *everything[hi:]]
    return _one(cause, everything, lo, hi)


def _one(way: str, events: list[_Applied], lo: int, hi: int) -> list[_Applied]:
    """Leave a run of events out, or have it once more."""
    if way in (causes.TWICE, causes.RUN_TWICE):
        again = [replace(one, anchor=2 * hi) for one in events[lo - 1 : hi]]
        return [*events[:hi], *again, *events[hi:]]
    return [*events[: lo - 1], *events[hi:]]


def _states(explanation: Explanation, applied: list[_Applied], owner: object) -> str | None:
    """Run events, in this order, in a log of their own; keep the states: ``anchor`` and the columns."""
    if not applied:
        return None
    view, database = explanation.diff._view, explanation._database
    order = pa.table(
        {
            "n": pa.array(range(1, len(applied) + 1), pa.int64()),
            "at": pa.array([one.position for one in applied], pa.int64()),
            "raw": pa.array([one.raw for one in applied], pa.bool_()),
        }
    )
    listed = database.keep_arrow(order, owner, "order")
    own = {name: f"e.{ident(name)}" for name in COLUMNS} | {
        "position": "o.n",
        "version": "o.n",
        "source": "'row'",
        "schema_version": f"CASE WHEN o.raw THEN {text(_AS_STORED)} ELSE e.schema_version END",
    }
    selected = ", ".join(f"{sql} AS {ident(name)}" for name, sql in own.items())
    rows = (
        database.cursor()
        .sql(f"SELECT {selected} FROM {EVENTS} e JOIN {listed} o ON o.at = e.position ORDER BY o.n")
        .to_arrow_table()
    )
    with closing(Database(None)) as fork:
        with fork.writing() as con:
            con.register("rows_to_fork", rows)
            names = ", ".join(ident(name) for name in COLUMNS)
            con.execute(
                f"INSERT INTO log.main.events_tail ({names}, id_hash) SELECT {names}, 0 FROM rows_to_fork"
            )
        made = history_rows(
            _as_one_row(explanation.diff.definition),
            View(fork, upcasters=view.upcasters),
            Moment(),
            ends=True,
        )
        states = fork.cursor().sql(made.sql).to_arrow_table() if made.arrow is None else made.arrow
    anchors = pa.table(
        {
            "position": pa.array(range(1, len(applied) + 1), pa.int64()),
            "anchor": pa.array([one.anchor for one in applied], pa.int64()),
        }
    )
    kept = database.keep_arrow(states, owner, "states")
    placed = database.keep_arrow(anchors, owner, "anchors")
    values = ", ".join(
        f"CASE WHEN NOT is_end THEN {ident(name)} END AS {ident(name)}"
        for name in explanation.diff.compared
    )
    return database.keep(
        f"SELECT anchor, position AS step, {values} FROM {kept} JOIN {placed} USING (position) "
        "QUALIFY row_number() OVER (PARTITION BY anchor ORDER BY step DESC) = 1",
        owner,
        "states",
    )


def _as_one_row(definition: Definition) -> Definition:
    """The same definition with all events of a log in one row."""
    one = copy.copy(definition)
    object.__setattr__(one, "key", {"wb_row": field("event.source")})
    return one


def _joined(
    database: Database, lines: list[dict[str, Any]], sides: Sequence[str | None], owner: Histories
) -> str:
    schema = pa.schema(
        {
            "line": pa.int64(),
            "anchor": pa.int64(),
            "position": pa.int64(),
            "version": pa.int64(),
            "event_type": pa.string(),
            "moment": pa.timestamp("us", tz="UTC"),
            "guilty": pa.bool_(),
        }
    )
    numbered = [{"line": line, **one} for line, one in enumerate(lines)]
    table = database.keep_arrow(pa.Table.from_pylist(numbered, schema), owner, "lines")
    joins, values = [], []
    right = sides[0]
    for alias, side, kind in (("r", right, "right_"), ("w", sides[1], "wrong_")):
        states = f"(FROM {right} LIMIT 0)" if side is None else side
        joins.append(f"ASOF LEFT JOIN {states} {alias} ON l.anchor >= {alias}.anchor")
        values += [f"{alias}.{ident(name)} AS {ident(kind + name)}" for name in owner.compared]
    same = " AND ".join(
        f"r.{ident(name)} IS NOT DISTINCT FROM w.{ident(name)}" for name in owner.compared
    )
    return database.keep(
        f"SELECT l.moment, l.position, l.version, l.event_type, l.guilty, {same} AS same, {', '.join(values)} "
        f"FROM {table} l {' '.join(joins)} ORDER BY l.line",
        owner,
        "histories",
    )
