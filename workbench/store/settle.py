"""Putting a log's events in good physical order. It changes nothing that the log says, only how fast it answers."""

from __future__ import annotations

from typing import Final

import duckdb

from workbench._sql import ident, text
from workbench.event import COLUMNS
from workbench.store import schema, typed
from workbench.store.transaction import transaction

Con = duckdb.DuckDBPyConnection

TAIL_ROWS: Final = 10_000
"""A tail up to here costs a reader nothing to speak of."""
TAIL_SHARE: Final = 0.25
"""Above this share of the base, the tail is merged: each event is rewritten a few times, not at each load."""

SORTED_ROWS: Final = 500_000
"""So many events are sorted at a time: a sort of all may want more memory than a load has, and is no faster."""


def settle(con: Con, *, force: bool = False) -> bool:
    """Merge the tail into the sorted base when it has grown; return whether it was."""
    base, tail = _rows(con, "events_base"), _rows(con, "events_tail")
    if tail == 0 or (not force and (tail <= TAIL_ROWS or tail <= base * TAIL_SHARE)):
        return False
    fields = {column.name: column.duck_type for column in typed.columns(con)}
    columns = ", ".join(map(ident, (*COLUMNS, "id_hash", *fields)))
    with transaction(con):
        schema.create_base(con, "events_next", fields)
        for streams in _slices(con, base + tail):
            con.execute(
                f"INSERT INTO log.main.events_next ({columns}) SELECT {columns} FROM (SELECT {columns} "
                f"FROM log.main.events_base WHERE {streams} UNION ALL SELECT {columns} FROM log.main.events_tail "
                f"WHERE {streams}) ORDER BY stream_id, version, position"
            )
        con.execute("DROP TABLE log.main.events_base")
        con.execute("ALTER TABLE log.main.events_next RENAME TO events_base")
        # TRUNCATE frees whole row groups; the rows are in the base within the same transaction.
        con.execute("TRUNCATE log.main.events_tail")
    return True


def _slices(con: Con, rows: int) -> list[str]:
    """Divide the log by stream into conditions for about ``SORTED_ROWS`` rows each, in order."""
    if rows <= SORTED_ROWS:
        return ["TRUE"]
    # Exact, and every stream counts once for each of its rows: a slice ends with a whole stream.
    ends = con.execute(
        "SELECT max(stream_id) FROM (SELECT stream_id, (sum(n) OVER (ORDER BY stream_id) - n) // ? AS slice FROM "
        "(SELECT stream_id, count(*) AS n FROM log.main.events GROUP BY stream_id)) GROUP BY slice ORDER BY slice",
        [SORTED_ROWS],
    ).fetchall()
    bounds = [text(end) for (end,) in ends[:-1]]
    first = [f"stream_id <= {bound}" for bound in bounds] + ["TRUE"]
    after = ["TRUE"] + [f"stream_id > {bound}" for bound in bounds]
    return [f"{low} AND {high}" for low, high in zip(after, first, strict=True)]


def _rows(con: Con, table: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM log.main.{table}").fetchall()[0][0])
