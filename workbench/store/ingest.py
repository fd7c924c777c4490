"""Appending to a log exactly once: a batch and its bookmark commit in one transaction.

A load that is killed at any moment and run again gives the same log as one that was never killed, since
the next one starts from the last committed bookmark. Each record ends in one of three places, and the
counts add up: read = stored + duplicate + rejected.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import duckdb

from workbench._sql import ident, text
from workbench.errors import LoadError, SourceError
from workbench.event import COLUMNS, MAPPABLE, REQUIRED
from workbench.sources.base import Batch, Bookmark, Report, Shape, Source
from workbench.store import schema, settle, typed
from workbench.store.database import Database
from workbench.store.fields import Field
from workbench.store.typed import TypedColumn

Con = duckdb.DuckDBPyConnection
Progress = Callable[[int, int | None], None]
"""Called after each committed batch with (records read, about how many there are)."""


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


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one load did.

    Attributes
    ----------
    source, kind
        Which source.
    read, stored, duplicate, rejected
        Numbers of records; read = stored + duplicate + rejected.
    report
        What the source can vouch for: watermark, open gaps, completeness by part, notes.
    """

    load_id: int
    source: str
    kind: str
    read: int
    stored: int
    duplicate: int
    rejected: int
    report: Report

    def __repr__(self) -> str:
        lines = [
            f"Loaded {self.stored:,} events from {self.source} "
            f"(read {self.read:,}, duplicate {self.duplicate:,}, rejected {self.rejected:,})"
        ]
        if self.report.watermark:
            lines.append(f"  complete up to {self.report.watermark}")
        if self.report.gaps:
            lines.append(f"  {len(self.report.gaps):,} open gaps: log.loads() shows them")
        if self.rejected:
            lines.append("  log.rejects() shows what was rejected, and why")
        lines.extend(f"  {note}" for note in self.report.notes)
        return "\n".join(lines)


def load(
    database: Database,
    source: Source,
    *,
    prepare: Iterable[Field] = (),
    progress: Progress | None = None,
) -> Loaded:
    """Run one pass over a source, from its last bookmark on.

    Raises
    ------
    SourceError
        The source broke off. What was committed stays, and the same load goes on from there.
    LoadError
        The log could not be written (a full disk, say). What was committed stays.
    """
    with database.writing() as con:
        schema.refresh_hashes(con)
        typed.prepare(con, prepare)
        load_id, bookmark = _begin(con, source)
        counts = Counts()
        try:
            with source.read(bookmark) as reading:
                try:
                    for batch in reading.batches():
                        with _writing_to(database, source, counts):
                            counts.add(_append(con, load_id, source.name, reading.shape, batch))
                        if progress is not None:
                            progress(counts.read, reading.total)
                except BaseException:
                    with contextlib.suppress(duckdb.Error):  # what broke the load comes first
                        _end(con, load_id, "interrupted", reading.report())
                    raise
                report = reading.report()
        except BaseException as error:
            with contextlib.suppress(duckdb.Error):
                _interrupt(con, load_id)
            if not isinstance(error, SourceError):
                raise
            message = f"{error}\n  {counts.stored:,} events of this load are committed and stay"
            hint = "run the same load again: it goes on from there"
            raise type(error)(message, hint=None if hint in message else hint) from error
        with _writing_to(database, source, counts):
            _end(con, load_id, "complete", report)
        try:
            typed.widen(con)
            settle.settle(con)
        except duckdb.Error as error:
            message = f"{database.label}: all events are in, but putting them in order failed: {_first(error)}"
            raise LoadError(
                message, hint="free some disk space; the next load tries again"
            ) from error
    return Loaded(
        load_id, source.name, source.kind,
        counts.read, counts.stored, counts.duplicate, counts.rejected, report,
    )  # fmt: skip


def _first(error: BaseException) -> str:
    return str(error).splitlines()[0]


@contextlib.contextmanager
def _writing_to(database: Database, source: Source, counts: Counts) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        message = (
            f"{database.label} could not take more from {source.name}: {_first(error)}\n"
            f"  {counts.stored:,} events of this load are committed and stay"
        )
        hint = "mend the cause (disk space?), then run the same load again: it goes on from there"
        raise LoadError(message, hint=hint) from error


# -- the load's own row --------------------------------------------------------------------------


def _begin(con: Con, source: Source) -> tuple[int, Bookmark | None]:
    """Open a row in ``loads``; return its id and where the source's last load stood."""
    last = con.execute(
        "SELECT bookmark, kind FROM log.main.loads WHERE source = ? AND bookmark IS NOT NULL "
        "ORDER BY load_id DESC LIMIT 1",
        [source.name],
    ).fetchall()
    if last and last[0][1] != source.kind:
        message = f"this log already knows {source.name!r}, as a source of kind {last[0][1]}, not {source.kind}."
        raise LoadError(message, hint="give the new source a name of its own: name='…'")
    bookmark = json.loads(last[0][0]) if last else None
    con.execute("BEGIN")
    # A load that still says 'running' was killed: no two can hold the file.
    con.execute("UPDATE log.main.loads SET status = 'interrupted' WHERE status = 'running'")
    (load_id,) = con.execute("SELECT coalesce(max(load_id), 0) + 1 FROM log.main.loads").fetchall()[
        0
    ]
    con.execute(
        "INSERT INTO log.main.loads (load_id, source, kind, started_at, status, read, stored, duplicate, "
        "rejected, bookmark, code_version) VALUES (?, ?, ?, now(), 'running', 0, 0, 0, 0, ?, ?)",
        [load_id, source.name, source.kind, _json(bookmark), schema.code_version()],
    )
    con.execute("COMMIT")
    return int(load_id), bookmark


def _end(con: Con, load_id: int, status: str, report: Report) -> None:
    con.execute(
        "UPDATE log.main.loads SET status = ?, finished_at = now(), watermark = ?, gaps = ?, "
        "completeness = ?, notes = ? WHERE load_id = ?",
        [
            status,
            report.watermark,
            _json(list(report.gaps)),
            _json(list(report.completeness)),
            _json(list(report.notes)),
            load_id,
        ],
    )


def _interrupt(con: Con, load_id: int) -> None:
    """Close the row of a load whose source could not even be opened; what it reported before stays."""
    con.execute(
        "UPDATE log.main.loads SET status = 'interrupted', finished_at = now() "
        "WHERE load_id = ? AND status = 'running'",
        [load_id],
    )


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, default=str)


# -- one batch -----------------------------------------------------------------------------------


def _append(con: Con, load_id: int, source: str, shape: Shape, batch: Batch) -> Counts:
    con.register("raw_batch", batch.rows)
    con.execute("BEGIN")
    try:
        counts = _store(con, load_id, source, shape, batch) if batch.rows.num_rows else Counts()
        con.execute(
            "UPDATE log.main.loads SET bookmark = ?, read = read + ?, stored = stored + ?, "
            "duplicate = duplicate + ?, rejected = rejected + ? WHERE load_id = ?",
            [
                _json(batch.bookmark),
                counts.read,
                counts.stored,
                counts.duplicate,
                counts.rejected,
                load_id,
            ],
        )
        con.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a COMMIT that failed has rolled back already
            con.execute("ROLLBACK")
        raise
    finally:
        con.unregister("raw_batch")
    return counts


def _store(con: Con, load_id: int, source: str, shape: Shape, batch: Batch) -> Counts:
    columns = typed.columns(con)
    _stage(con, source, shape, columns)
    read = batch.rows.num_rows
    rejected = _one(con, "SELECT count(*) FROM staged WHERE reject IS NOT NULL")
    if rejected:
        con.execute(
            "INSERT INTO log.main.rejects SELECT ?, ?, source_position, reject, raw FROM staged "
            "WHERE reject IS NOT NULL ORDER BY n",
            [load_id, source],
        )
        con.execute("DELETE FROM staged WHERE reject IS NOT NULL")
    duplicate, conflicting = _drop_known(con, load_id, source, shape)
    names = [
        name
        for name in (*COLUMNS, "id_hash", *(column.name for column in columns))
        if name not in ("position", "source")
    ]
    listed = ", ".join(map(ident, names))
    con.execute(
        f"INSERT INTO log.main.events_tail (position, source, {listed}) "
        "SELECT (SELECT coalesce(max(position), 0) FROM log.main.events) + row_number() OVER (ORDER BY n), "
        f"{text(source)}, {listed} FROM staged ORDER BY n"
    )
    if duplicate:
        _place_duplicates(con, load_id)
    typed.count_misfits(con, "staged")
    stored = _one(con, "SELECT count(*) FROM staged")
    con.execute("DROP TABLE staged")
    return Counts(read, stored, duplicate, rejected + conflicting)


def _one(con: Con, sql: str) -> int:
    return int(con.execute(sql).fetchall()[0][0])


def _stage(con: Con, source: str, shape: Shape, columns: Sequence[TypedColumn]) -> None:
    """Shape the raw batch into a table ``staged``: canonical columns, and why a row is no event."""
    # Prefixed, since a raw batch may well have columns of the same names.
    shaped = ", ".join(f"({shape.columns.get(name, 'NULL')}) AS wb_{name}" for name in MAPPABLE)
    described = con.execute(f"DESCRIBE SELECT {shaped} FROM raw_batch").fetchall()
    types = {row[0]: row[1] for row in described}
    raw = _raw(con, shape)
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
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE staged AS
        WITH numbered AS (SELECT row_number() OVER () AS wb_n, * FROM raw_batch),
        shaped AS (SELECT *, {shaped} FROM numbered),
        judged AS (SELECT *, coalesce({", ".join(checks)}) AS wb_reject FROM shaped),
        canonical AS (SELECT wb_n AS n, {canonical}, hash({final["event_id"]}) AS id_hash,
            wb_reject AS reject, CASE WHEN wb_reject IS NOT NULL THEN {raw} END AS raw FROM judged)
        SELECT *{"".join(f", {column.value_sql} AS {ident(column.name)}" for column in columns)}
        FROM canonical"""
    )


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
        f"JOIN (SELECT row_number() OVER () AS n, {_raw(con, shape)} AS received FROM raw_batch) USING (n) "
        "WHERE NOT same ORDER BY n",
        [load_id, source],
    )
    duplicate = _one(con, "SELECT count(*) FROM repeated WHERE same")
    conflicting = _one(con, "SELECT count(*) FROM repeated WHERE NOT same")
    con.execute("DELETE FROM staged WHERE n IN (SELECT n FROM repeated)")
    return duplicate, conflicting
