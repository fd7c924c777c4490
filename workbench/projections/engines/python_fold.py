"""Folds in Python: SQL selects, orders and types the events; Python only folds them."""

from __future__ import annotations

import copy
import datetime as dt
import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any, Final

import pyarrow as pa

from workbench.errors import ReplayError
from workbench.moments import Clock, Moment
from workbench.projections.engines.fold_input import Chunk, FoldInput
from workbench.projections.fold import Fold
from workbench.store.view import View

DIGITS: Final = 76
"""Handlers add and multiply as exactly as SQL does; Python's own 28 digits would round in silence."""


@dataclass(frozen=True)
class Folded:
    """The rows of a fold as Arrow, and the clock that it ran on."""

    rows: pa.Table
    clock: Clock


# -- the rows at a moment ------------------------------------------------------------------------


def replay(fold: Fold, view: View, moment: Moment) -> Folded:
    """Fold every row up to a moment: the key, the state's columns, ``version``, ``position``, ``events``."""
    feed = FoldInput(fold, view, moment)
    rows = StateRows(fold)
    last = _Last(by_stream=feed.applied.by_stream)
    with _collector_off(), localcontext(prec=DIGITS):
        for chunk in feed.chunks():
            fold_chunk = _fold_with_ends if fold.ends else _fold_plain
            fold_chunk(feed, chunk, last, rows)
    last.done(rows)
    return Folded(rows.table(), feed.applied.clock)


@dataclass(slots=True)
class _Last:
    """The row that is being folded; it may go on in the next chunk."""

    by_stream: bool
    key: tuple[Any, ...] | None = None
    state: Any = None
    version: int | None = None
    position: int = 0
    events: int = 0

    def start(self, key: tuple[Any, ...], fold: Fold) -> None:
        self.key, self.state, self.version, self.position, self.events = (
            key,
            fold.start(),
            None,
            0,
            0,
        )

    def done(self, rows: StateRows) -> None:
        if self.key is not None and self.events:
            version = self.version if self.by_stream else self.events
            rows.add(self.key, self.state, version, self.position, self.events)


def _fold_plain(feed: FoldInput, chunk: Chunk, last: _Last, rows: StateRows) -> None:
    """The fast loop: no type ends a row."""
    versions, positions = chunk.highest("stream_version"), chunk.highest("position")
    steps = iter(zip(chunk.handlers(), chunk.arguments(), strict=True))
    try:
        for run, (first, end, key) in enumerate(chunk.runs):
            if key != last.key:
                last.done(rows)
                last.start(key, feed.fold)
            state = last.state
            fixed = isinstance(state, _FIXED)
            for handler, values in itertools.islice(steps, end - first):
                new = handler(state, *values)
                if new is not None:
                    state = new
                elif fixed:
                    _refuse_nothing(state)
            last.state = state
            last.events += end - first
            last.position = max(last.position, positions[run] or 0)
            last.version = _higher(last.version, versions[run])
    except Exception as error:
        index = chunk.batch.num_rows - 1 - sum(1 for _ in steps)
        raise feed.failed(error, chunk.batch, index, last.key) from error


def _fold_with_ends(feed: FoldInput, chunk: Chunk, last: _Last, rows: StateRows) -> None:
    """The loop for folds in which a type ends a row: what was before it counts no more."""
    kinds, plan = chunk.kinds, chunk.plan
    versions, positions = chunk.versions, chunk.positions
    index = 0
    try:
        for first, end, key in chunk.runs:
            if key != last.key:
                last.done(rows)
                last.start(key, feed.fold)
            for index in range(first, end):
                handler, values = plan[kinds[index]]
                if handler is None:
                    last.start(key, feed.fold)
                    continue
                new = handler(last.state, *[column[index] for column in values])
                if new is not None:
                    last.state = new
                elif isinstance(last.state, _FIXED):
                    _refuse_nothing(last.state)
                last.events += 1
                last.position = max(last.position, positions[index])
                last.version = _higher(last.version, versions[index])
    except Exception as error:
        raise feed.failed(error, chunk.batch, index, last.key) from error


_FIXED = (int, float, Decimal, str, bytes, tuple, frozenset, dt.date)
"""States that no handler can have changed in place."""


def _refuse_nothing(state: Any) -> None:
    message = f"it returned None, and a state of type {type(state).__name__} cannot be changed in place; return the next state"
    raise TypeError(message)


def _later(left: dt.datetime | None, right: dt.datetime | None) -> dt.datetime | None:
    return right if left is None else left if right is None else max(left, right)


def _higher(left: int | None, right: int | None) -> int | None:
    return right if left is None else left if right is None else max(left, right)


@dataclass(slots=True)
class StateRows:
    """Finished rows, by column."""

    fold: Fold
    keys: list[tuple[Any, ...]] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    versions: list[int | None] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)

    def add(
        self, key: tuple[Any, ...], state: Any, version: int | None, position: int, events: int
    ) -> None:
        """Add a row; its state is kept as it is now."""
        self.keys.append(key)
        self.states.append(state)
        self.versions.append(version)
        self.positions.append(position)
        self.events.append(events)

    def table(self) -> pa.Table:
        """Return the rows as a replay gives them."""
        columns: dict[str, pa.Array] = {}
        for index, name in enumerate(self.fold.key):
            columns[name] = pa.array([key[index] for key in self.keys])
        start = self.fold.row(self.fold.start())
        for name, values in self.fold.columns(self.states).items():
            columns[name] = _column(self.fold, name, values, start.get(name))
        columns["version"] = pa.array(self.versions, pa.int64())
        columns["position"] = pa.array(self.positions, pa.int64())
        columns["events"] = pa.array(self.events, pa.int64())
        return _with_keys(pa.table(columns), self.fold)


# -- every state ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _State:
    """A row's state after one event."""

    key: tuple[Any, ...]
    row: dict[str, Any]
    kind: str
    moment: dt.datetime | None
    version: int | None
    position: int
    events: int
    nth: int
    is_end: bool


def history(
    fold: Fold, view: View, moment: Moment, *, only: str | None = None, ends: bool = False
) -> Folded:
    """Fold every row and keep each state: as :func:`duckdb_sql.history_sql` gives them."""
    feed = FoldInput(fold, view, moment, only=only, every_state=True)
    rows: list[dict[str, Any]] = []

    def after(state: _State, next_moment: dt.datetime | None) -> None:
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

    with localcontext(prec=DIGITS):
        _each_state(feed, after)
    samples = {**fold.row(fold.start()), **_ADDED, **({"is_end": False, "nth": 0} if ends else {})}
    names = dict.fromkeys([*(name for row in rows for name in row), *samples])
    columns = {
        name: _column(fold, name, [row.get(name) for row in rows], samples.get(name))
        for name in names
    }
    return Folded(_with_keys(pa.table(columns), fold), feed.applied.clock)


#: What a history adds to the columns of a state, by example.
_ADDED = {
    "valid_from": dt.datetime.fromtimestamp(0, dt.UTC),
    "valid_to": dt.datetime.fromtimestamp(0, dt.UTC),
    "event_type": "",
    "version": 0,
    "position": 0,
    "events": 0,
}


def _each_state(feed: FoldInput, after: Callable[[_State, dt.datetime | None], None]) -> None:
    """Fold, and hand over the state after each event, with the time of the row's next event."""
    fold = feed.fold
    key: tuple[Any, ...] | None = None
    state: Any = None
    events = nth = 0
    held: _State | None = None  # a state waits for the time that ends it
    for chunk in feed.chunks():
        versions, positions, moments = chunk.versions, chunk.positions, chunk.moments
        for first, end, run_key in chunk.runs:
            if run_key != key:
                if held is not None:
                    after(held, None)
                    held = None
                key, state, events, nth = run_key, fold.start(), 0, 0
            for index in range(first, end):
                # A clock that runs backwards in a row must not give it two states at once.
                since = _later(held.moment if held else None, moments[index])
                if held is not None:
                    after(held, since)
                handler, values = chunk.plan[chunk.kinds[index]]
                try:
                    if handler is None:
                        state, events = fold.start(), 0
                    else:
                        new = handler(state, *[column[index] for column in values])
                        if new is not None:
                            state = new
                        elif isinstance(state, _FIXED):
                            _refuse_nothing(state)
                        events += 1
                except Exception as error:
                    raise feed.failed(error, chunk.batch, index, key) from error
                nth += 1
                held = _State(
                    run_key,
                    # The next event may change the state in place: its row is taken now.
                    {} if handler is None else _taken(fold.row(state)),
                    feed.kinds[chunk.kinds[index]],
                    since,
                    versions[index] if feed.applied.by_stream else events,
                    positions[index],
                    events,
                    nth,
                    handler is None,
                )
    if held is not None:
        after(held, None)


# -- shared --------------------------------------------------------------------------------------


def _with_keys(rows: pa.Table, fold: Fold) -> pa.Table:
    """Give a table without rows its key columns, so that it can be joined."""
    for name in fold.key:
        if name not in rows.schema.names:
            rows = rows.append_column(name, pa.array([], pa.string()))
    return rows


_IMMUTABLE = frozenset({int, str, Decimal, bool, float, dt.datetime, dt.date, type(None)})


def _taken(row: dict[str, Any]) -> dict[str, Any]:
    """Copy what the next event may change in place."""
    return {
        name: value if type(value) in _IMMUTABLE else copy.deepcopy(value)
        for name, value in row.items()
    }


def _column(fold: Fold, name: str, values: list[Any], start: Any) -> pa.Array:
    """Build a column of states; money is DECIMAL(38,18) as in a projection, whatever the scales met."""
    try:
        return _array(values, start)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        refused = next((value for value in values if not _fits(value, values, start)), values[0])
        message = (
            f"fold {fold.name!r}: {name!r} cannot be a column, since a state has {refused!r} "
            f"({type(refused).__name__}) there: {error}"
        )
        raise ReplayError(
            message,
            hint="keep one type (Decimal, int, str, bool, aware datetime, or lists of them), "
            "and round quotients to 18 places at most: round(value, 2)",
        ) from error


def _fits(value: Any, values: list[Any], start: Any) -> bool:
    sample = next((one for one in [*values, start] if one is not None), None)
    try:
        _array([sample, value], start)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def _array(values: list[Any], start: Any) -> pa.Array:
    kinds = set(map(type, values)) - {type(None)} or {type(start)}
    if Decimal in kinds and kinds <= {Decimal, int}:
        return pa.array(values, _DECIMAL)
    if kinds == {int}:
        try:
            return pa.array(values, pa.int64())
        except OverflowError:
            return pa.array(values, pa.decimal128(38, 0))
    if dt.datetime in kinds:
        if any(value is not None and value.tzinfo is None for value in values):
            message = "a time says no time zone"
            raise ValueError(message)
        return pa.array(values, pa.timestamp("us", tz="UTC"))
    if kinds == {list} and any(
        isinstance(item, Decimal) for value in values for item in value or ()
    ):
        return pa.array(values, pa.list_(_DECIMAL))
    known = {bool: pa.bool_(), str: pa.string(), float: pa.float64()}
    return pa.array(values, known.get(next(iter(kinds))) if len(kinds) == 1 else None)


_DECIMAL = pa.decimal128(38, 18)


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
