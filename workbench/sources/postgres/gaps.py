"""Holes in the positions that were read: which are open, since when, and which are proven dead.

A sequence hands a number out at insert and the row shows at commit, so a hole below the head may still be
filled. A hole that was seen in one snapshot can only be filled by a transaction that was running then. So
it is *dead* when every such transaction has ended before a later snapshot, and that one has no row there.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

State = Literal["open", "dead", "unproven"]
Positions = npt.NDArray[np.int64]

#: More ranges than this are joined into coarser ones, so that a bookmark stays small; reading a coarse
#: range again meets rows that the log has, which it counts as duplicates.
MOST_RANGES = 10_000


@dataclass(frozen=True, slots=True)
class Sighting:
    """When a snapshot was taken: by the server's clock, and by its transaction numbers."""

    at: dt.datetime
    xmax: int  # every transaction that had a number then has a lower one

    def to_json(self) -> list[Any]:
        """Write it for a bookmark."""
        return [self.at.isoformat(), self.xmax]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> Sighting:
        """Read it back."""
        return cls(dt.datetime.fromisoformat(value[0]), int(value[1]))


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that may still write.

    ``since`` is when it could have taken a number at the earliest.
    """

    who: str
    since: dt.datetime | None = None
    xid: int | None = None

    def as_old_as(self, sighting: Sighting, now: dt.datetime) -> bool:
        """Tell whether it was running at the sighting; also when its clock cannot be trusted."""
        return (self.since is not None and (self.since <= sighting.at or self.since > now)) or (
            self.xid is not None and self.xid < sighting.xmax
        )


@dataclass(frozen=True, slots=True)
class Writers:
    """Who may still write: looked up at ``at``, before the snapshot that a pass reads was taken.

    ``doubts`` say why that list may be incomplete; ``xmin`` is the snapshot's oldest running transaction.
    """

    at: dt.datetime
    running: tuple[Transaction, ...]
    doubts: tuple[str, ...]
    xmin: int

    def verdict(self, sighting: Sighting) -> tuple[State, str]:
        """Judge a hole that was seen at ``sighting`` and is still there: its state, and the evidence."""
        if sighting.at >= self.at:
            return "open", "first seen in this pass; the next one looks at who may still fill it"
        old = [each for each in self.running if each.as_old_as(sighting, self.at)]
        if old:
            more = f" and {len(old) - 3} more" if len(old) > 3 else ""
            return "open", f"may still be filled by {'; '.join(each.who for each in old[:3])}{more}"
        if self.doubts:
            return "unproven", "; ".join(self.doubts)
        return "dead", (
            f"every session, prepared transaction and transaction number as old as {sighting.at.isoformat()} "
            f"(below {sighting.xmax}) had ended; no row in the snapshot taken after that (xmin {self.xmin})"
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """Positions ``low`` to ``high``, both inclusive, that no row has."""

    low: int
    high: int
    seen: Sighting

    @property
    def width(self) -> int:
        """How many positions."""
        return self.high - self.low + 1


@dataclass(slots=True)
class Gaps:
    """The holes that may still be filled, in order; ranges that do not touch rows."""

    ranges: list[Gap] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ranges)

    @property
    def lowest(self) -> int | None:
        """The first position that may still be filled."""
        return self.ranges[0].low if self.ranges else None

    def add(self, found: Iterable[Gap]) -> None:
        """Remember holes, all of them above those that are known."""
        self.ranges.extend(found)
        self.ranges = coarser(self.ranges, MOST_RANGES)

    def fill(self, positions: Positions) -> None:
        """Take out positions that have a row now."""
        kept: list[Gap] = []
        for gap in self.ranges:
            first, last = np.searchsorted(positions, [gap.low, gap.high + 1])
            low = gap.low
            for position in positions[first:last].tolist():
                if position > low:
                    kept.append(Gap(low, position - 1, gap.seen))
                low = position + 1
            if low <= gap.high:
                kept.append(Gap(low, gap.high, gap.seen))
        self.ranges = coarser(kept, MOST_RANGES)

    def drop_dead(self, verdict: Callable[[Sighting], tuple[State, str]]) -> list[Gap]:
        """Forget, and return, the holes that can no more be filled."""
        dead = [gap for gap in self.ranges if verdict(gap.seen)[0] == "dead"]
        self.ranges = [gap for gap in self.ranges if verdict(gap.seen)[0] != "dead"]
        return dead

    def to_json(self) -> dict[str, Any]:
        """Write them for a bookmark: ranges that point to their sighting."""
        sightings: dict[Sighting, int] = {}
        ranges = [
            [gap.low, gap.high, sightings.setdefault(gap.seen, len(sightings))]
            for gap in self.ranges
        ]
        return {"gaps": ranges, "sightings": [sighting.to_json() for sighting in sightings]}

    @classmethod
    def from_json(cls, bookmark: Mapping[str, Any]) -> Gaps:
        """Read them back."""
        sightings = [Sighting.from_json(value) for value in bookmark.get("sightings", ())]
        return cls([Gap(low, high, sightings[n]) for low, high, n in bookmark.get("gaps", ())])


def holes(before: int, positions: Positions) -> list[tuple[int, int]]:
    """Return the ranges that rising positions leave out, after ``before``.

    >>> holes(0, np.array([1, 2, 5, 9]))
    [(3, 4), (6, 8)]
    """
    whole = np.concatenate((np.array([before], dtype=np.int64), positions))
    (where,) = np.nonzero(whole[1:] - 1 > whole[:-1])
    return list(zip((whole[where] + 1).tolist(), (whole[where + 1] - 1).tolist(), strict=True))


def coarser(ranges: list[Gap], most: int) -> list[Gap]:
    """Join the closest neighbours until no more than ``most`` ranges are left.

    >>> day = Sighting(dt.datetime(2026, 6, 30, tzinfo=dt.UTC), 7)
    >>> [(gap.low, gap.high) for gap in coarser([Gap(1, 2, day), Gap(90, 95, day), Gap(97, 98, day)], 2)]
    [(1, 2), (90, 98)]
    """
    if len(ranges) <= most:
        return ranges
    between = np.array([after.low - gap.high for gap, after in itertools.pairwise(ranges)])
    keep = set(np.argsort(between, kind="stable")[len(between) - (most - 1) :].tolist())
    joined = [ranges[0]]
    for n, gap in enumerate(ranges[1:]):
        if n in keep:
            joined.append(gap)
        else:
            last = joined[-1]
            # The later sighting: what is proven for it is proven for the earlier one too.
            seen = Sighting(max(last.seen.at, gap.seen.at), max(last.seen.xmax, gap.seen.xmax))
            joined[-1] = Gap(last.low, gap.high, seen)
    return joined
