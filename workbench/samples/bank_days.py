"""What happens at the bank, day by day: a set-based simulation of all accounts at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from workbench.samples import draw
from workbench.samples.domain import Rows, join, where

#: Event types; a row's ``kind`` is an index of this.
KINDS: Final = (
    "AccountOpened",
    "DepositMade",
    "WithdrawalMade",
    "WithdrawalRejected",
    "AccountFrozen",
    "AccountUnfrozen",
    "AccountClosed",
)
OPENED, DEPOSIT, WITHDRAWAL, REJECTED, FROZEN, UNFROZEN, CLOSED = range(7)
CHANNELS: Final = ("mobile", "web", "atm", "branch", "transfer")
MOBILE, WEB, ATM, BRANCH, TRANSFER = range(5)
REASONS: Final = (
    "insufficient_funds",
    "account_frozen",
    "large_withdrawal_review",
    "review_passed",
    "customer_request",
)
NO_FUNDS, BLOCKED, REVIEW, PASSED, REQUESTED = range(5)
CURRENCIES: Final = ("EUR", "USD", "GBP")
ACTORS: Final = ("customer", "teller", "compliance", "system:settlement")
CUSTOMER, TELLER, COMPLIANCE, SETTLEMENT = range(4)

_FIRST_NAMES: Final = [
    "Aino",
    "Ana",
    "Björn",
    "Carmen",
    "Chloé",
    "Dev",
    "Elif",
    "Fatima",
    "Grace",
    "Hugo",
    "Ibrahim",
    "João",
]
_LAST_NAMES: Final = [
    "Abe",
    "Díaz",
    "Eriksson",
    "García",
    "Haddad",
    "Kaya",
    "Lind",
    "Müller",
    "Ngata",
    "Okafor",
    "Rossi",
    "Silva",
]
OWNERS: Final = tuple(f"{first} {last}" for first in _FIRST_NAMES for last in _LAST_NAMES)

# The day on which each channel began to write DepositMade in schema version 2.
_SECOND_SCHEMA: Final = np.array([90, 60, 180, 210, 120])
# More than any balance, so that the running minimum of one account never reaches the next one.
_APART: Final = 1 << 43
_ALL_OF_IT: Final = _APART >> 1

FIRST_DAY: Final = draw.day_number("2025-01-01")
#: About how many days a log covers, whatever its size.
DAYS: Final = 560

_FIELDS: Final[dict[str, tuple[type[np.generic], int]]] = {
    "account": (np.int64, 0),
    "kind": (np.int8, 0),
    "recorded": (np.int64, 0),
    "cents": (np.int64, 0),
    "request": (np.uint64, 0),
    "cause_high": (np.uint64, 0),
    "cause_low": (np.uint64, 0),
    "channel": (np.int8, -1),
    "other": (np.int64, 0),  # number of the account at the other end of a transfer; 0: none
    "reason": (np.int8, -1),
    "actor": (np.int8, CUSTOMER),
    "follows": (
        np.bool_,
        0,
    ),  # caused by the event before it in its stream, if that is of the same request
}


def _rows(size: int, **given: npt.ArrayLike) -> Rows:
    columns: Rows = {}
    for name, (dtype, default) in _FIELDS.items():
        columns[name] = np.full(size, default, dtype=dtype)
        if name in given:
            columns[name][:] = given[name]
    return columns


class Bank:
    """The state of all accounts, moved on by one day at a time."""

    def __init__(self, events: int, seed: int) -> None:
        self.rng = rng = np.random.default_rng([seed, 1])
        self.size = size = max(12, events // 25)
        self.salt = draw.salt(seed)
        self.events = self.requests = 0
        self.weight = draw.heavy_tail(rng, size)
        self.reach = np.cumsum(self.weight)
        self.currency = draw.pick(rng, size, (0.8, 0.12, 0.08)).astype(np.int8)
        self.owner = (rng.random(size) * len(OWNERS)).astype(np.int16)
        self.opened_at = np.zeros(size, dtype=np.int64)
        self.balance = np.zeros(size, dtype=np.int64)
        self.version = np.zeros(size, dtype=np.int64)
        self.frozen = np.zeros(size, dtype=np.bool_)
        self.closed = np.zeros(size, dtype=np.bool_)
        self.due: dict[int, list[Rows]] = {}
        days = np.arange(DAYS)
        growth = 0.3 * np.minimum(1, (days + 1) / 30) + 0.7 * np.minimum(1, (days + 1) / 530)
        self.open_by = np.floor(growth * size).astype(np.int64)
        busy = np.array([draw.weekday_factor(FIRST_DAY + day) for day in range(DAYS)]) * growth**0.7
        self.volume = np.diff(np.floor(np.cumsum(busy) / busy.sum() * events), prepend=0)
        closings = np.maximum(0, days - 60) / (DAYS - 60) * 0.04 * size
        self.closings = np.diff(np.floor(closings), prepend=0).astype(np.int64)

    def day(self, day: int) -> Rows:
        """Return all events of a day, in the order in which they were recorded."""
        at = min(day, DAYS - 1)  # a log that is not full by then goes on as on its last day
        opened = int(self.open_by[day - 1]) if 0 < day < DAYS else int(self.open_by[at])
        opened = 0 if day == 0 else opened
        arriving = int(self.open_by[at]) - opened
        parts = [self._openings(day, opened, arriving), self._due(day)]
        busy = sum(len(part["account"]) for part in parts)
        if opened:
            closing = self._closings(day, int(self.closings[at]), parts[1]["account"])
            wanted = max(1 if day >= DAYS else 0, int(self.volume[at]) - busy)
            ordinary = self._ordinary(day, opened, wanted)
            last = np.full(self.size, (FIRST_DAY + day + 1) * draw.DAY)
            last[closing["account"]] = closing["recorded"]
            ordinary = where(ordinary, ordinary["recorded"] < last[ordinary["account"]])
            parts += [closing, ordinary]
        return self._settle(day, join(parts))

    def _new_requests(self, size: int) -> draw.Ids:
        self.requests += size
        first = np.uint64(self.requests - size)
        return np.arange(size, dtype=np.uint64) + first + (self.salt ^ np.uint64(1 << 62))

    def _openings(self, day: int, opened: int, size: int) -> Rows:
        accounts = np.arange(opened, opened + size)
        midnight = (FIRST_DAY + day) * draw.DAY
        recorded = midnight + draw.between(self.rng, size, 8 * draw.HOUR, 19 * draw.HOUR)
        channel = draw.pick(self.rng, size, (0.5, 0.3, 0.0, 0.2))
        actor = np.where(channel == BRANCH, TELLER, CUSTOMER)
        requests = self._new_requests(size)
        paying = self.rng.random(size) < 0.9
        shared = {"account": accounts, "request": requests, "channel": channel, "actor": actor}
        opening = _rows(size, kind=OPENED, recorded=recorded, **shared)
        first = _rows(
            size,
            kind=DEPOSIT,
            recorded=recorded + draw.delays(self.rng, size, 150_000),
            cents=np.round(np.exp(self.rng.standard_normal(size) * 0.9 + 5.6)) * 100,
            follows=True,
            **shared,
        )
        return join([opening, where(first, paying)])

    def _due(self, day: int) -> Rows:
        """What earlier days brought about: settled transfers, freezes, and their end."""
        due = join([_rows(0), *self.due.pop(day, [])])
        home = self.closed[due["account"]] & (due["kind"] == DEPOSIT)
        # Money for an account that was closed meanwhile goes back to its sender.
        due["account"] = np.where(home, due["other"] - 1, due["account"])
        due = where(due, ~self.closed[due["account"]])
        freezing = due["kind"] == FROZEN
        again = np.zeros(len(freezing), dtype=np.bool_)
        again[freezing] = self.frozen[due["account"][freezing]]
        _, first = np.unique(due["account"] * 8 + due["kind"], return_index=True)
        repeated = np.ones(len(freezing), dtype=np.bool_)
        repeated[first] = False
        return where(due, ~(freezing & (again | repeated)))

    def _closings(self, day: int, size: int, busy: draw.Ints) -> Rows:
        grown = int(self.open_by[max(0, min(day, DAYS - 1) - 45)])
        accounts = np.unique((self.rng.random(size) * grown).astype(np.int64))
        accounts = accounts[~(self.closed[accounts] | self.frozen[accounts])]
        accounts = np.setdiff1d(accounts, busy)
        size = len(accounts)
        midnight = (FIRST_DAY + day) * draw.DAY
        recorded = midnight + draw.between(self.rng, size, 15 * draw.HOUR, 18 * draw.HOUR)
        shared: dict[str, npt.ArrayLike] = {
            "account": accounts,
            "request": self._new_requests(size),
            "channel": BRANCH,
            "actor": TELLER,
        }
        payout = _rows(size, kind=WITHDRAWAL, recorded=recorded, cents=_ALL_OF_IT, **shared)
        closing = _rows(
            size,
            kind=CLOSED,
            recorded=recorded + draw.delays(self.rng, size, 3 * draw.SECOND),
            reason=REQUESTED,
            follows=True,
            **shared,
        )
        return join([payout, closing])

    def _customers(self, opened: int, size: int) -> draw.Ints:
        """Draw accounts by their weight, in order of their number."""
        points = np.sort(self.rng.random(size)) * self.reach[opened - 1]
        found: draw.Ints = np.minimum(np.searchsorted(self.reach, points), opened - 1)
        return found

    def _ordinary(self, day: int, opened: int, size: int) -> Rows:
        """Deposits, withdrawals and transfers that customers ask for."""
        rng = self.rng
        accounts = self._customers(opened, size)
        what = draw.pick(rng, size, (0.47, 0.41, 0.1, 0.02))
        channel = draw.pick(rng, size, (0.46, 0.22, 0.2, 0.12))
        channel = np.where((what == 2) & (channel >= ATM), WEB, channel)
        usual = np.where(what == 0, 4.8, 4.2)
        euros = np.exp(rng.standard_normal(size) * np.where(what == 0, 0.9, 1.0) + usual)
        rare = rng.random(size) < 0.03  # a salary, a car
        euros = np.where(rare, rng.random(size) * np.where(what == 0, 2300, 4500) + 1100, euros)
        cents = np.maximum(1, np.round(euros * 100)).astype(np.int64)
        cents = np.where(channel == ATM, cents // 1000 * 1000 + 1000, cents)
        # A transfer goes to an account in the same currency; otherwise it leaves the bank.
        transfers = np.flatnonzero(what == 2)
        target = rng.permutation(self._customers(opened, len(transfers)))
        inside = (target != accounts[transfers]) & ~self.closed[target]
        inside &= self.currency[target] == self.currency[accounts[transfers]]
        other = np.zeros(size, dtype=np.int64)
        other[transfers] = np.where(inside, target + 1, 0)
        rows = _rows(
            size,
            account=accounts,
            kind=np.array([DEPOSIT, WITHDRAWAL, WITHDRAWAL, REJECTED])[what],
            recorded=(FIRST_DAY + day) * draw.DAY + draw.times_of_day(rng, size),
            cents=cents,
            request=self._new_requests(size),
            channel=channel,
            other=other,
            reason=np.where(what == 3, NO_FUNDS, -1),
            actor=np.where(channel == BRANCH, TELLER, CUSTOMER),
        )
        return where(rows, ~self.closed[accounts])

    def _settle(self, day: int, rows: Rows) -> Rows:
        """Apply a day to the accounts: who had the money, who was frozen, which version each event got."""
        rows = where(rows, np.lexsort((rows["recorded"], rows["account"])))
        account, kind = rows["account"], rows["kind"]
        starts, group = _groups(account)
        frozen = self._frozen(account, kind, starts, group)
        blocked = frozen & ((kind == WITHDRAWAL) | (kind == REJECTED))
        rows["kind"] = kind = np.where(blocked, REJECTED, kind).astype(np.int8)
        rows["reason"] = np.where(blocked, BLOCKED, rows["reason"]).astype(np.int8)

        # Nobody withdraws more than there is. The balance is then a random walk reflected at zero, which
        # has a closed form: no account has to be walked through event by event.
        asked = np.where(kind == WITHDRAWAL, rows["cents"], 0)
        change = np.where(kind == DEPOSIT, rows["cents"], -asked)
        total = np.cumsum(change)
        walk = self.balance[account] + total - (total[starts] - change[starts])[group]
        lowest = np.minimum.accumulate(walk - group * _APART) + group * _APART
        refused = np.maximum(0, -lowest)
        before = np.concatenate([[0], refused[:-1]]) if len(refused) else refused
        before[starts] = 0
        paid = asked - (refused - before)
        balance = walk + refused

        broke = (kind == WITHDRAWAL) & (paid == 0)
        rows["cents"] = np.where((kind == WITHDRAWAL) & ~broke, paid, rows["cents"])
        short = (kind == REJECTED) & (rows["reason"] == NO_FUNDS)
        rows["cents"] = np.where(short, balance + rows["cents"], rows["cents"])
        nothing_left = broke & (asked == _ALL_OF_IT)
        rows["kind"] = np.where(broke, REJECTED, kind).astype(np.int8)
        rows["reason"] = np.where(broke, NO_FUNDS, rows["reason"]).astype(np.int8)
        rows["other"] = np.where(rows["kind"] == REJECTED, 0, rows["other"])

        last = np.append(starts[1:], len(account))[: len(starts)] - 1
        self.balance[account[last]] = balance[last]
        self.frozen[account[last]] = np.where(
            kind[last] == FROZEN, True, np.where(kind[last] == UNFROZEN, False, frozen[last])
        )
        self.closed[account[kind == CLOSED]] = True
        rows = self._identify(day, where(rows, ~nothing_left))
        self._bring_about(day, rows)
        return where(rows, np.argsort(rows["recorded"], kind="stable"))

    def _frozen(
        self, account: draw.Ints, kind: Any, starts: draw.Ints, group: draw.Ints
    ) -> draw.Flags:
        """Tell for each event whether its account was frozen just before it."""
        index = np.arange(len(account))
        changes = np.where((kind == FROZEN) | (kind == UNFROZEN), index, -1)
        latest = (
            np.concatenate([[-1], np.maximum.accumulate(changes)[:-1]]) if len(index) else changes
        )
        today = latest >= starts[group]
        return np.where(today, kind[latest] == FROZEN, self.frozen[account])

    def _identify(self, day: int, rows: Rows) -> Rows:
        account, kind, size = rows["account"], rows["kind"], len(rows["account"])
        starts, group = _groups(account)
        rows["version"] = self.version[account] + np.arange(size) - starts[group] + 1
        np.maximum.at(self.version, account, rows["version"])
        self.events += size
        serial = np.arange(size, dtype=np.uint64) + np.uint64(self.events - size) + self.salt
        rows["id_high"], rows["id_low"] = draw.event_ids(rows["recorded"], serial)
        follows = np.flatnonzero(rows["follows"])
        follows = follows[rows["request"][follows] == rows["request"][follows - 1]]
        rows["cause_high"][follows] = rows["id_high"][follows - 1]
        rows["cause_low"][follows] = rows["id_low"][follows - 1]

        old = (kind == DEPOSIT) & (day < _SECOND_SCHEMA[rows["channel"]])
        rows["schema"] = np.where((kind == DEPOSIT) & ~old, 2, 1)
        lag = draw.delays(self.rng, size, 40_000)
        # A branch keys in some paper slips hours or days later.
        slips = (kind == DEPOSIT) & (rows["channel"] == BRANCH) & (self.rng.random(size) < 0.15)
        lag = np.where(slips, draw.delays(self.rng, size, 20 * draw.HOUR), lag)
        occurred = rows["recorded"] - lag
        self.opened_at[account[kind == OPENED]] = occurred[kind == OPENED]
        rows["occurred"] = np.maximum(occurred, self.opened_at[account])
        rows["currency"] = self.currency[account]
        rows["owner"] = self.owner[account]
        return rows

    def _bring_about(self, day: int, rows: Rows) -> None:
        """Queue what today's events cause on later days."""
        transfers = where(rows, (rows["other"] > 0) & (rows["kind"] == WITHDRAWAL))
        self._queue(
            day + 1,
            transfers,
            (6 * draw.HOUR, 8 * draw.HOUR),
            account=transfers["other"] - 1,
            other=transfers["account"] + 1,
            kind=DEPOSIT,
            cents=transfers["cents"],
            channel=TRANSFER,
            actor=SETTLEMENT,
        )
        odd = (rows["kind"] == WITHDRAWAL) & (rows["cents"] > 100_000)
        odd &= self.rng.random(len(odd)) < 0.15
        review = where(rows, odd & ~self.closed[rows["account"]])
        working = (8 * draw.HOUR, 14 * draw.HOUR)
        self._queue(day + 1, review, working, kind=FROZEN, reason=REVIEW, actor=COMPLIANCE)
        frozen = where(rows, rows["kind"] == FROZEN)
        weight = self.weight[frozen["account"]]
        ends = (self.rng.random(len(weight)) < 0.88) | (weight > 4)
        after = 1 + draw.pick(self.rng, len(weight), (0.4, 0.25, 0.15, 0.1, 0.1))
        for days in range(1, 6):
            passed = where(frozen, ends & (after == days))
            self._queue(day + days, passed, working, kind=UNFROZEN, reason=PASSED, actor=COMPLIANCE)

    def _queue(self, day: int, causes: Rows, hours: tuple[int, int], **given: Any) -> None:
        size = len(causes["account"])
        if size == 0:
            return
        midnight = (FIRST_DAY + day) * draw.DAY
        given.setdefault("account", causes["account"])
        rows = _rows(
            size,
            recorded=midnight + draw.between(self.rng, size, *hours),
            request=causes["request"],
            cause_high=causes["id_high"],
            cause_low=causes["id_low"],
            **given,
        )
        self.due.setdefault(day, []).append(rows)


def _groups(account: draw.Ints) -> tuple[draw.Ints, draw.Ints]:
    """Return where each run of equal accounts starts, and to which run each row belongs."""
    new = np.ones(len(account), dtype=np.bool_)
    new[1:] = account[1:] != account[:-1]
    return np.flatnonzero(new), np.cumsum(new) - 1


def days(events: int, seed: int) -> Iterator[Rows]:
    """Simulate a bank of about ``events / 25`` accounts, a day at a time, without end."""
    bank = Bank(events, seed)
    for day in itertools.count():
        yield bank.day(day)
