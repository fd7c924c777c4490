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
from workbench.samples.checkout_days import KINDS, PRODUCTS, days
from workbench.samples.domain import Domain, ReadModel, Rows

CHANNELS: Final = ("web", "app", "phone")
CARRIERS: Final = ("northpost", "swift", "parcelina")
PROVIDERS: Final = ("cardwire", "paygate")
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
    }
    for line in range(3):
        columns[f"sku_{line}"] = draw.words(rows[f"product_{line}"], SKUS)
        columns[f"quantity_{line}"] = rows[f"quantity_{line}"]
        columns[f"price_{line}"] = rows[f"price_{line}"]
    return pa.table(columns)


def _money(cents: str) -> str:
    return f"{cents} // 100 || '.' || lpad(CAST({cents} % 100 AS VARCHAR), 2, '0')"


def _line(line: int) -> str:
    return (
        f'\'{{"sku":"\' || sku_{line} || \'","quantity":\' || quantity_{line} '
        f"|| ',\"price\":' || {_money(f'price_{line}')} || '}}'"
    )


def _of_line(column: str) -> str:
    return f"CASE line WHEN 0 THEN {column}_0 WHEN 1 THEN {column}_1 ELSE {column}_2 END"


_STREAM_TYPE: Final = """CASE
    WHEN kind IN ('OrderCreated', 'OrderCompleted', 'OrderCancelled') THEN 'order'
    WHEN kind IN ('PaymentProcessed', 'PaymentFailed') THEN 'payment'
    WHEN kind = 'OrderShipped' THEN 'shipment'
    ELSE 'inventory' END"""
_ACTOR: Final = f"""CASE
    WHEN kind <> 'OrderCreated' THEN 'service:' || {_STREAM_TYPE}
    WHEN channel = 'phone' THEN format('agent-{{:02d}}', n % 9 + 1)
    ELSE format('cust-{{:05d}}', customer) END"""
_SCHEMA: Final = (
    "CASE WHEN kind IN ('OrderCreated', 'PaymentProcessed', 'PaymentFailed') THEN schema ELSE 1 END"
)
# Quantity and SKU, as all inventory events tell them.
_GOODS: Final = f"""',"sku":"' || {_of_line("sku")} || '","quantity":' || {_of_line("quantity")}"""

_RENDER: Final = f"""
position,
{_STREAM_TYPE} || CASE {_STREAM_TYPE}
    WHEN 'inventory' THEN format('-{{:06d}}-{{}}', n, line + 1) ELSE format('-{{:06d}}', n) END AS stream_id,
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
format('{{{{"orderId":"order-{{:06d}}","status":"', n) || CASE kind
    WHEN 'OrderCreated' THEN
        format('placed","customerId":"cust-{{:05d}}","total":', customer) || {_money("cents")}
        || ',"lines":[' || {_line(0)}
        || CASE WHEN lines > 1 THEN ',' || {_line(1)} ELSE '' END
        || CASE WHEN lines > 2 THEN ',' || {_line(2)} ELSE '' END || ']'
        || CASE WHEN schema = 2 THEN ',"currency":"EUR","salesChannel":"' || channel || '"' ELSE '' END
    WHEN 'InventoryReserved' THEN 'reserved"' || {_GOODS}
    WHEN 'InventoryReservationFailed' THEN 'out_of_stock"' || {_GOODS} || ',"available":0'
    WHEN 'InventoryReleased' THEN 'released"' || {_GOODS}
    WHEN 'PaymentProcessed' THEN 'paid","amount":' || {_money("cents")} || CASE WHEN schema = 2
        THEN ',"currency":"EUR","provider":"' || provider || '"' ELSE '' END
    WHEN 'PaymentFailed' THEN 'payment_failed","amount":' || {_money("cents")}
        || ',"reason":"' || declined || '"'
        || CASE WHEN schema = 2 THEN ',"currency":"EUR","provider":"' || provider || '"' ELSE '' END
    WHEN 'OrderShipped' THEN 'shipped","carrier":"' || carrier || format('","trackingCode":"T{{:09d}}"', n)
    WHEN 'OrderCompleted' THEN 'completed"'
    ELSE 'cancelled"' END || '}}' AS data,
'{{"user":"' || {_ACTOR} || '","correlationId":"' || CAST(flow AS VARCHAR)
    || coalesce('","causationId":"' || CAST(cause AS VARCHAR), '') || '"}}' AS metadata
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
)
