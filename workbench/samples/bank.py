"""The bank: accounts that are opened, used, frozen and closed.

The read model is ``account_summary``. Its clean definition, in words:

* ``current_balance`` is the sum of ``DepositMade.amount`` less the sum of ``WithdrawalMade.amount``;
* ``transaction_count`` is the number of those two;
* ``last_transaction_date`` is ``occurred_at`` of the last of those two, by version;
* ``risk_score`` is the least of 100 and 10 for each ``WithdrawalMade`` with an amount over 1000, plus
  25 for each ``AccountFrozen``, plus 5 for each ``WithdrawalRejected``;
* ``version`` and ``position`` are those of the last event of the stream, whatever its type;
* an account with ``AccountClosed`` has no row.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from workbench.samples import draw
from workbench.samples.bank_days import ACTORS, CHANNELS, CURRENCIES, KINDS, OWNERS, REASONS, days
from workbench.samples.domain import Domain, ReadModel, Rows, money, numbered

_UTC: Final = pa.timestamp("us", tz="UTC")


def _table(rows: Rows, position: npt.NDArray[np.int64]) -> Any:
    return pa.table(
        {
            "position": position,
            "account": rows["account"] + 1,
            "version": rows["version"],
            "id": draw.uuids(rows["id_high"], rows["id_low"]),
            "kind": draw.words(rows["kind"], KINDS),
            "schema": rows["schema"],
            "occurred_at": pa.array(rows["occurred"], _UTC),
            "recorded_at": pa.array(rows["recorded"], _UTC),
            "request_bits": rows["request"],
            "request": draw.uuids(*draw.request_ids(rows["request"])),
            "cause": draw.uuids(rows["cause_high"], rows["cause_low"]),
            "cents": rows["cents"],
            "currency": draw.words(rows["currency"], CURRENCIES),
            "channel": draw.words(rows["channel"], CHANNELS),
            "reason": draw.words(rows["reason"], REASONS),
            "owner": draw.words(rows["owner"], OWNERS),
            "other": rows["other"],
            "actor": draw.words(rows["actor"], ACTORS),
        }
    )


_ACTOR: Final = f"""CASE actor
    WHEN 'customer' THEN {numbered("cust-", "account")}
    WHEN 'teller' THEN {numbered("teller-", "request_bits % 24 + 1", 2)}
    WHEN 'compliance' THEN 'compliance-' || (request_bits % 4 + 1)
    ELSE actor END"""
_AMOUNT: Final = f"""'{{"amount":', {money("cents")}"""
_HOW: Final = """',"currency":"', currency, '","channel":"', channel"""

_RENDER: Final = f"""
position,
{numbered("acc-", "account")} AS stream_id,
'account' AS stream_type,
version,
CAST(id AS VARCHAR) AS event_id,
kind AS event_type,
CAST(schema AS VARCHAR) AS schema_version,
occurred_at,
recorded_at,
CAST(request AS VARCHAR) AS correlation_id,
CAST(cause AS VARCHAR) AS causation_id,
{_ACTOR} AS actor,
CASE
    WHEN kind = 'DepositMade' AND schema = 1 THEN concat({_AMOUNT}, ',"reference":"D-', position, '"}}')
    WHEN kind IN ('DepositMade', 'WithdrawalMade') AND other = 0 THEN
        concat({_AMOUNT}, {_HOW}, '","reference":"', left(kind, 1), '-', position, '"}}')
    WHEN kind IN ('DepositMade', 'WithdrawalMade') THEN
        concat({_AMOUNT}, {_HOW}, CASE kind WHEN 'DepositMade' THEN '","from":"' ELSE '","to":"' END,
            {numbered("acc-", "other")}, '","reference":"', left(kind, 1), '-', position, '"}}')
    WHEN kind = 'WithdrawalRejected' THEN concat({_AMOUNT}, {_HOW}, '","reason":"', reason, '"}}')
    WHEN kind = 'AccountOpened' THEN
        concat('{{"owner":"', owner, '","currency":"', currency, '","opening_channel":"', channel, '"}}')
    ELSE concat('{{"reason":"', reason, '"}}')
END AS data,
concat('{{"user":"', {_ACTOR}, '","correlationId":"', CAST(request AS VARCHAR),
    '","causationId":"' || CAST(cause AS VARCHAR), '"}}') AS metadata
"""

_MONEY: Final = "event_type IN ('DepositMade', 'WithdrawalMade')"

BANK: Final = Domain(
    name="bank",
    slices=days,
    table=_table,
    render=_RENDER,
    read_model=ReadModel(
        name="account_summary",
        key="account_id",
        key_format="acc-{:06d}",
        applied={
            "key": "stream_id",
            "position": "position",
            "version": "version",
            "event_type": "event_type",
            "occurred_at": "occurred_at",
            "amount": "CAST(json_extract_string(data, '$.amount') AS DECIMAL(18,2))",
        },
        columns={
            "current_balance": "CAST(coalesce(sum(amount) FILTER (event_type = 'DepositMade'), 0) - "
            "coalesce(sum(amount) FILTER (event_type = 'WithdrawalMade'), 0) AS DECIMAL(18,2))",
            "last_transaction_date": f"arg_max(occurred_at, position) FILTER ({_MONEY})",
            "transaction_count": f"count(*) FILTER ({_MONEY})",
            "risk_score": "CAST(least(100, "
            "10 * count(*) FILTER (event_type = 'WithdrawalMade' AND amount > 1000) "
            "+ 25 * count(*) FILTER (event_type = 'AccountFrozen') "
            "+ 5 * count(*) FILTER (event_type = 'WithdrawalRejected')) AS INTEGER)",
        },
        version="max(version)",
        ends="event_type = 'AccountClosed'",
    ),
)
