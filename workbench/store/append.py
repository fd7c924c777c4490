"""Appending one batch: shaped, checked, told from what the log has, stored, all in one transaction.

Nearly every batch is all new and all sound. So it is first inserted as if it were, in one pass; only where a
record was held back, or an id turns out to be known, is that undone and each record looked at.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from workbench._sql import ident, text
from workbench.event import COLUMNS, MAPPABLE, REQUIRED
from workbench.sources.base import Batch, Shape
from workbench.store import dead_letters, typed
from workbench.store.transaction import transaction
from workbench.store.typed import TypedColumn

Con = duckdb.DuckDBPyConnection


@dataclass(slots=True)
class Counts:
    """Where the records of a load went."""

    read: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: int = 0

    def add(self, other: Counts) -> None:
        """Add another batch's counts."""
        self.read += other.read
        self.stored += other.stored
        self.duplicate += other.duplicate
        self.rejected += other.rejected


def append(con: Con, load_id: int, source: str, shape: Shape, batch: Batch) -> Counts:
    """Append a batch and move the load's bookmark, or neither."""
    number = pa.array(np.arange(batch.rows.num_rows), pa.int64())
    rows = batch.rows.append_column(_NUMBER, number)
    # In several pieces, so that DuckDB shapes them on all cores.
    pieces = rows.to_batches(max_chunksize=_PIECE_ROWS)
    con.register("raw_batch", pa.Table.from_batches(pieces, rows.schema))
    try:
        with transaction(con):
            if not batch.rows.num_rows:
                counts = Counts()
            elif shape.table == "dead_letters":
                counts = Counts(*dead_letters.store(con, load_id, source, shape, _NUMBER))
            else:
                counts = _store(con, load_id, source, shape, batch)
            con.execute(
                "UPDATE log.main.loads SET bookmark = ?, read = read + ?, stored = stored + ?, "
                "duplicate = duplicate + ?, rejected = rejected + ? WHERE load_id = ?",
                [
                    json.dumps(batch.bookmark, default=str),
                    counts.read,
                    counts.stored,
                    counts.duplicate,
                    counts.rejected,
                    load_id,
                ],
            )
    finally:
        con.unregister("raw_batch")
    return counts


_PIECE_ROWS = 20_480

_NUMBER = "wb_n"
"""The number of a record in its batch, from 0; prefixed, since a batch may well have an ``n``."""


def _store(con: Con, load_id: int, source: str, shape: Shape, batch: Batch) -> Counts:
    columns = typed.columns(con)
    shaped = _shaped(con, source, shape, columns)
    read = batch.rows.num_rows
    last = _one(con, "SELECT coalesce(max(position), 0) FROM log.main.events")
    stored = _insert(con, source, columns, f"({shaped})", f"{last + 1} + n")
    new = f"log.main.events_tail WHERE position > {last}"
    if stored == read and not _any_known(con, last, new):
        typed.count_misfits(con, f"(FROM {new})")
        return Counts(read, stored)
    con.execute(f"DELETE FROM {new}")
    return _store_apart(con, load_id, source, shape, columns, shaped, last)


def _store_apart(
    con: Con,
    load_id: int,
    source: str,
    shape: Shape,
    columns: Sequence[TypedColumn],
    shaped: str,
    last: int,
) -> Counts:
    """Store a batch in which something is held back or known already."""
    raw = _raw(con, shape)
    con.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {shaped}")
    read = _one(con, "SELECT count(*) FROM staged")
    rejected = _one(con, "SELECT count(*) FROM staged WHERE reject IS NOT NULL")
    con.execute(
        "INSERT INTO log.main.rejects SELECT ?, ?, source_position, reject, received FROM staged "
        f"JOIN (SELECT {_NUMBER} AS n, {raw} AS received FROM raw_batch) USING (n) "
        "WHERE reject IS NOT NULL ORDER BY n",
        [load_id, source],
    )
    con.execute("DELETE FROM staged WHERE reject IS NOT NULL")
    duplicate, conflicting = _drop_known(con, load_id, source, shape)
    stored = _insert(con, source, columns, "staged", f"{last} + row_number() OVER (ORDER BY n)")
    if duplicate:
        _place_duplicates(con, load_id)
    typed.count_misfits(con, "staged")
    con.execute("DROP TABLE staged")
    return Counts(read, stored, duplicate, rejected + conflicting)


def _insert(con: Con, source: str, columns: Sequence[TypedColumn], rows: str, position: str) -> int:
    """Insert what is not held back; return how many that were."""
    names = [*COLUMNS, "id_hash", *(column.name for column in columns)]
    listed = ", ".join(ident(name) for name in names if name not in ("position", "source"))
    return _one(
        con,
        f"INSERT INTO log.main.events_tail (position, source, {listed}) "
        f"SELECT {position}, {text(source)}, {listed} FROM {rows} WHERE reject IS NULL",
    )


def _any_known(con: Con, last: int, new: str) -> bool:
    """Whether an id of the new events may be there twice; by hash, so in doubt yes."""
    # Eight bytes an event instead of the whole id, over a log of any size.
    con.execute(f"CREATE OR REPLACE TEMP TABLE new_ids AS SELECT id_hash FROM {new}")
    if _one(con, "SELECT count(*) - count(DISTINCT id_hash) FROM new_ids"):
        return True
    found = con.execute(
        "SELECT 1 FROM (SELECT id_hash FROM log.main.events_base UNION ALL "
        f"SELECT id_hash FROM log.main.events_tail WHERE position <= {last}) SEMI JOIN new_ids USING (id_hash) LIMIT 1"
    ).fetchall()
    return bool(found)


def _shaped(con: Con, source: str, shape: Shape, columns: Sequence[TypedColumn]) -> str:
    """A query that shapes the raw batch: ``n``, canonical and typed columns, and why a row is no event."""
    # Prefixed, since a raw batch may well have columns of the same names.
    shaped = ", ".join(f"({shape.columns.get(name, 'NULL')}) AS wb_{name}" for name in MAPPABLE)
    described = con.execute(f"DESCRIBE SELECT {shaped} FROM raw_batch").fetchall()
    types = {row[0]: row[1] for row in described}
    final = {name: f"CAST(wb_{name} AS {COLUMNS[name]})" for name in MAPPABLE}
    final["event_id"] = f"coalesce({final['event_id']}, {text(source + '/')} || wb_source_position)"
    checks = [f"({shape.reject})"]
    for name in ("data", "metadata"):
        if types[f"wb_{name}"] == "JSON":  # valid by its type
            final[name] = f"wb_{name}"
            continue
        final[name] = f"CASE WHEN json_valid(wb_{name}) THEN CAST(wb_{name} AS JSON) END"
        checks.append(
            f"CASE WHEN wb_{name} IS NOT NULL AND NOT json_valid(wb_{name}) THEN '{name} is not valid JSON' END"
        )
    checks += [f"CASE WHEN wb_{name} IS NULL THEN 'no {name}' END" for name in REQUIRED]
    canonical = ", ".join(f"{expression} AS {name}" for name, expression in final.items())
    reads = "".join(f", {column.value_sql} AS {ident(column.name)}" for column in columns)
    return (
        f"WITH shaped AS (SELECT *, {shaped} FROM raw_batch), "
        f"judged AS (SELECT *, coalesce({', '.join(checks)}) AS wb_reject FROM shaped), "
        f"canonical AS (SELECT {_NUMBER} AS n, {canonical}, hash({final['event_id']}) AS id_hash, "
        f"wb_reject AS reject FROM judged) SELECT *{reads} FROM canonical"
    )


def _one(con: Con, sql: str) -> int:
    return int(con.execute(sql).fetchall()[0][0])


def _raw(con: Con, shape: Shape) -> str:
    """The record as received, as bytes."""
    described = con.execute(f"DESCRIBE SELECT ({shape.raw}) AS wb_raw FROM raw_batch").fetchall()
    if described[0][1] == "BLOB":
        return f"({shape.raw})"
    # A cast from VARCHAR to BLOB would read backslashes as escapes; encode() takes the text as it is.
    return f"encode(CAST(({shape.raw}) AS VARCHAR))"


def _place_duplicates(con: Con, load_id: int) -> None:
    """Give records that repeat an event of their own batch that event's position, now that it has one."""
    con.execute(
        "UPDATE log.main.duplicates AS d SET position = e.position FROM (SELECT event_id, position "
        "FROM log.main.events_tail SEMI JOIN staged USING (id_hash)) e "
        "WHERE d.load_id = ? AND d.position IS NULL AND d.event_id = e.event_id",
        [load_id],
    )


def _drop_known(con: Con, load_id: int, source: str, shape: Shape) -> tuple[int, int]:
    """Take out of ``staged`` what the log has; return the numbers of duplicates and of conflicts.

    An event whose id is known is a duplicate when it says the same, wherever it was read. One that says
    something else is rejected: the log keeps what it has, and the other is not lost.
    """
    # By hash first: eight bytes an event instead of the whole id, over a log of any size.
    con.execute(
        "CREATE OR REPLACE TEMP TABLE known AS SELECT position FROM log.main.events_base "
        "SEMI JOIN staged USING (id_hash) UNION ALL SELECT position FROM log.main.events_tail SEMI JOIN staged USING (id_hash)"
    )
    inside = _one(con, "SELECT count(*) - count(DISTINCT event_id) FROM staged")
    if not inside and not _one(con, "SELECT count(*) FROM known"):
        return 0, 0
    same = " AND ".join(
        f"s.{name} IS NOT DISTINCT FROM o.{name}" for name in ("stream_id", "version", "event_type")
    )
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
        WITH others AS (
            SELECT event_id, position, -1 AS n, stream_id, version, event_type, CAST(data AS VARCHAR) AS data,
                   source, source_position
            FROM log.main.events WHERE position IN (FROM known)
            UNION ALL
            SELECT event_id, NULL, n, stream_id, version, event_type, CAST(data AS VARCHAR), {text(source)}, source_position
            FROM staged
        ),
        first AS (SELECT * FROM others QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY n) = 1)
        SELECT s.n, o.position,
               {same} AND CAST(s.data AS VARCHAR) IS NOT DISTINCT FROM o.data AS same,
               o.source = {text(source)} AND o.source_position = s.source_position AS reread,
               o.source || ' ' || o.source_position AS of_what
        FROM staged s JOIN first o ON s.event_id = o.event_id AND s.n <> o.n"""
    )
    # Payloads as text: inside a JSON value their numbers would be written anew.
    written = (
        "encode(to_json({'stream_id': stream_id, 'version': version, 'event_type': event_type, "
        "'occurred_at': occurred_at, 'recorded_at': recorded_at, 'data': CAST(data AS VARCHAR), "
        "'metadata': CAST(metadata AS VARCHAR)})::VARCHAR)"
    )
    con.execute(
        "INSERT INTO log.main.duplicates SELECT ?, ?, source_position, event_id, position "
        "FROM repeated JOIN staged USING (n) WHERE same AND NOT reread ORDER BY n",
        [load_id, source],
    )
    con.execute(
        "INSERT INTO log.main.rejects SELECT ?, ?, source_position, 'event_id ' || event_id || "
        f"' is in the log with other content (' || of_what || ')', coalesce(received, {written}) "
        "FROM repeated JOIN staged USING (n) "
        f"JOIN (SELECT {_NUMBER} AS n, {_raw(con, shape)} AS received FROM raw_batch) USING (n) "
        "WHERE NOT same ORDER BY n",
        [load_id, source],
    )
    duplicate = _one(con, "SELECT count(*) FROM repeated WHERE same")
    conflicting = _one(con, "SELECT count(*) FROM repeated WHERE NOT same")
    con.execute("DELETE FROM staged WHERE n IN (SELECT n FROM repeated)")
    return duplicate, conflicting
