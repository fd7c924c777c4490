"""What happens to orders, day by day: each flow is laid out in slots, all orders of a day at once.

Flows are clean when they are laid out: releases undo reservations in reverse order. Some are broken after that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from workbench.samples import draw
from workbench.samples.checkout_faults import broken
from workbench.samples.checkout_slots import (
    CANCELLED,
    CLEAN_SLOTS,
    COMPLETED,
    CREATED,
    DAYS,
    DECLINED,
    END,
    FIRST_DAY,
    LINES,
    NO_PAYMENT,
    NO_STOCK,
    NOT_COMPENSATED,
    PAID,
    PAID_LATER,
    PAY,
    PAY_AGAIN,
    RELEASE,
    RELEASE_LAST,
    RELEASED,
    RESERVE,
    RESERVED,
    SHIP,
    SHIPPED,
    SLOTS,
    SMOOTH,
    UNAVAILABLE,
    Flow,
)
from workbench.samples.domain import Rows, join, where

PRODUCTS: Final = 240

_EVENTS_PER_ORDER: Final = 5.55
# How often each clean course is taken: the first six of COURSES.
_SHARES: Final = (0.82, 0.05, 0.06, 0.04, 0.01, 0.02)
# In the last days the warehouse takes long to release goods, so that a log ends in the middle of it.
_SLOW_SINCE: Final = DAYS - 10


class Shop:
    """The orders of one day, and what is still to happen to earlier ones."""

    def __init__(self, events: int, seed: int) -> None:
        self.rng = rng = np.random.default_rng([seed, 2])
        self.faults = np.random.default_rng([seed, 3])
        self.salt = draw.salt(seed)
        self.orders = 0
        self.customers = max(12, events // 18)
        self.reach = np.cumsum(draw.heavy_tail(rng, self.customers))
        self.popularity = np.cumsum(draw.heavy_tail(rng, PRODUCTS))
        self.price = np.round(np.exp(rng.standard_normal(PRODUCTS) * 0.8 + 3.2)).astype(np.int64)
        self.price = (
            self.price * 100 + np.array([0, 50, 90, 95, 99])[draw.pick(rng, PRODUCTS, (1,) * 5)]
        )
        busy = [draw.weekday_factor(FIRST_DAY + day) for day in range(DAYS)]
        share = np.cumsum(busy) / np.sum(busy)
        self.volume = np.diff(np.floor(share * events / _EVENTS_PER_ORDER), prepend=0).astype(int)
        self.waiting: Rows | None = None

    def day(self, day: int) -> Rows:
        """Return all events of a day, in the order in which they were recorded."""
        size = int(self.volume[day]) if day < DAYS else max(1, int(self.volume[-1]))
        rows = self._orders(day, size)
        if self.waiting is not None:
            rows = join([self.waiting, rows])
        today = rows["recorded"] < (FIRST_DAY + day + 1) * draw.DAY
        self.waiting = where(rows, ~today)
        rows = where(rows, today)
        return where(rows, np.argsort(rows["recorded"], kind="stable"))

    def _orders(self, day: int, size: int) -> Rows:
        rng = self.rng
        placed = np.sort((FIRST_DAY + day) * draw.DAY + draw.times_of_day(rng, size))
        lines = 1 + draw.pick(rng, size, (0.55, 0.3, 0.15))
        course = draw.pick(rng, size, _SHARES)
        flow = self._flow(placed, lines, course)
        flow = broken(self.faults, flow, slow=day >= _SLOW_SINCE)
        cause, recorded = flow.cause, flow.time
        present = flow.kind >= 0

        numbers = np.arange(self.orders + 1, self.orders + size + 1)
        self.orders += size
        slots = np.arange(SLOTS)
        serial = (numbers[:, None] * 16 + slots).astype(np.uint64) + self.salt
        high, low = draw.event_ids(recorded, serial)
        caused = cause >= 0
        rows_at = np.arange(size)[:, None]
        lag = np.concatenate(
            [
                draw.delays(generator, size * more, 25_000).reshape(size, more)
                for generator, more in ((rng, CLEAN_SLOTS), (self.faults, SLOTS - CLEAN_SLOTS))
            ],
            axis=1,
        )
        # A carrier reports some parcels in a batch, long after they left.
        batched = (slots == SHIP) & (rng.random((size, 1)) < 0.06)
        since_cause = recorded - np.where(caused, recorded[rows_at, cause], 0)
        long = np.minimum(draw.delays(rng, size, 9 * draw.HOUR)[:, None], since_cause * 3 // 4)
        occurred = recorded - np.where(batched, long, lag)

        products = np.searchsorted(
            self.popularity, rng.random((size, LINES)) * self.popularity[-1]
        ).clip(max=PRODUCTS - 1)
        quantities = 1 + draw.pick(rng, size * LINES, (0.7, 0.2, 0.07, 0.03)).reshape(size, LINES)
        asked = np.arange(LINES) < lines[:, None]
        cents = (quantities * self.price[products] * asked).sum(axis=1)
        customers = np.searchsorted(self.reach, rng.random(size) * self.reach[-1])
        # Shops on the web moved to the second schema first.
        channel = draw.pick(rng, size, (0.6, 0.3, 0.1))
        schema = np.where(day < np.array([14, 21, 30])[channel], 1, 2)
        line = np.zeros(SLOTS, dtype=np.int64)
        line[RESERVE : RESERVE + LINES] = np.arange(LINES)
        line[RELEASE : RELEASE + LINES] = np.arange(LINES)[::-1]
        facts: dict[str, Any] = {
            "kind": flow.kind,
            "version": flow.version,
            "recorded": recorded,
            "occurred": occurred,
            "id_high": high,
            "id_low": low,
            "cause_high": np.where(caused, high[rows_at, cause], np.uint64(0)),
            "cause_low": np.where(caused, low[rows_at, cause], np.uint64(0)),
            "line": np.broadcast_to(line, present.shape),
            "slot": np.broadcast_to(slots.astype(np.int8), present.shape),
        }
        of_order: dict[str, Any] = {
            "order": numbers,
            "salt": np.full(size, self.salt ^ np.uint64(1 << 62)),
            "customer": np.minimum(customers, self.customers - 1) + 1,
            "cents": cents,
            "lines": lines,
            "course": flow.course.astype(np.int8),
            "channel": channel,
            "schema": schema,
            "carrier": draw.pick(rng, size, (0.5, 0.3, 0.2)),
            "provider": draw.pick(rng, size, (0.6, 0.4)),
            "declined": draw.pick(rng, size, (0.6, 0.3, 0.1)),
        }
        for index in range(LINES):
            of_order[f"product_{index}"] = products[:, index]
            of_order[f"quantity_{index}"] = quantities[:, index]
            of_order[f"price_{index}"] = self.price[products[:, index]]
        spread = {name: np.repeat(value, SLOTS) for name, value in of_order.items()}
        flat = {name: value.reshape(-1) for name, value in facts.items()}
        return where({**flat, **spread}, np.flatnonzero(present.reshape(-1)))

    def _flow(self, placed: draw.Ints, lines: draw.Ints, course: draw.Ints) -> Flow:
        """Lay out clean flows."""
        rng, size = self.rng, len(placed)
        kind = np.full((size, CLEAN_SLOTS), -1, dtype=np.int8)
        version = np.ones((size, CLEAN_SLOTS), dtype=np.int64)
        cause = np.full((size, CLEAN_SLOTS), -1, dtype=np.int64)
        time = np.repeat(placed[:, None], CLEAN_SLOTS, axis=1)
        rows = np.arange(size)
        kind[:, 0] = CREATED

        last = RESERVE + lines - 1  # the slot of the last line
        reserving = np.arange(LINES) < lines[:, None]
        kind[:, RESERVE:PAY] = np.where(reserving, RESERVED, -1)
        cause[:, RESERVE:PAY] = 0
        steps = draw.delays(rng, size * LINES, 120_000).reshape(size, LINES)
        time[:, RESERVE:PAY] += np.cumsum(steps, axis=1)
        no_stock = course == NO_STOCK
        kind[no_stock, last[no_stock]] = UNAVAILABLE

        declined = (course >= NO_PAYMENT) & (course <= NOT_COMPENSATED)
        later = course == PAID_LATER
        kind[:, PAY] = np.where(no_stock, -1, np.where(declined, DECLINED, PAID))
        kind[:, PAY_AGAIN] = np.where(later, PAID, -1)
        version[:, PAY_AGAIN] = 2
        cause[:, PAY], cause[:, PAY_AGAIN] = last, PAY
        time[:, PAY] = time[rows, last] + draw.delays(rng, size, 2 * draw.SECOND)
        time[:, PAY_AGAIN] = time[:, PAY] + draw.delays(rng, size, 600 * draw.SECOND)

        failed_at = np.where(no_stock, last, PAY)
        undone = no_stock | (course == NO_PAYMENT)
        held = lines - no_stock
        # Line 1 is released in the last of these slots, so that the order is reversed.
        releasing = undone[:, None] & (np.arange(LINES)[::-1] < held[:, None])
        kind[:, RELEASE:SHIP] = np.where(releasing, RELEASED, -1)
        version[:, RELEASE:SHIP] = 2
        cause[:, RELEASE:SHIP] = failed_at[:, None]
        steps = draw.delays(rng, size * LINES, 400_000).reshape(size, LINES)
        time[:, RELEASE:SHIP] = time[rows, failed_at][:, None] + np.cumsum(steps, axis=1)

        shipped = (course == SMOOTH) | later
        paid_at = np.where(later, PAY_AGAIN, PAY)
        kind[:, SHIP] = np.where(shipped, SHIPPED, -1)
        cause[:, SHIP] = paid_at
        time[:, SHIP] = time[rows, paid_at] + draw.delays(rng, size, 16 * draw.HOUR)

        kind[:, END] = np.where(shipped, COMPLETED, np.where(undone, CANCELLED, -1))
        version[:, END] = 2
        cancelled_after = np.where(held > 0, RELEASE_LAST, failed_at)
        cause[:, END] = np.where(shipped, SHIP, cancelled_after)
        wait = np.where(
            shipped,
            draw.delays(rng, size, 40 * draw.HOUR),
            draw.delays(rng, size, 300_000),
        )
        time[:, END] = time[rows, cause[:, END]] + wait
        return Flow(kind, version, cause, time, lines, course)


def days(events: int, seed: int) -> Iterator[Rows]:
    """Simulate a shop with about ``events / 5.5`` orders, a day at a time, without end."""
    shop = Shop(events, seed)
    for day in itertools.count():
        yield shop.day(day)
