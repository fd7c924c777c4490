"""What an adapter says of a format whose dead letters are rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from workbench._sql import aware_time, ident, text
from workbench.sources.dead_letters.expressions import Expr, reachable

_TEXT: Final = "VARCHAR"
_MICROSECONDS: Final = "TIMESTAMP"


def plain(name: str) -> str:
    """Spell a column as all stores have it in common.

    >>> plain("deadLetterId") == plain("dead_letter_id") == plain("DEADLETTERID")
    True
    """
    return name.replace("_", "").lower()


class Row:
    """The columns of a table, by name; one that is not there is unknown.

    Parameters
    ----------
    types
        Column -> DuckDB type.
    timezone
        How to read times without an offset.
    """

    def __init__(self, types: Mapping[str, str], timezone: str | None = None) -> None:
        self._columns = {plain(name): (name, kind) for name, kind in types.items()}
        self._timezone = timezone

    def __contains__(self, name: str) -> bool:
        return plain(name) in self._columns

    def word(self, *names: str) -> Expr:
        """Read a column as text: the first of these names that the table has."""
        for name in names:
            if name in self:
                column, kind = self._columns[plain(name)]
                if kind == "BLOB":
                    return Expr(f"try(decode({ident(column)}))")
                return Expr(f"CAST({ident(column)} AS VARCHAR)")
        return Expr("NULL")

    def blob(self, name: str) -> Expr:
        """Read a column as the bytes that it holds."""
        if name not in self:
            return Expr("NULL")
        column, kind = self._columns[plain(name)]
        sql = ident(column) if kind == "BLOB" else f"encode(CAST({ident(column)} AS VARCHAR))"
        return Expr(sql)

    def whole(self, *names: str) -> Expr:
        """Read a column as a whole number."""
        return self.word(*names).then("try_cast({} AS BIGINT)")

    def json(self, name: str) -> Expr:
        """Read a column as JSON text; NULL where it holds something else."""
        return self.word(name).once().then("CASE WHEN json_valid({}) THEN {} END").once()

    def time(self, name: str) -> Expr:
        """Read a column as a time."""
        if name not in self:
            return Expr("NULL")
        column, kind = self._columns[plain(name)]
        value = ident(column)
        if kind == "TIMESTAMP WITH TIME ZONE":
            parsed = Expr(value)
        elif kind.startswith(_MICROSECONDS):
            zone = self._timezone
            parsed = Expr(f"timezone({text(zone)}, {value})" if zone else "NULL::TIMESTAMPTZ")
        else:
            parsed = Expr(f"try({aware_time(f'CAST({value} AS VARCHAR)')})").once()
        said = f"{text(f'{column} is not a time with an offset: ')} || left(CAST({value} AS VARCHAR), 80)"
        return parsed.then(reachable(parsed.sql)).once().or_say(Expr(value), said)

    def others(self, *taken: str) -> Expr:
        """Keep all other columns, as headers: nothing of a row is lost."""
        left_out = {plain(name) for name in taken}
        pairs = [
            f"{{'name': {text(column)}, 'value': {self.blob(column).sql}}}"
            for name, (column, _) in self._columns.items()
            if name not in left_out
        ]
        return Expr(
            f"list_filter([{', '.join(pairs)}], lambda h: h.value IS NOT NULL)" if pairs else "NULL"
        )


def _as_it_is(rows: pa.Table) -> pa.Table:
    return rows


@dataclass(frozen=True, slots=True)
class TableFormat:
    """A format of dead letters that are rows.

    Attributes
    ----------
    name
        As it stands in ``format``.
    table
        The table's usual name; coordinates begin with it.
    needs
        A table of this format has all of these columns.
    order
        Which columns put the rows in the order in which they came.
    columns
        Column of ``dead_letters`` -> how it is read. ``source_position`` is required.
    prepare
        Adds what SQL cannot read: columns whose names begin with an asterisk.
    """

    name: str
    table: str
    needs: tuple[str, ...]
    order: tuple[str, ...]
    columns: Callable[[Row], Mapping[str, Expr]]
    prepare: Callable[[pa.Table], pa.Table] = field(default=_as_it_is)
