"""Replays, folds, one stream and diff against named peers, in one run.

Run by hand: ``python -m tests.benchmarks.bench_replay`` (about ten minutes; ``--events 500_000`` is quick).

Peers: pyeventsourcing's ``repository.get`` on its in-memory (POPO) store, which rebuilds an aggregate from
its events; and pandas' outer merge and comparison of two finished frames, which is only the last step of a
diff. Each figure is the median of five; ratios are what counts, since both sides ran on the same machine
in the same minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from decimal import Decimal
from pathlib import Path

import pandas as pd
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

import workbench as wb
from tests.benchmarks.made_up import (
    STREAMS,
    Bank,
    account,
    account_summary,
    machine,
    median,
    peak_memory,
)


class PeerAccount(Aggregate):
    """The same account, as pyeventsourcing writes it."""

    @event("Opened")
    def __init__(self) -> None:
        self.balance = Decimal(0)
        self.transactions = 0

    @event("DepositMade")
    def deposit(self, amount: Decimal) -> None:
        self.balance += amount
        self.transactions += 1

    @event("WithdrawalMade")
    def withdraw(self, amount: Decimal) -> None:
        self.balance -= amount
        self.transactions += 1


def peer_rate() -> float:
    """Return events a second of the peer: 1,000 aggregates of 25 events."""
    application: Application = Application(env={"PERSISTENCE_MODULE": "eventsourcing.popo"})
    found = []
    for _ in range(1_000):
        one = PeerAccount()
        for number in range(24):
            (one.deposit if number % 3 else one.withdraw)(Decimal("12.30"))
        application.save(one)
        found.append(one.id)

    def read() -> None:
        for identity in found:
            application.repository.get(identity)

    return 25_000 / median(read)


def built(folder: Path, events: int) -> wb.EventLog:
    """Load a log of so many events, sorted and typed."""
    log = wb.open(folder / f"bank-{events}.duckdb")
    log.load(Bank(events), prepare=[account_summary], progress=False)
    return log


def one_stream(log: wb.EventLog) -> float:
    """Return the median time of one stream's state at a moment, over 40 streams after one warm-up."""
    names = [f"acc-{number * 4_999 % STREAMS:07d}" for number in range(41)]
    moment = "2026-01-03T00:00Z"
    log.replay(account_summary, moment, stream=names[0]).arrow()
    turn = iter(names[1:])
    return median(lambda: log.replay(account_summary, moment, stream=next(turn)).arrow(), 40)


def main() -> None:
    """Print one line for each path: what it took, and the ratio to its peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--large", type=int, default=20_000_000, help="for one stream at T")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = built(folder, arguments.events)
        moment = "2027-01-01T00:00Z"
        applied = sum(row["events"] for row in log.replay(account_summary, moment).rows())
        peer = peer_rate()
        print(f"peer: pyeventsourcing POPO repository.get: {peer:,.0f} events/s")
        log.replay(account_summary, moment).arrow()  # what a log knows of itself is asked once
        rate = applied / median(lambda: log.replay(account_summary, moment).arrow())
        print(
            f"replay of a projection, all streams at T: {rate:,.0f} events/s = {rate / peer:,.0f} x the peer (at least 400)"
        )
        rate = applied / median(lambda: log.replay(account, moment).arrow())
        print(
            f"replay of a fold, all streams at T: {rate:,.0f} events/s = {rate / peer:,.0f} x the peer (at least 50)"
        )
        stored = log.replay(account_summary, moment).df()
        spoilt = stored.copy()
        spoilt.loc[spoilt.index % 50 == 0, "transaction_count"] += 1
        names = list(account_summary.columns)
        # Money as pandas.read_sql gives NUMERIC: Decimal objects. Floats would be faster, and not exact.
        left, right = (frame.astype({"current_balance": object}) for frame in (stored, spoilt))

        def compare() -> pd.DataFrame:
            both = left.merge(
                right, on="account_id", how="outer", suffixes=("", "_stored"), indicator=True
            )
            for column in names:
                same = (both[column] == both[f"{column}_stored"]) | (
                    both[column].isna() & both[f"{column}_stored"].isna()
                )
                both[f"{column}_differs"] = ~same.fillna(False)
            return both

        pandas = median(compare)
        model = wb.read_model(spoilt.drop(columns=["version", "position", "events"]))
        ours = median(lambda: log.diff(account_summary, model, moment).summary().rows())
        print(
            f"replay + diff of {len(stored):,} rows: {ours:.3f} s, against {pandas:.3f} s of pandas' merge and compare "
            f"alone = {pandas / ours:.2f} x as fast (at least 1)"
        )
        small, large = built(folder, 1_000_000), None
        quick = one_stream(small)
        small.close()
        log.close()
        large = built(folder, arguments.large)
        slow = one_stream(large)
        print(
            f"one stream at T: {slow * 1000:.2f} ms in {arguments.large:,} events, {quick * 1000:.2f} ms in 1,000,000 "
            f"= {slow / quick:.2f} (at most 1.5)"
        )
        large.close()
    print(f"peak memory {peak_memory():,.0f} MB")


if __name__ == "__main__":
    main()
