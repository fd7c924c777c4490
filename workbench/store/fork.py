"""A fork: the log of another file with some events dropped, edited or added; that file is only read.

In the workspace of a fork the file is attached under another name, and ``log`` is a catalogue in memory whose
``events`` are those of the file but for the changes. So whatever asks ``log`` works on a fork as on a log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa

from workbench._sql import ident
from workbench.errors import LogError
from workbench.event import COLUMNS
from workbench.store import typed
from workbench.store.database import Con, Database

CHANGED = "log.main.wb_changed"
"""The events that are edited or added, as they are in the fork."""
REPLACED = "log.main.wb_replaced"
"""The positions of events that are dropped or edited, as they are in the log."""

_OWN = ("events", "events_base", "events_tail", "typed_columns")


class Fork(Database):
    """The log of a file but for some events; it holds the events up to those that were there when it was made.

    Parameters
    ----------
    origin
        The log.
    replaced
        Arrow: ``position`` of the events that are not taken over.
    changed
        Arrow: the events that take their place or are added, in the canonical columns.
    words
        What was changed, for labels.
    """

    _attached_as = "origin"

    def __init__(
        self, origin: Database, replaced: pa.Table, changed: pa.Table, *, words: str
    ) -> None:
        self.origin = origin
        self.words = words
        self._replaced, self._changed = replaced, changed
        super().__init__(origin.path, read_only=True)

    @property
    def label(self) -> str:
        """What it is a fork of."""
        return f"a fork of {self.origin.label}"

    @contextlib.contextmanager
    def writing(self) -> Iterator[Con]:
        """Refuse: there is no file to write to."""
        message = f"{self.label}: a fork is only looked at."
        raise LogError(message, hint="write to the log itself, and fork it again")
        yield self.cursor()  # pragma: no cover

    def _open(self) -> None:
        if self.path is None:
            self._copy()
        else:
            self._attach(read_only=True)
        con = self._con
        con.execute("ATTACH ':memory:' AS log")
        names = [
            row[0]
            for row in con.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'origin' AND schema_name = 'main'"
            ).fetchall()
        ]
        for name in names:
            if name not in _OWN:
                con.execute(f"CREATE VIEW log.main.{ident(name)} AS FROM origin.main.{ident(name)}")
        con.execute("CREATE TABLE log.main.typed_columns AS FROM origin.main.typed_columns")
        self._make_events(con)

    def _make_events(self, con: Con) -> None:
        last = con.execute("SELECT coalesce(max(position), 0) FROM origin.main.events").fetchall()
        known = typed.columns(con)
        columns = ", ".join(ident(name) for name in (*COLUMNS, *(item.name for item in known)))
        con.register("wb_replaced_rows", self._replaced)
        con.register("wb_changed_rows", self._changed)
        con.execute(
            f"CREATE TABLE {REPLACED} AS SELECT CAST(position AS BIGINT) AS position FROM wb_replaced_rows"
        )
        canonical = ", ".join(
            f"CAST({ident(name)} AS {kind}) AS {ident(name)}" for name, kind in COLUMNS.items()
        )
        derived = "".join(
            f", CAST({item.value_sql} AS {item.duck_type}) AS {ident(item.name)}" for item in known
        )
        con.execute(
            f"CREATE TABLE {CHANGED} AS SELECT *{derived} FROM (SELECT {canonical} FROM wb_changed_rows)"
        )
        con.unregister("wb_replaced_rows")
        con.unregister("wb_changed_rows")
        # A value that does not fit a typed column turns the whole field back to the payload.
        typed.count_misfits(con, CHANGED)
        kept = f"position <= {last[0][0]} AND position NOT IN (SELECT position FROM {REPLACED})"
        for name in ("events", "events_base", "events_tail"):
            changed = "" if name == "events_base" else f" UNION ALL SELECT {columns} FROM {CHANGED}"
            con.execute(
                f"CREATE VIEW log.main.{name} AS SELECT {columns} FROM origin.main.{name} WHERE {kept}{changed}"
            )

    def _copy(self) -> None:
        """Copy a log that is in memory: no other workspace can look at it there."""
        self._con.execute("ATTACH ':memory:' AS origin")
        theirs = self.origin.cursor()
        names = theirs.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'log' AND schema_name = 'main'"
        ).fetchall()
        for (name,) in names:
            columns = theirs.execute(f"DESCRIBE log.main.{ident(name)}").fetchall()
            reader = theirs.sql(f"FROM log.main.{ident(name)}").to_arrow_reader(100_000)
            self._con.register("wb_copied", reader)
            casts = ", ".join(
                f"CAST({ident(row[0])} AS {row[1]}) AS {ident(row[0])}" for row in columns
            )
            self._con.execute(
                f"CREATE TABLE origin.main.{ident(name)} AS SELECT {casts} FROM wb_copied"
            )
            self._con.unregister("wb_copied")
        view = ", ".join(
            ident(row[0]) for row in theirs.execute("DESCRIBE log.main.events").fetchall()
        )
        self._con.execute(
            f"CREATE VIEW origin.main.events AS SELECT {view} FROM origin.main.events_base "
            f"UNION ALL SELECT {view} FROM origin.main.events_tail"
        )
