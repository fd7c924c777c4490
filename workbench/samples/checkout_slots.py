"""The words of the checkout's simulation: event types, courses of orders, and the slots of a flow.

A slot is one thing that may happen to an order; the flow of an order fills some of them. The reserving slots
hold one order line each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from workbench.samples import draw

FIRST_DAY: Final = draw.day_number("2026-04-01")
#: About how many days a log covers, whatever its size.
DAYS: Final = 106

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
    "PaymentRefunded",
    "ShipmentFailed",
)
(CREATED, RESERVED, UNAVAILABLE, PAID, DECLINED, RELEASED) = range(6)
(SHIPPED, COMPLETED, CANCELLED, REFUNDED, UNDELIVERED) = range(6, 11)

LINES: Final = 3
# The slots of a clean flow. Line i is reserved in RESERVE + i and released in RELEASE_LAST - i.
CREATE, RESERVE, PAY, PAY_AGAIN, RELEASE, SHIP, END = 0, 1, 4, 5, 6, 9, 10
RELEASE_LAST: Final = SHIP - 1
CLEAN_SLOTS: Final = 11
# Those that are filled here alone.
RESERVE_AGAIN, REFUND, SHIP_AGAIN, RELEASE_AGAIN = 11, 12, 13, 14
SLOTS: Final = 15

#: How an order may go; a row's ``course`` is an index of this. The first six are drawn for each order.
COURSES: Final = (
    "completed",
    "out_of_stock",
    "payment_failed",
    "paid_later",
    "never_compensated",
    "never_shipped",
    "shipment_failed",
    "not_refunded",
    "refunded_last",
    "paid_twice",
    "reserved_twice",
    "shipped_twice",
    "shipped_after_the_end",
    "never_charged",
    "completed_unshipped",
    "paid_unreserved",
    "never_reserved",
    "never_paid",
    "never_completed",
    "cancelled_half_released",
    "abandoned_half_released",
    "released_forwards",
    "refunded_unpaid",
    "released_twice",
    "released_after_the_end",
    "paid_after_the_end",
    "released_slowly",
    "released_unreserved",
)
SMOOTH, NO_STOCK, NO_PAYMENT, PAID_LATER, NOT_COMPENSATED, NEVER_SHIPPED = range(6)
COURSE: Final = {name: index for index, name in enumerate(COURSES)}


@dataclass(frozen=True, slots=True)
class Flow:
    """What fills the slots of orders: a row for each order, a column for each slot.

    Attributes
    ----------
    kind
        Index of :data:`KINDS`; -1: does not happen.
    version, cause, time
        Order in the stream; the slot that caused it, -1 for none; when it is recorded.
    lines, course
        Of the order: number of lines, index of :data:`COURSES`.
    """

    kind: Any
    version: Any
    cause: Any
    time: Any
    lines: draw.Ints
    course: draw.Ints
