"""What a fold is fed with: its events in order, in Arrow batches, as plain Python values by column."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from workbench._sql import any_of, ident
from workbench.errors import QueryError, ReplayError
from workbench.moments import Moment
from workbench.projections.engines.decimals import FromInteger, FromText
from workbench.projections.engines.ordering import Applied, applied
from workbench.projections.fold import Fold
from workbench.store.fields import Field, field
from workbench.store.view import EVENTS, View

BATCH_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as a handler ``(state, event)`` is given it."""

    position: int
    stream_id: str
    version: int | None
    type: str
    occurred_at: dt.datetime | None
    recorded_at: dt.datetime | None
    _data: str | None
    _metadata: str | None

    @property
    def data(self) -> Any:
        """The payload; numbers with a point are Decimal."""
        return _parsed(self._data)

    @property
    def metadata(self) -> Any:
        """The envelope; numbers with a point are Decimal."""
        return _parsed(self._metadata)


def _parsed(payload: str | None) -> Any:
    if payload is None:
        return None
    return json.loads(payload, parse_float=Decimal, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    message = f"{constant} in the payload is no number"
    raise ValueError(message)


Plan = list[tuple[Callable[..., Any] | None, list[list[Any]]]]
"""For each kind of event: its handler (None: it ends a row), and the columns that it is given."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A batch of events, ready to be folded.

    Attributes
    ----------
    kinds
        For each event, the index of its type.
    runs
        (first, end, key): neighbouring events of one row.
    """

    batch: pa.RecordBatch
    kinds: list[int]
    runs: list[tuple[int, int, tuple[Any, ...]]]
    plan: Plan

    def handlers(self) -> list[Callable[..., Any]]:
        """The handler of each event, where no type ends a row."""
        by_kind = [handler for handler, _ in self.plan]
        return [by_kind[kind] for kind in self.kinds]  # type: ignore[misc]  # None only where a type ends a row

    def arguments(self) -> Iterable[tuple[Any, ...]]:
        """What the handler of each event is given after the state."""
        first = self.plan[0][1]
        if all(list(map(id, columns)) == list(map(id, first)) for _, columns in self.plan):
            return zip(*first, strict=True) if first else itertools.repeat((), len(self.kinds))
        return [
            tuple([column[index] for column in self.plan[kind][1]])
            for index, kind in enumerate(self.kinds)
        ]

    @property
    def versions(self) -> list[int | None]:
        """Versions in the stream; None where unknown."""
        return self.batch["stream_version"].to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped

    @property
    def positions(self) -> list[int]:
        """Positions in the log."""
        return self.batch["position"].to_numpy().tolist()  # type: ignore[no-any-return]  # pyarrow is untyped

    @property
    def moments(self) -> list[dt.datetime | None]:
        """Times on the clock of the run."""
        return _utc(self.batch["moment"]).to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped

    def highest(self, name: str) -> list[int | None]:
        """The highest value of a whole-number column in each run; None where a run has none."""
        column = self.batch[name]
        lowest = np.iinfo(np.int64).min
        values: npt.NDArray[np.int64] = column.fill_null(lowest).to_numpy(zero_copy_only=False)
        found = np.maximum.reduceat(values, [first for first, _, _ in self.runs]).tolist()
        return (
            found if column.null_count == 0 else [None if one == lowest else one for one in found]
        )


class FoldInput:
    """The events of a fold, ordered by row and then as they apply."""

    def __init__(
        self,
        fold: Fold,
        view: View,
        moment: Moment,
        *,
        only: str | None = None,
        every_state: bool = False,
    ) -> None:
        self.fold = fold
        self.kinds = list(fold.types)
        self._view = view
        self._fields = [item for item in fold.fields if item not in fold.key.values()]
        self._given = {item for step in fold.steps.values() for item in step.fields or ()}
        self._whole = any(step.fields is None for step in fold.steps.values())
        self._decimals: dict[Field, FromInteger | FromText] = {}
        self.applied: Applied = applied(
            view,
            key=fold.key,
            types=fold.types,
            named=fold.types,
            stream_type=fold.stream_type,
            moment=moment,
            columns=self._columns(),
            only=only,
        )
        keys = ", ".join(ident(name) for name in fold.key)
        dropped = "event_type" if every_state else "event_type, moment"
        self.sql = f"SELECT * EXCLUDE ({dropped}) REPLACE ((kind - 1)::SMALLINT AS kind) FROM ({self.applied.sql})"
        # A settled log lies in this order already, and a scan keeps it; a join with some keys does not.
        if only is not None or not (self.applied.in_physical_order and view.is_settled):
            self.sql += f" ORDER BY {keys}, ord"

    def _columns(self) -> dict[str, str]:
        columns = {}
        for index, item in enumerate(self._fields):
            reader = self._view.read(item)
            value, typed = reader.value, reader.unusable is None
            if item.type == "decimal" and item.path:
                if self._view.narrow(item):
                    self._decimals[item] = FromInteger()
                    value = f"CAST({value} * 10000 AS BIGINT)"
                else:
                    # A decimal travels as text, with all the digits that the payload has.
                    self._decimals[item] = FromText()
                    value = reader.number
                if not typed:
                    columns[f"unusable_{index}"] = (
                        f"CASE WHEN {self._takes(item)} AND {reader.present} AND {value} IS NULL THEN {reader.raw} END"
                    )
            elif reader.unusable:
                columns[f"unusable_{index}"] = (
                    f"CASE WHEN {self._takes(item)} AND {reader.unusable} THEN {reader.raw} END"
                )
            columns[f"value_{index}"] = value
        if self._whole:
            for name in ("stream_id", "occurred_at", "recorded_at", "data", "metadata"):
                columns[f"event_{name}"] = self._view.read(field(f"event.{name}")).value
        return columns

    def _takes(self, item: Field) -> str:
        """Whether the handler of an event is given a field."""
        kinds = [kind for kind, step in self.fold.steps.items() if item in (step.fields or ())]
        return any_of("event_type", kinds)

    def chunks(self) -> Iterator[Chunk]:
        """Read the events; DuckDB gets the next batch ready while Python folds this one."""
        # A cursor of its own: an unfinished result blocks its connection.
        reader = self._view.database.cursor().sql(self.sql).to_arrow_reader(BATCH_ROWS)
        with ThreadPoolExecutor(1, thread_name_prefix="workbench-fold") as ahead:
            waiting = ahead.submit(next, reader, None)
            while (batch := self._got(waiting)) is not None:
                waiting = ahead.submit(next, reader, None)
                if batch.num_rows:
                    yield Chunk(
                        batch,
                        batch["kind"].to_numpy().tolist(),
                        self._runs(batch),
                        self._plan(batch),
                    )

    def _got(self, waiting: Future[pa.RecordBatch | None]) -> pa.RecordBatch | None:
        try:
            return waiting.result()
        except (duckdb.Error, pa.ArrowException) as error:
            message = f"fold {self.fold.name!r}: its events cannot be read: {error}"
            raise QueryError(message, hint="look at the condition of this view") from error

    def _runs(self, batch: pa.RecordBatch) -> list[tuple[int, int, tuple[Any, ...]]]:
        """Split a batch where the key changes."""
        count = batch.num_rows
        changed = np.zeros(count - 1, dtype=bool)
        for name in self.fold.key:
            column = batch[name]
            changed |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
        starts = [0, *(np.flatnonzero(changed) + 1).tolist(), count]
        firsts = pa.array(starts[:-1])
        keys = zip(*(batch[name].take(firsts).to_pylist() for name in self.fold.key), strict=True)
        return [
            (first, end, key)
            for (first, end), key in zip(itertools.pairwise(starts), keys, strict=True)
        ]

    def _plan(self, batch: pa.RecordBatch) -> Plan:
        read: dict[Field, list[Any]] = {}
        for index, item in enumerate(self._fields):
            if f"unusable_{index}" in batch.schema.names:
                self._refuse_unusable(item, batch, index)
            values = batch[f"value_{index}"]
            decimals = self._decimals.get(item)
            read[item] = _utc(values).to_pylist() if decimals is None else decimals.read(values)
        for name, item in self.fold.key.items():
            if item in self._given:
                read[item] = batch[name].to_pylist()
        events = self._events(batch) if self._whole else []
        plan: Plan = []
        for kind in self.kinds:
            step = None if kind in self.fold.ends else self.fold.steps.get(kind)
            if step is None:
                plan.append((None, []))
            else:
                columns = [events] if step.fields is None else [read[item] for item in step.fields]
                plan.append((step.handler, columns))
        return plan

    def _events(self, batch: pa.RecordBatch) -> list[Event]:
        columns = [
            batch["position"].to_pylist(),
            batch["event_stream_id"].to_pylist(),
            batch["stream_version"].to_pylist(),
            [self.kinds[code] for code in batch["kind"].to_pylist()],
            _utc(batch["event_occurred_at"]).to_pylist(),
            _utc(batch["event_recorded_at"]).to_pylist(),
            batch["event_data"].to_pylist(),
            batch["event_metadata"].to_pylist(),
        ]
        return list(itertools.starmap(Event, zip(*columns, strict=True)))

    # -- failing ---------------------------------------------------------------------------------

    def failed(
        self, error: Exception, batch: pa.RecordBatch, index: int, key: object
    ) -> ReplayError:
        """Say on which event a handler failed."""
        position = batch["position"][index].as_py()
        kind = self.kinds[batch["kind"][index].as_py()]
        stream, version, source, where = self._view.rows(
            f"SELECT stream_id, version, source, source_position FROM {EVENTS} WHERE position = {position}"
        )[0]
        message = (
            f"fold {self.fold.name!r}: the handler of {kind} failed with {type(error).__name__}: {error}\n"
            f"  on stream {stream!r}, version {version}, position {position} ({source} {where}), row {key!r}"
        )
        return ReplayError(
            message,
            hint=f"look at it: log.where(condition='position = {position}').df()",
            event={
                "position": position,
                "stream_id": stream,
                "version": version,
                "event_type": kind,
            },
        )

    def _refuse_unusable(self, item: Field, batch: pa.RecordBatch, index: int) -> None:
        column = batch[f"unusable_{index}"]
        if column.null_count == batch.num_rows:
            return
        row = pc.index(pc.is_valid(column), True).as_py()
        error = ValueError(f"{item.name} = {column[row].as_py()[:80]!r} is no {item.type}")
        raise self.failed(
            error, batch, row, tuple(batch[name][row].as_py() for name in self.fold.key)
        )


def _utc(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type) and column.type.tz:
        return column.cast(pa.timestamp(column.type.unit, tz="UTC"))
    return column
