"""What a user may ask of a log: one statement that reads. And what is said when it goes wrong."""

from __future__ import annotations

import re
from typing import Final

import duckdb

from workbench.errors import LogCorrupt, QueryError

DAMAGED: Final = re.compile("not a valid DuckDB|orrupt|Could not read enough")
FROM_A_COPY: Final = "restore it from a copy, or load the sources again into a new file"

_CHECKSUM: Final = re.compile(
    r"Corrupt database file: computed checksum \d+ does not match stored checksum \d+ in block at location (\d+)"
)
#: How DuckDB lays out a file: three headers, then blocks, of this size unless somebody chose another.
FIRST_BLOCK: Final = 12_288
BLOCK_SIZE: Final = 262_144

#: Not EXPLAIN: with ANALYZE it runs what it explains.
_READS: Final = (duckdb.StatementType.SELECT,)


def check_query(sql: str) -> None:
    """Check that a user's query reads, and only reads.

    Raises
    ------
    QueryError
        It is empty, more than one statement, or would write.
    """
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise query_error(error, sql) from error
    if len(statements) != 1:
        message = f"a query is one statement, and this is {len(statements)}."
        raise QueryError(message)
    if statements[0].type not in _READS:
        message = f"a query only reads, and {statements[0].type.name} is no query."
        raise QueryError(
            message, hint="take the rows with .df() or .arrow() and write them where you like"
        )


def query_error(error: duckdb.Error, sql: str) -> QueryError | LogCorrupt:
    """Say what is wrong with a user's query; the text after the first line points at the place."""
    block = _CHECKSUM.match(str(error))
    if block:
        start = int(block[1])
        number = (start - FIRST_BLOCK) // BLOCK_SIZE
        where = f"block {number}" if number >= 0 else "a header"
        return LogCorrupt(
            f"the log's file is damaged: {where}, at byte {start:,}, does not match its checksum.",
            hint=f"wb.verify(path) names all that is damaged; {FROM_A_COPY}",
        )
    if isinstance(error, duckdb.IOException | duckdb.SerializationException) and DAMAGED.search(
        str(error)
    ):
        return LogCorrupt(
            f"the log's file is damaged: {str(error).splitlines()[0]}", hint=FROM_A_COPY
        )
    _, in_python, reason = str(error).partition("executing the UDF: ValueError: ")
    if in_python:  # an upcaster: it says on which event
        return QueryError(
            reason.splitlines()[0],
            hint="look at the event as it is stored: log.where(condition='position = …').df(), without .upcast",
        )
    if isinstance(error, duckdb.OutOfRangeException) and "DECIMAL" in str(error):
        return QueryError(
            f"a number is too large to be exact: {str(error).splitlines()[0]}",
            hint="exact numbers hold 38 digits, 18 of them behind the point; round or divide before multiplying",
        )
    shown = sql if len(sql) <= 200 else sql[:200] + " …"
    return QueryError(
        f"{str(error).rstrip()}\n  in: {shown}",
        hint="log.sql asks of events, result.query of result; DESCRIBE events lists the columns",
    )
