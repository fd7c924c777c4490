"""What one event made of one row: the row before it and after it, as replays give them.

A move of the slider replays one row alone, up to the event and up to just before it. The log is sorted by
stream, so this reads a few blocks of it, however many events there are. What cannot be had from one row is
worked out once, when a time travel begins: where rows appear and vanish (`RowCounts`), and the streams in
which each key of a payload occurs (`Steps` keeps them in the workspace).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from workbench._sql import any_of, ident, literal
from workbench.analysis.definition import Definition, replay_rows
from workbench.analysis.kept import KeptTable
from workbench.errors import MomentError, WorkbenchError
from workbench.moments import Moment
from workbench.projections.engines.ordering import Applied, applied
from workbench.projections.fold import Fold
from workbench.store.fields import DUCK_TYPES, field
from workbench.store.table import Table
from workbench.store.view import EVENTS, View
from workbench.ui.opened import PAYLOAD

Row = dict[str, Any]
Positions = npt.NDArray[np.int64]

MANY_STREAMS: Final = 1_000
"""A key that occurs in more streams than these is looked for in the whole log."""

_EVENT: Final = (
    *("position", "stream_id", "stream_type", "version", "event_type", "schema_version"),
    *("occurred_at", "recorded_at", "actor", "correlation_id", "causation_id"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """An event, and what it made of the row that it touches.

    Attributes
    ----------
    event
        Its columns; ``data`` is the payload's text as far as it was read, ``data_length`` its whole length.
    key
        Of the row; None where the event says none.
    before, after
        The row as a replay gives it just before the event, and at it; None: there is no such row.
    applied
        Whether the definition applies the event at all; otherwise ``why_not`` says why.
    previous, following
        The positions of the events of the same row (or stream, where there is no key) before and after this.
    error
        Why a replay failed, if it did: ``after`` is not known then.
    """

    event: dict[str, Any]
    key: Row | None
    before: Row | None
    after: Row | None
    applied: bool
    why_not: str
    previous: int | None
    following: int | None
    error: WorkbenchError | None = None


class Steps:
    """Gives the step at any position of a view, for one definition."""

    def __init__(self, view: View, definition: Definition) -> None:
        self._view = view
        self._definition = definition
        self._keys = {name: view.read(item).value for name, item in definition.key.items()}
        self._streams: str | None = None
        if not definition.by_stream:
            touched = touching(view, definition, {"wb_stream": "stream_id"}).sql
            self._streams = view.database.keep(
                f"SELECT DISTINCT {self._hash(map(ident, self._keys))} AS key_hash, wb_stream "
                f"FROM ({touched}) ORDER BY key_hash",
                self,
                prefix="streams_of_key",
            )

    def at(self, position: int) -> Step:
        """Return the step of the event at a position of the view."""
        event, key = self._event(position)
        missing = [name for name, value in key.items() if value is None]
        why_not = self._why_not(event, missing)
        scope = self._view.where(stream=event["stream_id"]) if missing else self.scope(key)
        before = after = error = None
        if not missing:
            try:
                before = self._row(scope, position - 1)
                # An event that is not applied leaves the row as it was.
                after = before if why_not else self._row(scope, position)
            except WorkbenchError as failure:
                error = failure
        previous, following = self._view.rows(
            f"SELECT max(position) FILTER (position < {position}), min(position) FILTER (position > {position}) "
            f"FROM {EVENTS} WHERE {scope.filter}"
        )[0]
        return Step(
            event,
            None if missing else key,
            before,
            after,
            not why_not,
            why_not,
            previous,
            following,
            error,
        )

    def scope(self, key: Row) -> View:
        """Narrow the view to the events of one row."""
        view = self._view
        if self._streams is not None:
            found = view.rows(
                f"SELECT wb_stream FROM {self._streams} "
                f"WHERE key_hash = {self._hash(map(literal, key.values()))} LIMIT {MANY_STREAMS + 1}"
            )
            if len(found) <= MANY_STREAMS:
                streams = [row[0] for row in found]
                view = view.narrowed(any_of("stream_id", streams), "in the streams of the row")
        for name, value in key.items():
            view = view.narrowed(f"{self._keys[name]} = {literal(value)}", f"{name} = {value}")
        return view

    def _hash(self, values: Iterable[str]) -> str:
        """Hash a key; a stream that another key of the same hash brings along costs a little time, no more."""
        typed = [
            f"CAST({value} AS {DUCK_TYPES[item.type]})"
            for value, item in zip(values, self._definition.key.values(), strict=True)
        ]
        return f"hash({', '.join(typed)})"

    def _event(self, position: int) -> tuple[dict[str, Any], Row]:
        data = f"CAST({self._view.read(field('event.data')).value} AS VARCHAR)"
        version = self._view.read(field("event.schema_version")).value
        keys = [f"{value} AS {ident(f'key_{name}')}" for name, value in self._keys.items()]
        columns = [version if name == "schema_version" else name for name in _EVENT]
        rows = self._view.rows(
            f"SELECT {', '.join(columns)}, left({data}, {PAYLOAD + 1}), length({data}), {', '.join(keys)} "
            f"FROM {EVENTS} WHERE position = {position} AND {self._view.filter}"
        )
        if (
            not rows
        ):  # the view has changed under us, or a caller asked for a position that it has not
            message = (
                f"{self._view.database.label}: this view has no event at position {position:,}."
            )
            raise MomentError(message, hint="log.where(…).df() lists the positions that there are")
        names = (*_EVENT, "data", "data_length")
        (row,) = rows
        event = dict(zip(names, row[: len(names)], strict=True))
        return event, dict(zip(self._keys, row[len(names) :], strict=True))

    def _why_not(self, event: dict[str, Any], missing: Sequence[str]) -> str:
        definition = self._definition
        if definition.types is not None and event["event_type"] not in definition.types:
            return f"{definition.name} does not apply {event['event_type']}"
        if definition.stream_type not in (None, event["stream_type"]):
            return f"{definition.name} applies only streams of type {definition.stream_type}"
        if missing:
            return f"the event has no {' and no '.join(missing)}, so it touches no row"
        return ""

    def _row(self, scope: View, position: int) -> Row | None:
        rows = replay_rows(self._definition, scope, Moment(position=position))
        found = KeptTable.of(scope.database, rows, title=self._definition.name).rows()
        return found[0] if found else None


class RowCounts:
    """How many rows a definition has at any position: worked out once, in one pass over the log."""

    def __init__(self, view: View, definition: Definition) -> None:
        touched = touching(view, definition, {})
        found = Table(view.database, _lives(touched, definition), title="lives").arrow()
        position = found["position"].to_numpy()
        begins = found["begins"].to_numpy()
        self._begins: Positions = np.sort(position[begins])
        self._ends: Positions = np.sort(position[~begins])

    def at(self, position: int) -> int:
        """Return the number of rows at a position."""
        begun = np.searchsorted(self._begins, position, side="right")
        return int(begun - np.searchsorted(self._ends, position, side="right"))


def touching(view: View, definition: Definition, columns: dict[str, str]) -> Applied:
    """Select all events that touch rows, as a replay to the end does."""
    types = definition.types
    named = definition.types if isinstance(definition, Fold) else definition.named
    return applied(
        view,
        key=definition.key,
        types=types,
        named=named,
        stream_type=definition.stream_type,
        moment=Moment(),
        columns=columns,
    )


def _lives(events: Applied, definition: Definition) -> str:
    """Where rows appear (``begins``) and vanish, by position.

    A row is there when, of the events up to a position, one comes after the last that ends it: in the
    order in which they apply, which need not be that of their positions.
    """
    keys = ", ".join(map(ident, definition.key))
    touched = f"touched AS (SELECT {keys}, position FROM ({events.sql}))"
    first = f"SELECT min(position) AS position, TRUE AS begins FROM touched GROUP BY {keys}"
    if not definition.ends:
        return f"WITH {touched} {first}"
    ends = events.is_one_of(definition.ends)
    past = f"OVER (PARTITION BY {keys} ORDER BY position ROWS UNBOUNDED PRECEDING)"
    return (
        f"WITH applied AS (SELECT {keys}, position, ord, {ends} AS is_end FROM ({events.sql})), "
        f"ended AS (SELECT DISTINCT {keys} FROM applied WHERE is_end), "
        # Rows end seldom: those that never do need no window.
        f"touched AS (FROM applied ANTI JOIN ended USING ({keys})), "
        f"states AS (SELECT {keys}, position, coalesce(max(ord) FILTER (NOT is_end) {past} > "
        f"coalesce(max(ord) FILTER (is_end) {past}, -9223372036854775808), FALSE) AS alive "
        f"FROM applied SEMI JOIN ended USING ({keys})), "
        f"changes AS (SELECT position, alive, lag(alive, 1, FALSE) "
        f"OVER (PARTITION BY {keys} ORDER BY position) AS was FROM states) "
        f"{first} UNION ALL SELECT position, alive FROM changes WHERE alive <> was"
    )


def positions(view: View) -> Positions | range:
    """Return the positions of a view's events, in order; a range where none is missing between them."""
    count, first, last = view.rows(
        f"SELECT count(*), min(position), max(position) FROM {EVENTS} WHERE {view.filter}"
    )[0]
    if count and count == last - first + 1:
        return range(first, last + 1)
    sql = f"SELECT position FROM {EVENTS} WHERE {view.filter} ORDER BY position"
    found: Positions = Table(view.database, sql, title="positions").arrow()["position"].to_numpy()
    return found
