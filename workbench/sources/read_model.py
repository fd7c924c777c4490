"""The rows that a production system stored: from Postgres, DuckDB, Parquet, CSV, or a DataFrame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import duckdb
import pyarrow as pa

from workbench._sql import ident, text
from workbench.errors import ConfigError, SourceError, did_you_mean
from workbench.moments import check_zone

Positions = Literal["log", "source"]


@dataclass(frozen=True)
class ReadModel:
    """Where a read model's rows are; made by :func:`read_model`, read when a diff needs them."""

    origin: Any = field(repr=False)  # may be a DSN with a password
    name: str
    table: str | None = None
    query: str | None = field(default=None, repr=False)
    columns: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    position: str | int | None = None
    positions: Positions = "log"
    timezone: str | None = None

    def fetch(self) -> pa.Table:
        """Read the rows, once; nothing is written where they come from.

        Raises
        ------
        ConfigError
            The table or a column is not there.
        SourceError
            The rows cannot be read.
        """
        rows = self._read()
        if self.columns:
            missing = [name for name in self.columns if name not in rows.schema.names]
            if missing:
                message = f"{self.name} has no column {missing[0]!r}."
                raise ConfigError(message + did_you_mean(missing[0], rows.schema.names))
            rows = rows.rename_columns([self.columns.get(name, name) for name in rows.schema.names])
        names = [name.lower() for name in rows.schema.names]
        twice = next((name for name in rows.schema.names if names.count(name.lower()) > 1), None)
        if twice is not None:
            message = f"{self.name} has more than one column {twice!r}."
            raise ConfigError(message, hint="rename one: columns={'their name': 'our name'}")
        for checkpoint in (self.version, self.position):
            if not isinstance(checkpoint, str):
                continue
            if checkpoint not in rows.schema.names:
                message = f"{self.name} has no column {checkpoint!r} to take its checkpoint from."
                raise ConfigError(message + did_you_mean(checkpoint, rows.schema.names))
            kind = rows.schema.field(checkpoint).type
            if not _counts(kind):
                message = f"{self.name}: column {checkpoint!r} is {kind}, and a checkpoint is a whole number."
                raise ConfigError(message, hint="cast it: query='SELECT …, version::bigint …'")
        return rows

    def _read(self) -> pa.Table:
        origin = self.origin
        if isinstance(origin, str) and origin.startswith(("postgresql://", "postgres://")):
            from workbench.sources.postgres.table import read_table

            return read_table(origin, table=self.table, query=self.query)
        if isinstance(origin, str | Path):
            return _read_path(Path(origin), self)
        if hasattr(origin, "__arrow_c_stream__"):  # our own results, pandas, polars, Arrow, DuckDB
            try:
                rows = pa.table(origin)
            except (pa.ArrowException, TypeError, ValueError) as error:
                message = f"{self.name} cannot be read as a table: {error}"
                raise ConfigError(
                    message, hint="give each of its columns values of one type"
                ) from error
            return rows.drop_columns(
                [name for name in rows.schema.names if name.startswith("__index_level_")]
            )
        message = f"{type(origin).__name__} is no place that a read model can be read from."
        raise ConfigError(
            message,
            hint="pass a postgresql:// DSN, a .duckdb, .parquet or .csv path, or a DataFrame",
        )


def read_model(
    origin: Any,
    *,
    table: str | None = None,
    query: str | None = None,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    version: str | None = None,
    position: str | int | None = None,
    positions: Positions = "log",
    timezone: str | None = None,
) -> ReadModel:
    """Say where a stored read model is.

    Parameters
    ----------
    origin
        A ``postgresql://`` DSN, a path (``.duckdb`` with ``table``; ``.parquet``; ``.csv``), a DataFrame,
        an Arrow table, a DuckDB relation, or a result of this package.
    table, query
        In a database: the table, or a SELECT.
    name
        What to call it in results.
    columns
        Column of the read model -> column of the definition, where the names differ.
    version
        The column that holds the version up to which a row has applied its stream: its checkpoint. Rows are
        then compared at that version, since lag is no corruption.
    position
        The same for positions: a column, or one number for the whole read model.
    positions
        Whether positions count as in this log (``"log"``) or as in the source (``"source"``).
    timezone
        How to read times that say no zone.

    Returns
    -------
    ReadModel
        A passive value; it is read when a diff needs it.
    """
    if version is not None and position is not None:
        message = "a read model has one checkpoint: version= or position=, not both."
        raise ConfigError(message, hint="name the one that production advances with each event")
    if table is not None and query is not None:
        message = "say table= or query=, not both."
        raise ConfigError(message)
    if isinstance(position, int) and position < 0:
        message = f"position={position}: positions count from 1; 0 is before the first event."
        raise ConfigError(message)
    check_zone(timezone)
    if positions not in get_args(Positions):
        message = f"positions={positions!r}: positions count as in the 'log' or as in the 'source'."
        raise ConfigError(message)
    if (table or query) and not _is_database(origin):
        message = "table= and query= are for databases, and this is none."
        raise ConfigError(
            message, hint="leave them out, or read the rows with DuckDB or pandas and pass those"
        )
    return ReadModel(
        origin,
        name or table or _name_of(origin),
        table,
        query,
        dict(columns or {}),
        version,
        position,
        positions,
        timezone,
    )


def _counts(kind: pa.DataType) -> bool:
    """Whether a type may hold whole numbers; pandas has floats where some are missing."""
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(is_one(kind) for is_one in numbers)


def _is_database(origin: Any) -> bool:
    if isinstance(origin, str) and origin.startswith(("postgresql://", "postgres://")):
        return True
    return isinstance(origin, str | Path) and Path(origin).suffix in (".duckdb", ".db")


def _name_of(origin: Any) -> str:
    if isinstance(origin, str) and "://" in origin:
        return "the read model"
    return Path(origin).stem if isinstance(origin, str | Path) else "the read model"


def _read_path(path: Path, model: ReadModel) -> pa.Table:
    if not path.exists():
        folder = path.parent if path.parent.is_dir() else Path()
        message = f"{path} does not exist."
        raise ConfigError(
            message + did_you_mean(path.name, [item.name for item in folder.iterdir()])
        )
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    try:
        if path.suffix in (".duckdb", ".db"):
            con.execute(f"ATTACH {text(str(path))} AS model (READ_ONLY)")
            con.execute("USE model")
            sql = model.query or (
                f"FROM {'.'.join(map(ident, model.table.split('.')))}" if model.table else None
            )
            if sql is None:
                names = [row[0] for row in con.execute("SHOW TABLES").fetchall()]
                message = f"{path} is a database; say which table."
                raise ConfigError(
                    message, hint=f"table={names[0]!r}" if names else "it holds no tables"
                )
            return con.sql(sql).to_arrow_table()
        reader = {".parquet": "read_parquet", ".csv": "read_csv", ".tsv": "read_csv"}.get(
            path.suffix
        )
        if reader is None:
            message = f"{path}: a read model is read from .duckdb, .parquet or .csv files."
            raise ConfigError(message, hint="load it with pandas and pass the DataFrame")
        # CSV as text: a guessed type would take 007 for 7, and money for floats.
        options = ", all_varchar = true, allow_quoted_nulls = false" if reader == "read_csv" else ""
        return con.sql(f"FROM {reader}({text(str(path))}{options})").to_arrow_table()
    except duckdb.CatalogException as error:
        message = f"{path}: {str(error).splitlines()[0]}"
        raise ConfigError(message, hint="say another table=") from error
    except duckdb.Error as error:
        message = f"{path} cannot be read: {str(error).splitlines()[0]}"
        raise SourceError(message, hint="check that the file is whole") from error
    finally:
        con.close()
