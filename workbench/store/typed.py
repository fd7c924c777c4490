"""Typed columns: fields that definitions name, read out of the payloads once, so that replays need no JSON.

Nothing here changes what the log says. The payload stays the truth: a value that does not fit its column is
NULL there and counted as a misfit, and a field with misfits is read from the payload again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import duckdb

from workbench._sql import ident
from workbench.store import schema
from workbench.store.fields import DUCK_TYPES, Field
from workbench.store.transaction import transaction

Con = duckdb.DuckDBPyConnection

NARROW: Final = "DECIMAL(18,4)"
"""Money mostly fits a machine integer, which is several times faster to sum than a wide decimal."""

_TABLES: Final = ("events_base", "events_tail")


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """One typed column of ``events``.

    Attributes
    ----------
    narrow
        A decimal field in a machine integer; widened when a value does not fit.
    misfits
        Values that are in payloads but do not fit.
    """

    field: Field
    narrow: bool
    misfits: int

    @property
    def name(self) -> str:
        """The column's name in ``events``."""
        return self.field.typed_column

    @property
    def duck_type(self) -> str:
        """The column's type."""
        return NARROW if self.narrow else DUCK_TYPES[self.field.type]

    @property
    def value_sql(self) -> str:
        """How the column is read out of a payload; NULL when absent or a misfit."""
        if not self.narrow:
            return self.field.value_sql
        return self.field.read_sql(
            lambda raw: (
                f"CASE WHEN regexp_full_match({raw}, '-?\\d{{1,14}}(\\.\\d{{1,4}}0*)?') THEN try_cast({raw} AS {NARROW}) END"
            )
        )


def columns(con: Con) -> list[TypedColumn]:
    """Return the typed columns of a log."""
    rows = con.execute(
        "SELECT path, type, narrow, misfits FROM log.main.typed_columns ORDER BY column_name"
    ).fetchall()
    found = []
    for path, kind, narrow, misfits in rows:
        column, _, inner = path.partition(".")
        found.append(TypedColumn(Field(column, inner, kind), narrow, misfits))
    return found


def prepare(con: Con, fields: Iterable[Field]) -> list[str]:
    """Give fields typed columns, filled from the payloads; return the names of the new ones."""
    # Keys of JSON tell cases apart, names of columns do not: of amount and Amount one goes on being read
    # from the payload.
    known = {column.name.lower() for column in columns(con)}
    wanted: dict[str, Field] = {}
    for item in fields:
        if item.path and item.type != "json":
            wanted.setdefault(item.typed_column.lower(), item)
    new = [
        TypedColumn(item, item.type == "decimal", 0)
        for name, item in wanted.items()
        if name not in known
    ]
    if not new:
        return []
    with transaction(con):
        for column in new:
            _add(con, column)
        schema.define_view(con)
    widen(con)
    return [column.name for column in new]


def widen(con: Con) -> None:
    """Rebuild narrow columns that have met a value which does not fit."""
    tight = [column for column in columns(con) if column.narrow and column.misfits]
    if not tight:
        return
    with transaction(con):
        for column in tight:
            for table in _TABLES:
                con.execute(f"ALTER TABLE log.main.{table} DROP COLUMN {ident(column.name)}")
            con.execute("DELETE FROM log.main.typed_columns WHERE column_name = ?", [column.name])
            _add(con, TypedColumn(column.field, narrow=False, misfits=0))
        schema.define_view(con)


def count_misfits(con: Con, table: str) -> None:
    """Add up the misfits of rows that have just been read into a table of the same columns."""
    for column in columns(con):
        if column.field.may_be_unusable:
            con.execute(
                "UPDATE log.main.typed_columns SET misfits = misfits + "
                f"(SELECT count(*) FROM {table} WHERE {_misfits(column)}) WHERE column_name = ?",
                [column.name],
            )


def _add(con: Con, column: TypedColumn) -> None:
    misfits = 0
    for table in _TABLES:
        con.execute(
            f"ALTER TABLE log.main.{table} ADD COLUMN {ident(column.name)} {column.duck_type}"
        )
        con.execute(f"UPDATE log.main.{table} SET {ident(column.name)} = {column.value_sql}")
        counted = con.execute(f"SELECT count(*) FROM log.main.{table} WHERE {_misfits(column)}")
        misfits += counted.fetchall()[0][0]
    con.execute(
        "INSERT INTO log.main.typed_columns VALUES (?, ?, ?, ?, ?)",
        [
            column.name,
            f"{column.field.column}.{column.field.path}",
            column.field.type,
            column.narrow,
            misfits,
        ],
    )


def _misfits(column: TypedColumn) -> str:
    return f"{ident(column.name)} IS NULL AND {column.field.present_sql}"
