"""In which order the events of a row are applied, and what its version is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench._sql import any_of, ident, text
from workbench.moments import Clock, Moment
from workbench.projections.projection import by_stream
from workbench.store.fields import Field
from workbench.store.view import EVENTS, View


@dataclass(frozen=True, slots=True)
class Applied:
    """The events that a definition applies, up to a moment, as SQL.

    Attributes
    ----------
    sql
        A query: ``ord`` (ascending in each row), ``position``, ``stream_version``, ``event_type``, ``moment``
        (the time on ``clock``), ``is_end``, the key columns, and the columns that were asked for.
    clock
        The clock of ``moment``.
    view
        The view, cut at the moment.
    by_stream
        Whether a row is a stream.
    in_physical_order
        Whether a settled log's rows lie in the order of key and ``ord``.
    """

    sql: str
    clock: Clock
    view: View
    by_stream: bool
    in_physical_order: bool


def applied(
    view: View,
    *,
    key: Mapping[str, Field],
    types: tuple[str, ...] | None,
    ends: tuple[str, ...],
    stream_type: str | None,
    moment: Moment,
    columns: Mapping[str, str],
) -> Applied:
    """Select the events that touch rows, with their order.

    On the recorded clock events apply as the log has them: by version in a stream, by position across
    streams. When the occurred clock is asked for, they apply in the order in which they happened.
    """
    cut = view.until(moment)
    if stream_type is not None:
        cut = cut.narrowed(f"stream_type = {text(stream_type)}", f"stream_type = {stream_type}")
    if types is not None:
        cut = cut.narrowed(any_of("event_type", types), "the types that it handles")
    clock = view.clock(moment.clock)
    whole = by_stream(key)
    physical = False
    keys = {name: view.read(field).value for name, field in key.items()}
    listed = [f"{expression} AS {ident(name)}" for name, expression in keys.items()]
    listed += [f"{expression} AS {ident(name)}" for name, expression in columns.items()]
    partition = ", ".join(keys.values())
    if moment.clock == "occurred":
        within = "occurred_at, version, position" if whole else "occurred_at, position"
        order = f"row_number() OVER (PARTITION BY {partition} ORDER BY {within})"
    elif not whole:
        order = "position"
    elif view.versions_order_streams:
        order, physical = "version", True
    else:
        order = f"row_number() OVER (PARTITION BY {partition} ORDER BY version, position)"
    known = " AND ".join(f"{expression} IS NOT NULL" for expression in keys.values())
    is_end = any_of("event_type", ends) if ends else "FALSE"
    sql = (
        f"SELECT {', '.join(listed)}, {order} AS ord, position, version AS stream_version, event_type, "
        f"{clock}_at AS moment, {is_end} AS is_end FROM {EVENTS} WHERE {cut.filter}"
    )
    if not whole:  # an event without the key touches no row; a stream's id is never NULL
        sql += f" AND {known}"
    return Applied(sql, clock, cut, whole, physical)
