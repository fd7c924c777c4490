"""The truth about the sagas of the checkout, from what was done to each order.

The witness sees which slots of which orders were written, and knows the course of each order. It looks at no
event type, stream or payload, as an analysis has to; the rules that both follow are told in
``datasets/README.md``, section 'Sagas'.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from workbench._sql import text
from workbench.samples import draw
from workbench.samples.checkout_slots import (
    COURSE,
    COURSES,
    CREATE,
    END,
    LINES,
    NO_PAYMENT,
    NO_STOCK,
    NOT_COMPENSATED,
    PAID_LATER,
    PAY,
    PAY_AGAIN,
    REFUND,
    RELEASE,
    RELEASE_AGAIN,
    RELEASE_LAST,
    RESERVE,
    RESERVE_AGAIN,
    SHIP,
    SHIP_AGAIN,
)
from workbench.samples.domain import Domain, Rows, Told, join, numbered
from workbench.samples.write import PARQUET, reader

OUTCOMES: Final = (
    "completed", "compensated", "compensating", "failed", "stuck", "timed out", "running",
)  # fmt: skip
_COMPLETED, _COMPENSATED, _COMPENSATING, _FAILED, _STUCK, _TIMED_OUT, _RUNNING = range(7)
VIOLATIONS: Final = (
    "missing compensation",
    "compensation in the wrong order",
    "compensation of what never happened",
    "duplicate step",
    "event after the end",
    "step skipped",
)
_MISSING, _DISORDER, _UNFOUNDED, _DUPLICATE, _AFTER_END, _SKIPPED = range(6)
STEPS: Final = ("reserve", "pay", "ship", "complete")
_RESERVING, _PAYING, _SHIPPING, _COMPLETING = range(4)

#: In hours: how long a saga may be idle before each step, and while it compensates, and last as a whole.
DEADLINES: Final[Mapping[str, int]] = {
    "reserve": 1,
    "pay": 24,
    "ship": 120,
    "complete": 240,
    "compensate": 72,
    "saga": 720,
}

#: Course -> the violations it brings: which, of which step, and the slot that shows it.
_BROUGHT: Final[dict[str, list[tuple[int, int, int]]]] = {
    "paid_twice": [(_DUPLICATE, _PAYING, PAY_AGAIN)],
    "reserved_twice": [(_DUPLICATE, _RESERVING, RESERVE_AGAIN)],
    "shipped_twice": [(_DUPLICATE, _SHIPPING, SHIP_AGAIN)],
    "shipped_after_the_end": [
        (_DUPLICATE, _SHIPPING, SHIP_AGAIN),
        (_AFTER_END, _SHIPPING, SHIP_AGAIN),
    ],
    "never_charged": [(_SKIPPED, _PAYING, SHIP)],
    "completed_unshipped": [(_SKIPPED, _SHIPPING, END)],
    "paid_unreserved": [(_SKIPPED, _RESERVING, PAY)],
    "refunded_unpaid": [(_UNFOUNDED, _PAYING, REFUND)],
    "released_twice": [(_DUPLICATE, _RESERVING, RELEASE_AGAIN)],
    "released_after_the_end": [(_AFTER_END, _RESERVING, RELEASE_LAST)],
    "paid_after_the_end": [(_AFTER_END, _PAYING, PAY_AGAIN)],
}
_UNDELIVERED: Final = ("shipment_failed", "not_refunded", "refunded_last")
# Those that begin with a payment that fails.
_DECLINED: Final = (
    *(COURSES[at] for at in (NO_PAYMENT, PAID_LATER, NOT_COMPENSATED)),
    "cancelled_half_released",
    "abandoned_half_released",
    "released_forwards",
    "refunded_unpaid",
    "released_twice",
    "released_after_the_end",
    "paid_after_the_end",
    "released_slowly",
)
_OUT_OF_STOCK: Final = (COURSES[NO_STOCK], "released_unreserved")

# Orders that are judged at a time.
_PART: Final = 250_000

_UTC: Final = pa.timestamp("us", tz="UTC")
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Orders:
    """What was written of some orders that follow each other, and what is true of them."""

    first: int  # the number of the first of them
    cut_off: int
    slots: npt.NDArray[np.int32]
    course: npt.NDArray[np.int8]
    lines: npt.NDArray[np.int8]
    started: draw.Ints
    last: draw.Ints

    def has(self, *slots: int) -> Flags:
        bits = np.int32(sum(1 << slot for slot in slots))
        found: Flags = (self.slots & bits) != 0
        return found

    def took(self, courses: tuple[str, ...]) -> Flags:
        return np.isin(self.course, [COURSE[name] for name in courses])

    def verdicts(self) -> tuple[Any, Any, Any]:
        """Return the outcome and the current step (-1: none) of each order, and its parts that stand.

        Parts are the lines and, as the last column, the payment.
        """
        lines = self.lines
        out_of_stock, declined = self.took(_OUT_OF_STOCK), self.took(_DECLINED)
        undelivered = self.took(_UNDELIVERED)
        parts = np.zeros((len(lines), LINES + 1), dtype=np.bool_)
        reserved = np.zeros(len(lines), dtype=np.bool_)
        for line in range(LINES):
            holds = self.has(RESERVE + line) & ~(out_of_stock & (lines == line + 1))
            reserved |= holds
            parts[:, line] = holds & ~self.has(RELEASE_LAST - line)
        paid = (self.has(PAY) & ~declined) | self.has(PAY_AGAIN)
        parts[:, LINES] = paid & ~self.has(REFUND)
        shipped = self.has(SHIP) & ~undelivered

        unpaid = declined & self.has(PAY) & ~self.has(PAY_AGAIN)
        unreserved = np.zeros(len(lines), dtype=np.bool_)
        for line in range(LINES):
            # Where the failed line was released, the failure is still its last word on success.
            unreserved |= out_of_stock & (lines == line + 1) & self.has(RESERVE + line)
        lost = undelivered & self.has(SHIP)
        undoing = self.has(*range(RELEASE, SHIP), REFUND, RELEASE_AGAIN)
        failing = unpaid | unreserved | lost | undoing

        furthest = np.where(shipped, _COMPLETING, np.where(paid, _SHIPPING, reserved * _PAYING))
        failed_step = np.where(
            lost, _SHIPPING, np.where(unpaid, _PAYING, np.where(unreserved, _RESERVING, -1))
        )
        ended = self.has(END)
        step = np.where(ended, -1, np.where(failing, failed_step, furthest))

        idle = self.cut_off - self.last
        age = self.cut_off - self.started
        allowed = np.array([DEADLINES[name] for name in STEPS])[furthest] * draw.HOUR
        forward = np.select(
            [age > DEADLINES["saga"] * draw.HOUR, idle > allowed], [_TIMED_OUT, _STUCK], _RUNNING
        )
        back = np.where(idle > DEADLINES["compensate"] * draw.HOUR, _FAILED, _COMPENSATING)
        cancelled = ended & (out_of_stock | undelivered | (declined & ~self.took(("paid_later",))))
        outcome = np.select(
            [ended & ~cancelled, cancelled & parts.any(axis=1), cancelled, failing],
            [_COMPLETED, _FAILED, _COMPENSATED, back],
            forward,
        )
        return outcome.astype(np.int8), step.astype(np.int8), parts

    def violations(self, outcome: Any, parts: Any) -> dict[str, npt.NDArray[np.int64]]:
        """Return each violation: the order, which it is, of which step, and the slot that shows it."""
        found: list[npt.NDArray[np.int64]] = []

        def add(orders: Flags, violation: int, step: int, slot: int) -> None:
            at = np.flatnonzero(orders)
            found.append(
                np.stack([at + self.first, *(np.full(len(at), n) for n in (violation, step, slot))])
            )

        failed, lines = outcome == _FAILED, self.lines
        for line in range(LINES):
            add(failed & parts[:, line], _MISSING, _RESERVING, RESERVE + line)
        unpaid_for = failed & parts[:, LINES]
        again = self.has(PAY_AGAIN)
        add(unpaid_for & ~again, _MISSING, _PAYING, PAY)
        add(unpaid_for & again, _MISSING, _PAYING, PAY_AGAIN)
        for course, brought in _BROUGHT.items():
            for violation, step, slot in brought:
                add(self.took((course,)) & self.has(slot), violation, step, slot)

        forwards, last = self.took(("released_forwards",)), self.took(("refunded_last",))
        for line in range(LINES):
            slot = RELEASE_LAST - line
            if line + 1 < LINES:  # too early, as soon as the line after it is released
                add(forwards & self.has(slot - 1), _DISORDER, _RESERVING, slot)
            refunded = last & self.has(REFUND)
            add(refunded & (line < lines), _DISORDER, _RESERVING, slot)
            unfounded = self.took(("released_unreserved",)) & (lines == line + 1)
            add(unfounded & self.has(slot), _UNFOUNDED, _RESERVING, slot)
        columns = np.concatenate(found, axis=1)
        return dict(zip(("n", "violation", "step", "slot"), columns, strict=True))


class Sagas:
    """What was written of each order: a few numbers for each, so that millions fit into memory."""

    def __init__(self, events: int, seed: int) -> None:
        self.seed = seed
        self.salt = draw.salt(seed) ^ np.uint64(1 << 62)
        self.orders = 0
        self.cut_off = 0
        self.slots = np.zeros(0, dtype=np.int32)  # one bit for each slot that was written
        self.events = np.zeros(0, dtype=np.int16)
        self.course = np.zeros(0, dtype=np.int8)
        self.lines = np.zeros(0, dtype=np.int8)
        self.started, self.last, self.ended = (np.zeros(0, dtype=np.int64) for _ in range(3))

    def saw(self, rows: Rows) -> None:
        """Take note of rows that are written, in the order in which they are."""
        order, slot, recorded = rows["order"] - 1, rows["slot"], rows["recorded"]
        self._grow(int(order.max()) + 1)
        np.bitwise_or.at(self.slots, order, np.int32(1) << slot.astype(np.int32))
        np.add.at(self.events, order, np.int16(1))
        self.course[order] = rows["course"]
        self.lines[order] = rows["lines"]
        self.last[order] = recorded  # of equal indices the last one stays
        self.started[order[slot == CREATE]] = recorded[slot == CREATE]
        self.ended[order[slot == END]] = recorded[slot == END]
        self.cut_off = int(recorded[-1])

    def _grow(self, orders: int) -> None:
        self.orders = max(self.orders, orders)
        if self.orders > len(self.slots):
            room = max(1_024, self.orders * 3 // 2) - len(self.slots)
            for name in ("slots", "events", "course", "lines", "started", "last", "ended"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros(room, dtype=old.dtype)]))

    def _parts(self) -> Iterator[slice]:
        """Cut all orders into parts that are judged one after the other, so that memory stays small."""
        for first in range(0, self.orders, _PART):
            yield slice(first, min(first + _PART, self.orders))

    def _judge(self) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], dict[str, draw.Ints]]:
        """Return the outcome and the current step of each order, and all violations."""
        outcome = np.zeros(self.orders, dtype=np.int8)
        step = np.zeros(self.orders, dtype=np.int8)
        found: list[Rows] = []
        for part in self._parts():
            orders = _Orders(
                part.start + 1,
                self.cut_off,
                self.slots[part],
                self.course[part],
                self.lines[part],
                self.started[part],
                self.last[part],
            )
            outcome[part], step[part], standing = orders.verdicts()
            found.append(orders.violations(outcome[part], standing))
        return outcome, step, join(found)

    def _table(self, part: slice, outcome: Any, step: Any) -> pa.Table:
        numbers = np.arange(part.start + 1, part.stop + 1)
        ended = self.slots[part] & np.int32(1 << END) != 0
        return pa.table(
            {
                "n": numbers,
                "flow": draw.uuids(*draw.request_ids(numbers.astype(np.uint64) + self.salt)),
                "course": draw.words(self.course[part], COURSES),
                "outcome": draw.words(outcome[part], OUTCOMES),
                "current_step": draw.words(step[part], STEPS),
                "events": self.events[part].astype(np.int64),
                "started_at": pa.array(self.started[part], _UTC),
                "last_at": pa.array(self.last[part], _UTC),
                "ended_at": pa.array(self.ended[part], _UTC, mask=~ended),
            }
        )

    def write(
        self, con: duckdb.DuckDBPyConnection, domain: Domain, events: tuple[Path, ...], folder: Path
    ) -> Told:
        """Write the truth of all sagas to ``folder``."""
        outcome, step, shown = self._judge()
        tables = (self._table(part, outcome, step) for part in self._parts())
        sagas = pa.RecordBatchReader.from_batches(
            self._table(slice(0, 0), outcome, step).schema,
            (batch for table in tables for batch in table.to_batches()),
        )
        kinds = shown["violation"]
        con.register("drawn_sagas", sagas)
        con.register(
            "drawn_violations",
            pa.table(
                {
                    **shown,
                    "violation": draw.words(kinds, VIOLATIONS),
                    "step": draw.words(shown["step"], STEPS),
                }
            ),
        )
        data = folder / "sagas_truth.parquet"
        con.execute(f"COPY ({_listed(events)}) TO {text(str(data))} {PARQUET}")
        con.unregister("drawn_sagas")
        con.unregister("drawn_violations")
        counts = [
            {
                name: int(total)
                for name, total in zip(names, np.bincount(of, minlength=len(names)), strict=True)
            }
            for names, of in ((OUTCOMES, outcome), (VIOLATIONS, kinds))
        ]
        about = {
            "domain": domain.name,
            "seed": self.seed,
            "events": int(self.events.sum(dtype=np.int64)),
            "sagas": self.orders,
            "cut_off": str(np.datetime64(self.cut_off, "us")) + "Z",
            "deadline_hours": dict(DEADLINES),
            "outcomes": counts[0],
            "violations": counts[1],
            "sagas_with": {
                name: len(np.unique(shown["n"][kinds == number]))
                for number, name in enumerate(VIOLATIONS)
            },
        }
        path = folder / "sagas_truth.json"
        path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        return Told((data, path), {"sagas": counts[0], "violations": counts[1]})


# The stream of a slot, and the version that its event has there.
_STREAM: Final = (
    f"CASE WHEN slot = {END} THEN {numbered('order-', 'n')} "
    f"WHEN slot IN ({PAY}, {PAY_AGAIN}, {REFUND}) THEN {numbered('payment-', 'n')} "
    f"WHEN slot IN ({SHIP}, {SHIP_AGAIN}) THEN {numbered('shipment-', 'n')} "
    f"ELSE concat({numbered('inventory-', 'n')}, '-', CASE WHEN slot BETWEEN {RESERVE} AND {PAY - 1} "
    f"THEN slot WHEN slot BETWEEN {RELEASE} AND {RELEASE_LAST} THEN {RELEASE_LAST + 1} - slot ELSE 1 END) END"
)
_VERSION: Final = (
    f"CASE WHEN slot = {RELEASE_AGAIN} THEN 3 "
    f"WHEN slot IN ({RESERVE}, {RESERVE + 1}, {RESERVE + 2}, {PAY}, {SHIP}) THEN 1 ELSE 2 END"
)


def _listed(events: tuple[Path, ...]) -> str:
    """Write SQL for one row for each order, with its violations in the order of positions."""
    return (
        "WITH shown AS MATERIALIZED (SELECT n, violation, step, "
        f"{_STREAM} AS stream_id, CAST({_VERSION} AS BIGINT) AS version FROM drawn_violations), "
        "placed AS (SELECT n, list(struct_pack(violation := CAST(violation AS VARCHAR), "
        "step := CAST(step AS VARCHAR), stream_id := stream_id, version := version, "
        "position := e.position, event_id := CAST(e.event_id AS VARCHAR)) "
        "ORDER BY e.position, violation, step) AS violations FROM shown "
        f"JOIN {reader(events)} e USING (stream_id, version) GROUP BY n) "
        f"SELECT {numbered('order-', 'n')} AS order_id, CAST(flow AS VARCHAR) AS correlation_id, "
        "CAST(course AS VARCHAR) AS course, CAST(outcome AS VARCHAR) AS outcome, "
        "CAST(current_step AS VARCHAR) AS current_step, events, started_at, last_at, ended_at, "
        "coalesce(violations, []) AS violations "
        "FROM drawn_sagas LEFT JOIN placed USING (n) ORDER BY n"
    )
