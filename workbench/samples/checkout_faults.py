"""What goes wrong with orders: clean flows are broken in known ways, all orders of a day at once.

Each fault starts from one clean course of :mod:`workbench.samples.checkout_days` and adds, drops or moves a
few of its slots; how often is said beside it. The draws are those of a generator of their own, so that an
order without a fault is the same as if there were none.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from workbench.samples import draw
from workbench.samples.checkout_slots import (
    CANCELLED,
    CLEAN_SLOTS,
    COURSE,
    CREATE,
    END,
    LINES,
    NO_PAYMENT,
    NO_STOCK,
    PAID,
    PAY,
    PAY_AGAIN,
    REFUND,
    REFUNDED,
    RELEASE,
    RELEASE_AGAIN,
    RELEASE_LAST,
    RELEASED,
    RESERVE,
    RESERVE_AGAIN,
    SHIP,
    SHIP_AGAIN,
    SHIPPED,
    SLOTS,
    SMOOTH,
    UNDELIVERED,
    Flow,
)

# Course that is broken -> what becomes of it, and how often.
_BROKEN: Final[dict[int, dict[str, float]]] = {
    SMOOTH: {
        "shipment_failed": 0.020,
        "not_refunded": 0.007,
        "refunded_last": 0.006,
        "paid_twice": 0.007,
        "reserved_twice": 0.005,
        "shipped_twice": 0.005,
        "shipped_after_the_end": 0.005,
        "never_charged": 0.006,
        "completed_unshipped": 0.005,
        "paid_unreserved": 0.005,
        "never_reserved": 0.005,
        "never_paid": 0.007,
        "never_completed": 0.006,
    },
    NO_PAYMENT: {
        "cancelled_half_released": 0.08,
        "abandoned_half_released": 0.12,
        "released_forwards": 0.18,
        "refunded_unpaid": 0.06,
        "released_twice": 0.05,
        "released_after_the_end": 0.08,
        "paid_after_the_end": 0.06,
        "released_slowly": 0.04,
    },
    NO_STOCK: {"released_unreserved": 0.12},
}
# These need a second line to be seen; an order of one line stays as it was.
_OF_SEVERAL: Final = ("abandoned_half_released", "released_forwards")


def broken(rng: np.random.Generator, flow: Flow, *, slow: bool) -> Flow:
    """Break some of the clean flows; in a ``slow`` time the warehouse takes days to release goods."""
    size = len(flow.course)
    more = SLOTS - CLEAN_SLOTS
    course = _courses(rng, flow, slow=slow)
    made = Flow(
        np.concatenate([flow.kind, np.full((size, more), -1, dtype=np.int8)], axis=1),
        np.concatenate([flow.version, np.tile([2, 2, 2, 3], (size, 1))], axis=1),
        np.concatenate([flow.cause, np.full((size, more), -1)], axis=1),
        np.concatenate([flow.time, np.repeat(flow.time[:, :1], more, axis=1)], axis=1),
        flow.lines,
        course,
    )
    draws = _Draws(rng, size)
    _break_shipments(made, draws)
    _break_completed(made, draws)
    _break_releases(made, draws)
    return made


def _courses(rng: np.random.Generator, flow: Flow, *, slow: bool) -> draw.Ints:
    course = flow.course.copy()
    at = rng.random(len(course))
    often = rng.random(len(course))
    for clean, shares in _BROKEN.items():
        limits = np.cumsum(list(shares.values()))
        becomes = np.array([COURSE[name] for name in shares] + [clean])
        chosen = becomes[np.searchsorted(limits, at, side="right")]
        several = np.isin(chosen, [COURSE[name] for name in _OF_SEVERAL])
        chosen = np.where(several & (flow.lines < 2), clean, chosen)
        course = np.where(flow.course == clean, chosen, course)
    if slow:
        held_up = (course == NO_PAYMENT) & (often < 0.9)
        course = np.where(held_up, COURSE["released_slowly"], course)
    return course


class _Draws:
    """Delays for each order, drawn whether an order needs them or not."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.refund = draw.delays(rng, size, 2 * draw.SECOND)
        self.steps = np.cumsum(draw.delays(rng, size * LINES, 400_000).reshape(size, LINES), axis=1)
        self.slow = np.cumsum(
            draw.delays(rng, size * LINES, 30 * draw.HOUR).reshape(size, LINES), axis=1
        )
        self.end = draw.delays(rng, size, 300_000)
        self.late = draw.delays(rng, size, 2 * draw.HOUR)


def _break_shipments(flow: Flow, draws: _Draws) -> None:
    """No carrier takes the parcel: the payment is refunded, the lines are released, the order is cancelled."""
    course = flow.course
    unrefunded, last = course == COURSE["not_refunded"], course == COURSE["refunded_last"]
    rows = np.flatnonzero((course == COURSE["shipment_failed"]) | unrefunded | last)
    unrefunded, last = unrefunded[rows], last[rows]
    failed_at = flow.time[rows, SHIP]
    flow.kind[rows, SHIP] = UNDELIVERED
    refunded_at = failed_at + draws.refund[rows]
    released_at = np.where(last, failed_at, refunded_at)[:, None] + draws.steps[rows]
    refunded_at = np.where(last, released_at[:, -1] + draws.refund[rows], refunded_at)
    flow.kind[rows, REFUND] = np.where(unrefunded, -1, REFUNDED)
    flow.cause[rows, REFUND] = SHIP
    flow.time[rows, REFUND] = refunded_at
    lines = np.arange(LINES)[::-1] < flow.lines[rows][:, None]
    flow.kind[rows, RELEASE:SHIP] = np.where(lines, RELEASED, -1)
    flow.version[rows, RELEASE:SHIP] = 2
    flow.cause[rows, RELEASE:SHIP] = SHIP
    flow.time[rows, RELEASE:SHIP] = released_at
    flow.kind[rows, END] = CANCELLED
    flow.cause[rows, END] = np.where(last, REFUND, RELEASE_LAST)
    flow.time[rows, END] = np.where(last, refunded_at, released_at[:, -1]) + draws.end[rows]


def _break_completed(flow: Flow, draws: _Draws) -> None:
    """Of the orders that went well: some stop, some miss a step, some do one twice."""
    kind, cause, time = flow.kind, flow.cause, flow.time

    def of(course: str) -> draw.Ints:
        return np.flatnonzero(flow.course == COURSE[course])

    kind[of("never_reserved"), RESERVE:] = -1
    kind[of("never_paid"), PAY:] = -1
    kind[of("never_completed"), END] = -1

    rows = of("never_charged")
    kind[rows, PAY] = -1
    cause[rows, SHIP] = cause[rows, PAY]
    rows = of("completed_unshipped")
    kind[rows, SHIP] = -1
    cause[rows, END] = PAY
    rows = of("paid_unreserved")
    kind[rows, RESERVE:PAY] = -1
    cause[rows, PAY] = CREATE

    # A message was delivered again, so the cause is that of the first time.
    for name, first, again, before in (
        ("paid_twice", PAY, PAY_AGAIN, SHIP),
        ("reserved_twice", RESERVE, RESERVE_AGAIN, PAY),
        ("shipped_twice", SHIP, SHIP_AGAIN, END),
    ):
        rows = of(name)
        kind[rows, again] = kind[rows, first]
        cause[rows, again] = cause[rows, first]
        time[rows, again] = (time[rows, first] + time[rows, before]) // 2
    rows = of("shipped_after_the_end")
    kind[rows, SHIP_AGAIN] = SHIPPED
    cause[rows, SHIP_AGAIN] = cause[rows, SHIP]
    time[rows, SHIP_AGAIN] = time[rows, END] + draws.late[rows]


def _break_releases(flow: Flow, draws: _Draws) -> None:
    """Of the orders that could not be paid, or not be reserved: the way back goes wrong."""
    kind, cause, time, lines = flow.kind, flow.cause, flow.time, flow.lines

    def of(course: str) -> draw.Ints:
        return np.flatnonzero(flow.course == COURSE[course])

    def ends_without_the_last(rows: draw.Ints) -> None:
        cause[rows, END] = np.where(lines[rows] > 1, RELEASE_LAST - 1, PAY)

    rows = of("cancelled_half_released")
    kind[rows, RELEASE_LAST] = -1
    ends_without_the_last(rows)
    rows = of("abandoned_half_released")
    kind[rows[:, None], [RELEASE_LAST, END]] = -1

    rows = of("released_forwards")
    first = RELEASE_LAST + 1 - lines[rows]
    time[rows, first], time[rows, RELEASE_LAST] = time[rows, RELEASE_LAST], time[rows, first]
    cause[rows, END] = first

    rows = of("refunded_unpaid")
    first = RELEASE_LAST + 1 - lines[rows]
    kind[rows, REFUND] = REFUNDED
    cause[rows, REFUND] = PAY
    time[rows, REFUND] = (time[rows, PAY] + time[rows, first]) // 2

    rows = of("released_twice")
    kind[rows, RELEASE_AGAIN] = RELEASED
    cause[rows, RELEASE_AGAIN] = PAY
    time[rows, RELEASE_AGAIN] = (time[rows, RELEASE_LAST] + time[rows, END]) // 2

    rows = of("released_after_the_end")
    time[rows, RELEASE_LAST] = time[rows, END] + draws.late[rows]
    ends_without_the_last(rows)
    rows = of("paid_after_the_end")
    kind[rows, PAY_AGAIN] = PAID
    cause[rows, PAY_AGAIN] = PAY
    time[rows, PAY_AGAIN] = time[rows, END] + draws.late[rows]

    rows = of("released_slowly")
    time[rows, RELEASE:SHIP] = time[rows, PAY][:, None] + draws.slow[rows]
    time[rows, END] = time[rows, RELEASE_LAST] + draws.end[rows]

    # The line that was out of stock is released too, before the others.
    rows = of("released_unreserved")
    failed = RELEASE_LAST + 1 - lines[rows]
    kind[rows, failed] = RELEASED
    cause[rows, END] = RELEASE_LAST
    time[rows, END] = time[rows, RELEASE_LAST] + draws.end[rows]
