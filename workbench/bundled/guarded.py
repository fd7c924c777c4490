"""The bank once more, as a fold that depends on order: a withdrawal that is not covered is refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from workbench.projections.fold import Fold
from workbench.samples.guarded import NAME


@dataclass(slots=True)
class Guarded:
    """The state of one account."""

    current_balance: Decimal = Decimal(0)
    last_transaction_date: dt.datetime | None = None
    transaction_count: int = 0
    refused: int = 0


def _deposited(account: Guarded, amount: Decimal, occurred_at: dt.datetime) -> None:
    account.current_balance += amount or 0
    account.last_transaction_date = occurred_at
    account.transaction_count += 1


def _withdrawn(account: Guarded, amount: Decimal, occurred_at: dt.datetime) -> None:
    if amount > account.current_balance:
        account.refused += 1
        return
    account.current_balance -= amount
    account.last_transaction_date = occurred_at
    account.transaction_count += 1


def _noted(account: Guarded) -> None:
    """What changes nothing; but an account that was only opened has a row too."""


#: The fold whose read model is ``account_guarded``.
account_guarded: Final = Fold(
    NAME,
    Guarded,
    {
        "DepositMade": _deposited,
        "WithdrawalMade": _withdrawn,
        **dict.fromkeys(
            ("AccountOpened", "WithdrawalRejected", "AccountFrozen", "AccountUnfrozen"), _noted
        ),
    },
    key={"account_id": "event.stream_id"},
    stream_type="account",
    ends="AccountClosed",
)
