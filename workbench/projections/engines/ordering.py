"""In which order the events of a row are applied, and what its version is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench._sql import ident, text
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
        A query: ``ord`` (ascending in each row), ``position``, ``stream_version``, ``event_type``, ``kind``
        (its number among ``kinds``, from 1), ``moment`` (the time on ``clock``), the key columns, and the
        columns that were asked for.
    clock
        The clock of ``moment``.
    kinds
        The event types that have a number.
    only_kinds
        Whether all events are of these.
    by_stream
        Whether a row is a stream.
    in_physical_order
        Whether a settled log's rows lie in the order of key and ``ord``.
    """

    sql: str
    clock: Clock
    kinds: tuple[str, ...]
    only_kinds: bool
    by_stream: bool
    in_physical_order: bool

    def is_one_of(self, types: Sequence[str] | None) -> str:
        """A condition on ``kind``; ``TRUE`` where all events pass it."""
        if types is None or (self.only_kinds and set(types) >= set(self.kinds)):
            return "TRUE"
        numbers = [str(number) for number, kind in enumerate(self.kinds, 1) if kind in types]
        if not numbers:
            return "FALSE"
        listed = f"= {numbers[0]}" if len(numbers) == 1 else f"IN ({', '.join(numbers)})"
        return f"kind {listed}" if self.only_kinds else f"coalesce(kind {listed}, FALSE)"


def applied(
    view: View,
    *,
    key: Mapping[str, Field],
    types: tuple[str, ...] | None,
    named: tuple[str, ...],
    stream_type: str | None,
    moment: Moment,
    columns: Mapping[str, str],
    only: str | None = None,
) -> Applied:
    """Select the events that touch rows, with their order.

    On the recorded clock events apply as the log has them: by version in a stream, by position across
    streams. When the occurred clock is asked for, they apply in the order in which they happened.

    Parameters
    ----------
    types
        The types that touch a row; None: all.
    named
        The types that are told apart.
    only
        A query that gives key columns: events of these rows alone.
    """
    cut = view.until(moment)
    if stream_type is not None:
        cut = cut.narrowed(f"stream_type = {text(stream_type)}", f"stream_type = {stream_type}")
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
    # A number for each type: DuckDB computes it once for each entry of the column's dictionary, while it
    # compares strings (IN) for each event, which costs more than the rest of a replay.
    kinds = named if types is None else types
    number = f"list_position([{', '.join(map(text, kinds))}], event_type)" if kinds else "0"
    conditions = [cut.filter]
    if only is not None and whole:
        conditions.append(f"stream_id IN ({only})")
    if not whole:  # an event without the key touches no row; a stream's id is never NULL
        conditions += [f"{expression} IS NOT NULL" for expression in keys.values()]
    sql = (
        f"SELECT {', '.join(listed)}, {order} AS ord, position, version AS stream_version, event_type, "
        f"{number} AS kind, {clock}_at AS moment FROM {EVENTS} WHERE {' AND '.join(conditions)}"
    )
    if types is not None:
        sql = f"SELECT * FROM ({sql}) WHERE kind > 0"
    if only is not None and not whole:
        sql = f"SELECT * FROM ({sql}) SEMI JOIN ({only}) USING ({', '.join(map(ident, keys))})"
    return Applied(sql, clock, kinds, types is not None, whole, physical)
