"""Reading in the order (transaction, position), where a table keeps the writing transaction as xid8.

Rows of transactions below the oldest running one cannot change any more, so nothing has to be read twice.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from psycopg import sql

from workbench.errors import ConfigError
from workbench.sources.base import Batch, Bookmark, Report, Shape
from workbench.sources.postgres import failures, writers
from workbench.sources.postgres.catalog import Column
from workbench.sources.postgres.reading import PAGE_ROWS, Pass, TableReading

_XID = "wb_transaction_id"


class ByTransaction(TableReading):
    """One pass in the order (transaction, position), below the oldest running transaction.

    The bookmark: ``transaction_id`` and ``position`` of the last row, ``anchors``.
    """

    def __init__(
        self, given: Pass, shape: Shape, bookmark: Bookmark | None, *, transaction: Column
    ) -> None:
        super().__init__(given, shape, bookmark)
        self.transaction = transaction
        started = bookmark or {}
        self.last: tuple[int, int] | None = (
            (started["transaction_id"], started["position"]) if started else None
        )
        self.held = 0

    def batches(self) -> Iterator[Batch]:
        """Read the rows of transactions that have ended before all that still run."""
        with failures.told(self.given.dsn, self.where):
            self.check_present(self.transaction)
            self._check_own()
            for rows in self.ahead(self._pages()):
                positions = self.positions(rows)
                if self.last is None:
                    self.anchor(int(positions[0]))
                self.last = (int(rows.column(_XID)[-1].as_py()), int(positions[-1]))
                # The highest, since only that tells a table that was set back.
                self.anchor(int(positions.max()))
                yield Batch(rows, self._bookmark())
            self.finished = True
            count = sql.SQL("SELECT count(*) FROM {} WHERE NOT {}").format(
                self.given.relation.quoted, self._settled
            )
            self.held = self.given.control.execute(count).fetchall()[0][0]

    def remaining(self) -> sql.Composable:
        """Return the condition of the rows after the last one."""
        if self.last is None:
            return self._settled
        return sql.SQL("{} AND {}").format(self._settled, self._after(*self.last))

    def report(self) -> Report:
        """Tell below which transaction the log is complete for certain."""
        snapshot = self.given.snapshot
        part = {
            "part": self.given.relation.label,
            "from": min(self.anchors.rows, default=None),
            "to": None if self.last is None else self.last[1],
            "end": f"transactions below {snapshot.xmin}",
            "complete": self.finished and not self.held and not self.given.warnings,
            "note": None if self.finished else "the pass broke off",
        }
        notes = self.notes(self.transaction.name, self.given.position.name)
        if self.held:
            with failures.told(self.given.dsn, self.where):
                oldest = writers.numbers(self.given.control, [snapshot.xmin], anywhere=True)
            who = oldest[0].who if oldest else f"transaction {snapshot.xmin}"
            notes.append(f"{self.held:,} rows wait until {who} has ended; the next load reads them")
        settled = snapshot.xmin - 1 if self.finished else (self.last[0] - 1 if self.last else None)
        return Report(
            watermark=None if settled is None else f"transaction {settled}",
            completeness=(part,),
            notes=tuple(notes),
        )

    @property
    def _settled(self) -> sql.Composable:
        return sql.SQL("{} < {}::xid8").format(
            sql.Identifier(self.transaction.name), sql.Literal(str(self.given.snapshot.xmin))
        )

    def _after(self, transaction: int, position: int) -> sql.Composable:
        return sql.SQL("({}, {}) > ({}::xid8, {})").format(
            sql.Identifier(self.transaction.name),
            sql.Identifier(self.given.position.name),
            sql.Literal(str(transaction)),
            sql.Literal(position),
        )

    def _pages(self) -> Iterator[pa.RecordBatch]:
        condition = self.remaining()
        own = sql.Identifier(self.transaction.name)
        xid = sql.SQL("{}::text::bigint AS {}").format(own, sql.Identifier(_XID))
        limit = sql.SQL("LIMIT {}").format(sql.Literal(PAGE_ROWS if self.given.indexed else None))
        while True:
            count = 0
            for part in self.run(
                sql.SQL("{} WHERE {} ORDER BY {}, {} {}").format(
                    self.select([xid]),
                    condition,
                    own,
                    sql.Identifier(self.given.position.name),
                    limit,
                )
            ):
                count += part.num_rows
                last = (
                    int(part.column(name)[-1].as_py()) for name in (_XID, self.given.position.name)
                )
                condition = sql.SQL("{} AND {}").format(self._settled, self._after(*last))
                yield part
            if count < PAGE_ROWS or not self.given.indexed:
                return

    def _check_own(self) -> None:
        """See that the numbers are this server's: those of a restored table mean nothing here."""
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} >= {}::xid8)").format(
            self.given.relation.quoted,
            sql.Identifier(self.transaction.name),
            sql.Literal(str(self.given.snapshot.seen.xmax)),
        )
        if self.given.control.execute(query).fetchall()[0][0]:
            message = f"{self.where}: {self.transaction.name} holds transactions that this server has not had yet; the table was copied from another server."
            raise ConfigError(
                message,
                hint="leave transaction_id= out: the positions and their holes are used then",
            )

    def _bookmark(self) -> Bookmark:
        transaction, position = self.last or (None, None)
        return {
            "transaction_id": transaction,
            "position": position,
            "anchors": self.anchors.to_json(),
        }
