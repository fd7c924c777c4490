"""A made-up bank of any size as a source, and what the benchmarks share: medians and machine facts."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import duckdb

import workbench as wb
from workbench.sources.base import Batch, Bookmark, Report, Shape

STREAMS = 200_000
BATCH = 250_000


@dataclass(frozen=True)
class Bank:
    """Deposits and withdrawals over 200,000 accounts, skewed: the busiest have thousands of events.

    Events are spread round-robin within their account's share, so that versions are dense.
    """

    events: int
    streams: int = STREAMS
    kind: str = "made-up"

    @property
    def name(self) -> str:
        return f"bank-{self.events}"

    @contextlib.contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[_Reading]:
        yield _Reading(self, int((bookmark or {}).get("next", 0)))


@dataclass
class _Reading:
    bank: Bank
    start: int

    shape = Shape(
        {
            name: name
            for name in (
                "stream_id", "stream_type", "version", "event_id", "event_type", "occurred_at",
                "recorded_at", "correlation_id", "actor", "data", "metadata", "source_position",
            )
        }
    )  # fmt: skip

    @property
    def total(self) -> int:
        return self.bank.events

    def batches(self) -> Iterator[Batch]:
        con = duckdb.connect()
        con.execute(
            "SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET memory_limit = '300MB'"
        )
        streams = self.bank.streams
        for first in range(self.start, self.bank.events, BATCH):
            last = min(first + BATCH, self.bank.events)
            rows = con.sql(
                f"""SELECT 'acc-' || lpad((i % {streams})::VARCHAR, 7, '0') AS stream_id, 'account' AS stream_type,
                i // {streams} + 1 AS version, uuid()::VARCHAR AS event_id,
                CASE WHEN i < {streams} THEN 'AccountOpened' WHEN hash(i) % 3 = 0 THEN 'WithdrawalMade' ELSE 'DepositMade' END AS event_type,
                TIMESTAMPTZ '2026-01-01' + to_seconds(i) AS occurred_at, occurred_at AS recorded_at,
                'req-' || (i // 3) AS correlation_id, 'user-' || (hash(i) % 500) AS actor,
                CAST('{{"amount": ' || ((hash(i * 7) % 100000) / 100)::DECIMAL(12,2) || ', "currency": "EUR", "channel": "web", "note": "payment ' || hash(i) || '"}}' AS JSON) AS data,
                CAST('{{"user": "user-' || (hash(i) % 500) || '", "trace": "' || md5(i::VARCHAR) || '", "ip": "10.0.0.1"}}' AS JSON) AS metadata,
                'made-up/' || i AS source_position
                FROM range({first}, {last}) t(i)"""
            ).to_arrow_table()
            yield Batch(rows, {"next": last})

    def report(self) -> Report:
        return Report()


account_summary = wb.Projection(
    "account_summary",
    {
        "current_balance": wb.total("amount", on="DepositMade")
        - wb.total("amount", on="WithdrawalMade"),
        "transaction_count": wb.count(on=["DepositMade", "WithdrawalMade"]),
        "last_transaction_date": wb.latest(
            "event.occurred_at", on=["DepositMade", "WithdrawalMade"]
        ),
        "risk_score": (wb.count(on="WithdrawalMade", where=wb.field("amount") > 900) * 10).clip(
            0, 100
        ),
    },
    key={"account_id": "event.stream_id"},
    ignore=["AccountOpened"],
)


@dataclass(slots=True)
class Account:
    balance: Decimal = Decimal(0)
    transactions: int = 0
    refused: int = 0


def deposited(account: Account, amount: Decimal) -> None:
    account.balance += amount
    account.transactions += 1


def withdrawn(account: Account, amount: Decimal) -> None:
    if amount > account.balance:  # what a projection in columns cannot say
        account.refused += 1
        return
    account.balance -= amount
    account.transactions += 1


account = wb.Fold(
    "account",
    Account,
    {"DepositMade": deposited, "WithdrawalMade": withdrawn},
    key={"account_id": "event.stream_id"},
    ignore=["AccountOpened"],
)


def median(work: Callable[[], object], times: int = 5) -> float:
    """Return the median of so many runs, in seconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def peak_memory() -> float:
    """Return this process's peak resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> str:
    """Say what ran."""
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, DuckDB {duckdb.__version__}"
    )
