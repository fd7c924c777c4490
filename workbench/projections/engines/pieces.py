"""A projection in pieces: what each of its aggregates is over some events of a row, and how pieces join.

Every aggregate can be joined from what it is over one stretch of events and over the next: sums add, the
latest is that of the later stretch, lists follow each other. So the row that a *changed* run of events would
give (one left out, one had twice, two swapped) follows from pieces that are computed once, without folding
anything again. In algebra they are monoids; Bird, "The promotion and accumulation strategies" (1984), and
every segment tree use the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workbench._sql import DECIMAL
from workbench.projections.columns import Aggregate, Arithmetic, Column, Constant
from workbench.projections.engines.duckdb_sql import Reading, column_sql, condition_sql
from workbench.projections.engines.ordering import Applied
from workbench.projections.projection import Projection

#: Aggregates for which the order of events counts.
ORDERED: Final = ("latest", "first", "collect")


@dataclass(frozen=True, slots=True)
class Piece:
    """A table alias that holds one piece of a row in each of its rows.

    Attributes
    ----------
    alias
        Has the columns of :meth:`Pieces.units`, :meth:`Pieces.before` or :meth:`Pieces.after`.
    whole
        The alias of the table with the row's whole lists (see :meth:`Pieces.lists`).
    """

    alias: str
    whole: str = "w"


class Pieces:
    """The aggregates of a projection as SQL, piece by piece; ``a0``, ``a1``… in each table.

    The tables have a row's number as ``wb_k``, the number of an event in its row as ``wb_n`` (from 1), and
    ``wb_life``, which grows with each event that ends the row.
    """

    def __init__(self, projection: Projection, reading: Reading, events: Applied) -> None:
        self.projection = projection
        self._reading = reading
        self._events = events
        self.aggregates = projection.aggregates
        self._numbers = {item: number for number, item in enumerate(self.aggregates)}

    @property
    def has_lists(self) -> bool:
        """Whether any column collects values."""
        return any(item.kind == "collect" for item in self.aggregates)

    @property
    def is_ordered(self) -> bool:
        """Whether the order of events counts for any column."""
        return any(item.kind in ORDERED for item in self.aggregates)

    # -- tables ----------------------------------------------------------------------------------

    def units(self, reading: Reading | None = None, prefix: str = "") -> list[str]:
        """What one event is for each aggregate, over the columns of an applied event."""
        found = []
        for number, item in enumerate(self.aggregates):
            found.append(f"{self._unit(item, reading or self._reading)} AS {prefix}a{number}")
            found.append(f"{self._broken(item, reading or self._reading)} AS {prefix}b{number}")
        return found

    def unprefixed(self, prefix: str) -> str:
        """A list of columns that replaces the units by those that were laid out with a prefix."""
        names = [f"{kind}{number}" for number in range(len(self.aggregates)) for kind in "ab"]
        return ", ".join(f"{prefix}{name} AS {name}" for name in names)

    def before(self) -> list[str]:
        """Over the events of a life up to this one; ``wb_is_end`` says that it ends the life."""
        over = "OVER (PARTITION BY wb_k, wb_life ORDER BY wb_n ROWS UNBOUNDED PRECEDING)"
        return self._windows(over, is_before=True)

    def after(self) -> list[str]:
        """Over the events from this one to the last."""
        over = "OVER (PARTITION BY wb_k ORDER BY wb_n ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)"
        return self._windows(over, is_before=False)

    def nothing(self, count: str = "0") -> list[str]:
        """Over no event; ``count`` is where an empty piece of a list lies."""
        found = []
        for number, item in enumerate(self.aggregates):
            if item.kind == "collect":
                found += [f"{count} AS lo{number}", f"{count} AS hi{number}"]
            else:
                found.append(f"{'0' if item.kind in ('total', 'count') else 'NULL'} AS a{number}")
            found.append(f"0 AS b{number}")
        return found

    def lists(self, tape: str) -> str:
        """Each row's whole lists, over all of its events."""
        listed = [
            f"list(a{number} ORDER BY wb_n) FILTER (a{number} IS NOT NULL) AS list{number}"
            for number, item in enumerate(self.aggregates)
            if item.kind == "collect"
        ]
        return f"SELECT {', '.join(['wb_k', *listed])} FROM {tape} GROUP BY wb_k"

    def _unit(self, item: Aggregate, reading: Reading) -> str:
        value = "" if item.field is None else reading.value(item.field)
        when = self._when(item, reading)
        match item.kind:
            case "total":
                chosen = f"coalesce(CASE WHEN {when} THEN {value} END, 0)"
                is_decimal = item.field is not None and item.field.type == "decimal"
                return f"CAST({chosen} AS {DECIMAL})" if is_decimal else chosen
            case "count":
                present = f" AND {value} IS NOT NULL" if value else ""
                return f"CAST(CASE WHEN {when}{present} THEN 1 ELSE 0 END AS BIGINT)"
            case _:
                return f"CASE WHEN {when} THEN {value} END"

    def _when(self, item: Aggregate, reading: Reading) -> str:
        conditions = [self._events.is_one_of(item.on)]
        if item.where is not None:
            conditions.append(condition_sql(item.where, reading))
        return " AND ".join(conditions)

    def _broken(self, item: Aggregate, reading: Reading) -> str:
        """Whether a value that the aggregate needs is there and cannot be read (as a replay has it)."""
        if item.kind == "count" and item.where is None:
            return "0"
        fields = [] if item.field is None else [item.field]
        if item.where is not None:
            fields += [part[0] for part in item.where.parts]
        names = reading.unusable(fields)
        if not names:
            return "0"
        any_of = " OR ".join(f"coalesce({name}, FALSE)" for name in names)
        return f"CASE WHEN {self._events.is_one_of(item.on)} AND ({any_of}) THEN 1 ELSE 0 END"

    def _windows(self, over: str, *, is_before: bool) -> list[str]:
        found = []
        for number, item in enumerate(self.aggregates):
            column = f"a{number}"
            if item.kind == "collect":
                found += self._slices(number, is_before=is_before)
            else:
                functions = {
                    "total": f"sum({column}) {over}",
                    "count": f"sum({column}) {over}",
                    "largest": f"max({column}) {over}",
                    "smallest": f"min({column}) {over}",
                    "latest": f"last_value({column} IGNORE NULLS) {over}",
                    "first": f"first_value({column} IGNORE NULLS) {over}",
                }
                found.append(f"{self._alive(functions[item.kind], item, is_before)} AS {column}")
            broken = f"sum(b{number}) {over}"
            found.append(
                f"{f'CASE WHEN wb_is_end THEN 0 ELSE {broken} END' if is_before else broken} AS b{number}"
            )
        return found

    def _alive(self, value: str, item: Aggregate, is_before: bool) -> str:
        if not is_before:
            return value
        return f"CASE WHEN wb_is_end THEN {'0' if item.kind in ('total', 'count') else 'NULL'} ELSE {value} END"

    def _slices(self, number: int, *, is_before: bool) -> list[str]:
        """A piece of a list is a slice of the row's whole list: lists of all prefixes would fill memory."""
        up_to = f"count(a{number}) OVER (PARTITION BY wb_k ORDER BY wb_n ROWS UNBOUNDED PRECEDING)"
        own = f"(a{number} IS NOT NULL)::BIGINT"
        if not is_before:
            return [
                f"{up_to} - {own} AS lo{number}",
                f"count(a{number}) OVER (PARTITION BY wb_k) AS hi{number}",
            ]
        in_life = f"count(a{number}) OVER (PARTITION BY wb_k, wb_life ORDER BY wb_n ROWS UNBOUNDED PRECEDING)"
        return [
            f"{up_to} - CASE WHEN wb_is_end THEN 0 ELSE {in_life} END AS lo{number}",
            f"{up_to} AS hi{number}",
        ]

    def unit_slices(self) -> list[str]:
        """The slices that single events are of the whole list; beside :meth:`units`."""
        found = []
        for number, item in enumerate(self.aggregates):
            if item.kind == "collect":
                up_to = f"count(a{number}) OVER (PARTITION BY wb_k ORDER BY wb_n ROWS UNBOUNDED PRECEDING)"
                found += [
                    f"{up_to} - (a{number} IS NOT NULL)::BIGINT AS lo{number}",
                    f"{up_to} AS hi{number}",
                ]
        return found

    # -- joining ---------------------------------------------------------------------------------

    def column(self, name: str, pieces: Sequence[Piece]) -> str:
        """Write a column of the projection over pieces that follow each other."""
        return column_sql(self.projection.columns[name], lambda item: self._joined(item, pieces))

    def _joined(self, item: Aggregate, pieces: Sequence[Piece]) -> str:
        number = self._numbers[item]
        parts = [f"{piece.alias}.a{number}" for piece in pieces]
        match item.kind:
            case "total" | "count":
                sql = f"({' + '.join(parts)})"
            case "latest":
                sql = f"coalesce({', '.join(reversed(parts))})"
            case "first":
                sql = f"coalesce({', '.join(parts)})"
            case "largest" | "smallest":
                # Both skip NULL.
                function = "greatest" if item.kind == "largest" else "least"
                sql = f"{function}({', '.join(parts)})" if len(parts) > 1 else parts[0]
            case "collect":
                sql = " || ".join(
                    f"coalesce(list_slice({piece.whole}.list{number}, {piece.alias}.lo{number} + 1, {piece.alias}.hi{number}), [])"
                    for piece in pieces
                )
        if item.field is not None and item.field.type == "decimal" and item.kind != "count":
            sql = f"CAST({sql} AS {DECIMAL}{'[]' if item.kind == 'collect' else ''})"
        broken = " + ".join(f"{piece.alias}.b{number}" for piece in pieces)
        return f"CASE WHEN {broken} = 0 THEN {sql} END"

    def sum_of(self, name: str, alias: str) -> str:
        """A column of sums and counts over one piece, whatever is unreadable in it: what can be added and taken off."""
        return column_sql(
            self.projection.columns[name], lambda item: f"{alias}.a{self._numbers[item]}"
        )

    def sum_of_nothing(self, name: str) -> str:
        """The same over no event."""
        return column_sql(self.projection.columns[name], lambda _: "0")

    def broken(self, alias: str) -> str:
        """How many values of a piece cannot be read."""
        return " + ".join(f"{alias}.b{number}" for number in range(len(self.aggregates)))


def adds_up(column: Column) -> bool:
    """Whether a column over two stretches of events is what it is over one, plus over the other, less a constant."""
    match column:
        case Constant():
            return True
        case Aggregate():
            return column.kind in ("total", "count")
        case Arithmetic("+" | "-", left, right):
            return adds_up(left) and adds_up(right)
        case Arithmetic("*", left, right):
            return (isinstance(left, Constant) and adds_up(right)) or (
                isinstance(right, Constant) and adds_up(left)
            )
        case _:
            return False
