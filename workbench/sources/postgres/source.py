"""A Postgres table as a source of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from workbench._sql import ident, text
from workbench.errors import ConfigError
from workbench.moments import check_zone
from workbench.sources import mapping
from workbench.sources.base import Bookmark, Reading, Shape
from workbench.sources.mapping import Epoch, Spec
from workbench.sources.postgres import catalog, failures, snapshot, writers
from workbench.sources.postgres.by_position import ByPosition
from workbench.sources.postgres.by_transaction import ByTransaction
from workbench.sources.postgres.catalog import Column, Relation
from workbench.sources.postgres.dsn import Dsn, parse
from workbench.sources.postgres.gaps import Writers
from workbench.sources.postgres.layouts import REFERENCE, Layout, layout_named
from workbench.sources.postgres.reading import Pass, raw_expression, unreadable_times
from workbench.sources.postgres.snapshot import Control, Limits

_TIMES = ("occurred_at", "recorded_at")
#: What tells one event from another; compared to recognise a table at the next pass.
_TELLING = ("stream_id", "version", "event_id")


@dataclass(frozen=True, slots=True)
class Postgres:
    """An event table in Postgres; made by :func:`postgres`. Nothing is opened before ``read``."""

    name: str
    dsn: Dsn
    layout: Layout
    timezone: str | None
    epoch: Epoch | None
    batch_rows: int
    batch_bytes: int
    deletes: bool
    limits: Limits

    @property
    def kind(self) -> str:
        """``"postgres"``."""
        return "postgres"

    @contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[Reading]:
        """Open one pass that goes on after ``bookmark``, in one read-only snapshot.

        Raises
        ------
        SourceUnavailable
            The server cannot be reached, refuses us, or went away.
        SourceDataLost
            The table is not the one that was read before: truncated, restarted or restored.
        ConfigError
            The table or a column does not exist, or may not be read.
        """
        if bookmark and ("transaction_id" in bookmark) != (self.layout.transaction_id is not None):
            message = (
                f"{self.name} was loaded in another order before (with or without transaction_id=)."
            )
            raise ConfigError(
                message, hint="keep it as it was, or load as another source: name='…'"
            )
        with snapshot.connected(self.dsn, self.limits) as control:
            with failures.told(self.dsn, self.name):
                relation = catalog.find(control, self.layout.table, self.name)
            where = f"{self.name}: {relation.label}"
            with failures.told(self.dsn, where):
                position = catalog.position_column(relation, self.layout.position, self.name)
                shape, columns = self._shape(relation, position)
                # The order of these four is what makes a verdict on a hole sound: see gaps and writers.
                sighted, highest, at = snapshot.sighted(control, relation, position.name)
                sequence = catalog.sequence_of(control, relation, position.name)
                running, doubts = writers.sessions(control, relation, sequence)
                taken = snapshot.begin(control)
                numbers = writers.numbers(control, list(taken.running))
                hidden = catalog.hidden_rows(control, relation)
            last = None if sequence is None else sequence.last
            doubts += hidden
            if last is not None and highest is not None and last < highest:
                doubts.append(
                    f"the sequence of {relation.label} stands at {last}, below position {highest}: it may hand numbers out again"
                )
            reached = max((n for n in (last, highest) if n is not None), default=None)
            with snapshot.reader(self.dsn, self.limits, taken, where) as bulk:
                with failures.told(self.dsn, where):
                    given = Pass(
                        source=self.name,
                        dsn=self.dsn,
                        control=control,
                        bulk=bulk,
                        snapshot=taken,
                        relation=relation,
                        position=position,
                        columns=columns,
                        anchor_columns=self._telling(relation),
                        indexed=self._indexed(control, relation),
                        batch_rows=self.batch_rows,
                        batch_bytes=self.batch_bytes,
                        reached=reached if self.deletes else None,
                        warnings=hidden,
                    )
                    reading = (
                        ByTransaction(given, shape, bookmark, transaction=self._xid8(relation))
                        if self.layout.transaction_id is not None
                        else ByPosition(
                            given,
                            shape,
                            bookmark,
                            first=None if sequence is None else sequence.first,
                            before=(sighted, highest),
                            writers=Writers(at, (*running, *numbers), tuple(doubts), taken.xmin),
                        )
                    )
                    reading.check_present(position)
                    reading.check_anchors()
                    reading.estimate()
                try:
                    yield reading
                finally:
                    reading.close()

    def _shape(self, relation: Relation, position: Column) -> tuple[Shape, list[Column]]:
        have = {column.name: column.duck_type for column in relation.columns.values()}
        specs = self.layout.columns
        used = mapping.columns_used(specs, have)
        columns = [
            c for c in relation.columns.values() if c.name == position.name or c.name in used
        ]
        times = {
            canonical: relation.columns[spec]
            for canonical in _TIMES
            for spec in mapping.listed(specs.get(canonical, ()))
            if spec in relation.columns
        }
        shape = mapping.shape(
            specs,
            have,
            source=f"{self.name}: {relation.label}",
            source_position=f"{text(relation.label + '/')} || CAST({ident(position.name)} AS VARCHAR)",
            raw=raw_expression(columns),
            timezone=self.timezone,
            epoch=self.epoch,
            reject=unreadable_times(times),
        )
        return shape, columns

    def _telling(self, relation: Relation) -> Sequence[str]:
        specs = [self.layout.columns.get(canonical) for canonical in _TELLING]
        return [spec for spec in specs if isinstance(spec, str) and spec in relation.columns]

    def _indexed(self, control: Control, relation: Relation) -> bool:
        order = [self.layout.transaction_id, self.layout.position]
        return catalog.has_index(control, relation, [name for name in order if name is not None])

    def _xid8(self, relation: Relation) -> Column:
        name = self.layout.transaction_id or ""
        column = relation.columns.get(name)
        if column is None or column.type != "xid8":
            what = "does not exist" if column is None else f"is of type {column.type}"
            message = f"{self.name}: {relation.label}.{name} {what}; transaction_id= names a column of type xid8."
            raise ConfigError(
                message, hint="leave it out: the positions and their holes are used then"
            )
        return column


def postgres(
    dsn: str,
    *,
    layout: str | Layout | None = None,
    table: str | None = None,
    columns: Mapping[str, Spec] | None = None,
    position: str | None = None,
    transaction_id: str | None = None,
    name: str | None = None,
    timezone: str | None = None,
    epoch: Epoch | None = None,
    deletes: bool = False,
    batch_rows: int = 250_000,
    batch_bytes: int = 64 << 20,
    statement_timeout: float = 600.0,
    lock_timeout: float = 5.0,
    idle_timeout: float = 600.0,
) -> Postgres:
    """Name an event table in Postgres, to be loaded into a log. It is only ever read.

    Parameters
    ----------
    dsn
        A URL or ``key=value`` pairs, as libpq takes them; what is left out comes from ``PG*``
        variables and ``~/.pgpass``. Its password is never shown.
    layout
        How the store names its table and columns; ``"reference"`` unless ``columns`` are given:
        ``events(position, aggregate_id, event_type, version, timestamp, data, metadata)``.
    table
        Another table than the layout's, ``"schema.name"`` where it is not on the search path.
    columns
        Canonical column -> spec, for any table (see :mod:`workbench.sources.mapping`): a column,
        ``"metadata.user"``, ``"=constant"``, or a list of which the first that is not NULL counts.
        Together with a named ``layout`` these go over the layout's own.
    position
        The column that orders all events, a unique whole number from a sequence.
    transaction_id
        A column of type ``xid8`` that holds the writing transaction, where the table has one. Events
        are then read in the order (transaction, position), below the oldest running transaction.
    name
        Name of the source in the log; host, database and table unless given.
    timezone
        How to read times without an offset: ``"UTC"``, ``"Europe/Madrid"``.
    epoch
        Unit of times that are numbers: ``"s"``, ``"ms"`` or ``"us"``.
    deletes
        Rows are deleted from the table on purpose (an outbox, a retention rule). Without this, a row
        that was loaded and is gone is an error.
    batch_rows, batch_bytes
        Most rows and bytes of one batch; memory is bounded by a few of them.
    statement_timeout, lock_timeout, idle_timeout
        Seconds that a statement may run, wait for a lock, or a transaction stay idle.

    Returns
    -------
    Postgres
        A passive value for ``log.load``.

    Raises
    ------
    ConfigError
        The connection string is not readable, or there is no such layout.

    Examples
    --------
    >>> postgres("postgresql://ann:s3cret@db.example.org/bank").name
    'postgres://db.example.org/bank/events'
    >>> postgres(
    ...     "host=db dbname=shop",
    ...     table="sales.history",
    ...     position="seq",
    ...     columns={"stream_id": "order_id", "event_type": "kind", "data": "body"},
    ... ).name
    'postgres://db/shop/sales.history'
    """
    if isinstance(layout, str):
        layout = layout_named(layout)
    base = layout or (REFERENCE if columns is None else Layout())
    chosen = Layout(
        table=table or base.table,
        position=position or base.position,
        columns={**base.columns, **(columns or {})},
        transaction_id=transaction_id or base.transaction_id,
    )
    check_zone(timezone)
    parsed = parse(dsn)
    return Postgres(
        name=name or f"postgres://{parsed.label}/{chosen.table}",
        dsn=parsed,
        layout=chosen,
        timezone=timezone,
        epoch=epoch,
        batch_rows=batch_rows,
        batch_bytes=batch_bytes,
        deletes=deletes,
        limits=Limits(statement_timeout, lock_timeout, idle_timeout),
    )
