"""All ways in which a row can have become what it is: found by trying, whatever was done to it in truth.

What is tried is told in ``datasets/README.md``, 'Causes'. Sums say which candidates are worth a try (what is missing
from a balance is what the skipped events would have added), so that a row with thousands of events takes no longer than
its length; each candidate is then folded and has to give exactly the stored row.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.samples.parts import Added, Layout, Row, State

Sums = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """One thing done to the events of a row: a cause, and the places of the events that it took."""

    cause: str
    places: tuple[int, ...]


def applied(row: Row, moves: Sequence[Move], until: int | None = None) -> list[Added]:
    """Return what a projection applied that made these moves, in its order."""
    order = list(range(len(row) if until is None else until))
    skipped: set[int] = set()
    misread: set[int] = set()
    again: dict[int, tuple[int, ...]] = {}
    for move in moves:
        match move.cause:
            case "swapped":
                first, second = move.places
                order[first], order[second] = order[second], order[first]
            case "skipped":
                skipped.update(move.places)
            case "un-upcast":
                misread.update(move.places)
            case "doubled":
                again[move.places[-1]] = move.places
    entries: list[Added] = []
    for place in order:
        if place not in skipped:
            entries.append(row.misread[place] if place in misread else row.read[place])
        # A burst comes twice as a whole: all of it, then all of it again.
        entries += [row.read[other] for other in again.get(place, ())]
    return entries


class Search:
    """The moves that turn the first ``until`` events of a row into ``target``."""

    def __init__(self, layout: Layout, row: Row, target: State, until: int) -> None:
        self.layout, self.row, self.target, self.until = layout, row, target, until
        own = [layout.sums(added) for added in row.read[:until]]
        self._own = own
        self._until = list(itertools.accumulate(own, _plus, initial=layout.sums(None)))
        #: What the stored row has more than the right one.
        self.surplus = _minus(layout.sums(target), self._until[-1])

    def _gives(self, *moves: Move, until: int | None = None) -> bool:
        until = self.until if until is None else until
        return self.layout.state(applied(self.row, moves, until)) == self.target

    # -- one move --------------------------------------------------------------------------------

    def stopped(self) -> list[int]:
        """The steps at which the row was what is stored, before the last one."""
        wanted = self.layout.sums(self.target)
        return [
            step
            for step in range(1, self.until)
            if self._until[step] == wanted and self._gives(until=step)
        ]

    def single(self) -> list[Move]:
        """The smallest moves that give the stored row on their own."""
        everything = tuple(range(self.until))
        found: list[Move] = []
        for cause, factor in (("skipped", -1), ("doubled", 1)):
            runs = _runs(self._own, _times(self.surplus, factor))
            found += self._smallest(Move(cause, everything[first:end]) for first, end in runs)
        old = [place for place in self.row.old if place < self.until]
        runs = _runs([self._misreading(place) for place in old], self.surplus)
        found += self._smallest(
            Move("un-upcast", tuple(old[first:end]))
            for first, end in runs
            # A run is of the events with an old payload, whatever lies between them.
        )
        swaps = (Move("swapped", (place, place + 1)) for place in self._visible_swaps())
        return found + [move for move in swaps if self._gives(move)]

    def _misreading(self, place: int) -> Sums:
        read, misread = self.row.read[place], self.row.misread[place]
        return _minus(self.layout.sums(misread), self.layout.sums(read))

    def _smallest(self, moves: Iterator[Move]) -> list[Move]:
        """Of the moves that give the stored row, those that contain no smaller one."""
        kept: list[Move] = []
        for move in sorted(moves, key=lambda move: len(move.places)):
            places = set(move.places)
            if not any(places.issuperset(other.places) for other in kept) and self._gives(move):
                kept.append(move)
        return kept

    def _visible_swaps(self) -> list[int]:
        """The neighbours whose order can show: of the first or the last value of a column, or of an end."""
        if self.layout.depends_on_order:
            return list(range(self.until - 1))
        read = self.row.read[: self.until]
        edges = {place for place, added in enumerate(read) if added is None}
        for columns, places in (
            (self.layout.firsts, range(self.until)),
            (self.layout.lasts, range(self.until - 1, -1, -1)),
        ):
            for column in columns:
                for place in places:
                    added = read[place]
                    if added is not None and added[column] is not None:
                        edges.add(place)
                        break
        near = {other for place in edges for other in (place - 1, place)}
        return sorted(place for place in near if 0 <= place < self.until - 1)

    # -- two moves -------------------------------------------------------------------------------

    def double(self) -> list[tuple[Move, Move]]:
        """All pairs of steps that give the stored row."""
        nothing = self.layout.sums(None)
        steps: list[tuple[Move, Sums]] = []
        for place, own in enumerate(self._own):
            steps.append((Move("skipped", (place,)), _times(own, -1)))
            steps.append((Move("doubled", (place,)), own))
            if place in self.row.old:
                steps.append((Move("un-upcast", (place,)), self._misreading(place)))
            if place + 1 < self.until:
                steps.append((Move("swapped", (place, place + 1)), nothing))
        by_sums: dict[Sums, list[int]] = defaultdict(list)
        for index, (_, sums) in enumerate(steps):
            by_sums[sums].append(index)
        return [
            (one, other)
            for index, (one, sums) in enumerate(steps)
            for second in by_sums.get(_minus(self.surplus, sums), ())
            if second > index
            and set(one.places).isdisjoint((other := steps[second][0]).places)
            and self._gives(one, other)
        ]

    # -- from elsewhere --------------------------------------------------------------------------

    def takes(self, position: int, added: Added) -> bool:
        """Whether the stored row comes from an event of another row, applied at its place in the log."""
        return self.layout.state(received(self.row, self.until, position, added)) == self.target

    def continues(self, start: Sequence[Added], step: int) -> bool:
        """Whether the stored row comes from these events, and its own from a step on."""
        return self.layout.state([*start, *self.row.read[step : self.until]]) == self.target

    def before(self, step: int) -> Sums:
        """What a snapshot has to add up to if the row's own events went on from a step."""
        after = _minus(self._until[-1], self._until[step])
        return _minus(self.layout.sums(self.target), after)


def received(row: Row, until: int, position: int, added: Added) -> list[Added]:
    """Return what was applied to a row that received an event of another one."""
    place = sum(event["position"] < position for event in row.events[:until])
    return [*row.read[:place], added, *row.read[place:until]]


def _runs(sums: Sequence[Sums], wanted: Sums) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of each run of neighbours that adds up to ``wanted``."""
    reached: Sums = (0,) * len(wanted)
    starts: dict[Sums, list[int]] = defaultdict(list)
    starts[reached].append(0)
    for end, one in enumerate(sums, 1):
        reached = _plus(reached, one)
        for first in starts.get(_minus(reached, wanted), ()):
            yield first, end
        starts[reached].append(end)


def _plus(left: Sums, right: Sums) -> Sums:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _minus(left: Sums, right: Sums) -> Sums:
    return tuple(a - b for a, b in zip(left, right, strict=True))


def _times(sums: Sums, factor: int) -> Sums:
    return tuple(factor * one for one in sums)


def explained(row: Row, moves: Sequence[Move]) -> list[dict[str, Any]]:
    """Write moves that hold together as the truth does."""
    parts: list[dict[str, Any]] = []
    merged: dict[str, list[int]] = defaultdict(list)
    for move in moves:
        if move.cause == "swapped":
            parts.append({"cause": "swapped", "positions": row.positions(move.places)})
        else:
            merged[move.cause] += move.places
    parts += [
        {"cause": cause, "positions": row.positions(sorted(places))}
        for cause, places in merged.items()
    ]
    return sorted(parts, key=lambda part: (part["cause"], part["positions"]))
