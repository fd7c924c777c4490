"""Projections as DuckDB SQL: all rows at a moment, or every state that a row ever had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from workbench._sql import DECIMAL, ident, literal
from workbench.errors import ProjectionError
from workbench.moments import Clock, Moment
from workbench.projections.columns import (
    Aggregate,
    Arithmetic,
    Clipped,
    Column,
    Condition,
    Constant,
    Number,
    Rounded,
)
from workbench.projections.engines.ordering import Applied, applied
from workbench.projections.projection import Projection
from workbench.store.fields import Field
from workbench.store.view import View


@dataclass(frozen=True, slots=True)
class Compiled:
    """A query, and the clock that it runs on."""

    sql: str
    clock: Clock


def replay_sql(projection: Projection, view: View, moment: Moment) -> Compiled:
    """Compile to one row for each key, as of a moment.

    The query gives the key, the columns, then ``version`` and ``position`` up to which events were
    applied, and ``events``, the number of them.
    """
    reading = Reading(projection, view)
    events = applied(
        view,
        key=projection.key,
        types=projection.types,
        named=projection.named,
        stream_type=projection.stream_type,
        moment=moment,
        columns=reading.columns,
    )
    keys = ", ".join(ident(name) for name in projection.key)
    columns = [
        f"{_sql(column, reading, events, over='')} AS {ident(name)}"
        for name, column in projection.columns.items()
    ]
    version = "max(stream_version)" if events.by_stream else "count(*)"
    ctes = f"applied AS NOT MATERIALIZED ({events.sql})"
    alive = "applied"
    if projection.ends:
        # Rows end seldom: a small list of last ends beats a window over all events.
        ctes += (
            f", ended AS (SELECT {keys}, max(ord) AS last_end FROM applied "
            f"WHERE {events.is_one_of(projection.ends)} GROUP BY ALL)"
        )
        alive = f"applied LEFT JOIN ended USING ({keys}) WHERE last_end IS NULL OR ord > last_end"
    sql = (
        f"WITH {ctes} SELECT {keys}, {', '.join(columns)}, {version} AS version, "
        f"max(position) AS position, count(*) AS events FROM {alive} GROUP BY ALL"
    )
    return Compiled(sql, events.clock)


def history_sql(
    projection: Projection,
    view: View,
    moment: Moment,
    *,
    only: str | None = None,
    ends: bool = False,
) -> Compiled:
    """Compile to every state of every row, with the interval in which it was the state.

    The query gives the key, ``valid_from`` (inclusive), ``valid_to`` (exclusive; NULL: still), the
    ``event_type``, ``version`` and ``position`` that made the state, the columns, and ``events``.

    Parameters
    ----------
    only
        A query that gives key columns: states of these rows alone.
    ends
        Keep the events that end a row too, and add ``is_end`` and ``nth``, the number of the event in
        its row.
    """
    reading = Reading(projection, view)
    events = applied(
        view,
        key=projection.key,
        types=projection.types,
        named=projection.named,
        stream_type=projection.stream_type,
        moment=moment,
        columns=reading.columns,
        only=only,
    )
    keys = ", ".join(ident(name) for name in projection.key)
    is_end = events.is_one_of(projection.ends) if projection.ends else "FALSE"
    over = " OVER life"
    columns = [
        f"{_sql(column, reading, events, over=over)} AS {ident(name)}"
        for name, column in projection.columns.items()
    ]
    version = "stream_version" if events.by_stream else "count(*) OVER life"
    row = f"PARTITION BY {keys} ORDER BY ord ROWS UNBOUNDED PRECEDING"
    lives, life = "applied", row
    if projection.ends:
        # A life of a row goes from its first event, or the first after an end, up to the next end.
        lives = (
            "(SELECT *, coalesce(sum(is_end::INTEGER) OVER "
            f"(PARTITION BY {keys} ORDER BY ord ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS life FROM applied)"
        )
        life = f"PARTITION BY {keys}, life ORDER BY ord ROWS UNBOUNDED PRECEDING"
    sql = (
        f"WITH applied AS (SELECT *, {is_end} AS is_end FROM ({events.sql})), states AS (SELECT {keys}, "
        # A clock that runs backwards in a row must not give it two states at once.
        f"max(moment) OVER past AS valid_from, event_type, {version} AS version, position, "
        f"{', '.join(columns)}, count(*) OVER life AS events, is_end, row_number() OVER past AS nth "
        f"FROM {lives} WINDOW past AS ({row}), life AS ({life})), "
        f"history AS (SELECT {keys}, valid_from, lead(valid_from) OVER (PARTITION BY {keys} ORDER BY nth) AS valid_to, "
        f"* EXCLUDE ({keys}, valid_from) FROM states) "
        f"{'FROM history' if ends else 'SELECT * EXCLUDE (is_end, nth) FROM history WHERE NOT is_end'}"
    )
    return Compiled(sql, events.clock)


class Reading:
    """The values that the columns read from an event, each computed once under a name of its own."""

    def __init__(self, projection: Projection, view: View) -> None:
        self.columns: dict[str, str] = {}
        self._view = view
        self._names: dict[Field, tuple[str, str | None]] = {}
        for item in projection.aggregates:
            if item.field is not None:
                self._add(item.field)
            for condition, _, _ in item.where.parts if item.where is not None else ():
                self._add(condition)

    def _add(self, field: Field) -> None:
        if field in self._names:
            return
        reader = self._view.read(field)
        name = f"value_{len(self._names)}"
        self.columns[name] = reader.value
        unusable = None
        if reader.unusable is not None:
            unusable = f"unusable_{len(self._names)}"
            self.columns[unusable] = reader.unusable
        self._names[field] = (name, unusable)

    def value(self, field: Field) -> str:
        """The column that holds a field's value."""
        return self._names[field][0]

    def unusable(self, fields: list[Field]) -> list[str]:
        """The columns that say that a value of one of these fields is there and does not fit."""
        return [name for name in (self._names[field][1] for field in fields) if name]


def column_sql(column: Column, aggregate: Callable[[Aggregate], str]) -> str:
    """Write a column; ``aggregate`` says what each aggregate under it is."""
    match column:
        case Constant(value):
            return _number(value)
        case Arithmetic("/", left, right):
            return f"({column_sql(left, aggregate)} / nullif({column_sql(right, aggregate)}, 0))"
        case Arithmetic(operator, left, right):
            return f"({column_sql(left, aggregate)} {operator} {column_sql(right, aggregate)})"
        case Clipped(inner, low, high):
            # least and greatest skip NULL; a column that is unknown stays unknown.
            sql = column_sql(inner, aggregate)
            bounded = sql if low is None else f"greatest({sql}, {_number(low)})"
            bounded = bounded if high is None else f"least({bounded}, {_number(high)})"
            return f"CASE WHEN {sql} IS NOT NULL THEN {bounded} END"
        case Rounded(inner, places):
            return f"round({column_sql(inner, aggregate)}, {places})"
        case Aggregate():
            return aggregate(column)
        case _:
            message = f"{type(column).__name__} is no column that can be compiled to SQL."
            raise ProjectionError(
                message, hint="build columns from total, count, latest, … and arithmetic"
            )


def _sql(column: Column, reading: Reading, events: Applied, *, over: str) -> str:
    return column_sql(column, lambda item: _aggregate(item, reading, events, over))


def _number(value: Number) -> str:
    # Without an exponent: DuckDB takes 1E+2 for a DOUBLE.
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _aggregate(column: Aggregate, reading: Reading, events: Applied, over: str) -> str:
    on = events.is_one_of(column.on)
    conditions = [] if on == "TRUE" else [on]
    read = [] if column.field is None else [column.field]
    if column.where is not None:
        conditions += [condition_sql(column.where, reading)]
    when = " AND ".join(conditions) or "TRUE"
    value = "" if column.field is None else reading.value(column.field)
    chosen = f"FILTER (WHERE {when}){over}" if conditions else over
    match column.kind:
        case "total":
            sql = f"coalesce(sum({value}) {chosen}, 0)"
        case "count":
            sql = f"count({value or '*'}) {chosen}"
        case "latest":
            # NULL is passed over by both. In a window the frame ends at the row, so the last value so far is what counts.
            sql = (
                f"last_value(CASE WHEN {when} THEN {value} END IGNORE NULLS){over}"
                if over
                else f"arg_max({value}, ord) {chosen}"
            )
        case "first":
            sql = (
                f"first_value(CASE WHEN {when} THEN {value} END IGNORE NULLS){over}"
                if over
                else f"arg_min({value}, ord) {chosen}"
            )
        case "largest":
            sql = f"max({value}) {chosen}"
        case "smallest":
            sql = f"min({value}) {chosen}"
        case "collect":
            present = " AND ".join([*conditions, f"{value} IS NOT NULL"])
            order = "" if over else " ORDER BY ord"
            sql = f"coalesce(list({value}{order}) FILTER (WHERE {present}){over}, [])"
    if column.field is not None and column.field.type == "decimal" and column.kind != "count":
        # The same type whether the field was read from a narrow column or from the payload.
        sql = f"CAST({sql} AS {DECIMAL}{'[]' if column.kind == 'collect' else ''})"
    # With a value that is there but cannot be read, the result is not known; a wrong one is worse.
    broken = reading.unusable(
        [*read, *((part[0] for part in column.where.parts) if column.where is not None else ())]
    )
    if column.kind == "count" and column.where is None:
        broken = []
    for name in broken:
        sql = f"CASE WHEN count(*) FILTER (WHERE {on} AND {name}){over} = 0 THEN {sql} END"
    return sql


def condition_sql(condition: Condition, reading: Reading) -> str:
    """Write a condition over the values that were read; never NULL."""
    return " AND ".join(
        f"coalesce({reading.value(field)} {operator} {literal(value)}, FALSE)"
        for field, operator, value in condition.parts
    )
