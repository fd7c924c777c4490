"""A Projection and a Fold that mean the same say the same: on 1,000 random streams, at random moments."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

import workbench as wb
from tests import oracle
from tests.oracle import At, minute

MONEY = ("Deposited", "Withdrew")
STREAMS_IN_A_LOG = 50
LOGS = 20


@dataclass
class Account:
    balance: Decimal = Decimal(0)
    moves: int = 0
    large: int = 0
    status: str | None = None
    opened_as: str | None = None
    most: Decimal | None = None
    least: Decimal | None = None
    amounts: list[Decimal] = field(default_factory=list)


def opened(account: Account, status: str) -> None:
    account.opened_as = account.opened_as or status
    account.status = status or account.status


def moved(account: Account, amount: Decimal, status: str) -> None:
    account.moves += 1
    account.status = status or account.status
    if amount is not None:
        account.large += amount > 1000
        account.most = amount if account.most is None else max(account.most, amount)
        account.least = amount if account.least is None else min(account.least, amount)
        account.amounts.append(amount)


def deposited(account: Account, amount: Decimal, status: str) -> None:
    moved(account, amount, status)
    account.balance += amount or 0


def withdrew(account: Account, event: Any) -> None:
    amount = event.data.get("amount")
    moved(account, None if amount is None else Decimal(amount), event.data.get("status"))
    account.balance -= Decimal(amount or 0)


def noted(account: Account, event: Any) -> Account:
    return Account(**{**vars(account), "status": event.data.get("status") or account.status})


def definitions(**options: Any) -> tuple[wb.Projection, wb.Fold]:
    projection = wb.Projection(
        "account",
        {
            "balance": wb.total("amount", on="Deposited") - wb.total("amount", on="Withdrew"),
            "moves": wb.count(on=MONEY),
            "large": wb.count(on=MONEY, where=wb.field("amount") > 1000),
            "status": wb.latest("status", on=["Opened", *MONEY, "Noted"]),
            "opened_as": wb.first("status", on="Opened"),
            "most": wb.largest("amount", on=MONEY),
            "least": wb.smallest("amount", on=MONEY),
            "amounts": wb.collect("amount", type="decimal", on=MONEY),
        },
        **options,
    )
    handlers = {
        "Opened": opened, "Deposited": deposited, "Withdrew": withdrew, "Noted": noted,
    }  # fmt: skip
    return projection, wb.Fold("account", Account, handlers, **options)


def random_events(chance: random.Random) -> list[dict[str, Any]]:
    """Return the events of 50 streams, with all that may be missing, late, or out of order."""
    made = []
    for _ in range(STREAMS_IN_A_LOG * 12):
        amount = chance.choice(
            ["", str(chance.randint(-5, 3000)), f"{chance.uniform(0, 2000):.4f}"]
        )
        fields = [f'"amount": {amount}'] if amount else []
        fields += [f'"status": "{chance.choice("abc")}"'] if chance.random() < 0.5 else []
        fields += (
            [f'"order": {{"id": "o{chance.randint(1, 60)}"}}'] if chance.random() < 0.9 else []
        )
        made.append(
            {
                "stream_id": f"s{chance.randrange(STREAMS_IN_A_LOG)}",
                "event_type": chance.choice(oracle.TYPES),
                "recorded_at": None if chance.random() < 0.05 else minute(chance.randint(0, 40)),
                "occurred_at": None if chance.random() < 0.05 else minute(chance.randint(0, 40)),
                "data": "{" + ", ".join(fields) + "}",
            }
        )
        if chance.random() < 0.02:
            made[-1]["version"] = chance.choice([None, 1, 3])
    return oracle.numbered(made)


def random_moment(chance: random.Random) -> At:
    time, known = minute(chance.randint(0, 40)), minute(chance.randint(0, 40))
    return chance.choice(
        [
            At(clock="recorded"),
            At(as_of=time, clock="recorded"),
            At(as_of=time, clock="occurred"),
            At(as_of=time, known_at=known),
            At(position=chance.randint(0, 600), clock="recorded"),
            At(version=chance.randint(0, 14), clock="recorded"),
        ]
    )


@contextmanager
def prepared(events: list[dict[str, Any]], how: str, *definitions: Any) -> Iterator[wb.EventLog]:
    with oracle.log_of(events) as log:
        if "prepared" in how:
            log.prepare(*definitions)
        if "settled" in how:
            log.settle()
        yield log


@pytest.mark.parametrize("key", oracle.KEYS)
@pytest.mark.parametrize("how", ["as loaded", "prepared", "settled", "prepared, settled"])
def test_a_projection_and_a_fold_agree(key: str, how: str) -> None:
    projection, fold = definitions(**oracle.KEYS[key])
    streams = 0
    for seed in range(LOGS // 4):
        # Other streams for each key and way, so that all of them together are 1,000 for each key.
        chance = random.Random(f"{key} {how} {seed}")
        events = random_events(chance)
        streams += len({event["stream_id"] for event in events})
        with prepared(events, how, projection, fold) as log:
            for _ in range(3):
                at = random_moment(chance).arguments()
                by_projection = oracle.by_key(projection, log.replay(projection, **at).rows())
                by_fold = oracle.by_key(fold, log.replay(fold, **at).rows())
                assert by_fold == by_projection, (seed, at)
    assert streams == STREAMS_IN_A_LOG * LOGS // 4


@pytest.mark.parametrize("key", oracle.KEYS)
def test_their_histories_agree(key: str) -> None:
    projection, fold = definitions(**oracle.KEYS[key])
    chance = random.Random(key)
    with oracle.log_of(random_events(chance)) as log:
        for clock in ("recorded", "occurred"):
            by_projection, by_fold = (
                sorted(log.history(one, clock=clock).rows(), key=lambda row: row["position"])
                for one in (projection, fold)
            )
            assert by_fold == by_projection
