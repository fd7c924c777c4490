"""What happens to orders, day by day: each flow is laid out in slots, all orders of a day at once.

A slot is one thing that may happen to an order; the flow of an order fills some of them. The reserving
slots hold one order line each, and releases undo them in reverse order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from workbench.samples import draw
from workbench.samples.domain import Rows, join, where

KINDS: Final = (
    "OrderCreated",
    "InventoryReserved",
    "InventoryReservationFailed",
    "PaymentProcessed",
    "PaymentFailed",
    "InventoryReleased",
    "OrderShipped",
    "OrderCompleted",
    "OrderCancelled",
)
CREATED, RESERVED, UNAVAILABLE, PAID, DECLINED, RELEASED, SHIPPED, COMPLETED, CANCELLED = range(9)

FIRST_DAY: Final = draw.day_number("2026-04-01")
#: About how many days a log covers, whatever its size.
DAYS: Final = 106
PRODUCTS: Final = 240

_LINES: Final = 3
_SLOTS: Final = 11
_RESERVE, _PAY, _PAY_AGAIN, _RELEASE, _SHIP, _END = 1, 4, 5, 6, 9, 10
_EVENTS_PER_ORDER: Final = 5.55

# How an order goes, and how often.
_COURSES: Final = (0.82, 0.05, 0.06, 0.04, 0.01, 0.02)
_SMOOTH, _NO_STOCK, _NO_PAYMENT, _PAID_LATER, _NOT_COMPENSATED, _NEVER_SHIPPED = range(6)


class Shop:
    """The orders of one day, and what is still to happen to earlier ones."""

    def __init__(self, events: int, seed: int) -> None:
        self.rng = rng = np.random.default_rng([seed, 2])
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
        course = draw.pick(rng, size, _COURSES)
        kind, version, cause, recorded = self._flow(placed, lines, course)
        present = kind >= 0

        numbers = np.arange(self.orders + 1, self.orders + size + 1)
        self.orders += size
        slots = np.arange(_SLOTS)
        serial = (numbers[:, None] * 16 + slots).astype(np.uint64) + self.salt
        high, low = draw.event_ids(recorded, serial)
        caused = cause >= 0
        rows_at = np.arange(size)[:, None]
        lag = draw.delays(rng, size * _SLOTS, 25_000).reshape(size, _SLOTS)
        # A carrier reports some parcels in a batch, long after they left.
        batched = (slots == _SHIP) & (rng.random((size, 1)) < 0.06)
        since_cause = recorded - np.where(caused, recorded[rows_at, cause], 0)
        long = np.minimum(draw.delays(rng, size, 9 * draw.HOUR)[:, None], since_cause * 3 // 4)
        occurred = recorded - np.where(batched, long, lag)

        products = np.searchsorted(
            self.popularity, rng.random((size, _LINES)) * self.popularity[-1]
        ).clip(max=PRODUCTS - 1)
        quantities = 1 + draw.pick(rng, size * _LINES, (0.7, 0.2, 0.07, 0.03)).reshape(size, _LINES)
        asked = np.arange(_LINES) < lines[:, None]
        cents = (quantities * self.price[products] * asked).sum(axis=1)
        customers = np.searchsorted(self.reach, rng.random(size) * self.reach[-1])
        # Shops on the web moved to the second schema first.
        channel = draw.pick(rng, size, (0.6, 0.3, 0.1))
        schema = np.where(day < np.array([14, 21, 30])[channel], 1, 2)
        line = np.zeros(_SLOTS, dtype=np.int64)
        line[_RESERVE : _RESERVE + _LINES] = np.arange(_LINES)
        line[_RELEASE : _RELEASE + _LINES] = np.arange(_LINES)[::-1]
        facts: dict[str, Any] = {
            "kind": kind,
            "version": version,
            "recorded": recorded,
            "occurred": occurred,
            "id_high": high,
            "id_low": low,
            "cause_high": np.where(caused, high[rows_at, cause], np.uint64(0)),
            "cause_low": np.where(caused, low[rows_at, cause], np.uint64(0)),
            "line": np.broadcast_to(line, present.shape),
        }
        of_order: dict[str, Any] = {
            "order": numbers,
            "salt": np.full(size, self.salt ^ np.uint64(1 << 62)),
            "customer": np.minimum(customers, self.customers - 1) + 1,
            "cents": cents,
            "lines": lines,
            "channel": channel,
            "schema": schema,
            "carrier": draw.pick(rng, size, (0.5, 0.3, 0.2)),
            "provider": draw.pick(rng, size, (0.6, 0.4)),
            "declined": draw.pick(rng, size, (0.6, 0.3, 0.1)),
        }
        for index in range(_LINES):
            of_order[f"product_{index}"] = products[:, index]
            of_order[f"quantity_{index}"] = quantities[:, index]
            of_order[f"price_{index}"] = self.price[products[:, index]]
        spread = {name: np.repeat(value, _SLOTS) for name, value in of_order.items()}
        flat = {name: value.reshape(-1) for name, value in facts.items()}
        return where({**flat, **spread}, np.flatnonzero(present.reshape(-1)))

    def _flow(
        self, placed: draw.Ints, lines: draw.Ints, course: draw.Ints
    ) -> tuple[Any, Any, Any, Any]:
        """Return kind (-1: does not happen), version, cause (a slot) and time of each slot."""
        rng, size = self.rng, len(placed)
        kind = np.full((size, _SLOTS), -1, dtype=np.int8)
        version = np.ones((size, _SLOTS), dtype=np.int64)
        cause = np.full((size, _SLOTS), -1, dtype=np.int64)
        time = np.repeat(placed[:, None], _SLOTS, axis=1)
        rows = np.arange(size)
        kind[:, 0] = CREATED

        last = _RESERVE + lines - 1  # the slot of the last line
        reserving = np.arange(_LINES) < lines[:, None]
        kind[:, _RESERVE:_PAY] = np.where(reserving, RESERVED, -1)
        cause[:, _RESERVE:_PAY] = 0
        steps = draw.delays(rng, size * _LINES, 120_000).reshape(size, _LINES)
        time[:, _RESERVE:_PAY] += np.cumsum(steps, axis=1)
        no_stock = course == _NO_STOCK
        kind[no_stock, last[no_stock]] = UNAVAILABLE

        declined = (course >= _NO_PAYMENT) & (course <= _NOT_COMPENSATED)
        later = course == _PAID_LATER
        kind[:, _PAY] = np.where(no_stock, -1, np.where(declined, DECLINED, PAID))
        kind[:, _PAY_AGAIN] = np.where(later, PAID, -1)
        version[:, _PAY_AGAIN] = 2
        cause[:, _PAY], cause[:, _PAY_AGAIN] = last, _PAY
        time[:, _PAY] = time[rows, last] + draw.delays(rng, size, 2 * draw.SECOND)
        time[:, _PAY_AGAIN] = time[:, _PAY] + draw.delays(rng, size, 600 * draw.SECOND)

        failed_at = np.where(no_stock, last, _PAY)
        undone = no_stock | (course == _NO_PAYMENT)
        held = lines - no_stock
        # Line 1 is released in the last of these slots, so that the order is reversed.
        releasing = undone[:, None] & (np.arange(_LINES)[::-1] < held[:, None])
        kind[:, _RELEASE:_SHIP] = np.where(releasing, RELEASED, -1)
        version[:, _RELEASE:_SHIP] = 2
        cause[:, _RELEASE:_SHIP] = failed_at[:, None]
        steps = draw.delays(rng, size * _LINES, 400_000).reshape(size, _LINES)
        time[:, _RELEASE:_SHIP] = time[rows, failed_at][:, None] + np.cumsum(steps, axis=1)

        shipped = (course == _SMOOTH) | later
        paid_at = np.where(later, _PAY_AGAIN, _PAY)
        kind[:, _SHIP] = np.where(shipped, SHIPPED, -1)
        cause[:, _SHIP] = paid_at
        time[:, _SHIP] = time[rows, paid_at] + draw.delays(rng, size, 16 * draw.HOUR)

        kind[:, _END] = np.where(shipped, COMPLETED, np.where(undone, CANCELLED, -1))
        version[:, _END] = 2
        cancelled_after = np.where(held > 0, _SHIP - 1, failed_at)
        cause[:, _END] = np.where(shipped, _SHIP, cancelled_after)
        wait = np.where(
            shipped,
            draw.delays(rng, size, 40 * draw.HOUR),
            draw.delays(rng, size, 300_000),
        )
        time[:, _END] = time[rows, cause[:, _END]] + wait
        return kind, version, cause, time


def days(events: int, seed: int) -> Iterator[Rows]:
    """Simulate a shop with about ``events / 5.5`` orders, a day at a time, without end."""
    shop = Shop(events, seed)
    for day in itertools.count():
        yield shop.day(day)
