"""Folds over Arrow batches: SQL selects, orders and types the events; Python only folds them."""

from __future__ import annotations

import datetime as dt
import gc
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench._sql import ident, text
from workbench.errors import ReplayError
from workbench.moments import Clock, Moment
from workbench.projections.engines.ordering import Applied, applied
from workbench.projections.fold import Fold, Step
from workbench.store.fields import Field
from workbench.store.view import EVENTS, View

BATCH_ROWS: Final = 100_000
_END: Final = -1


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
        return None if self._data is None else json.loads(self._data, parse_float=Decimal)

    @property
    def metadata(self) -> Any:
        """The envelope; numbers with a point are Decimal."""
        return None if self._metadata is None else json.loads(self._metadata, parse_float=Decimal)


@dataclass(frozen=True, slots=True)
class Folded:
    """The rows of a fold as Arrow, and the clock that it ran on."""

    rows: pa.Table
    clock: Clock


def replay(fold: Fold, view: View, moment: Moment) -> Folded:
    """Fold every row up to a moment: the key, the state's columns, ``version``, ``position``, ``events``."""
    run = _Run(fold, view, moment)
    rows: list[dict[str, Any]] = []

    def done(key: tuple[Any, ...], state: Any, last: tuple[int | None, int], count: int) -> None:
        rows.append(
            {
                **dict(zip(fold.key, key, strict=True)),
                **fold.row(state),
                "version": last[0],
                "position": last[1],
                "events": count,
            }
        )

    run.each_row(done)
    return Folded(run.table(rows), run.applied.clock)


def history(
    fold: Fold, view: View, moment: Moment, *, only: str | None = None, ends: bool = False
) -> Folded:
    """Fold every row and keep each state: as :func:`duckdb_sql.history_sql` gives them."""
    run = _Run(fold, view, moment, only=only)
    rows: list[dict[str, Any]] = []

    def after(state: _State, next_moment: Any) -> None:
        if state.is_end and not ends:
            return
        row = {
            **dict(zip(fold.key, state.key, strict=True)),
            "valid_from": state.moment,
            "valid_to": next_moment,
            "event_type": state.kind,
            "version": state.version,
            "position": state.position,
            **state.row,
            "events": state.events,
        }
        rows.append({**row, "is_end": state.is_end, "nth": state.nth} if ends else row)

    run.each_event(after)
    return Folded(run.table(rows, times=("valid_from", "valid_to")), run.applied.clock)


@dataclass(frozen=True, slots=True)
class _State:
    """A row's state after one event."""

    key: tuple[Any, ...]
    row: dict[str, Any]
    kind: str
    moment: Any
    version: int | None
    position: int
    events: int
    nth: int
    is_end: bool


class _Decimals(dict[str, Decimal]):
    """Text -> Decimal. Amounts repeat, and a look-up is cheaper than parsing."""

    def __missing__(self, key: str) -> Decimal:
        if len(self) > 500_000:
            self.clear()
        value = self[key] = Decimal(key)
        return value


class _Run:
    """One pass of a fold over its events, ordered by row and then as they apply."""

    def __init__(self, fold: Fold, view: View, moment: Moment, *, only: str | None = None) -> None:
        self._fold = fold
        self._view = view
        self._kinds = list(fold.types)
        self._fields = [item for item in fold.fields if item not in fold.key.values()]
        self._whole = any(step.fields is None for step in fold.steps.values())
        columns = {}
        for index, item in enumerate(self._fields):
            reader = view.read(item)
            value = reader.value
            if item.type == "decimal" and item.path:
                # A decimal travels as text. One that is out of a DECIMAL's range is read from the payload.
                value = (
                    f"coalesce(CAST({value} AS VARCHAR), {item.raw_sql})"
                    if reader.unusable
                    else f"CAST({value} AS VARCHAR)"
                )
            elif reader.unusable:
                columns[f"unusable_{index}"] = (
                    f"CASE WHEN {reader.unusable} THEN {item.raw_sql} END"
                )
            columns[f"value_{index}"] = value
        if self._whole:
            for name in ("stream_id", "occurred_at", "recorded_at", "data", "metadata"):
                columns[f"event_{name}"] = name
        self.applied: Applied = applied(
            view,
            key=fold.key,
            types=fold.types,
            ends=fold.ends,
            stream_type=fold.stream_type,
            moment=moment,
            columns=columns,
        )
        keys = ", ".join(ident(name) for name in fold.key)
        code = " ".join(f"WHEN {text(kind)} THEN {index}" for index, kind in enumerate(self._kinds))
        narrowed = f" SEMI JOIN ({only}) USING ({keys})" if only else ""
        self._sql = (
            f"SELECT * EXCLUDE (event_type), CASE event_type {code} END::SMALLINT AS kind "
            f"FROM ({self.applied.sql}){narrowed} ORDER BY {keys}, ord"
        )

    # -- the two loops ---------------------------------------------------------------------------

    def each_row(
        self, done: Callable[[tuple[Any, ...], Any, tuple[int | None, int], int], None]
    ) -> None:
        """Fold, and hand over the last state of each row that is not ended."""
        key: tuple[Any, ...] | None = None
        state: Any = None
        count = 0
        last: tuple[int | None, int] = (None, 0)
        with _collector_off():
            for batch in self._batches():
                plan = self._plan(batch)
                kinds = batch["kind"].to_numpy().tolist()
                versions, positions = (
                    batch["stream_version"].to_pylist(),
                    batch["position"].to_pylist(),
                )
                for first, end, run_key in self._runs(batch):
                    if run_key != key:
                        if key is not None and count:
                            done(key, state, last, count)
                        key, state, count = run_key, self._fold.start(), 0
                    index = first
                    try:
                        for index in range(first, end):
                            handler, values = plan[kinds[index]]
                            if handler is None:
                                state, count = self._fold.start(), _END
                            elif len(values) == 1:
                                state = _next(handler(state, values[0][index]), state)
                            else:
                                state = _next(
                                    handler(state, *[column[index] for column in values]), state
                                )
                            count += 1
                    except Exception as error:
                        raise self._failed(error, batch, index, key) from error
                    last = (
                        versions[end - 1] if self.applied.by_stream else count,
                        positions[end - 1],
                    )
        if key is not None and count:
            done(key, state, last, count)

    def each_event(self, after: Callable[[_State, Any], None]) -> None:
        """Fold, and hand over the state after each event, with the time of the row's next event."""
        key: tuple[Any, ...] | None = None
        state: Any = None
        events = nth = 0
        held: _State | None = None  # a state waits for the time that ends it
        for batch in self._batches():
            plan = self._plan(batch)
            kinds = batch["kind"].to_pylist()
            versions, positions = batch["stream_version"].to_pylist(), batch["position"].to_pylist()
            times = batch["moment"].to_pylist()
            for first, end, run_key in self._runs(batch):
                if run_key != key:
                    if held is not None:
                        after(held, None)
                        held = None
                    key, state, events, nth = run_key, self._fold.start(), 0, 0
                for index in range(first, end):
                    if held is not None:
                        after(held, times[index])
                    handler, values = plan[kinds[index]]
                    try:
                        if handler is None:
                            state, events = self._fold.start(), 0
                        else:
                            state = _next(
                                handler(state, *[column[index] for column in values]), state
                            )
                            events += 1
                    except Exception as error:
                        raise self._failed(error, batch, index, key) from error
                    nth += 1
                    version = versions[index] if self.applied.by_stream else events
                    # The next event may change the state in place: its row is taken now.
                    row = {} if handler is None else dict(self._fold.row(state))
                    held = _State(
                        run_key, row, self._kinds[kinds[index]], times[index], version,
                        positions[index], events, nth, handler is None,
                    )  # fmt: skip
        if held is not None:
            after(held, None)

    # -- reading ---------------------------------------------------------------------------------

    def _batches(self) -> Iterator[pa.RecordBatch]:
        # A cursor of its own: an unfinished result blocks its connection.
        yield from self._view.database.cursor().sql(self._sql).to_arrow_reader(BATCH_ROWS)

    def _plan(self, batch: pa.RecordBatch) -> list[tuple[Any, list[list[Any]]]]:
        """For each kind of event: its handler, and the columns that it is given (None: it ends a row)."""
        read: dict[Field, list[Any]] = {}
        for index, item in enumerate(self._fields):
            values = batch[f"value_{index}"]
            if f"unusable_{index}" in batch.schema.names:
                self._refuse_unusable(item, batch, index)
            if item.type == "decimal" and item.path:
                decimals = _Decimals()
                read[item] = [
                    None if value is None else decimals[value] for value in values.to_pylist()
                ]
            else:
                read[item] = _utc(values).to_pylist()
        for name, item in self._fold.key.items():
            read[item] = batch[name].to_pylist()
        events = self._events(batch) if self._whole else []
        plan: list[tuple[Any, list[list[Any]]]] = []
        for kind in self._kinds:
            step: Step | None = None if kind in self._fold.ends else self._fold.steps.get(kind)
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
            [self._kinds[code] for code in batch["kind"].to_pylist()],
            _utc(batch["event_occurred_at"]).to_pylist(),
            _utc(batch["event_recorded_at"]).to_pylist(),
            batch["event_data"].to_pylist(),
            batch["event_metadata"].to_pylist(),
        ]
        return list(itertools.starmap(Event, zip(*columns, strict=True)))

    def _runs(self, batch: pa.RecordBatch) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
        """Split a batch where the key changes."""
        count = batch.num_rows
        changed = np.zeros(max(count - 1, 0), dtype=bool)
        for name in self._fold.key:
            column = batch[name]
            changed |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
        starts = [0, *(np.flatnonzero(changed) + 1).tolist(), count]
        keys = zip(
            *(batch[name].take(pa.array(starts[:-1])).to_pylist() for name in self._fold.key),
            strict=True,
        )
        for (first, end), key in zip(itertools.pairwise(starts), keys, strict=True):
            yield first, end, key

    # -- failing and finishing -------------------------------------------------------------------

    def _failed(self, error: Exception, batch: pa.RecordBatch, index: int, key: Any) -> ReplayError:
        position = batch["position"][index].as_py()
        kind = self._kinds[batch["kind"][index].as_py()]
        event = self._view.rows(
            f"SELECT stream_id, version, source, source_position FROM {EVENTS} WHERE position = {position}"
        )[0]
        message = (
            f"fold {self._fold.name!r}: the handler of {kind} failed with {type(error).__name__}: {error}\n"
            f"  on stream {event[0]!r}, version {event[1]}, position {position} ({event[2]} {event[3]}), row {key!r}"
        )
        hint = f"look at it: log.where(condition='position = {position}').df()"
        return ReplayError(
            message,
            hint=hint,
            event={
                "position": position,
                "stream_id": event[0],
                "version": event[1],
                "event_type": kind,
            },
        )

    def _refuse_unusable(self, item: Field, batch: pa.RecordBatch, index: int) -> None:
        column = batch[f"unusable_{index}"]
        if column.null_count == batch.num_rows:
            return
        row = pc.index(pc.is_valid(column), True).as_py()
        error = ValueError(f"{item.name} = {column[row].as_py()[:80]!r} is no {item.type}")
        raise self._failed(
            error, batch, row, tuple(batch[name][row].as_py() for name in self._fold.key)
        )

    def table(self, rows: list[dict[str, Any]], times: tuple[str, ...] = ()) -> pa.Table:
        """Build the result; money is DECIMAL(38,18) as in a projection, whatever the scales met."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = {name: _column([row.get(name) for row in rows], name in times) for name in names}
        return pa.table(columns)


def _column(values: list[Any], is_time: bool) -> pa.Array:
    if is_time:
        return pa.array(values, pa.timestamp("us", tz="UTC"))
    sample = next((value for value in values if value is not None), None)
    if isinstance(sample, Decimal):
        return pa.array(values, pa.decimal128(38, 18))
    if isinstance(sample, dt.datetime):
        return pa.array(values, pa.timestamp("us", tz="UTC"))
    if isinstance(sample, list) and sample and isinstance(sample[0], Decimal):
        return pa.array(values, pa.list_(pa.decimal128(38, 18)))
    return pa.array(values)


def _next(returned: Any, state: Any) -> Any:
    return state if returned is None else returned


def _utc(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type) and column.type.tz:
        return column.cast(pa.timestamp(column.type.unit, tz="UTC"))
    return column


@contextmanager
def _collector_off() -> Iterator[None]:
    """States are many and hold no cycles; the collector would look at them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
