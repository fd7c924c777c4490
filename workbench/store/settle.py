"""Putting a log's events in good physical order, and giving fields typed columns.

Nothing here changes what the log says; it is how fast the log answers. Each step is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import duckdb

from workbench._sql import ident
from workbench.event import COLUMNS
from workbench.store import schema
from workbench.store.fields import DUCK_TYPES, Field

Con = duckdb.DuckDBPyConnection

TAIL_ROWS: Final = 100_000
"""A tail up to here costs a reader nothing to speak of."""
TAIL_SHARE: Final = 0.25
"""Above this share of the base, the tail is merged: each event is rewritten a few times, not at each load."""


def settle(con: Con, *, force: bool = False) -> bool:
    """Merge the tail into the sorted base when it has grown; return whether it was."""
    base, tail = _rows(con, "events_base"), _rows(con, "events_tail")
    if tail == 0 or (not force and (tail <= TAIL_ROWS or tail <= base * TAIL_SHARE)):
        return False
    columns = ", ".join(ident(name) for name in (*COLUMNS, "id_hash", *_typed_names(con)))
    con.execute("BEGIN")
    try:
        if base == 0:
            con.execute(
                f"INSERT INTO log.main.events_base ({columns}) SELECT {columns} "
                "FROM log.main.events_tail ORDER BY stream_id, version, position"
            )
        else:
            con.execute("CREATE TABLE log.main.events_next AS FROM log.main.events_base LIMIT 0")
            con.execute(
                f"INSERT INTO log.main.events_next ({columns}) SELECT {columns} FROM (SELECT {columns} "
                f"FROM log.main.events_base UNION ALL SELECT {columns} FROM log.main.events_tail) "
                "ORDER BY stream_id, version, position"
            )
            con.execute("DROP TABLE log.main.events_base")
            con.execute("ALTER TABLE log.main.events_next RENAME TO events_base")
        # TRUNCATE frees whole row groups; the rows are in the base within the same transaction.
        con.execute("TRUNCATE log.main.events_tail")
        con.execute("COMMIT")
    except BaseException:
        con.execute("ROLLBACK")
        raise
    return True


def prepare(con: Con, fields: Iterable[Field]) -> list[str]:
    """Give fields typed columns, filled from the payloads; return the names of the new ones.

    A value that does not fit stays NULL there and is counted as a misfit: readers then go back to the
    payload for that field, which is the truth.
    """
    known = set(_typed_names(con))
    new = {item.typed_column: item for item in fields if item.path and item.type != "json"}
    wanted = {name: item for name, item in new.items() if name not in known}
    if not wanted:
        return []
    con.execute("BEGIN")
    try:
        for name, item in wanted.items():
            misfits = 0
            for table in ("events_base", "events_tail"):
                con.execute(
                    f"ALTER TABLE log.main.{table} ADD COLUMN {ident(name)} {DUCK_TYPES[item.type]}"
                )
                con.execute(f"UPDATE log.main.{table} SET {ident(name)} = {item.value_sql}")
                misfits += con.execute(
                    f"SELECT count(*) FROM log.main.{table} WHERE {ident(name)} IS NULL "
                    f"AND {item.raw_sql} IS NOT NULL"
                ).fetchall()[0][0]
            con.execute(
                "INSERT INTO log.main.typed_columns VALUES (?, ?, ?, ?)",
                [name, f"{item.column}.{item.path}", item.type, misfits],
            )
        schema.define_view(con)
        con.execute("COMMIT")
    except BaseException:
        con.execute("ROLLBACK")
        raise
    return list(wanted)


def typed_fields(con: Con) -> dict[str, tuple[Field, int]]:
    """Return the prepared fields: column name -> (field, number of misfits)."""
    rows = con.execute(
        "SELECT column_name, path, type, misfits FROM log.main.typed_columns ORDER BY column_name"
    ).fetchall()
    found = {}
    for name, path, kind, misfits in rows:
        column, _, inner = path.partition(".")
        found[name] = (Field(column, inner, kind), misfits)
    return found


def _typed_names(con: Con) -> list[str]:
    return list(typed_fields(con))


def _rows(con: Con, table: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM log.main.{table}").fetchall()[0][0])
