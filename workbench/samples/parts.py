"""Read models taken apart: what one event adds to a row, so that a row can be folded from any list of events.

The clean read model is an aggregate in SQL. A wrong row comes from *another* list of events: some missing, some
twice, in another order. Such a row is folded here, in plain Python, from what each event adds to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

State = tuple[Any, ...]
"""The compared columns of a row; amounts in cents, times in microseconds since 1970."""

Added = tuple[Any, ...] | None
"""What an event adds to each column; None: it ends the row."""


@dataclass(frozen=True, slots=True)
class Part:
    """One column of a read model.

    Attributes
    ----------
    kind
        ``sum`` of what the events add, or the ``first`` or ``last`` value that is not NULL.
    sql
        What an event adds, over ``ReadModel.applied``.
    stored
        SQL that makes the stored value of the folded one, which stands for ``{}``.
    high
        No sum is shown that is more than this.
    is_text
        Whether the value is a text; otherwise it is a whole number.
    """

    kind: Literal["sum", "first", "last"]
    sql: str
    stored: str = "{}"
    high: int | None = None
    is_text: bool = False


_EUROS: Final = "CAST(CAST({} AS DECIMAL(18,0)) * CAST(0.01 AS DECIMAL(3,2)) AS DECIMAL(18,2))"
_CENTS: Final = "CAST(coalesce(amount, 0) * 100 AS BIGINT)"

PARTS: Final[Mapping[str, Mapping[str, Part]]] = {
    "bank": {
        "current_balance": Part(
            "sum",
            f"CASE event_type WHEN 'DepositMade' THEN {_CENTS} WHEN 'WithdrawalMade' THEN -{_CENTS} ELSE 0 END",
            _EUROS,
        ),
        "last_transaction_date": Part(
            "last",
            "CASE WHEN event_type IN ('DepositMade', 'WithdrawalMade') THEN epoch_us(occurred_at) END",
            "make_timestamptz({})",
        ),
        "transaction_count": Part(
            "sum", "CAST(event_type IN ('DepositMade', 'WithdrawalMade') AS BIGINT)"
        ),
        "risk_score": Part(
            "sum",
            "CASE event_type WHEN 'WithdrawalMade' THEN CASE WHEN amount > 1000 THEN 10 ELSE 0 END "
            "WHEN 'AccountFrozen' THEN 25 WHEN 'WithdrawalRejected' THEN 5 ELSE 0 END",
            "CAST({} AS INTEGER)",
            high=100,
        ),
    },
    "checkout": {
        "customer_id": Part("first", "customer", is_text=True),
        "status": Part("last", "status", is_text=True),
        "total": Part("first", "CAST(total * 100 AS BIGINT)", _EUROS),
        "items": Part(
            "sum",
            "CASE event_type WHEN 'InventoryReserved' THEN coalesce(quantity, 0) "
            "WHEN 'InventoryReleased' THEN -coalesce(quantity, 0) ELSE 0 END",
        ),
        "placed_at": Part(
            "first",
            "CASE WHEN event_type = 'OrderCreated' THEN epoch_us(occurred_at) END",
            "make_timestamptz({})",
        ),
    },
}


class Layout:
    """The columns of one read model, and how they are folded."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.parts = parts
        self.columns = list(parts)
        self._kinds = [part.kind for part in parts.values()]
        self._highs = [part.high for part in parts.values()]
        self._start: list[Any] = [0 if kind == "sum" else None for kind in self._kinds]
        #: The places of columns that show a plain sum: from it one can tell what the events add up to.
        self.plain = [
            place
            for place, part in enumerate(parts.values())
            if part.kind == "sum" and part.high is None
        ]
        #: Whether any two neighbours may matter, and not only the first and the last of something.
        self.depends_on_order = False
        self.firsts = [place for place, kind in enumerate(self._kinds) if kind == "first"]
        self.lasts = [place for place, kind in enumerate(self._kinds) if kind == "last"]

    def states(self, entries: Iterable[Added]) -> list[State | None]:
        """Return the row after each event; None where there is none."""
        found: list[State | None] = []
        now: list[Any] | None = None
        for added in entries:
            now = None if added is None else self._next(now, added)
            found.append(None if now is None else self._shown(now))
        return found

    def state(self, entries: Iterable[Added]) -> State | None:
        """Return the row after all events; None where there is none."""
        now: list[Any] | None = None
        for added in entries:
            now = None if added is None else self._next(now, added)
        return None if now is None else self._shown(now)

    def _next(self, now: list[Any] | None, added: tuple[Any, ...]) -> list[Any]:
        now = list(self._start) if now is None else now
        for place, value in enumerate(added):
            kind = self._kinds[place]
            if kind == "sum":
                now[place] += value
            elif value is not None and (kind == "last" or now[place] is None):
                now[place] = value
        return now

    def _shown(self, now: list[Any]) -> State:
        return tuple(
            value if high is None else min(high, value)
            for value, high in zip(now, self._highs, strict=True)
        )

    def sums(self, added: Added | State) -> tuple[int, ...]:
        """Return the plain sums of a row, or what an event adds to them."""
        if added is None:
            return (0,) * len(self.plain)
        return tuple(added[place] for place in self.plain)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the clean read model, by its events.

    Attributes
    ----------
    events
        As the truth names them: ``position``, ``stream_id``, ``version``, ``event_id``, ``event_type``.
    read
        What each event adds.
    misread
        What it adds when it is read without upcasters.
    """

    key: str
    events: list[dict[str, Any]]
    read: list[Added]
    misread: list[Added]

    def __len__(self) -> int:
        return len(self.events)

    @property
    def old(self) -> list[int]:
        """The places of events that add something else when they are read without upcasters."""
        return [place for place in range(len(self)) if self.read[place] != self.misread[place]]

    def positions(self, places: Iterable[int]) -> list[int]:
        """Return the positions of events in the log."""
        return [self.events[place]["position"] for place in places]
