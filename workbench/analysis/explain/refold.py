"""Searching the causes of a fold's wrong rows: by folding changed runs of their events, within bounds.

What a handler does is not known, so nothing can be taken off a state: each hypothesis is folded again, from
the state before its first change. One row may take so many calls of handlers and no more. Where that does
not do for its events, those are tried whose own effect, as far as numbers show it, is the difference.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import localcontext
from typing import Any, Final

import pyarrow as pa

from workbench._sql import ident
from workbench.analysis.explain import causes
from workbench.analysis.explain.one_row import Call, Found, OneRow
from workbench.analysis.explain.snapshots import Snapshots
from workbench.analysis.explain.stored import Stored, is_number
from workbench.analysis.explain.suspects import Suspects
from workbench.errors import ReplayError
from workbench.projections.engines.fold_input import FoldInput
from workbench.projections.engines.python_fold import DIGITS, StateRows
from workbench.projections.fold import Fold
from workbench.store.view import View

MOST_CALLS: Final = 100_000
"""Calls of handlers that one row may take."""
MOST_IN_ALL: Final = 100_000_000
"""Calls of handlers for all rows; after these, rows are only searched for what is quickly tried."""
MOST_KEPT: Final = 2_000_000
"""Events of all wrong rows that are kept at once, to try those of one row in another."""
MOST_PAIRS: Final = 50_000


@dataclass(slots=True)
class _Asked:
    """A suspect as its search wants it."""

    k: int
    kind: str
    proven: bool
    free: bool
    length: int
    stopped: int | None
    last_end: int
    all: int
    stored: Stored


@dataclass(frozen=True, slots=True)
class _Lost:
    """An event that a row lacks, and what it does to the numbers of its own row."""

    k: int
    n: int
    position: int
    call: Call
    effect: tuple[Any, ...]


@dataclass(slots=True)
class _Strangers:
    """Events that a row lacks, and rows that may have had one of another."""

    lost: list[_Lost] = field(default_factory=list)
    receivers: list[tuple[OneRow, list[int]]] = field(default_factory=list)
    unexplained: list[OneRow] = field(default_factory=list)
    kept: int = 0


class Refolds:
    """The search over one fold's suspects."""

    def __init__(self, fold: Fold, suspects: Suspects) -> None:
        self.fold, self.suspects, self.database = fold, suspects, suspects.database
        self.notes: list[str] = []
        suspects.lay_out(suspects.events({}))
        self._bounded: list[int] = []
        self._old: list[tuple[int, int]] = []
        self.old: str | None = None
        self._left = MOST_IN_ALL

    def run(self) -> list[str]:
        """Search all causes; return queries for hypotheses."""
        asked = self._asked()
        found: list[Found] = []
        strangers = _Strangers()
        raw = self._raw()
        with localcontext(prec=DIGITS):
            for one, calls, positions in self._rows(self.suspects.work.view, asked):
                found += self._search(one, calls, positions, raw.get(one.k), strangers)
            for one in asked.values():  # rows without a single event
                found += self._search(one, [], [], None, strangers)
            found += self._wrong_key(strangers)
            found += self._other_snapshot(strangers, {each.wb_k for each in found})
        if self._bounded:
            self.notes.append(
                f"{len(self._bounded):,} rows have more events than can be tried in all ways: of runs of events, and of pairs, "
                "only some were"
            )
        if self._old:
            ks, ns = zip(*self._old, strict=True)
            table = pa.table({"wb_k": pa.array(ks, pa.int64()), "wb_n": pa.array(ns, pa.int64())})
            self.old = self.database.keep_arrow(table, self, "old")
        return [f"FROM {self._proven(found)}"]

    @property
    def incomplete(self) -> str:
        """A query for the rows (``wb_k``) in which not everything was tried."""
        return f"SELECT unnest({self._bounded}::BIGINT[]) AS wb_k"

    # -- reading ---------------------------------------------------------------------------------

    def _asked(self) -> dict[tuple[str, ...], _Asked]:
        columns = self.suspects.work.columns
        values = ", ".join(
            column.read_sql(f"s.{ident('stored_' + column.name)}") for column in columns
        )
        keys = self.suspects.work.keys
        key = ", ".join(f"s.{ident(name)}" for name in keys)
        kinds = [(column.name, column.theirs, column.tolerance) for column in columns]
        rows = self.database.rows(
            f"SELECT {key}, s.wb_k, s.class, s.class = 'stale' AND s.checkpoint IS NOT NULL, s.checkpoint IS NULL, wb_length, wb_stopped, "
            f"wb_last_end, wb_all, {values} FROM {self.suspects.table} s JOIN {self.suspects.lengths} USING (wb_k)"
        )
        first = len(keys) + 8
        numeric = [
            any(is_number(row[first + index]) for row in rows) for index in range(len(kinds))
        ]
        asked = {}
        for row in rows:
            k, kind, proven, free, length, stopped, last_end, whole = row[len(keys) : first]
            stored = Stored(self.fold, kinds, row[first:], numeric)
            asked[tuple(row[: len(keys)])] = _Asked(
                k, kind, proven, free, length, stopped, last_end, whole, stored
            )
        return asked

    def _rows(
        self, view: View, asked: dict[tuple[str, ...], _Asked]
    ) -> Iterator[tuple[_Asked, list[Call], list[int]]]:
        """Read the events of each suspect, in order, as calls of handlers."""
        only = f"SELECT {self.suspects.work.key_list} FROM {self.suspects.table}"
        feed = FoldInput(self.fold, view, self.suspects.work.moment, only=only, every_state=True)
        key: tuple[Any, ...] | None = None
        calls: list[Call] = []
        positions: list[int] = []
        for chunk in feed.chunks():
            numbers = chunk.positions
            for first, end, run_key in chunk.runs:
                if run_key != key:
                    if key is not None:
                        yield asked.pop(tuple(map(str, key))), calls, positions
                    key, calls, positions = run_key, [], []
                for index in range(first, end):
                    handler, values = chunk.plan[chunk.kinds[index]]
                    calls.append((handler, tuple([column[index] for column in values])))
                positions += numbers[first:end]
        if key is not None:
            yield asked.pop(tuple(map(str, key))), calls, positions

    def _raw(self) -> dict[int, list[Call]]:
        """The calls with payloads as they are stored, of the rows in which upcasters change any."""
        view = self.suspects.work.view
        if view.upcasters is None:
            return {}
        asked = self._asked()
        try:
            return {one.k: calls for one, calls, _ in self._rows(view.without_upcasters(), asked)}
        except ReplayError as error:
            self.notes.append(
                f"payloads cannot be tried without their upcaster: {str(error).splitlines()[0]}"
            )
            return {}

    # -- one row after another -------------------------------------------------------------------

    def _search(
        self,
        one: _Asked,
        calls: list[Call],
        positions: list[int],
        raw: list[Call] | None,
        strangers: _Strangers,
    ) -> list[Found]:
        k = one.k
        if one.kind == "missing":
            return (
                [Found(k, causes.NOT_WRITTEN, one.last_end + 1, one.length)] if one.length else []
            )
        late = (
            [Found(k, causes.STOPPED, (one.stopped or 0) + 1, one.all)]
            if one.kind == "stale"
            else []
        )
        if one.proven:
            return late
        budget = min(max(MOST_CALLS, 100 * one.length), self._left)
        row = OneRow(k, self.fold, calls[: one.length], one.stored, budget, one.last_end)
        own = None if raw is None or raw == calls else raw[: one.length]
        singles = row.singles()
        found = [
            each
            for each in [*singles, *row.runs(singles)]
            if one.kind != "stale" or not _is_tail(each, one.length)
        ]
        if one.kind != "stale":
            # Where the row's checkpoint says otherwise, that it stopped is what a lacking rest looks like, too.
            found += row.stopped()
        if own is not None:
            found += row.not_upcast(own)
            self._old += [(k, n) for n in row.changed(own)]
        if found or one.kind == "stale":
            self._remember(one, row, found, positions, strangers, receives=False)
        else:
            self._remember(one, row, found, positions, strangers, receives=True)
            found += row.two(one.all, own, may_stop=one.free)
            if not found and one.kind == "corrupted":
                strangers.unexplained.append(row)
        self._bounded += [k] if row.bounded else []
        self._left -= row.calls_made
        return late + found

    def _remember(
        self,
        one: _Asked,
        row: OneRow,
        found: list[Found],
        positions: list[int],
        strangers: _Strangers,
        *,
        receives: bool,
    ) -> None:
        strangers.lost += [
            _Lost(one.k, n, positions[n - 1], row.calls[n - 1], row.effect(n))
            for n in (each.lo for each in found if each.cause == causes.SKIPPED)
            if n is not None
        ]
        if receives and strangers.kept < MOST_KEPT:
            strangers.kept += len(positions)
            strangers.receivers.append((row, positions[: one.length]))

    def _wrong_key(self, strangers: _Strangers) -> Iterator[Found]:
        """Try the events that rows lack in other wrong rows, where they would do what is off there."""
        lost: dict[tuple[int, Any], list[_Lost]] = {}
        for each in strangers.lost:
            for index, value in enumerate(each.effect):
                if value:
                    lost.setdefault((index, value), []).append(each)
        tries = 0
        for row, positions in strangers.receivers:
            shown = next(((i, value) for i, value in enumerate(row.off) if value), None)
            for each in lost.get(shown, ()) if shown is not None else ():
                if each.k == row.k:
                    continue
                tries += 1
                if tries > MOST_PAIRS:
                    self.notes.append(
                        "events of other rows were tried in some rows only: there are too many"
                    )
                    return
                at = bisect.bisect_left(positions, each.position)
                state = row.with_stranger(at, each.call)
                if state is not None:
                    yield Found(
                        row.k,
                        causes.WRONG_KEY,
                        None,
                        None,
                        other_k=each.k,
                        other_n=each.n,
                        state=state,
                    )
                    yield Found(each.k, causes.WRONG_KEY, each.n, each.n, other_k=row.k)

    def _other_snapshot(self, strangers: _Strangers, explained: set[int]) -> Iterator[Found]:
        """Fold all rows once more, and try each state that may be the one from which a row went on."""
        left = [row for row in strangers.unexplained if row.k not in explained]
        snapshots = Snapshots(left)
        if not snapshots.longest:
            return
        feed = FoldInput(self.fold, self.suspects.work.view, self.suspects.work.moment)
        key: tuple[Any, ...] | None = None
        state: Any = None
        step = 0
        for chunk in feed.chunks():
            for first, end, run_key in chunk.runs:
                if run_key != key:
                    key, state, step = run_key, self.fold.start(), 0
                for index in range(first, min(end, first + snapshots.longest - step)):
                    step += 1
                    handler, values = chunk.plan[chunk.kinds[index]]
                    if handler is None:
                        state = self.fold.start()
                        continue
                    new = handler(state, *[column[index] for column in values])
                    state = state if new is None else new
                    for row, found in snapshots.met(state, step):
                        other = ", ".join(map(str, run_key))
                        yield Found(
                            row.k, causes.OTHER_SNAPSHOT, 1, step, detail=other, state=found
                        )
        self._bounded += sorted(snapshots.cut - set(self._bounded))

    # -- the proof -------------------------------------------------------------------------------

    def _proven(self, found: list[Found]) -> str:
        """Hold each state against the stored row as the diff does it, in SQL; keep those that are equal."""
        columns = {
            name: pa.array([getattr(each, name) for each in found], kind)
            for name, kind in _ARROW.items()
        }
        columns["n"] = pa.array(range(len(found)), pa.int64())
        hypotheses = self.database.keep_arrow(pa.table(columns), self, "found")
        states = StateRows(self.fold)
        for index, each in enumerate(found):
            if each.state is not None:
                states.add(("",) * len(self.fold.key), each.state, None, index, 1)
        if not states.keys:
            return self.database.keep(
                f"SELECT {causes.COLUMNS} FROM {hypotheses} h", self, "hypotheses"
            )
        table = self.database.keep_arrow(states.table(), self, "states")
        equal = " AND ".join(
            column.equal_sql(f"s.{ident('stored_' + column.name)}", f"st.{ident(column.name)}")
            for column in self.suspects.work.columns
        )
        return self.database.keep(
            f"SELECT {', '.join('h.' + name.strip() for name in causes.COLUMNS.split(','))} FROM {hypotheses} h "
            f"LEFT JOIN {table} st ON st.position = h.n JOIN {self.suspects.table} s USING (wb_k) "
            f"WHERE st.position IS NULL OR ({equal})",
            self,
            "hypotheses",
        )


def _is_tail(each: Found, length: int) -> bool:
    """Whether several last events were skipped: of a late row that is said already."""
    return each.cause == causes.RUN_SKIPPED and each.hi == length


_ARROW: Final = {
    "wb_k": pa.int64(),
    "cause": pa.string(),
    "lo": pa.int64(),
    "hi": pa.int64(),
    "lo2": pa.int64(),
    "hi2": pa.int64(),
    "other_k": pa.int64(),
    "other_n": pa.int64(),
    "detail": pa.string(),
}
