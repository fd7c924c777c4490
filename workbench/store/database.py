"""The file behind a log: opened for reading, and for writing only while something is written.

A DuckDB file that one process may write can be read by no other. So the workbench keeps it attached
read-only, in a workspace in memory, and takes it over for the moments of a load. Two notebooks and a
command line can then look at the same investigation at once.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
from duckdb.func import ARROW, SPECIAL

from workbench._sql import ident, text
from workbench.errors import LoadError, LogCorrupt, LogError, LogLocked
from workbench.store import schema
from workbench.store.query import DAMAGED, FROM_A_COPY, query_error
from workbench.store.transaction import transaction

Con = duckdb.DuckDBPyConnection

LOAD_MEMORY: Final = "500MB"
"""DuckDB's share of the 1 GB that a load may take; it spills to disk beyond."""

REMEMBERED: Final = 1_000
"""Answers that are kept; a slider makes a view for each of its steps."""

_HELD_BY = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")


class Database:
    """One log's file and the workspace in memory that looks at it.

    Parameters
    ----------
    path
        The DuckDB file; made when absent. None: a log in memory, gone with the process.
    read_only
        Never write, not even to make or migrate the file.
    wait
        Seconds to wait for a file that another process holds.
    """

    _attached_as = "log"

    def __init__(self, path: Path | None, *, read_only: bool = False, wait: float = 2.0) -> None:
        self.path = path
        self.read_only = read_only
        self.generation = 0  # grows with each write; what was remembered before is stale then
        self._remembered: dict[str, list[tuple[Any, ...]]] = {}
        self._remembered_at = 0
        self._wait = wait
        self._names = itertools.count(1)
        self._functions: dict[Callable[..., Any], str] = {}
        self._con = duckdb.connect(
            ":memory:",
            config={"temp_directory": str(_spill_folder())},
        )
        self._con.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
        self._closed = False
        self._let_go = False  # while the file is detached
        _OPENED.add(self)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @property
    def label(self) -> str:
        """The file's path, or 'a log in memory'."""
        return str(self.path) if self.path else "a log in memory"

    def cursor(self) -> Con:
        """Return a connection of its own to the workspace, with the file attached as ``log``."""
        if self._closed:
            message = f"{self.label} is closed."
            raise LogError(message, hint="open it again: wb.open(…)")
        if self._let_go:
            self._attach(read_only=True)
        return self._con.cursor()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Con]:
        """Take the file over for writing; afterwards it is open for reading again."""
        if self._closed:
            message = f"{self.label} is closed."
            raise LogError(message, hint="open it again: wb.open(…)")
        if self.read_only:
            message = f"{self.label} was opened read-only."
            raise LogError(message, hint="open it with wb.open(path) to write to it")
        if self.path is None:
            try:
                yield self.cursor()
            finally:
                self.generation += 1
            return
        with contextlib.ExitStack() as aside:
            for other in self._others():
                aside.enter_context(other._aside())
            with self._aside():
                yield from self._written()

    def _others(self) -> list[Database]:
        """The other logs of this process on the same file: a cell that was run again leaves one behind."""
        mine = self.path.resolve() if self.path else None
        return [
            other
            for other in _OPENED
            if other is not self
            and not other._closed
            and other.path is not None
            and other.path.resolve() == mine
        ]

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Let go of the file, and look at it again afterwards: at once, or when it can be had."""
        self._detach()
        try:
            yield
        finally:
            self.generation += 1
            with contextlib.suppress(LogLocked):
                self._attach(read_only=True)

    def _written(self) -> Iterator[Con]:
        self._attach(read_only=False)
        con = self._con.cursor()
        self._con.execute(f"SET memory_limit = {text(LOAD_MEMORY)}")
        try:
            yield con
        finally:
            # Whatever was not committed is rolled back when its connection goes.
            con.close()
            self._con.execute("RESET memory_limit")
            self._detach()

    def remember(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query of ours whose answer holds until something is written to the log."""
        if self._remembered_at != self.generation:
            self._remembered.clear()
            self._remembered_at = self.generation
        if sql not in self._remembered:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[sql] = self.rows(sql)
        return self._remembered[sql]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query of ours and return its rows.

        Raises
        ------
        QueryError
            It failed, as a condition of the user may make it.
        """
        try:
            return self.cursor().execute(sql).fetchall()
        except duckdb.Error as error:
            raise query_error(error, sql) from error

    def keep(self, sql: str, owner: object, prefix: str = "result") -> str:
        """Store a query's rows in the workspace for as long as ``owner`` lives; return the table."""
        name = self._workspace_table(prefix, owner)
        try:
            self.cursor().execute(f"CREATE TABLE {name} AS {sql}")
        except duckdb.Error as error:
            raise query_error(error, sql) from error
        return name

    def _workspace_table(self, prefix: str, owner: object) -> str:
        name = f"memory.main.{ident(f'{prefix}_{next(self._names)}')}"
        weakref.finalize(owner, _drop, self._con, name)
        return name

    def keep_arrow(self, rows: pa.Table, owner: object, prefix: str = "result") -> str:
        """Store Arrow rows in the workspace, as :meth:`keep` does with a query."""
        con = self.cursor()
        con.register("rows_to_keep", rows)
        name = self._workspace_table(prefix, owner)
        con.execute(f"CREATE TABLE {name} AS FROM rows_to_keep")
        return name

    def function(self, function: Callable[..., Any], takes: Sequence[str], gives: str) -> str:
        """Make a function over Arrow batches callable from SQL; return the name that it has there."""
        if function not in self._functions:
            if not self._functions:
                # A function that outlives its connection is reported as a leak when Python ends.
                weakref.finalize(self, self._con.close)
            name = f"wb_function_{next(self._names)}"
            self._con.create_function(
                name, function, list(takes), gives, type=ARROW, null_handling=SPECIAL
            )
            self._functions[function] = name
        return self._functions[function]

    def close(self) -> None:
        """Let go of the file. Results that were not fetched yet can no longer be."""
        if not self._closed:
            self._closed = True
            self._con.close()

    # -- opening ---------------------------------------------------------------------------------

    def _open(self) -> None:
        if self.path is None:
            self._con.execute("ATTACH ':memory:' AS log")
            schema.create(self._con)
            return
        if self.path.is_dir():
            message = f"{self.path} is a folder, not a DuckDB file."
            raise LogError(message, hint="name a file in it, such as incident.duckdb")
        if not self.path.exists():
            self._make(self.path)
        self._attach(read_only=True)
        if not self.read_only and not schema.tables(self._con):
            # Killed before its schema was written: the file is there, and empty.
            self._detach()
            self._make(self.path)
            self._attach(read_only=True)
        try:
            stored = schema.check(self._con, str(self.path))
        except duckdb.Error as error:
            raise _translated(error, str(self.path), read_only=True) from error
        if stored < schema.FORMAT:
            if self.read_only:
                message = (
                    f"{self.path} has format {stored}; this workbench reads format {schema.FORMAT}."
                )
                raise LogError(
                    message,
                    hint="open it once for writing, which migrates it in place: wb.open(path)",
                )
            self._detach()
            self._attach(read_only=False)
            schema.migrate(self._con, stored)
            self._detach()
            self._attach(read_only=True)

    def _make(self, path: Path) -> None:
        if self.read_only:
            message = f"{path} does not exist, and read_only=True makes no file."
            raise LogError(message, hint="check the path, or open it without read_only")
        if not path.parent.is_dir():
            message = f"{path} cannot be made: there is no folder {path.parent}."
            raise LogError(message, hint="make the folder first")
        self._attach(read_only=False)
        if not schema.tables(self._con):  # another process may have been faster
            with transaction(self._con):
                schema.create(self._con)
        self._detach()

    def _attach(self, *, read_only: bool) -> None:
        deadline = time.monotonic() + self._wait
        while True:
            try:
                mode = " (READ_ONLY)" if read_only else ""
                self._con.execute(f"ATTACH {text(str(self.path))} AS {self._attached_as}{mode}")
            except duckdb.Error as error:
                if _locked(error, str(self.path)) and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise _translated(error, str(self.path), read_only=read_only) from error
            else:
                self._let_go = False
                return

    def _detach(self) -> None:
        attached = self._con.execute(
            f"SELECT 1 FROM duckdb_databases() WHERE database_name = '{self._attached_as}'"
        ).fetchall()
        self._let_go = True
        if not attached:
            return
        try:
            self._con.execute(f"DETACH {self._attached_as}")
        except duckdb.Error as error:
            reason = str(error).splitlines()[-1]
            message = f"{self.label} holds all that was committed, and it stays; tidying the file failed: {reason}"
            raise LoadError(
                message,
                hint="free some disk space, then run the same load again: it goes on from there",
            ) from error


_OPENED: weakref.WeakSet[Database] = weakref.WeakSet()
_spills = itertools.count(1)


def _spill_folder() -> Path:
    """Name a folder of this connection's own; DuckDB makes it when it has to, and removes it."""
    return Path(tempfile.gettempdir()) / f"workbench-spill-{os.getpid()}-{next(_spills)}"


def _drop(con: Con, name: str) -> None:
    with contextlib.suppress(duckdb.Error):  # the workspace may be gone first
        con.execute(f"DROP TABLE IF EXISTS {name}")


def _locked(error: duckdb.Error, path: str) -> bool:
    return bool(re.search(r"\block", str(error).replace(path, "")))  # not a damaged 'block'


def _translated(error: duckdb.Error, path: str, *, read_only: bool) -> LogError:
    """Turn what DuckDB says about a file into what a user can act on."""
    said = str(error)
    words = said.replace(path, "")
    if "Unique file handle conflict" in said:
        return LogError(
            f"{path} cannot be opened: a result of it is still being read in this process.",
            hint="finish or delete that result (an Arrow reader, an unfinished query), then try again",
        )
    if _locked(error, path):
        held = _HELD_BY.search(said)
        who = f"process {held['pid']} ({Path(held['program']).name})" if held else "another process"
        doing = "is writing to it" if read_only else "has it open"
        return LogLocked(
            f"{path} cannot be opened for {'reading' if read_only else 'writing'}: {who} {doing}.",
            hint="wait for it, or close it there (log.close(), or shut that notebook's kernel down)",
        )
    if DAMAGED.search(words):
        return LogCorrupt(
            f"{path} is damaged, or no DuckDB file: {said.splitlines()[0]}",
            hint=FROM_A_COPY,
        )
    if "newer" in words or "storage version" in words:
        return LogError(
            f"{path} needs another DuckDB: {said.splitlines()[0]}",
            hint="upgrade the duckdb package",
        )
    return LogError(
        f"{path} cannot be opened: {said.splitlines()[0]}",
        hint="check the path and its permissions",
    )
