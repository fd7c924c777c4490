"""Making rows wrong in known ways: which rows, by which cause, at which events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from workbench.samples.parts import Layout, Row, State
from workbench.samples.search import Move, Search, applied, received

#: Cause -> rows for each 1,000 keys. Two causes joined by ``+`` are on one row.
SHARES: Final[Mapping[str, int]] = {
    "skipped": 5,
    "skipped two": 3,
    "doubled": 5,
    "swapped": 4,
    "stale": 5,
    "stale at the end": 2,
    "missing": 3,
    "orphaned": 3,
    "un-upcast": 5,
    "wrong key": 4,
    "bad snapshot": 4,
    "bad snapshot of another": 3,
    "doubled+skipped": 3,
    "skipped+swapped": 2,
    "skipped+stale": 3,
    "skipped+un-upcast": 3,
    "doubled+un-upcast": 2,
}
MOST: Final = 100
#: Two causes on one row are told apart by trying all pairs, which takes the square of its length.
LONGEST: Final = 60
_LONGEST_PAIR: Final = 30
_TRIES: Final = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rows are made wrong.

    Attributes
    ----------
    shares
        What is done to a row -> so many rows for each 1,000 keys.
    most
        And no more rows than this of each.
    longest
        Only rows with at most so many events, except in bursts.
    bursts
        Whether there are bursts, too.
    """

    shares: Mapping[str, int] = field(default_factory=lambda: SHARES)
    most: int = MOST
    longest: int = LONGEST
    bursts: bool = True


@dataclass(slots=True)
class Incident:
    """One thing that happened, to one row or to many."""

    cause: str
    positions: list[int]
    burst: bool = False
    size: int = 0
    rows: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Wrong:
    """A wrong row: what is stored (None: nothing), up to which step it says that it is right, and why."""

    row: Row
    stored: State | None
    step: int
    injected: list[dict[str, Any]]
    incidents: list[Incident]
    stored_as: str = ""
    label: str = ""


class Injection:
    """Makes rows wrong, each in one way, and each in a way that can be seen."""

    def __init__(
        self, layout: Layout, candidates: Sequence[str], row: Callable[[str], Row], seed: int
    ) -> None:
        self.layout, self._row, self._seed = layout, row, seed
        self._candidates = list(candidates)
        self.taken: set[str] = set()
        self.incidents: list[Incident] = []
        self.wrong: list[Wrong] = []

    # -- bursts ----------------------------------------------------------------------------------

    def burst(self, cause: str, first: int, last: int, keys: Sequence[str]) -> bool:
        """Let a cause hit all events in a range of positions; False when no row would be wrong."""
        incident = Incident(cause, [first, last], burst=True)
        found: list[Wrong] = []
        for key in keys:
            row = self._row(key)
            places = [
                place
                for place, event in enumerate(row.events)
                if first <= event["position"] <= last
                and (cause != "un-upcast" or row.read[place] != row.misread[place])
            ]
            if not places:
                continue
            incident.size += len(places)
            stored = self.layout.state(applied(row, [Move(cause, tuple(places))]))
            if stored == self.layout.state(row.read):
                incident.unchanged.append(key)
                continue
            incident.rows.append(key)
            # The checkpoint is that of the last event that arrived.
            lost_end = cause == "skipped" and places[-1] == len(row) - 1
            told = {"cause": cause, "events": [row.events[place] for place in places]}
            found.append(
                Wrong(
                    row,
                    stored,
                    places[0] if lost_end else len(row),
                    [told],
                    [incident],
                    label=f"{cause} (burst)",
                )
            )
        if not found:
            return False
        self.incidents.append(incident)
        self.wrong += found
        self.taken.update(keys)
        return True

    def overlap(self) -> None:
        """Let a second cause hit one row of each burst."""
        rng = random.Random(f"{self._seed} overlap")
        for burst in list(self.incidents):
            for one in self.wrong:
                if one.incidents[0] is burst and any(
                    self._hit_again(one, burst.cause, rng) for _ in range(_TRIES)
                ):
                    break

    def _hit_again(self, one: Wrong, cause: str, rng: random.Random) -> bool:
        row, events = one.row, one.injected[0]["events"]
        if not 3 <= len(row) <= _LONGEST_PAIR or one.step < len(row) or len(events) > 1:
            return False
        first = Move(cause, (row.events.index(events[0]),))
        second = self._move(row, len(row), "doubled" if cause == "skipped" else "skipped", rng)
        if one.stored is None or second is None or second.places == first.places:
            return False
        stored = self.layout.state(applied(row, [first, second]))
        if stored is None or stored in self.layout.states(row.read):
            return False
        search = Search(self.layout, row, stored, len(row))
        if search.single():
            return False
        incident = Incident(second.cause, row.positions(second.places), size=1, rows=[row.key])
        self.incidents.append(incident)
        one.stored = stored
        one.incidents.append(incident)
        told = [row.events[place] for place in second.places]
        one.injected.append({"cause": second.cause, "events": told})
        one.label = "+".join(sorted([one.label, second.cause]))
        return True

    # -- single rows -----------------------------------------------------------------------------

    def rows(self, kind: str, wanted: int) -> None:
        """Make so many rows wrong in one way; fewer where there are not enough on which it shows."""
        rng = random.Random(f"{self._seed} {kind}")
        for key in self._candidates:
            if wanted <= 0:
                return
            if key in self.taken:
                continue
            row = self._row(key)
            if (row.read[-1] is None) != (kind == "stale at the end"):
                continue
            if self._make(kind, row, rng):
                self.taken.add(key)
                wanted -= 1

    def _make(self, kind: str, row: Row, rng: random.Random) -> bool:
        match kind:
            case "stale" | "stale at the end":
                return self._stale(row, rng, at_end=kind != "stale")
            case "missing":
                return self._keep(row, None, len(row), [("missing", (), {})])
            case "orphaned":
                return self._keep(
                    row, self.layout.state(row.read), len(row), [("orphaned", (), {})]
                )
            case "wrong key":
                return self._wrong_key(row, rng)
            case "bad snapshot":
                return self._bad_snapshot(row, rng)
            case "bad snapshot of another":
                return self._snapshot_of_another(row, rng)
            case "skipped two":
                return self._moved(row, rng, ("skipped", "skipped"))
            case _:
                causes = kind.split("+")
                stale = "stale" in causes
                return self._moved(
                    row, rng, tuple(name for name in causes if name != "stale"), stale=stale
                )

    def _keep(
        self,
        row: Row,
        stored: State | None,
        step: int,
        causes: Sequence[tuple[str, Sequence[int], dict[str, Any]]],
    ) -> bool:
        injected, incidents = [], []
        for cause, places, more in causes:
            incident = Incident(cause, row.positions(places), size=len(places), rows=[row.key])
            incidents.append(incident)
            injected.append(
                {"cause": cause, **more, "events": [row.events[place] for place in places]}
            )
        self.incidents += incidents
        names = sorted(cause for cause, _, _ in causes)
        self.wrong.append(Wrong(row, stored, step, injected, incidents, label="+".join(names)))
        return True

    def _stale(self, row: Row, rng: random.Random, *, at_end: bool) -> bool:
        states = self.layout.states(row.read)
        steps = [step for step in range(1, len(row)) if states[step - 1] != states[-1]]
        if not steps:
            return False
        step = len(row) - 1 if at_end else rng.choice(steps)
        lost = range(step, len(row))
        return self._keep(row, states[step - 1], step, [("stale", lost, {})])

    def _moved(
        self, row: Row, rng: random.Random, causes: tuple[str, ...], *, stale: bool = False
    ) -> bool:
        overlapping = len(causes) + stale > 1
        if len(row) > (_LONGEST_PAIR if overlapping else LONGEST) or len(row) < 3:
            return False
        states = self.layout.states(row.read)
        for _ in range(_TRIES):
            step = rng.randrange(2, len(row)) if stale else len(row)
            moves = [move for cause in causes if (move := self._move(row, step, cause, rng))]
            places = [place for move in moves for place in move.places]
            if len(moves) < len(causes) or len(set(places)) < len(places):
                continue
            stored = self.layout.state(applied(row, moves, step))
            if stored is None or stored in (states[-1], states[step - 1]):
                continue
            search = Search(self.layout, row, stored, step)
            ones = search.single()
            if len(moves) == 1:
                # A swap may look like a row that stopped; the others are to be seen as what they are.
                if moves[0] not in ones or (moves[0].cause != "swapped" and stored in states):
                    continue
            elif ones or search.stopped():
                continue
            told: list[tuple[str, Sequence[int], dict[str, Any]]] = (
                [("stale", range(step, len(row)), {})] if stale else []
            )
            if causes == ("skipped", "skipped"):
                told.append(("skipped", sorted(places), {}))
            else:
                told += [(move.cause, move.places, {}) for move in moves]
            return self._keep(row, stored, step, told)
        return False

    def _move(self, row: Row, step: int, cause: str, rng: random.Random) -> Move | None:
        """Choose a place for a cause; None where the row has none."""
        match cause:
            case "swapped":
                # Late in the row, where the order can show.
                late = step - 2 - rng.randrange(3)
                first = rng.randrange(step - 1) if self.layout.depends_on_order else max(0, late)
                return Move(cause, (first, first + 1))
            case "un-upcast":
                old = [place for place in row.old if place < step]
                return Move(cause, (rng.choice(old),)) if old else None
            case "skipped":
                # The first event makes the row, the last one its checkpoint.
                return Move(cause, (rng.randrange(1, step - 1),)) if step > 2 else None
            case _:
                return Move(cause, (rng.randrange(step),))

    # -- two rows --------------------------------------------------------------------------------

    def _others(self, row: Row, rng: random.Random) -> Iterator[Row]:
        """Yield other rows that are right, not too long, and have not ended."""
        for _ in range(_TRIES):
            key = rng.choice(self._candidates)
            if key != row.key and key not in self.taken:
                other = self._row(key)
                if other.read[-1] is not None and 2 < len(other) <= _LONGEST_PAIR:
                    yield other

    def _wrong_key(self, row: Row, rng: random.Random) -> bool:
        if len(row) < 3:
            return False
        for other in self._others(row, rng):
            # The event that makes a row is hard to mistake for another one.
            place = 0 if rng.random() < 0.5 else rng.randrange(1, len(row) - 1)
            move = Move("skipped", (place,))
            lost = self.layout.state(applied(row, [move]))
            position = row.events[place]["position"]
            got = self.layout.state(received(other, len(other), position, row.read[place]))
            if lost in self.layout.states(row.read) or got in self.layout.states(other.read):
                continue
            if (
                lost is None
                or got is None
                or move not in Search(self.layout, row, lost, len(row)).single()
            ):
                continue
            search = Search(self.layout, other, got, len(other))
            if search.single() or search.stopped():
                continue
            incident = Incident("wrong key", [position], size=1, rows=[row.key, other.key])
            self.incidents.append(incident)
            for one, stored, role, mate in (
                (row, lost, "lost", other),
                (other, got, "received", row),
            ):
                told = {
                    "cause": "wrong key",
                    "role": role,
                    "other": mate.key,
                    "events": [row.events[place]],
                }
                self.wrong.append(
                    Wrong(one, stored, len(one), [told], [incident], label="wrong key")
                )
            self.taken.add(other.key)
            return True
        return False

    def _bad_snapshot(self, row: Row, rng: random.Random) -> bool:
        """A snapshot of an earlier step was taken for a later one; what lies between was lost."""
        if len(row) < 5:
            return False
        states = self.layout.states(row.read)
        for _ in range(_TRIES):
            first = rng.randrange(1, len(row) - 2)
            end = min(len(row) - 1, first + rng.randrange(2, 6))
            move = Move("skipped", tuple(range(first, end)))
            stored = self.layout.state(applied(row, [move]))
            if stored is None or stored in states:
                continue
            if move in Search(self.layout, row, stored, len(row)).single():
                more = {
                    "snapshot_of": row.key,
                    "snapshot_version": first,
                    "continued_at": end + 1,
                }
                return self._keep(row, stored, len(row), [("bad snapshot", move.places, more)])
        return False

    def _snapshot_of_another(self, row: Row, rng: random.Random) -> bool:
        if len(row) > _LONGEST_PAIR or len(row) < 3:
            return False
        for other in self._others(row, rng):
            step = rng.randrange(1, min(len(row), len(other)))
            start = self.layout.state(other.read[:step])
            # Of few events, or of a balance of nothing, there are too many to tell one from another.
            if start is None or not (
                self.layout.firsts or (step > 3 and all(self.layout.sums(start)))
            ):
                continue
            stored = self.layout.state([*other.read[:step], *row.read[step:]])
            if stored is None or stored in self.layout.states(row.read):
                continue
            search = Search(self.layout, row, stored, len(row))
            if search.single():
                continue
            more = {"snapshot_of": other.key, "snapshot_version": step, "continued_at": step + 1}
            return self._keep(row, stored, len(row), [("bad snapshot", range(step), more)])
        return False
