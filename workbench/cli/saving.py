"""Writing the rows of a result to a file: whole, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from workbench._sql import text
from workbench.cli import show
from workbench.errors import ConfigError, WorkbenchError

if TYPE_CHECKING:
    from workbench.store.table import Table

_FORMATS: Final = {
    ".parquet": "(FORMAT parquet, COMPRESSION zstd)",
    ".csv": "(FORMAT csv, HEADER)",
    ".json": None,  # ours: DuckDB would write decimals as numbers, which readers round
}


def check(path: Path | None) -> None:
    """Check that rows can be written there, before they are computed.

    Raises
    ------
    ConfigError
        The suffix tells no format, or there is no such folder.
    """
    if path is None:
        return
    if path.suffix not in _FORMATS:
        message = f"{path}: rows are written as {', '.join(_FORMATS)}, by the file's suffix."
        raise ConfigError(message)
    if not path.parent.is_dir():
        message = f"{path} cannot be written: there is no folder {path.parent}."
        raise ConfigError(message, hint="make the folder first")


def save(table: Table, path: Path) -> int:
    """Write all rows of a result; return how many.

    Raises
    ------
    WorkbenchError
        The file cannot be written; what stood there before is still there.
    """
    import duckdb

    part = path.with_name(f".{path.name}.part")
    try:
        written = _write(table, path.suffix, part)
        part.replace(path)
    except (OSError, duckdb.Error) as error:
        message = f"{path} cannot be written: {str(error).splitlines()[0]}"
        raise WorkbenchError(message, hint="check the disk and the folder's permissions") from error
    finally:
        part.unlink(missing_ok=True)
    return written


def _write(table: Table, suffix: str, part: Path) -> int:
    options = _FORMATS[suffix]
    if options is None:
        rows = table.rows()
        lines = ",\n".join(map(show.to_json, rows))
        part.write_text(f"[\n{lines}\n]\n" if rows else "[]\n", encoding="utf-8")
        return len(rows)
    import duckdb

    rows_to_write = table.arrow()
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        con.register("rows_to_write", rows_to_write)
        con.execute(f"COPY rows_to_write TO {text(str(part))} {options}")
    return int(rows_to_write.num_rows)
