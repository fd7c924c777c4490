"""What a log's DuckDB file holds, and how an older file becomes a current one.

Events lie in two tables of the same columns: ``events_base`` is sorted by (stream, version), so that one
stream is a few neighbouring rows, and ``events_tail`` takes what came since. The view ``events`` is both;
it is all that anybody reads, also with a plain DuckDB. Dead letters lie in a table of their own, and the
journal of their re-drives in two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version as package_version
from typing import Final

import duckdb

from workbench._sql import ident, text
from workbench.errors import LogForeign, LogTooNew
from workbench.event import COLUMNS, DEAD_LETTER
from workbench.store.transaction import transaction

Con = duckdb.DuckDBPyConnection

FORMAT: Final = 2
"""Version of the schema; a file says its own in ``meta``."""


def _create_dead_letters(con: Con) -> None:
    columns = ", ".join(f"{ident(name)} {kind}" for name, kind in DEAD_LETTER.items())
    con.execute(f"CREATE TABLE log.main.dead_letters ({columns})")
    con.execute(
        "CREATE TABLE log.main.redrives (redrive_id VARCHAR PRIMARY KEY, broker VARCHAR, "
        "started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ, alive_at TIMESTAMPTZ, sender VARCHAR, "
        "ends JSON, code_version VARCHAR)"
    )
    con.execute(
        "CREATE TABLE log.main.redriven (redrive_id VARCHAR, n BIGINT, source VARCHAR, "
        'source_position VARCHAR, topic VARCHAR, partition INTEGER, "offset" BIGINT, sent_at TIMESTAMPTZ)'
    )


MIGRATIONS: Final[dict[int, Callable[[Con], None]]] = {1: _create_dead_letters}
"""``n`` -> what turns a file of format ``n`` into ``n + 1``, inside the caller's transaction."""


def code_version() -> str:
    """Return the version of this package, as written into each load."""
    return package_version("workbench")


def create(con: Con) -> None:
    """Write the schema into an empty attached file ``log``."""
    create_base(con, "events_base")
    columns = ", ".join(
        # What is rewritten soon is not worth the time that compressing takes.
        f"{ident(name)} {kind}{' USING COMPRESSION uncompressed' if kind in ('JSON', 'VARCHAR') else ''}"
        for name, kind in COLUMNS.items()
    )
    con.execute(f"CREATE TABLE log.main.events_tail ({columns}, id_hash UBIGINT)")
    con.execute("CREATE TABLE log.main.meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL)")
    con.execute(
        "CREATE TABLE log.main.typed_columns (column_name VARCHAR PRIMARY KEY, path VARCHAR, "
        "type VARCHAR, narrow BOOLEAN, misfits BIGINT)"
    )
    con.execute(
        "CREATE TABLE log.main.loads (load_id BIGINT PRIMARY KEY, source VARCHAR, kind VARCHAR, "
        "started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ, status VARCHAR, read BIGINT, stored BIGINT, "
        "duplicate BIGINT, rejected BIGINT, bookmark JSON, watermark VARCHAR, gaps JSON, "
        "completeness JSON, notes JSON, code_version VARCHAR)"
    )
    con.execute(
        "CREATE TABLE log.main.rejects (load_id BIGINT, source VARCHAR, source_position VARCHAR, "
        "reason VARCHAR, raw BLOB)"
    )
    con.execute(
        "CREATE TABLE log.main.duplicates (load_id BIGINT, source VARCHAR, source_position VARCHAR, "
        "event_id VARCHAR, position BIGINT)"
    )
    _create_dead_letters(con)
    con.execute(
        "INSERT INTO log.main.meta VALUES ('product', 'workbench'), ('format', ?), ('created_by', ?), "
        "('id_hash_of_a', hash('a')::VARCHAR)",
        [str(FORMAT), code_version()],
    )
    define_view(con)


def create_base(con: Con, table: str, typed: Mapping[str, str] | None = None) -> None:
    """Make a table for settled events, with typed columns (name -> type)."""
    # Payloads and ids do not repeat: zstd is the smallest for them, and the quickest to write.
    dense = ("data", "metadata", "event_id", "correlation_id", "causation_id", "source_position")
    columns = [
        f"{ident(name)} {kind}{' USING COMPRESSION zstd' if name in dense else ''}"
        for name, kind in COLUMNS.items()
    ]
    columns += [
        "id_hash UBIGINT",
        *(f"{ident(name)} {kind}" for name, kind in (typed or {}).items()),
    ]
    con.execute(f"CREATE TABLE log.main.{table} ({', '.join(columns)})")


def define_view(con: Con) -> None:
    """(Re)define ``events``: the canonical columns, then the typed ones."""
    typed = con.execute(
        "SELECT column_name FROM log.main.typed_columns ORDER BY column_name"
    ).fetchall()
    columns = ", ".join(ident(name) for name in (*COLUMNS, *(row[0] for row in typed)))
    # A view keeps the names as written: unqualified, so that the file can be attached under any name.
    con.execute("USE log")
    try:
        con.execute(
            f"CREATE OR REPLACE VIEW events AS SELECT {columns} FROM events_base "
            f"UNION ALL SELECT {columns} FROM events_tail"
        )
    finally:
        con.execute("USE memory")


def tables(con: Con) -> set[str]:
    """Return the names of the tables in the attached file; those of other schemas with their schema."""
    rows = con.execute(
        "SELECT if(schema_name = 'main', '', schema_name || '.') || table_name FROM duckdb_tables() "
        "WHERE database_name = 'log'"
    )
    return {row[0] for row in rows.fetchall()}


def check(con: Con, path: str) -> int:
    """Return the format of the attached file.

    Raises
    ------
    LogForeign
        The file is a DuckDB file, but not a log.
    LogTooNew
        A newer workbench wrote it.
    """
    names = tables(con)
    found = (
        dict(
            con.execute(
                "SELECT key, value FROM log.main.meta WHERE key IN ('product', 'format')"
            ).fetchall()
        )
        if "meta" in names and {"key", "value"} <= _columns(con, "meta")
        else {}
    )
    if found.get("product") != "workbench" or not found.get("format", "").isdecimal():
        held = f" It holds: {', '.join(sorted(names)[:8])}." if names else " It holds no tables."
        message = f"{path} is a DuckDB file, but not a log of the workbench.{held}"
        raise LogForeign(
            message, hint="open another path to make a new log, and load this file's events into it"
        )
    stored = int(found["format"])
    if stored > FORMAT:
        message = f"{path} was written in format {stored}; this workbench ({code_version()}) reads up to format {FORMAT}."
        raise LogTooNew(message, hint="upgrade: pip install --upgrade workbench")
    return stored


def _columns(con: Con, table: str) -> set[str]:
    rows = con.execute(
        "SELECT column_name FROM duckdb_columns() WHERE database_name = 'log' AND schema_name = 'main' AND table_name = "
        + text(table)
    )
    return {row[0] for row in rows.fetchall()}


def migrate(con: Con, stored: int) -> None:
    """Bring a file of an older format up to date, in one transaction, step by step."""
    with transaction(con):
        for step in range(stored, FORMAT):
            MIGRATIONS[step](con)
            con.execute("UPDATE log.main.meta SET value = ? WHERE key = 'format'", [str(step + 1)])
        define_view(con)


def refresh_hashes(con: Con) -> None:
    """Recompute ``id_hash`` where another DuckDB version hashes differently."""
    same = con.execute(
        "SELECT value = hash('a')::VARCHAR FROM log.main.meta WHERE key = 'id_hash_of_a'"
    ).fetchall()
    if same and same[0][0]:
        return
    with transaction(con):
        for table in ("events_base", "events_tail"):
            con.execute(f"UPDATE log.main.{table} SET id_hash = hash(event_id)")
        con.execute(
            "UPDATE log.main.meta SET value = hash('a')::VARCHAR WHERE key = 'id_hash_of_a'"
        )
