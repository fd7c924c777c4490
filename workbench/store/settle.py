"""Putting a log's events in good physical order. It changes nothing that the log says, only how fast it answers."""

from __future__ import annotations

from typing import Final

import duckdb

from workbench._sql import ident
from workbench.event import COLUMNS
from workbench.store import schema, typed
from workbench.store.transaction import transaction

Con = duckdb.DuckDBPyConnection

TAIL_ROWS: Final = 10_000
"""A tail up to here costs a reader nothing to speak of."""
TAIL_SHARE: Final = 0.25
"""Above this share of the base, the tail is merged: each event is rewritten a few times, not at each load."""


def settle(con: Con, *, force: bool = False) -> bool:
    """Merge the tail into the sorted base when it has grown; return whether it was."""
    base, tail = _rows(con, "events_base"), _rows(con, "events_tail")
    if tail == 0 or (not force and (tail <= TAIL_ROWS or tail <= base * TAIL_SHARE)):
        return False
    fields = {column.name: column.duck_type for column in typed.columns(con)}
    columns = ", ".join(map(ident, (*COLUMNS, "id_hash", *fields)))
    with transaction(con):
        schema.create_base(con, "events_next", fields)
        con.execute(
            f"INSERT INTO log.main.events_next ({columns}) SELECT {columns} FROM (SELECT {columns} "
            f"FROM log.main.events_base UNION ALL SELECT {columns} FROM log.main.events_tail) "
            "ORDER BY stream_id, version, position"
        )
        con.execute("DROP TABLE log.main.events_base")
        con.execute("ALTER TABLE log.main.events_next RENAME TO events_base")
        # TRUNCATE frees whole row groups; the rows are in the base within the same transaction.
        con.execute("TRUNCATE log.main.events_tail")
    return True


def _rows(con: Con, table: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM log.main.{table}").fetchall()[0][0])
