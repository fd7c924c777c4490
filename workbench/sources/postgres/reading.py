"""One pass over a table, in pages along its order, out of one snapshot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg import sql

from workbench._sql import ident, text
from workbench.errors import ConfigError
from workbench.sources.base import Batch, Bookmark, Report, Shape
from workbench.sources.postgres import anchors
from workbench.sources.postgres.catalog import Column, Relation
from workbench.sources.postgres.dsn import Dsn
from workbench.sources.postgres.gaps import Positions
from workbench.sources.postgres.prefetch import prefetched
from workbench.sources.postgres.snapshot import Control, Snapshot

#: Rows that one statement reads, so that a statement timeout means something on a table of any size.
PAGE_ROWS = 500_000
_FETCH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass reads with: connections, snapshot, and what is known of the table.

    ``reached`` is how far the numbering has come, where rows are deleted on purpose; otherwise None.
    ``warnings`` say why even a whole pass may not show all rows.
    """

    source: str
    dsn: Dsn
    control: Control
    bulk: Any
    snapshot: Snapshot
    relation: Relation
    position: Column
    columns: Sequence[Column]
    anchor_columns: Sequence[str]
    indexed: bool
    batch_rows: int
    batch_bytes: int
    reached: int | None
    warnings: Sequence[str]


class TableReading(ABC):
    """One pass; what the order of the table demands is told by the two that derive from it."""

    def __init__(self, given: Pass, shape: Shape, bookmark: Bookmark | None) -> None:
        self.given = given
        self.shape = shape
        self.anchors = anchors.Anchors.from_json(bookmark or {})
        self.finished = False
        self.total: int | None = None
        self._flow: Generator[pa.Table] | None = None
        #: For a batch that only moves the bookmark.
        self.empty = pa.table({})

    # -- what differs ----------------------------------------------------------------------------

    @abstractmethod
    def batches(self) -> Iterator[Batch]:
        """Read the batches of this pass."""

    @abstractmethod
    def report(self) -> Report:
        """Tell what was read so far."""

    @abstractmethod
    def remaining(self) -> sql.Composable:
        """Return the condition of the rows that come next."""

    # -- what is the same ------------------------------------------------------------------------

    def estimate(self) -> None:
        """Ask the server's statistics about how many rows this pass reads."""
        query = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} WHERE {}").format(
            self.given.relation.quoted, self.remaining()
        )
        plan = self.given.control.execute(query).fetchall()[0][0]
        self.total = int(plan[0]["Plan"]["Plan Rows"])

    @property
    def where(self) -> str:
        """The source and the table, for messages."""
        return f"{self.given.source}: {self.given.relation.label}"

    def select(self, extra: Sequence[sql.Composable] = ()) -> sql.Composable:
        """Return ``SELECT … FROM table``, with the columns that the mapping needs and no other."""
        listed = [*(column.expression for column in self.given.columns), *extra]
        return sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(listed), self.given.relation.quoted
        )

    def run(self, query: sql.Composable) -> Iterator[pa.RecordBatch]:
        """Read the rows of a query in small record batches."""
        with self.given.bulk.cursor() as cursor:
            hint = min(_FETCH_BYTES, self.given.batch_bytes)
            cursor.adbc_statement.set_options(
                **{"adbc.postgresql.batch_size_hint_bytes": str(hint)}
            )
            cursor.execute(query.as_string(self.given.control))
            reader = cursor.fetch_record_batch()
            self.empty = reader.schema.empty_table()
            for batch in reader:
                if batch.num_rows:
                    yield batch

    def positions(self, rows: pa.Table | pa.RecordBatch) -> Positions:
        """Return the positions of rows that were read."""
        column = rows.column(self.given.position.name).to_numpy(
            **({"zero_copy_only": False} if isinstance(rows, pa.RecordBatch) else {})
        )
        return column.astype(np.int64, copy=False)  # type: ignore[no-any-return]  # pyarrow is untyped

    def ahead(self, parts: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Gather record batches into tables of a good size, reading ahead of the log."""
        self._flow = prefetched(
            gathered(parts, self.given.batch_rows, self.given.batch_bytes),
            self.given.bulk.adbc_cancel,
        )
        return self._flow

    def close(self) -> None:
        """Stop reading ahead; the connections may be closed then."""
        if self._flow is not None:
            self._flow.close()

    def anchor(self, position: int) -> None:
        """Note which row stands at a position, to recognise the table at the next pass."""
        self.anchors.note(self.given.control, self.given.relation, self._anchored(), position)

    def check_anchors(self) -> None:
        """See that the table still is the one that was read."""
        self.anchors.check(
            self.given.control,
            self.given.relation,
            self._anchored(),
            self.where,
            self.given.reached,
        )

    def _anchored(self) -> tuple[str, Sequence[str]]:
        return self.given.position.name, self.given.anchor_columns

    def notes(self, *order: str) -> list[str]:
        """Say what hides rows, and what makes the pass slow; ``order`` are the columns that order it."""
        if self.given.indexed:
            return list(self.given.warnings)
        slow = f"{self.given.relation.label} has no index that starts with {', '.join(order)}: the server sorted the whole table"
        return [*self.given.warnings, slow]

    def check_present(self, column: Column) -> None:
        """See that a column of the order is never NULL: a row without it would never be read."""
        if not column.nullable:
            return
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} IS NULL)").format(
            self.given.relation.quoted, sql.Identifier(column.name)
        )
        if self.given.control.execute(query).fetchall()[0][0]:
            message = f"{self.where} has rows without {column.name}, which nothing would read."
            raise ConfigError(message, hint="order by a column that every row has: position='…'")


def gathered(parts: Iterator[pa.RecordBatch], rows: int, size: int) -> Iterator[pa.Table]:
    """Gather record batches into tables of at most so many rows and, unless one row is larger, bytes."""
    held: list[pa.RecordBatch] = []
    held_rows = held_size = 0
    for whole in parts:
        for start in range(0, whole.num_rows, rows):
            part = whole.slice(start, rows)
            if held and (held_size + part.nbytes > size or held_rows + part.num_rows > rows):
                yield pa.Table.from_batches(held)
                held, held_rows, held_size = [], 0, 0
            held.append(part)
            held_rows += part.num_rows
            held_size += part.nbytes
    if held:
        yield pa.Table.from_batches(held)


def raw_expression(columns: Sequence[Column]) -> str:
    """Return the record as it was received, as a JSON object of texts."""
    pairs = ", ".join(f"{text(column.name)}, {_as_text(column)}" for column in columns)
    return f"CAST(json_object({pairs}) AS VARCHAR)"


def unreadable_times(columns: Mapping[str, Column]) -> list[str]:
    """Return a reason to reject for each time that Arrow cannot hold; canonical column -> column."""
    return [
        f"CASE WHEN {_wrapped(column)} THEN {text(f'{canonical} is infinite, or later than the year 290000')} END"
        for canonical, column in columns.items()
        if column.type in ("timestamptz", "timestamp", "date")
    ]


def _wrapped(column: Column) -> str:
    # Infinity and the last years of Postgres wrap round in Arrow, to before the first of Postgres.
    return f"{ident(column.name)} < {'DATE' if column.type == 'date' else 'TIMESTAMP'} '4714-01-01 (BC)'"


def _as_text(column: Column) -> str:
    shown = f"CAST({ident(column.name)} AS VARCHAR)"
    if column.type in ("timestamptz", "timestamp", "date"):
        return f"CASE WHEN {_wrapped(column)} THEN 'infinity, or later than the year 290000' ELSE {shown} END"
    return shown
