"""The explanations that the truth lists: for each wrong row, everything that gives exactly what is stored."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from workbench.samples.injection import Wrong
from workbench.samples.parts import Added, Layout
from workbench.samples.search import Move, Search, Sums, explained

Part = dict[str, Any]
Explanation = list[Part]
#: (number of a wrong row, step, sums, first values) -> (number, step, key) of the rows that had them at that step.
FindSnapshots = Callable[
    [list[tuple[int, int, Sums, tuple[Any, ...]]]], list[tuple[int, int, str, list[Added]]]
]


class Explanations:
    """Searches wrong rows on their own first, then those that are left together."""

    def __init__(self, layout: Layout, wrong: Sequence[Wrong], snapshots: FindSnapshots) -> None:
        self._layout, self._wrong, self._snapshots = layout, wrong, snapshots
        self.found: list[list[Explanation]] = []
        # (wrong row, place) of events that a row can have lost, by what they would have added.
        self._lost: dict[Sums, list[tuple[int, int]]] = defaultdict(list)
        self._left: dict[int, Search] = {}
        for number, one in enumerate(wrong):
            self.found.append(self._on_its_own(number, one))
        self._together()
        for listed in self.found:
            listed.sort(key=lambda explanation: json.dumps(explanation))

    def _on_its_own(self, number: int, one: Wrong) -> list[Explanation]:
        row, stored = one.row, one.stored
        if one.stored_as:
            return [[{"cause": "orphaned"}]]
        if stored is None:
            everything = {"cause": "skipped", "positions": row.positions(range(len(row)))}
            return [[{"cause": "missing"}], [everything]]
        if one.step < len(row) and self._layout.state(row.read[: one.step]) == stored:
            lost = row.positions(range(one.step, len(row)))
            return [[_stale(one, one.step)], [{"cause": "skipped", "positions": lost}]]
        search = Search(self._layout, row, stored, one.step)
        found: list[Explanation] = [[_stale(one, step)] for step in search.stopped()]
        for move in search.single():
            found.append(self._behind(one, explained(row, [move])))
            if move.cause == "skipped" and len(move.places) == 1:
                (place,) = move.places
                self._lost[self._layout.sums(row.read[place])].append((number, place))
            if snapshot := _snapshot(one, move):
                found.append(self._behind(one, [snapshot]))
        if not found:
            self._left[number] = search
        return found

    def _behind(self, one: Wrong, parts: list[Part]) -> Explanation:
        return [_stale(one, one.step), *parts] if one.step < len(one.row) else parts

    def _together(self) -> None:
        for number, search in self._left.items():
            one = self._wrong[number]
            self.found[number] += [
                self._behind(one, explained(one.row, moves)) for moves in search.double()
            ]
            for giver, place in self._lost.get(search.surplus, ()):
                other = self._wrong[giver]
                position = other.row.events[place]["position"]
                if giver == number or not search.takes(position, other.row.read[place]):
                    continue
                for index, role, mate in ((number, "received", giver), (giver, "lost", number)):
                    part = {"cause": "wrong key", "positions": [position], "role": role}
                    part["other"] = self._wrong[mate].row.key
                    self.found[index].append(self._behind(self._wrong[index], [part]))
        self._snapshots_of_others()

    def _snapshots_of_others(self) -> None:
        wanted = []
        for number, search in self._left.items():
            if self.found[number]:
                continue
            target = self._wrong[number].stored
            assert target is not None  # a missing row is explained on its own
            firsts = tuple(target[place] for place in self._layout.firsts)
            steps = range(1, search.until)
            wanted += [(number, step, search.before(step), firsts) for step in steps]
        for number, step, key, start in self._snapshots(wanted):
            one = self._wrong[number]
            if key == one.row.key or not self._left[number].continues(start, step):
                continue
            part = {
                "cause": "bad snapshot",
                "snapshot_of": key,
                "snapshot_version": step,
                "continued_at": step + 1,
                "positions": one.row.positions(range(step)),
            }
            self.found[number].append(self._behind(one, [part]))


def _stale(one: Wrong, step: int) -> Part:
    return {
        "cause": "stale",
        "version": step,
        "positions": one.row.positions(range(step, len(one.row))),
    }


def _snapshot(one: Wrong, move: Move) -> Part | None:
    """The same as a snapshot of the row itself; None where there would be no events before or after it."""
    first, last = move.places[0], move.places[-1]
    if move.cause != "skipped" or first == last or first == 0 or last + 1 >= one.step:
        return None
    return {
        "cause": "bad snapshot",
        "snapshot_of": one.row.key,
        "snapshot_version": first,
        "continued_at": last + 2,
        "positions": one.row.positions(move.places),
    }
