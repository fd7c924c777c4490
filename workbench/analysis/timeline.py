"""Timeline: the events of one stream in order, and the state that each of them left behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from workbench._sql import any_of, ident
from workbench.analysis.definition import Definition, check, columns_of
from workbench.analysis.history import History, history
from workbench.moments import Clock, Moment
from workbench.store.table import Table
from workbench.store.view import EVENTS, View

_COLUMNS: Final = (
    *("version", "position", "occurred_at", "recorded_at", "event_type", "actor"),
    *("correlation_id", "causation_id", "data"),
)


class Timeline(Table):
    """The events of one stream, in the order in which they apply.

    Columns: ``version``, ``position``, ``occurred_at`` and ``recorded_at`` (TIMESTAMPTZ, UTC), ``event_type``,
    ``actor``, ``correlation_id``, ``causation_id``, ``data`` (JSON, as received). With a definition, then its
    columns as they stood after the event: unchanged by an event that it does not handle, NULL before the
    first one and once the row has ended.

    Attributes
    ----------
    stream
        The stream.
    definition
        The Projection or Fold, if there is one.
    state
        The names of the state's columns here. One that an event has too is called ``state_actor``.
    clock
        The clock that the log runs on; None when it knows the time of none of these events.
    """

    stream: str
    definition: Definition | None
    state: tuple[str, ...]
    clock: Clock | None


def timeline(
    view: View,
    stream: str,
    definition: Definition | None = None,
    *,
    moment: Moment | None = None,
) -> Timeline:
    """List the events of one stream, up to a moment.

    Parameters
    ----------
    view
        The events.
    stream
        Its id.
    definition
        A Projection or a Fold with one row a stream: its state is shown after each event.
    moment
        The cut-off; by default the end of the log. On the occurred clock events come in the order in which
        they happened, otherwise in the order of their versions.

    Returns
    -------
    Timeline

    Raises
    ------
    StreamNotFound
        There is no such stream; the message names those with close names.
    ProjectionError
        The definition's rows are not streams.
    """
    cut = moment or Moment()
    view.require_stream(stream)
    scope = view.where(stream=stream)
    events = scope.until(cut)
    order = "version, position" if cut.clock != "occurred" else "occurred_at, version, position"
    states = None if definition is None else history(view, check(definition), cut, stream=stream)
    columns = [] if states is None else columns_of(states.definition, list(states.columns))
    named = _named(columns)
    result = Timeline(
        view.database,
        _events_sql(events, order)
        if states is None
        else _states_sql(events, order, states, dict(zip(columns, named, strict=True))),
        title=f"Timeline of {stream}" + ("" if definition is None else f" with {definition.name}"),
        notes=() if states is None else states.notes,
    )
    result._owner = states  # a fold's rows live in the workspace as long as what is made from them
    result.stream, result.definition, result.state = stream, definition, named
    result.clock = _clock(events, cut)
    return result


def _events_sql(events: View, order: str) -> str:
    return f"SELECT {', '.join(_COLUMNS)} FROM {EVENTS} WHERE {events.filter} ORDER BY {order}"


def _states_sql(events: View, order: str, states: History, named: dict[str, str]) -> str:
    """Join the states by position, and keep each until the next one, or until the row ends.

    A state is carried on as a whole: a column that is NULL in it stays NULL.
    """
    listed = ", ".join(_COLUMNS)
    kept = ", ".join(ident(name) for name in ("position", *named))
    shown = "".join(f", state.{ident(column)} AS {ident(name)}" for column, name in named.items())
    ends = any_of("event_type", states.definition.ends)
    return (
        f"WITH states AS (SELECT {kept} FROM ({states._query})), "
        f"ordered AS (SELECT {listed}, row_number() OVER (ORDER BY {order}) AS ord "
        f"FROM {EVENTS} WHERE {events.filter}), "
        f"lives AS (SELECT ordered.*, count(*) FILTER (WHERE {ends}) "
        "OVER (ORDER BY ord ROWS UNBOUNDED PRECEDING) AS life, "
        "CASE WHEN states.position IS NOT NULL THEN states END AS made "
        "FROM ordered LEFT JOIN states USING (position)), "
        "after AS (SELECT *, last_value(made IGNORE NULLS) "
        "OVER (PARTITION BY life ORDER BY ord ROWS UNBOUNDED PRECEDING) AS state FROM lives) "
        f"SELECT {listed}{shown} FROM after ORDER BY ord"
    )


def _named(columns: Sequence[str]) -> tuple[str, ...]:
    """Name the state's columns so that none is taken for a column of the event."""
    taken = {*_COLUMNS, *columns}
    found = []
    for column in columns:
        name = column
        while name in _COLUMNS or (name != column and name in taken):
            name = f"state_{name}"
        found.append(name)
    return tuple(found)


def _clock(events: View, moment: Moment) -> Clock | None:
    """Choose the clock that the log runs on, if it knows any of these events."""
    clock = events.clock(moment.clock)
    timed = f"SELECT count({clock}_at) FROM {EVENTS} WHERE {events.filter}"
    return clock if events.rows(timed)[0][0] else None
