"""The checkout: orders, with their reservations, payments and shipments, tied by correlation_id.

The read model is ``order_summary``, with one row for each order that ``data.orderId`` names, whichever
stream an event is in. Its clean definition, in words:

* ``customer_id``, ``total`` and ``placed_at`` come from ``OrderCreated``: ``customerId``, ``total`` and
  ``occurred_at``;
* ``status`` is ``data.status`` of the last event, by position;
* ``items`` is the sum of ``InventoryReserved.quantity`` less that of ``InventoryReleased.quantity``;
* ``version`` is the number of events that were applied, ``position`` that of the last of them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from workbench.samples import draw
from workbench.samples.checkout_days import PRODUCTS, days
from workbench.samples.checkout_sagas import Sagas
from workbench.samples.checkout_slots import KINDS
from workbench.samples.dead_letters import DeadLetters
from workbench.samples.domain import Domain, ReadModel, Rows, money, numbered

CHANNELS: Final = ("web", "app", "phone")
CARRIERS: Final = ("northpost", "swift", "parcelina")
PROVIDERS: Final = ("cardwire", "paygate")
UNDELIVERED: Final = ("address_unknown", "no_capacity", "damaged")
DECLINED: Final = ("card_declined", "insufficient_funds", "expired_card")
SKUS: Final = tuple(f"SKU-{number:04d}" for number in range(1, PRODUCTS + 1))

_UTC: Final = pa.timestamp("us", tz="UTC")


def _table(rows: Rows, position: npt.NDArray[np.int64]) -> Any:
    columns = {
        "position": position,
        "n": rows["order"],
        "customer": rows["customer"],
        "version": rows["version"],
        "id": draw.uuids(rows["id_high"], rows["id_low"]),
        "kind": draw.words(rows["kind"], KINDS),
        "schema": rows["schema"],
        "occurred_at": pa.array(rows["occurred"], _UTC),
        "recorded_at": pa.array(rows["recorded"], _UTC),
        "flow": draw.uuids(*draw.request_ids(rows["order"].astype(np.uint64) + rows["salt"])),
        "cause": draw.uuids(rows["cause_high"], rows["cause_low"]),
        "cents": rows["cents"],
        "lines": rows["lines"],
        "line": rows["line"],
        "channel": draw.words(rows["channel"], CHANNELS),
        "carrier": draw.words(rows["carrier"], CARRIERS),
        "provider": draw.words(rows["provider"], PROVIDERS),
        "declined": draw.words(rows["declined"], DECLINED),
        "undelivered": draw.words(rows["declined"], UNDELIVERED),
    }
    for line in range(3):
        columns[f"sku_{line}"] = draw.words(rows[f"product_{line}"], SKUS)
        columns[f"quantity_{line}"] = rows[f"quantity_{line}"]
        columns[f"price_{line}"] = rows[f"price_{line}"]
    return pa.table(columns)


def _line(line: int) -> str:
    price = money(f"price_{line}")
    return f"""concat('{{"sku":"', sku_{line}, '","quantity":', quantity_{line}, ',"price":', {price}, '}}')"""


def _of_line(column: str) -> str:
    return f"CASE line WHEN 0 THEN {column}_0 WHEN 1 THEN {column}_1 ELSE {column}_2 END"


_STREAM_TYPE: Final = """CASE
    WHEN kind IN ('OrderCreated', 'OrderCompleted', 'OrderCancelled') THEN 'order'
    WHEN kind IN ('PaymentProcessed', 'PaymentFailed', 'PaymentRefunded') THEN 'payment'
    WHEN kind IN ('OrderShipped', 'ShipmentFailed') THEN 'shipment'
    ELSE 'inventory' END"""
_ACTOR: Final = f"""CASE
    WHEN kind <> 'OrderCreated' THEN 'service:' || {_STREAM_TYPE}
    WHEN channel = 'phone' THEN {numbered("agent-", "n % 9 + 1", 2)}
    ELSE {numbered("cust-", "customer", 5)} END"""
_SCHEMA: Final = (
    "CASE WHEN kind IN ('OrderCreated', 'PaymentProcessed', 'PaymentFailed') THEN schema ELSE 1 END"
)
# What all inventory events tell, and all payments.
_GOODS: Final = f"""',"sku":"', {_of_line("sku")}, '","quantity":', {_of_line("quantity")}"""
_AMOUNT: Final = f"""',"amount":', {money("cents")}"""
_PAID_BY: Final = (
    """CASE schema WHEN 2 THEN ',"currency":"EUR","provider":"' || provider || '"' END"""
)

_RENDER: Final = f"""
position,
concat({_STREAM_TYPE}, {numbered("-", "n")}, CASE {_STREAM_TYPE} WHEN 'inventory' THEN '-' || (line + 1) END)
    AS stream_id,
{_STREAM_TYPE} AS stream_type,
version,
CAST(id AS VARCHAR) AS event_id,
kind AS event_type,
CAST({_SCHEMA} AS VARCHAR) AS schema_version,
occurred_at,
recorded_at,
CAST(flow AS VARCHAR) AS correlation_id,
CAST(cause AS VARCHAR) AS causation_id,
{_ACTOR} AS actor,
concat('{{"orderId":"', {numbered("order-", "n")}, '","status":"', CASE kind
    WHEN 'OrderCreated' THEN
        concat('placed","customerId":"', {numbered("cust-", "customer", 5)}, '","total":', {money("cents")},
            ',"lines":[', {_line(0)}, CASE WHEN lines > 1 THEN ',' || {_line(1)} END,
            CASE WHEN lines > 2 THEN ',' || {_line(2)} END, ']',
            CASE schema WHEN 2 THEN ',"currency":"EUR","salesChannel":"' || channel || '"' END)
    WHEN 'InventoryReserved' THEN concat('reserved"', {_GOODS})
    WHEN 'InventoryReservationFailed' THEN concat('out_of_stock"', {_GOODS}, ',"available":0')
    WHEN 'InventoryReleased' THEN concat('released"', {_GOODS})
    WHEN 'PaymentProcessed' THEN concat('paid"', {_AMOUNT}, {_PAID_BY})
    WHEN 'PaymentFailed' THEN
        concat('payment_failed"', {_AMOUNT}, ',"reason":"', declined, '"', {_PAID_BY})
    WHEN 'OrderShipped' THEN
        concat('shipped","carrier":"', carrier, '","trackingCode":"', {numbered("T", "n", 9)}, '"')
    WHEN 'PaymentRefunded' THEN concat('refunded"', {_AMOUNT})
    WHEN 'ShipmentFailed' THEN
        concat('shipment_failed","carrier":"', carrier, '","reason":"', undelivered, '"')
    WHEN 'OrderCompleted' THEN 'completed"'
    ELSE 'cancelled"' END, '}}') AS data,
concat('{{"user":"', {_ACTOR}, '","correlationId":"', CAST(flow AS VARCHAR),
    '","causationId":"' || CAST(cause AS VARCHAR), '"}}') AS metadata
"""

CHECKOUT: Final = Domain(
    name="checkout",
    slices=days,
    table=_table,
    render=_RENDER,
    read_model=ReadModel(
        name="order_summary",
        key="order_id",
        key_format="order-{:06d}",
        applied={
            "key": "json_extract_string(data, '$.orderId')",
            "position": "position",
            "event_type": "event_type",
            "occurred_at": "occurred_at",
            "customer": "json_extract_string(data, '$.customerId')",
            "status": "json_extract_string(data, '$.status')",
            "total": "CAST(json_extract_string(data, '$.total') AS DECIMAL(18,2))",
            "quantity": "CAST(json_extract_string(data, '$.quantity') AS BIGINT)",
        },
        columns={
            "customer_id": "max(customer)",
            "status": "arg_max(status, position)",
            "total": "max(total)",
            "items": "CAST(coalesce(sum(quantity) FILTER (event_type = 'InventoryReserved'), 0) - "
            "coalesce(sum(quantity) FILTER (event_type = 'InventoryReleased'), 0) AS BIGINT)",
            "placed_at": "max(occurred_at) FILTER (event_type = 'OrderCreated')",
        },
        version="count(*)",
        ends="FALSE",
    ),
    witnesses=(Sagas, DeadLetters),
)
