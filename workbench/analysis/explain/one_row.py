"""One row of a fold: its events as calls, folded again in changed runs, within a number of calls."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from workbench.analysis.explain import causes
from workbench.analysis.explain.stored import Stored
from workbench.projections.fold import Fold

Call = tuple[Callable[..., Any] | None, tuple[Any, ...]]
"""A handler (None: the event ends the row) and what it is given after the state."""

_FIXED: Final = (int, float, Decimal, str, bytes, tuple, frozenset, dt.date, type(None))
_WAYS: Final = (causes.SKIPPED, causes.TWICE, causes.SWAPPED)
MOST_BOUNDARIES: Final = 4_000
"""So many states between events are kept; of longer rows, every so-manieth."""


@dataclass(frozen=True, slots=True)
class Found:
    """A hypothesis that gives the stored row, and the state that it gives."""

    wb_k: int
    cause: str
    lo: int | None
    hi: int | None
    lo2: int | None = None
    hi2: int | None = None
    other_k: int | None = None
    other_n: int | None = None
    detail: str | None = None
    state: Any = None


@dataclass(slots=True)
class _State:
    """A state, and how many events it has come from since the row began or was ended."""

    value: Any
    events: int

    def copied(self) -> _State:
        value = self.value
        if isinstance(value, _FIXED):
            return _State(value, self.events)
        if dataclasses.is_dataclass(value) and all(
            isinstance(getattr(value, item.name), _FIXED) for item in dataclasses.fields(value)
        ):
            return _State(copy.copy(value), self.events)
        return _State(copy.deepcopy(value), self.events)


class OneRow:
    """The searches over one row. Events count from 1; a boundary ``i`` lies behind event ``i``."""

    def __init__(
        self, k: int, fold: Fold, calls: list[Call], stored: Stored, budget: int, last_end: int
    ) -> None:
        self.k, self.calls, self._fold, self._stored = k, calls, fold, stored
        self.length = len(calls)
        self._left = self._budget = budget
        self._last_end = last_end
        self.bounded = False
        self._stride = -(-self.length // MOST_BOUNDARIES) or 1
        self._kept: dict[int, _State] = {}
        self._vectors: list[tuple[Any, ...]] = []
        self._fold_once()

    @property
    def calls_made(self) -> int:
        """How many calls of handlers the search took."""
        return self._budget - self._left

    # -- folding ---------------------------------------------------------------------------------

    def _apply(self, state: _State, call: Call) -> None:
        handler, values = call
        if handler is None:
            state.value, state.events = self._fold.start(), 0
            return
        new = handler(state.value, *values)
        if new is not None:
            state.value = new
        state.events += 1

    def _run(self, state: _State, calls: Sequence[Call]) -> _State | None:
        """Apply events; None where a handler refuses a run that never was."""
        self._left -= len(calls)
        value, events = state.value, state.events
        try:
            for handler, values in calls:
                if handler is None:
                    value, events = self._fold.start(), 0
                    continue
                new = handler(value, *values)
                if new is not None:
                    value = new
                events += 1
        except Exception:  # the handler is the user's, and the run of events is made up
            return None
        state.value, state.events = value, events
        return state

    def _fold_once(self) -> None:
        state = _State(self._fold.start(), 0)
        self._kept[0] = state.copied()
        self._vectors.append(self._stored.numbers(state.value))
        for n, call in enumerate(self.calls, 1):
            self._apply(state, call)
            if n % self._stride == 0 or n == self.length:
                self._kept[n] = state.copied()
            self._vectors.append(self._stored.numbers(state.value))

    def _before(self, boundary: int) -> _State:
        """The state at a boundary, free to be changed."""
        near = boundary - boundary % self._stride
        state = self._kept[boundary if boundary in self._kept else near].copied()
        if boundary not in self._kept:
            for call in self.calls[near:boundary]:
                self._left -= 1
                self._apply(state, call)
        return state

    def _try(self, boundary: int, calls: Sequence[Call], rest: int) -> Any:
        """The state of: up to a boundary, these events, on from another; None unless it is the stored row."""
        state = self._run(self._before(boundary), calls)
        if state is not None:
            state = self._run(state, self.calls[rest:])
        if state is None or not state.events or not self._stored.may_be(state.value):
            return None
        return state.value

    # -- causes ----------------------------------------------------------------------------------

    def singles(self) -> list[Found]:
        """One event skipped, applied twice, or swapped with the next."""
        found: list[Found] = []
        for n, ways in self._candidates():
            call = self.calls[n - 1]
            if causes.SKIPPED in ways and (state := self._try(n - 1, (), n)) is not None:
                found.append(Found(self.k, causes.SKIPPED, n, n, state=state))
            if causes.TWICE in ways and (state := self._try(n, (call,), n)) is not None:
                found.append(Found(self.k, causes.TWICE, n, n, state=state))
            if causes.SWAPPED in ways and n < self.length and not self._is_same(n):
                state = self._try(n - 1, (self.calls[n], call), n + 1)
                if state is not None:
                    found.append(Found(self.k, causes.SWAPPED, n, n + 1, state=state))
        return found

    def _is_same(self, n: int) -> bool:
        return self.calls[n - 1] == self.calls[n]

    def _candidates(self) -> Iterable[tuple[int, Sequence[str]]]:
        """The events to try one by one, and how: all, or those whose own effect is the difference."""
        if 3 * self.length * self.length // 2 <= self._left:
            return [(n, _WAYS) for n in range(1, self.length + 1)]
        self.bounded = True
        off = self.off
        ends = {*range(1, 4), *range(max(1, self.length - 2), self.length + 1)}
        guessed: dict[int, Sequence[str]] = dict.fromkeys(sorted(ends), _WAYS)
        lacking = _minus(self._nothing, off)
        # A number that is off shows what an event did; one that is not may have been cut or kept within bounds.
        shown = [index for index, value in enumerate(off) if value]
        looser: dict[int, Sequence[str]] = {}
        for n in range(1, self.length + 1) if shown else ():
            effect = self.effect(n)
            for way, wanted in ((causes.SKIPPED, lacking), (causes.TWICE, off)):
                if n in guessed or any(effect[index] != wanted[index] for index in shown):
                    continue
                (guessed if effect == wanted else looser)[n] = (way,)
        guessed |= {n: ways for n, ways in looser.items() if n not in guessed}
        most = max(20, self._left // (2 * (self.length + 1)))
        return list(guessed.items())[: most + len(ends)]

    @property
    def _nothing(self) -> tuple[Any, ...]:
        return tuple(None if value is None else 0 for value in self._vectors[self.length])

    def effect(self, n: int) -> tuple[Any, ...]:
        """What an event did to the numbers."""
        return _minus(self._vectors[n], self._vectors[n - 1])

    @property
    def off(self) -> tuple[Any, ...]:
        """By how much the stored numbers are off."""
        return _minus(self._stored.own_numbers, self._vectors[self.length])

    def runs(self, singles: Iterable[Found]) -> list[Found]:
        """Several consecutive events skipped, or applied twice; of these, the least that has to have happened."""
        matched: dict[tuple[int, int], Any] = {}
        for one in singles:
            if one.cause in (causes.SKIPPED, causes.TWICE) and one.lo is not None:
                ends = (one.lo - 1, one.lo)
                matched[ends if one.cause == causes.SKIPPED else ends[::-1]] = one.state
        for a, b in self._boundaries():
            state = self._try(a, (), b)
            if state is not None:
                matched[a, b] = state
        found: list[Found] = []
        for skipped in (True, False):
            inner = self.length + 1
            # From the latest start on, the shortest first: a run that holds a run that was met is not the least.
            for lo, hi in sorted(
                ((min(pair), max(pair)) for pair in matched if (pair[0] < pair[1]) == skipped),
                key=lambda run: (-run[0], run[1]),
            ):
                if hi >= inner:
                    continue
                inner = hi
                state = matched[(lo, hi) if skipped else (hi, lo)]
                if hi - lo > 1:
                    found += self._as_run(skipped, lo, hi, state)
        return found

    def _as_run(self, skipped: bool, lo: int, hi: int, state: Any) -> Iterator[Found]:
        cause = causes.RUN_SKIPPED if skipped else causes.RUN_TWICE
        yield Found(self.k, cause, lo + 1, hi, state=state)
        if skipped and lo > 0 and hi < self.length:
            yield Found(self.k, causes.BAD_SNAPSHOT, lo + 1, hi, state=state)

    def _boundaries(self) -> list[tuple[int, int]]:
        length = self.length
        if length**3 // 3 <= self._left:
            return [
                (a, b)
                for a in range(length + 1)
                for b in range(self._last_end, length + 1)
                if abs(a - b) > 1
            ]
        self.bounded = True
        # Where numbers add up, the halves of the right pair add up to the stored row.
        off = self.off
        places: dict[tuple[Any, ...], list[int]] = {}
        for b in range(self._last_end, length + 1):
            places.setdefault(self._vectors[b], []).append(b)
        found = [
            (a, b)
            for a in range(length + 1)
            for b in places.get(_minus(self._vectors[a], off), ())
            if abs(a - b) > 1
        ]
        return found[: max(1, self._left // (2 * (length + 1)))]

    def stopped(self) -> list[Found]:
        """The events after which the row was what is stored, though more followed."""
        return [
            Found(self.k, causes.STOPPED, boundary + 1, self.length, state=state.copied().value)
            for boundary, state in self._kept.items()
            if boundary < self.length and state.events and self._stored.may_be(state.value)
        ]

    def changed(self, raw: list[Call]) -> list[int]:
        """The events whose payload upcasters change."""
        return [n for n in range(1, self.length + 1) if raw[n - 1] != self.calls[n - 1]]

    def not_upcast(self, raw: list[Call]) -> list[Found]:
        """Old payloads read as they are: all of them, those up to an event, those from it on, or one."""
        length = self.length
        changed = self.changed(raw)
        found: list[Found] = []
        if not changed:
            return found
        pairs = [(i, j) for i in range(len(changed)) for j in range(i, len(changed))]
        most = max(1, self._left // (length + 1))
        if len(pairs) > most:
            self.bounded = True
            pairs = sorted(pairs, key=lambda pair: pair[1] - pair[0])[:most]
        met: list[tuple[int, int]] = []
        # The shortest first: what holds a run that was met is not the least.
        for i, j in sorted(pairs, key=lambda pair: pair[1] - pair[0]):
            if any(i <= lo and hi <= j for lo, hi in met):
                continue
            lo, hi = changed[i], changed[j]
            if (state := self._try(lo - 1, raw[lo - 1 : hi], hi)) is not None:
                met.append((i, j))
                found.append(Found(self.k, causes.NOT_UPCAST, lo, hi, state=state))
        return found

    def _ended(self, state: _State, calls: Sequence[Call]) -> Any:
        done = self._run(state, calls)
        if done is None or not done.events or not self._stored.may_be(done.value):
            return None
        return done.value

    def two(self, whole: int, raw: list[Call] | None, *, may_stop: bool) -> list[Found]:
        """Two events, each skipped, applied twice, swapped with the next or not upcast; or one, in a row that stopped."""
        found: list[Found] = []
        for n in range(self._last_end + 1, self.length + 1):
            for way, width, run in self._ways(n, raw):
                if self._left <= 0:
                    self.bounded = True
                    return found
                found += self._second(n, way, width, run, whole, raw, may_stop)
        return found

    def _ways(self, n: int, raw: list[Call] | None) -> Iterator[tuple[str, int, list[Call]]]:
        """How one event may have gone wrong: the way, how many events it takes, and what was applied instead."""
        call = self.calls[n - 1]
        yield causes.SKIPPED, 1, []
        yield causes.TWICE, 1, [call, call]
        if n < self.length and not self._is_same(n):
            yield causes.SWAPPED, 2, [self.calls[n], call]
        if raw is not None and raw[n - 1] != call:
            yield causes.NOT_UPCAST, 1, [raw[n - 1]]

    def _second(
        self,
        n: int,
        way: str,
        width: int,
        run: list[Call],
        whole: int,
        raw: list[Call] | None,
        may_stop: bool,
    ) -> Iterator[Found]:
        """With one event gone wrong, try each later one."""
        state = self._run(self._before(n - 1), run)
        for m in range(n + width, self.length + 1):
            if state is None or self._left <= 0:
                return
            for second, other, instead in self._ways(m, raw):
                done = self._ended(state.copied(), [*instead, *self.calls[m + other - 1 :]])
                if done is not None:
                    yield Found(
                        self.k,
                        causes.TWO,
                        n,
                        n + width - 1,
                        m,
                        m + other - 1,
                        detail=f"{way}, {second}",
                        state=done,
                    )
            state = self._run(state, self.calls[m - 1 : m])
            if (
                may_stop
                and state is not None
                and m < self.length
                and state.events
                and self._stored.may_be(state.value)
            ):
                yield Found(
                    self.k,
                    causes.TWO,
                    n,
                    n + width - 1,
                    m + 1,
                    whole,
                    detail=f"{way}, {causes.STOPPED}",
                    state=state.copied().value,
                )

    # -- events of other rows ----------------------------------------------------------------------

    def needed(self, boundary: int) -> tuple[Any, ...]:
        """What the numbers of a state have to be there, for the rest of the events to lead to the stored row."""
        rest = _minus(self._vectors[self.length], self._vectors[boundary])
        return _minus(self._stored.own_numbers, rest)

    def numbers(self, state: Any) -> tuple[Any, ...]:
        """The numbers of a state."""
        return self._stored.numbers(state)

    def from_snapshot(self, state: Any, boundary: int) -> Any:
        """The state that comes of another row's and the events from a boundary on; None unless it is the stored row."""
        return self._ended(_State(state, boundary).copied(), self.calls[boundary:])

    def with_stranger(self, at: int, call: Call) -> Any:
        """The state with an event of another row in it; None unless it is the stored row."""
        return self._try(at, (call,), at)


def _minus(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        None if a is None or b is None else a - b for a, b in zip(left, right, strict=True)
    )
