"""Parquet, read by a DuckDB of our own that hands over Arrow.

Types are narrowed to what a mapping can use: structs, lists and maps become JSON (their decimals exact),
rare types their text, bytes UTF-8 text. Where bytes are wanted as they are, nothing is narrowed.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import duckdb
import pyarrow as pa

from workbench._sql import ident, text
from workbench.errors import SourceError
from workbench.sources.files import records
from workbench.sources.files.marks import Mark
from workbench.sources.files.paths import File
from workbench.sources.files.records import Limits, Survey

_KEPT: Final = (
    "VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER",
    "FLOAT", "DOUBLE", "DATE",
)  # fmt: skip
_MEMORY: Final = "512MB"
#: Rows that are read first, to see how large they are: a repeated text is stored once in the file.
_PROBE: Final = 100


class Parquet:
    """Reads Parquet files; ``exact`` leaves every column as it is."""

    grows = False
    fixed = True

    def __init__(self, *, exact: bool = False) -> None:
        self._exact = exact

    def survey(self, file: File) -> Survey:
        """Read the footer."""
        with _connection(file) as con:
            described = con.execute(f"DESCRIBE SELECT * FROM {_table(file)}").fetchall()
            rows = con.execute(
                f"SELECT num_rows FROM parquet_file_metadata({_path(file)})"
            ).fetchall()[0][0]
        columns = {
            name: duck_type if self._exact else _narrow(duck_type)
            for name, duck_type, *_ in described
        }
        return Survey(columns, rows)

    def tables(
        self, file: File, survey: Survey, columns: Mapping[str, str], mark: Mark, limits: Limits
    ) -> Iterator[tuple[pa.Table, Mark]]:
        """Read rows; the last batch of a file ends it."""
        with _connection(file) as con:
            described = con.execute(f"DESCRIBE SELECT * FROM {_table(file)}").fetchall()
            here = {name: duck_type for name, duck_type, *_ in described if name in columns}
            listed = [
                ident(name) if self._exact else f"{_selected(name, kind)} AS {ident(name)}"
                for name, kind in here.items()
            ]
            problems = [
                f"CASE WHEN {ident(name)} IS NOT NULL AND try(decode({ident(name)})) IS NULL "
                f"THEN {text(name + ' is not UTF-8 text')} END"
                for name, kind in here.items()
                if kind == "BLOB" and not self._exact
            ]
            listed += [
                f"{text(file.name + '#')} || (file_row_number + 1) AS {ident(records.AT)}",
                f"CAST(coalesce({', '.join(['NULL', *problems])}) AS VARCHAR) AS {ident(records.PROBLEM)}",
            ]
            size = min(_rows(con, file, limits), _PROBE)
            while True:
                # A cursor of its own: a reader that is left early would block its connection.
                reader = (
                    con.cursor()
                    .sql(
                        f"SELECT {', '.join(listed)} FROM read_parquet({_path(file)}, file_row_number=true) "
                        f"WHERE file_row_number >= {mark.rows}"
                    )
                    .to_arrow_reader(size)
                )
                for batch in reader:
                    mark = Mark(rows=mark.rows + batch.num_rows)
                    yield pa.Table.from_batches([batch]), mark
                    fits = _fitting(batch, limits)
                    if not size / 2 <= fits <= size * 2:
                        size = fits
                        break
                else:
                    return


def _fitting(batch: pa.RecordBatch, limits: Limits) -> int:
    """Return how many rows as large as these make up a batch."""
    rows = limits.bytes * int(batch.num_rows) // max(int(batch.nbytes), 1)
    return max(1, min(limits.rows, rows))


@contextmanager
def _connection(file: File) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with duckdb.connect(config={"memory_limit": _MEMORY, "threads": 2}) as con:
            con.execute("SET TimeZone = 'UTC'")
            con.execute("SET enable_progress_bar = false")
            yield con
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # a damaged page is an OSError
        reason = str(error).splitlines()[0]
        message = f"{file.path} cannot be read as Parquet: {reason}"
        raise SourceError(
            message, hint="the file may be cut off or still being written: fetch or write it again"
        ) from error


def _path(file: File) -> str:
    return text(glob.escape(str(file.path)))


def _table(file: File) -> str:
    return f"read_parquet({_path(file)})"


def _rows(con: duckdb.DuckDBPyConnection, file: File, limits: Limits) -> int:
    """Return how many rows make up a batch: by the average size of a row."""
    rows, size = con.execute(
        f"SELECT sum(row_group_num_rows), sum(row_group_bytes) FROM "
        f"(SELECT DISTINCT row_group_id, row_group_num_rows, row_group_bytes FROM parquet_metadata({_path(file)}))"
    ).fetchall()[0]
    return max(1, min(limits.rows, int(limits.bytes * (rows or 1) / max(size or 1, 1))))


def _narrow(duck_type: str) -> str:
    """Return the type that a column has when it is handed over."""
    if _is_nested(duck_type) or duck_type == "JSON":
        return "JSON"
    if duck_type in _KEPT or duck_type.startswith(("TIMESTAMP", "DECIMAL")):
        return duck_type
    return "VARCHAR"


def _is_nested(duck_type: str) -> bool:
    return duck_type.startswith(("STRUCT", "MAP", "UNION", "VARIANT")) or duck_type.endswith("]")


def _selected(name: str, duck_type: str) -> str:
    column = ident(name)
    if _is_nested(duck_type):
        # to_json() drops the last zeros of a narrow decimal, and not those of a wide one.
        wide = re.sub(r"DECIMAL\(\d+,\s*(\d+)\)", r"DECIMAL(38,\1)", duck_type)
        return f"CAST(to_json(CAST({column} AS {wide})) AS VARCHAR)"
    if duck_type == "BLOB":
        return f"try(decode({column}))"
    return column if _narrow(duck_type) == duck_type != "JSON" else f"CAST({column} AS VARCHAR)"
