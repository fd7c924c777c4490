"""Reading a table whole, in batches, as it stands in one snapshot: a table that is no log of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from psycopg import sql

from workbench.sources.base import Batch, Report, Shape
from workbench.sources.postgres import catalog, failures, snapshot
from workbench.sources.postgres.catalog import Column, Relation
from workbench.sources.postgres.prefetch import prefetched
from workbench.sources.postgres.reading import gathered
from workbench.sources.postgres.snapshot import Control
from workbench.sources.postgres.source import Postgres

_FETCH_BYTES: Final = 1 << 20
#: A large object: what the column holds is its number, and its bytes lie elsewhere.
_LARGE_OBJECT: Final = "oid"


@contextmanager
def whole(
    source: Postgres, order: Callable[[Sequence[str]], Sequence[str]]
) -> Iterator[WholeTable]:
    """Open one pass over the table of ``source``; ``order`` names those of its columns to sort by.

    Raises
    ------
    SourceUnavailable
        The server cannot be reached, refuses us, or went away.
    ConfigError
        The table does not exist, or may not be read.
    """
    with snapshot.connected(source.dsn, source.limits) as control:
        with failures.told(source.dsn, source.name):
            relation = catalog.find(control, source.layout.table, source.name)
            by = order(list(relation.columns))
            taken = snapshot.begin(control)
            hidden = catalog.hidden_rows(control, relation)
        where = f"{source.name}: {relation.label}"
        with snapshot.reader(source.dsn, source.limits, taken, where) as bulk:
            reading = WholeTable(source, control, bulk, relation, by, hidden)
            with failures.told(source.dsn, where):
                reading.estimate()
            try:
                yield reading
            finally:
                reading.close()


@dataclass
class WholeTable:
    """One pass. ``shape`` says nothing: whoever asked for the rows knows what they are."""

    source: Postgres
    control: Control
    bulk: Any
    relation: Relation
    order: Sequence[str]
    hidden: Sequence[str]
    shape: Shape = field(default_factory=lambda: Shape({"source_position": "NULL"}))
    total: int | None = None
    rows: int = 0
    finished: bool = False
    _flow: Any = None

    def estimate(self) -> None:
        """Ask the server's statistics about how many rows there are."""
        (plan,) = self.control.execute(
            sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {}").format(self.relation.quoted)
        ).fetchall()[0]
        self.total = int(plan[0]["Plan"]["Plan Rows"])

    def batches(self) -> Iterator[Batch]:
        """Read all rows."""
        where = f"{self.source.name}: {self.relation.label}"
        with failures.told(self.source.dsn, where):
            self._flow = prefetched(self._tables(), self.bulk.adbc_cancel)
            for rows in self._flow:
                self.rows += rows.num_rows
                yield Batch(rows, {"rows": self.rows})
        self.finished = True

    def report(self) -> Report:
        """Say how much was read. The next load reads the table anew."""
        note = "" if self.finished else "broken off"
        return Report(
            watermark=f"{self.rows:,} rows of {self.relation.label}" if self.finished else None,
            completeness=(
                {
                    "part": self.relation.label,
                    "from": 1 if self.rows else None,
                    "to": self.rows,
                    "end": self.rows if self.finished else None,
                    "complete": self.finished,
                    "note": note,
                },
            ),
            notes=tuple(self.hidden),
        )

    def close(self) -> None:
        """Stop reading ahead; the connections may be closed then."""
        if self._flow is not None:
            self._flow.close()

    def _tables(self) -> Iterator[pa.Table]:
        listed = sql.SQL(", ").join(_selected(column) for column in self.relation.columns.values())
        query = sql.SQL("SELECT {} FROM {}").format(listed, self.relation.quoted)
        if self.order:
            query += sql.SQL(" ORDER BY {}").format(
                sql.SQL(", ").join(sql.Identifier(name) for name in self.order)
            )
        with self.bulk.cursor() as cursor:
            hint = str(min(_FETCH_BYTES, self.source.batch_bytes))
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": hint})
            cursor.execute(query.as_string(self.control))
            parts = (part for part in cursor.fetch_record_batch() if part.num_rows)
            yield from gathered(parts, self.source.batch_rows, self.source.batch_bytes)


def _selected(column: Column) -> sql.Composable:
    if column.type == _LARGE_OBJECT:
        return sql.SQL("lo_get({0}) AS {0}").format(sql.Identifier(column.name))
    return column.expression
