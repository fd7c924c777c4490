"""Reading in the order of the positions: open holes again first, then what lies above the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from psycopg import sql

from workbench.errors import ConfigError
from workbench.sources.base import Batch, Bookmark, Report, Shape
from workbench.sources.postgres import failures
from workbench.sources.postgres.gaps import Gap, Gaps, Positions, Sighting, State, Writers, holes
from workbench.sources.postgres.reading import PAGE_ROWS, Pass, TableReading

#: Ranges that one statement reads again.
_RANGES_AT_ONCE = 1_000
#: Holes that a report lists one by one; the counts are of all.
_LISTED = 200
_LOWEST = -(2**63)


class ByPosition(TableReading):
    """One pass in the order of the positions.

    The bookmark: ``position`` (the head), ``gaps`` (ranges that may still be filled, each with its
    first ``sightings``), ``dead`` (how many numbers are proven never to come), ``anchors``.
    """

    def __init__(
        self,
        given: Pass,
        shape: Shape,
        bookmark: Bookmark | None,
        *,
        first: int | None,
        before: tuple[Sighting, int | None],
        writers: Writers,
    ) -> None:
        super().__init__(given, shape, bookmark)
        self.started = dict(bookmark or {})
        self.head: int | None = self.started.get("position")
        self.dead: int = self.started.get("dead", 0)
        self.gaps = Gaps.from_json(self.started)
        self.died: list[Gap] = []
        # Numbering starts at the sequence's first number; without a sequence it may start anywhere.
        self.first = _LOWEST if first is None else first
        self.sighted, self.highest = before
        self.writers = writers
        self._verdicts: dict[Sighting, tuple[State, str]] = {}

    def batches(self) -> Iterator[Batch]:
        """Read holes that were filled since, then the rows above the head."""
        with failures.told(self.given.dsn, self.where):
            for rows in self.ahead(self._filled()):
                self.gaps.fill(self.positions(rows))
                yield Batch(rows, self._bookmark())
            died = self.gaps.drop_dead(self._verdict)
            self._bury(died)
            for rows in self.ahead(self._pages()):
                self._advance(self.positions(rows))
                yield Batch(rows, self._bookmark())
            self.finished = True
            if self._bookmark() != self.started:
                yield Batch(self.empty, self._bookmark())

    def remaining(self) -> sql.Composable:
        """Return the condition of the rows above the head."""
        if self.head is None:
            return sql.SQL("true")
        return sql.SQL("{} > {}").format(self._column, sql.Literal(self.head))

    def report(self) -> Report:
        """Tell how far the log is complete for certain, and which holes are open or dead."""
        lowest = self.gaps.lowest
        safe = self.head if lowest is None else lowest - 1
        known = safe is not None and safe >= self.first and self.head is not None
        listed = [self._told(gap) for gap in self.gaps.ranges[:_LISTED]]
        listed += [self._told(gap) for gap in self.died[:_LISTED]]
        anchored = min(self.anchors.rows, default=None)
        part = {
            "part": self.given.relation.label,
            "from": anchored,
            "to": self.head,
            "end": self.head if self.finished else self.highest,
            "complete": self.finished and lowest is None and not self.given.warnings,
            "note": None if self.finished else "the pass broke off",
        }
        return Report(
            watermark=f"position {safe}" if known else None,
            gaps=tuple(listed),
            completeness=(part,),
            notes=tuple(self._notes()),
        )

    # -- reading ---------------------------------------------------------------------------------

    @property
    def _column(self) -> sql.Identifier:
        return sql.Identifier(self.given.position.name)

    def _filled(self) -> Iterator[pa.RecordBatch]:
        ranges = self.gaps.ranges
        for start in range(0, len(ranges), _RANGES_AT_ONCE):
            some = ranges[start : start + _RANGES_AT_ONCE]
            lows, highs = (
                sql.Literal("{" + ",".join(map(str, bounds)) + "}")
                for bounds in ([gap.low for gap in some], [gap.high for gap in some])
            )
            # OFFSET 0 keeps the planner from joining the other way round, which reads the whole table.
            yield from self.run(
                sql.SQL(
                    "SELECT wb_rows.* FROM unnest({}::bigint[], {}::bigint[]) AS wb_hole(wb_low, wb_high) "
                    "CROSS JOIN LATERAL ({} WHERE {} BETWEEN wb_low AND wb_high OFFSET 0) AS wb_rows ORDER BY {}"
                ).format(lows, highs, self.select(), self._column, self._column)
            )

    def _pages(self) -> Iterator[pa.RecordBatch]:
        after = self.remaining()
        # Without an index each page would sort the whole table; then one statement reads all.
        limit = sql.SQL("LIMIT {}").format(sql.Literal(PAGE_ROWS if self.given.indexed else None))
        while True:
            count = 0
            for part in self.run(
                sql.SQL("{} WHERE {} ORDER BY {} {}").format(
                    self.select(), after, self._column, limit
                )
            ):
                count += part.num_rows
                last = int(part.column(self.given.position.name)[-1].as_py())
                after = sql.SQL("{} > {}").format(self._column, sql.Literal(last))
                yield part
            if count < PAGE_ROWS or not self.given.indexed:
                return

    def _verdict(self, seen: Sighting) -> tuple[State, str]:
        """Judge a hole; all holes of one sighting are judged alike."""
        if seen not in self._verdicts:
            self._verdicts[seen] = self.writers.verdict(seen)
        return self._verdicts[seen]

    # -- keeping the books -----------------------------------------------------------------------

    def _advance(self, positions: Positions) -> None:
        """Move the head over rows that were read, and note the holes between them."""
        start = max(self.first - 1, _LOWEST) if self.head is None else self.head
        rises = positions[1:] <= positions[:-1]
        if rises.any() or (self.head is not None and positions[0] <= self.head):
            twice = int(positions[1:][rises][0]) if rises.any() else int(positions[0])
            message = f"{self.where}: position {twice} occurs more than once; a position has to be unique."
            raise ConfigError(message, hint="order by a unique column: position='…'")
        if self.head is None:
            self.anchor(int(positions[0]))
        found = [gap for low, high in holes(start, positions) for gap in self._seen(low, high)]
        dead = [gap for gap in found if self._verdict(gap.seen)[0] == "dead"]
        self._bury(dead)
        buried = set(dead)
        self.gaps.add(gap for gap in found if gap not in buried)
        self.head = int(positions[-1])
        self.anchor(self.head)

    def _seen(self, low: int, high: int) -> Iterator[Gap]:
        """Yield a new hole, with when it was seen first: before the writers were looked up, or after."""
        highest = _LOWEST if self.highest is None else self.highest
        if low <= highest:
            yield Gap(low, min(high, highest), self.sighted)
        if high > highest:
            yield Gap(max(low, highest + 1), high, self.given.snapshot.seen)

    def _bury(self, dead: list[Gap]) -> None:
        self.dead += sum(gap.width for gap in dead)
        self.died += dead[: _LISTED - len(self.died)]

    def _bookmark(self) -> Bookmark:
        return {
            "position": self.head,
            **self.gaps.to_json(),
            "dead": self.dead,
            "anchors": self.anchors.to_json(),
        }

    # -- telling ---------------------------------------------------------------------------------

    def _told(self, gap: Gap) -> Mapping[str, Any]:
        state, evidence = self._verdict(gap.seen)
        return {
            "position": gap.low,
            "to": gap.high,
            "first_seen": gap.seen.at.isoformat(),
            "state": state,
            "evidence": evidence,
        }

    def _notes(self) -> Iterator[str]:
        yield from self.notes(self.given.position.name)
        if self.dead:
            yield f"{self.dead:,} position numbers have no row and never will (rolled back, skipped or deleted): proven"
        states = [self._verdict(gap.seen)[0] for gap in self.gaps.ranges]
        if "unproven" in states:
            yield f"{states.count('unproven'):,} holes are unproven: {'; '.join(self.writers.doubts)}"
        if len(self.gaps) > _LISTED:
            yield f"{len(self.gaps):,} holes are open; the report lists the first {_LISTED}"
