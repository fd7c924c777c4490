"""One bad day of the checkout: five faults that lead into one another, and the truth about them.

A projector is released without its upcasters (*un-upcast*). It gives up payments of orders that seem to have no items, and
parks what follows of these (*parked*). When it is rolled back, it starts at the end of its topics (*skipped*); then it is
set back too far (*doubled*). On the same day the shipping service gives up payments, so that orders are paid and
never shipped (*held up*). What is written is told in ``datasets/README.md``, 'An incident'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np

from workbench.samples import draw
from workbench.samples.candidates import Candidates
from workbench.samples.causes import write_wrong
from workbench.samples.checkout_slots import DAYS, FIRST_DAY, PAID, RESERVED
from workbench.samples.dead_causes import CAUSES, EVERYTHING, SERVICES, Cause, Service
from workbench.samples.dead_letters import DeadLetters
from workbench.samples.domain import Domain, ReadModel, Rows, where
from workbench.samples.faults import Fault, prepare
from workbench.samples.injection import Incident, Injection, Wrong
from workbench.samples.parts import PARTS, Layout, Row, State
from workbench.samples.schemas import in_three_versions
from workbench.samples.search import Move, applied

PROJECTOR: Final = "order-summary"
#: The day on which it went wrong: payloads are written in two versions.
DAY: Final = 19
#: The log ends in the night before this day, whatever its size: when somebody is called.
_END: Final = 24.72

_HELD: Final = Cause(
    "carrier_token_expired", "shipping-service", ("PaymentProcessed",), 0.3,
    "org.springframework.web.client.HttpClientErrorException$Unauthorized",
    "401 Unauthorized from carrier-api-{number} for {order}: token expired",
    "at com.shop.shipping.CarrierClient.book(CarrierClient.java:203)", 4, 70.0,
    DAY + 9 / 24, DAY + 20 / 24,
)  # fmt: skip
_NO_ITEMS: Final = Cause(
    "paid_without_items", PROJECTOR, ("PaymentProcessed",), 0.5,
    "java.lang.IllegalStateException", "{order} is paid but has no items",
    "at com.shop.summary.OrderProjector.onPaid(OrderProjector.java:71)", 1, 0.0,
    DAY + 12 / 24, DAY + 15 / 24,
)  # fmt: skip
#: What happens to all events in a time: cause -> from and to, in days.
_BURSTS: Final = {
    "un-upcast": (DAY + 12 / 24, DAY + 15 / 24),
    "skipped": (DAY + 15 / 24, DAY + 16 / 24),
    "doubled": (DAY + 17 / 24, DAY + 18 / 24),
}


class GivenUp(DeadLetters):
    """Draws the dead letters of any day, and those of the incident."""

    services = (*SERVICES, Service(PROJECTOR, "axon", "", EVERYTHING))
    causes = (*CAUSES, _HELD, _NO_ITEMS)

    def __init__(self, events: int, seed: int) -> None:
        super().__init__(events, seed)
        self.misread = np.zeros(0, dtype=np.int64)

    def saw(self, rows: Rows) -> None:
        """Draw from rows that are written, in the order in which they are."""
        there = (rows["kind"] == RESERVED) & _between(rows, *_BURSTS["un-upcast"])
        self.misread = np.union1d(self.misread, rows["order"][there])
        super().saw(rows)

    def _chosen(self, rows: Rows, cause: Cause, number: int) -> draw.Flags:
        if cause is _HELD:
            return _is_held(rows, self.salt)
        if cause is _NO_ITEMS:
            chosen = _share(rows, self.salt, cause) & np.isin(rows["order"], self.misread)
            return np.asarray(chosen, dtype=np.bool_)
        return super()._chosen(rows, cause, number)

    def first_of(self, cause: str) -> dict[int, int]:
        """Return, for each order of which a cause hit an event, the position of the first one."""
        number = [one.name for one in self.causes].index(cause)
        found: dict[int, int] = {}
        for rows in self.kept:
            hit = rows["cause"] == number
            for order, position in zip(
                rows["order"][hit].tolist(), rows["position"][hit].tolist(), strict=True
            ):
                found.setdefault(order, position)
        return found


def in_an_incident(domain: Domain) -> Domain:
    """Return the checkout with as many events, but only up to the end of the incident."""
    days = domain.slices

    def slices(events: int, seed: int) -> Iterator[Rows]:
        salt = draw.salt(seed)
        held, since = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        for rows in days(round(events * DAYS / _END), seed):
            paid = np.flatnonzero((rows["kind"] == PAID) & _is_held(rows, salt))
            orders, first = np.unique(rows["order"][paid], return_index=True)
            new = ~np.isin(orders, held)
            held = np.concatenate([held, orders[new]])
            since = np.concatenate([since, rows["recorded"][paid][first][new]])
            yield where(rows, _until(rows, held, since))

    return replace(in_three_versions(domain), slices=slices, witnesses=(GivenUp,))


def _until(rows: Rows, held: draw.Ints, since: draw.Ints) -> draw.Flags:
    """Return which rows are not of a held order after the time since when it is."""
    turn = np.argsort(held)
    last = np.full(len(rows["order"]), np.iinfo(np.int64).max)
    at = np.searchsorted(held[turn], rows["order"])
    known = at < len(held)
    known[known] = held[turn][at[known]] == rows["order"][known]
    last[known] = since[turn][at[known]]
    return np.asarray(rows["recorded"] <= last, dtype=np.bool_)


def _between(rows: Rows, first: float, last: float) -> draw.Flags:
    day = rows["recorded"] / draw.DAY - FIRST_DAY
    return np.asarray((day >= first) & (day < last), dtype=np.bool_)


def _share(rows: Rows, salt: np.uint64, cause: Cause) -> draw.Flags:
    limit = np.uint64(int(cause.share * 2**53) << 11)
    # Each cause with a turn of its own.
    number = np.uint64(len(cause.name))
    turn = draw.scramble(draw.scramble(rows["order"].astype(np.uint64) + salt) + number)
    return np.asarray(turn < limit, dtype=np.bool_)


def _is_held(rows: Rows, salt: np.uint64) -> draw.Flags:
    return _share(rows, salt, _HELD) & _between(rows, _HELD.since, _HELD.until)


def write_incident(
    con: duckdb.DuckDBPyConnection,
    domain: Domain,
    misread: ReadModel,
    events: tuple[Path, ...],
    folder: Path,
    letters: GivenUp,
    *,
    seed: int,
) -> tuple[int, list[Fault], list[dict[str, Any]]]:
    """Write the read model as the projector left it; return its number of rows, what is wrong, and the incidents."""
    layout = Layout(PARTS[domain.name])
    prepare(con, domain.read_model, events)
    candidates = Candidates(con, layout, domain.read_model, misread)
    injection = _inject(con, layout, candidates, letters, seed)
    return write_wrong(con, layout, domain.read_model, candidates, injection, folder)


def _inject(
    con: duckdb.DuckDBPyConnection,
    layout: Layout,
    candidates: Candidates,
    letters: GivenUp,
    seed: int,
) -> Injection:
    key = "order-{:06d}".format
    bursts = {cause: _burst(con, *times) for cause, times in _BURSTS.items()}
    parked = {key(order): at for order, at in letters.first_of(_NO_ITEMS.name).items()}
    held = {key(order): at for order, at in letters.first_of(_HELD.name).items()}
    hit = {name for _, _, keys in bursts.values() for name in keys} | set(parked)
    candidates.fetch(sorted(hit))
    incidents = {
        cause: Incident(cause, [first, last], burst=True)
        for cause, (first, last, _) in bursts.items()
    }
    stopped = Incident("parked", sorted(parked.values()), size=len(parked))
    injection = Injection(layout, [], candidates.row, seed)
    for name in sorted(hit):
        row = candidates.row(name)
        positions = [event["position"] for event in row.events]
        step = positions.index(parked[name]) if name in parked else len(row)
        moves = []
        for cause, (first, last, _) in bursts.items():
            places = tuple(
                place
                for place, position in enumerate(positions[:step])
                if first <= position <= last and (cause != "un-upcast" or place in row.old)
            )
            if places:
                moves.append(Move(cause, places))
        _keep(injection, layout, row, step, moves, incidents, stopped)
    never = Incident("held up", sorted(held.values()), size=len(held), unchanged=sorted(held))
    injection.incidents += [never, *incidents.values(), stopped]
    return injection


def _burst(
    con: duckdb.DuckDBPyConnection, since: float, until: float
) -> tuple[int, int, list[str]]:
    """Return the first and the last position recorded in a time, and the keys of the rows that it hits."""
    first, last = (round((FIRST_DAY + day) * draw.DAY) for day in (since, until))
    ((low, high, keys),) = con.execute(
        "SELECT min(position), max(position), list(DISTINCT key) FROM added JOIN logged USING (position) "
        "WHERE recorded_at >= make_timestamptz(?) AND recorded_at < make_timestamptz(?)",
        [first, last],
    ).fetchall()
    return int(low), int(high), list(keys)


def _keep(
    injection: Injection,
    layout: Layout,
    row: Row,
    step: int,
    moves: list[Move],
    incidents: dict[str, Incident],
    stopped: Incident,
) -> None:
    """Note what a row became; one on which nothing shows is right."""
    became = _became(layout, row, step, moves)
    parts: list[tuple[Incident, tuple[int, ...]]] = []
    for move in moves:
        incident = incidents[move.cause]
        incident.size += len(move.places)
        if became == _became(layout, row, step, [other for other in moves if other is not move]):
            incident.unchanged.append(row.key)
        else:
            parts.append((incident, move.places))
    if step < len(row):
        parts.append((stopped, tuple(range(step, len(row)))))
    if not parts:
        return
    stored, reached = became
    injected = []
    for incident, places in parts:
        incident.rows.append(row.key)
        told = [row.events[place] for place in places]
        injected.append({"cause": incident.cause, "events": told})
    label = "+".join(sorted(incident.cause for incident, _ in parts))
    injection.wrong.append(
        Wrong(row, stored, reached, injected, [incident for incident, _ in parts], label=label)
    )


def _became(layout: Layout, row: Row, step: int, moves: list[Move]) -> tuple[State | None, int]:
    """Return what is stored, and how far the row says that it is: to the last event that arrived."""
    lost = {place for move in moves if move.cause == "skipped" for place in move.places}
    arrived = [place for place in range(step) if place not in lost]
    return layout.state(applied(row, moves, step)), arrived[-1] + 1 if arrived else len(row)
