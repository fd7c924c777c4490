"""Write simulated events to files, in bounded memory: numbers are gathered, and become text only here."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, Literal

import duckdb
import numpy as np

from workbench._sql import text
from workbench.samples.domain import Domain, Rows, Witness, join, where

Format = Literal["parquet", "ndjson", "ndjson.gz"]
Progress = Callable[[int, int], None]

#: A log with more events than this is cut into several files.
FILE_ROWS: Final = 250_000

#: How tables beside the events are written.
PARQUET: Final = "(FORMAT parquet, COMPRESSION zstd)"
_PARQUET: Final = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 125_000)"
_TEXT: Final = (
    "stream_id",
    "stream_type",
    "version",
    "event_id",
    "event_type",
    "schema_version",
    "occurred_at",
    "recorded_at",
    "correlation_id",
    "causation_id",
    "actor",
)


def connect() -> duckdb.DuckDBPyConnection:
    """Open a DuckDB of bounded memory, in UTC, that gives the same result with any number of threads."""
    # What does not fit spills here; DuckDB's own choice would be a folder beside the user's files.
    spill = Path(tempfile.gettempdir()) / f"workbench-generate-{os.getpid()}"
    con = duckdb.connect(
        config={
            "memory_limit": "450MB",
            "preserve_insertion_order": True,
            "temp_directory": str(spill),
        }
    )
    con.execute("SET timezone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    return con


def write_events(
    con: duckdb.DuckDBPyConnection,
    domain: Domain,
    folder: Path,
    *,
    events: int,
    seed: int,
    format: Format,
    progress: Progress | None,
    witnesses: Sequence[Witness] = (),
) -> tuple[Path, ...]:
    """Write exactly ``events`` events to ``folder``; return the files, in the order of positions."""
    paths: list[Path] = []
    done = 0
    # One file is written while the events of the next one are simulated.
    with ThreadPoolExecutor(1) as pool:
        writing: Future[int] | None = None
        for rows in _chunks(domain.slices(events, seed), events):
            for witness in witnesses:
                witness.saw(rows)
            if writing is not None:
                done += writing.result()
                if progress is not None:
                    progress(done, events)
            paths.append(folder / _file_name(len(paths), events, format))
            first = (len(paths) - 1) * FILE_ROWS + 1
            writing = pool.submit(_write_file, con, domain, rows, first, paths[-1], format)
        if writing is not None:
            done += writing.result()
            if progress is not None:
                progress(done, events)
    return tuple(paths)


def reader(events: tuple[Path, ...]) -> str:
    """Return SQL for a table of the events that were written: the canonical columns, JSON as text."""
    names = ", ".join(text(str(path)) for path in events)
    if events[0].name.endswith(".parquet"):
        return f"read_parquet([{names}])"
    kinds = dict.fromkeys(_TEXT, "VARCHAR") | {
        "position": "BIGINT",
        "version": "BIGINT",
        "occurred_at": "TIMESTAMPTZ",
        "recorded_at": "TIMESTAMPTZ",
        "data": "JSON",
        "metadata": "JSON",
    }
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in kinds.items())
    return f"read_json([{names}], format = 'newline_delimited', columns = {{{columns}}})"


def _file_name(index: int, events: int, format: Format) -> str:
    return f"events.{format}" if events <= FILE_ROWS else f"events-{index + 1:04d}.{format}"


def _chunks(slices: Iterator[Rows], events: int) -> Iterator[Rows]:
    """Cut slices into chunks of one file each, and stop after ``events`` rows."""
    parts: list[Rows] = []
    gathered = yielded = 0
    for part in slices:
        parts.append(part)
        gathered += len(part["recorded"])
        while gathered > 0 and gathered >= min(FILE_ROWS, events - yielded):
            rows = join(parts)
            size = min(FILE_ROWS, events - yielded)
            yield where(rows, np.arange(size))
            yielded += size
            if yielded == events:
                return
            parts = [where(rows, np.arange(size, gathered))]
            gathered -= size


def _write_file(
    con: duckdb.DuckDBPyConnection,
    domain: Domain,
    rows: Rows,
    first: int,
    path: Path,
    format: Format,
) -> int:
    size = len(rows["recorded"])
    cursor = con.cursor()
    cursor.execute("SET timezone = 'UTC'")  # a cursor starts with the settings of a new session
    cursor.register("drawn", domain.table(rows, np.arange(first, first + size, dtype=np.int64)))
    events = f"SELECT {domain.render} FROM drawn"
    if domain.rewrite is not None:
        events = domain.rewrite(events)
    if format == "parquet":
        cursor.execute(f"COPY ({events}) TO {text(str(path))} {_PARQUET}")
    else:
        _write_lines(cursor, events, path)
    cursor.close()
    return size


def _write_lines(con: duckdb.DuckDBPyConnection, events: str, path: Path) -> None:
    """Write one JSON object a line; data and metadata are nested as they are, digit by digit."""
    fields = ["'{\"position\":' || position"]
    for name in _TEXT:
        value = f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ')" if name.endswith("_at") else name
        fields.append(f"',\"{name}\":' || coalesce(CAST(to_json({value}) AS VARCHAR), 'null')")
    fields.append("',\"data\":' || data || ',\"metadata\":' || metadata || '}\n'")
    reader = con.sql(f"SELECT {' || '.join(fields)} FROM ({events})").to_arrow_reader(50_000)
    with path.open("wb") as raw, _compressed(raw, path) as file:
        for batch in reader:
            file.write("".join(batch.column(0).to_pylist()).encode())


def _compressed(raw: IO[bytes], path: Path) -> Any:
    # Neither a name nor a time inside, so that the same events give the same bytes.
    return gzip.GzipFile("", "wb", 9, raw, mtime=0) if path.suffix == ".gz" else raw
