"""The data sets that come with the workbench, and the definitions of what their read models should hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from workbench import samples
from workbench.errors import ConfigError, did_you_mean
from workbench.projections.columns import count, field, first, latest, total
from workbench.projections.fold import Fold
from workbench.projections.projection import Projection
from workbench.projections.saga import Saga, Step

_MONEY: Final = ("DepositMade", "WithdrawalMade")

#: The bank's read model, declared in columns.
account_summary: Final = Projection(
    "account_summary",
    {
        "current_balance": total("amount", on="DepositMade") - total("amount", on="WithdrawalMade"),
        "last_transaction_date": latest("event.occurred_at", on=_MONEY),
        "transaction_count": count(on=_MONEY),
        "risk_score": (
            10 * count(on="WithdrawalMade", where=field("amount") > 1000)
            + 25 * count(on="AccountFrozen")
            + 5 * count(on="WithdrawalRejected")
        ).clip(high=100),
    },
    key={"account_id": "event.stream_id"},
    # No column counts the opening, but an account that was only opened has a row too.
    on=["AccountOpened", *_MONEY, "WithdrawalRejected", "AccountFrozen", "AccountUnfrozen"],
    stream_type="account",
    ends="AccountClosed",
)


@dataclass(slots=True)
class Account:
    """The state of one account."""

    current_balance: Decimal = Decimal(0)
    last_transaction_date: dt.datetime | None = None
    transaction_count: int = 0
    risk_score: int = 0


def _opened(account: Account) -> None:
    """An account begins with nothing."""


def _deposited(account: Account, amount: Decimal, occurred_at: dt.datetime) -> None:
    account.current_balance += amount
    account.last_transaction_date = occurred_at
    account.transaction_count += 1


def _withdrawn(account: Account, amount: Decimal, occurred_at: dt.datetime) -> None:
    account.current_balance -= amount
    account.last_transaction_date = occurred_at
    account.transaction_count += 1
    if amount > 1000:
        _risk(account, 10)


def _rejected(account: Account) -> None:
    _risk(account, 5)


def _frozen(account: Account) -> None:
    _risk(account, 25)


def _unfrozen(account: Account) -> None:
    """Its risk stays: what happened did happen."""


def _risk(account: Account, points: int) -> None:
    account.risk_score = min(100, account.risk_score + points)


#: The same read model as ``account_summary``, written as a fold.
account: Final = Fold(
    "account_summary",
    Account,
    {
        "AccountOpened": _opened,
        "DepositMade": _deposited,
        "WithdrawalMade": _withdrawn,
        "WithdrawalRejected": _rejected,
        "AccountFrozen": _frozen,
        "AccountUnfrozen": _unfrozen,
    },
    key={"account_id": "event.stream_id"},
    stream_type="account",
    ends="AccountClosed",
)

#: The checkout's read model: one row for each order, over all the streams that name it.
order_summary: Final = Projection(
    "order_summary",
    {
        "customer_id": first("customerId", on="OrderCreated"),
        "status": latest("status"),
        "total": first("total", type="decimal", on="OrderCreated"),
        "items": total("quantity", on="InventoryReserved")
        - total("quantity", on="InventoryReleased"),
        "placed_at": first("event.occurred_at", on="OrderCreated"),
    },
    key={"order_id": "orderId"},
    on=[
        *("OrderCreated", "InventoryReserved", "InventoryReservationFailed", "InventoryReleased"),
        *("PaymentProcessed", "PaymentFailed", "PaymentRefunded", "OrderShipped", "ShipmentFailed"),
        *("OrderCompleted", "OrderCancelled"),
    ],
)

#: The checkout as a process: each order over its streams, tied by its correlation id.
checkout_saga: Final = Saga(
    "checkout",
    start="OrderCreated",
    steps=[
        Step(
            "reserve",
            "InventoryReserved",
            failure="InventoryReservationFailed",
            compensation="InventoryReleased",
            part="event.stream_id",  # each line of an order is reserved on its own
            deadline="1 hour",
        ),
        Step(
            "pay",
            "PaymentProcessed",
            failure="PaymentFailed",
            compensation="PaymentRefunded",
            deadline="1 day",
        ),
        Step("ship", "OrderShipped", failure="ShipmentFailed", deadline="5 days"),
        Step("complete", "OrderCompleted", deadline="10 days"),
    ],
    cancelled="OrderCancelled",
    deadline="30 days",
    compensation_deadline="3 days",
)

#: As the command line calls them.
DEFINITIONS: Final[Mapping[str, Projection | Fold]] = {
    "bank.account_summary": account_summary,
    "bank.account": account,
    "checkout.order_summary": order_summary,
}
SAGAS: Final[Mapping[str, Saga]] = {"checkout.saga": checkout_saga}


@dataclass(frozen=True, slots=True)
class Sample:
    """The files of a data set that comes with the workbench, and the definition of its read model."""

    events: Path
    read_model: Path
    truth: Path
    definition: Projection


def sample(domain: str) -> Sample:
    """Return where a bundled data set is.

    Parameters
    ----------
    domain
        ``"bank"`` or ``"checkout"``.

    Raises
    ------
    ConfigError
        There is no such data set.

    Examples
    --------
    >>> sample("bank").definition
    Projection 'account_summary': current_balance, last_transaction_date, transaction_count, risk_score by account_id
    """
    definitions = {"bank": account_summary, "checkout": order_summary}
    if domain not in definitions:
        message = f"there is no bundled data set {domain!r}."
        raise ConfigError(message + did_you_mean(domain, definitions))
    definition = definitions[domain]
    suffix = samples.BUNDLED[domain]["format"]
    return Sample(
        samples.path(f"{domain}/events.{suffix}"),
        samples.path(f"{domain}/{definition.name}.parquet"),
        samples.path(f"{domain}/truth.json"),
        definition,
    )
