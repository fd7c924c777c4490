"""Flows: the events of each saga in order, packed so that millions of sagas are gathered in one pass.

Each event of a saga becomes one integer of 127 bits: when it was, its position, what it says (a code for its
event type) and a hash of the part that it is about. Sorting a saga's integers puts its events in order. What
does not depend on times or ids, the *trace*, is shared by many sagas: the rules are applied to each distinct
trace once, not to each saga.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from workbench._sql import any_of, text
from workbench.moments import Clock
from workbench.projections.saga import Saga
from workbench.store.view import EVENTS, View

LONG: Final = 200
"""From so many events on, the parts of a saga are numbered by windows, not by searching its list."""

_BITS: Final = 127


@dataclass(frozen=True, slots=True)
class Packing:
    """Where each fact of an event lies in its integer, from the highest bits to the lowest.

    Attributes
    ----------
    clock
        The clock of the times.
    by_position
        Whether events are ordered by position alone, since some of them do not say when they were.
    first
        The earliest time, in µs since 1970; None when no time is known.
    time_bits, position_bits, code_bits
        Widths. What is left holds the hash of the part: 40 bits and more, of which only those of one step of
        one saga are compared.
    """

    clock: Clock
    by_position: bool
    first: int | None
    time_bits: int
    position_bits: int
    code_bits: int

    @property
    def part_bits(self) -> int:
        """Bits of the hash of a part."""
        return min(64, _BITS - self.time_bits - self.position_bits - self.code_bits)

    def pack(self, saga: Saga) -> str:
        """Write SQL that packs a row of ``us``, ``position``, ``code`` and the columns ``part_…``."""
        # 0 is for events that do not say when they were.
        since = "0" if self.first is None else f"coalesce(us - {self.first - 1}, 0)"
        parts = " ".join(
            f"WHEN code IN ({', '.join(map(str, codes))}) THEN "
            f"coalesce(hash(part_{at}) >> {64 - self.part_bits}, 0)"
            for at, codes in parts_of(saga).items()
        )
        part = f"CASE {parts} ELSE 0 END" if parts else "0"
        low = self.code_bits + self.part_bits
        above = {"position": low, since: low + self.position_bits}
        if self.by_position:
            above = {since: low, "position": low + self.time_bits}
        facts = [*above.items(), ("code", self.part_bits), (part, 0)]
        return " + ".join(f"({fact})::HUGEINT * {2**shift}::HUGEINT" for fact, shift in facts)

    def code_of(self, packed: str) -> str:
        """Read the code."""
        return f"(({packed} >> {self.part_bits}) & {2**self.code_bits - 1}::HUGEINT)::INTEGER"

    def part_of(self, packed: str) -> str:
        """Read the hash of the part."""
        return f"({packed} & {2**self.part_bits - 1}::HUGEINT)"

    def position_of(self, packed: str) -> str:
        """Read the position."""
        below = self.part_bits + self.code_bits + (self.time_bits if self.by_position else 0)
        return f"(({packed} >> {below}) & {2**self.position_bits - 1}::HUGEINT)::BIGINT"

    def us_of(self, packed: str) -> str:
        """Read the time in µs since 1970; NULL when it is not known."""
        if self.first is None:
            return "NULL::BIGINT"
        below = self.part_bits + self.code_bits + (0 if self.by_position else self.position_bits)
        since = f"(({packed} >> {below}) & {2**self.time_bits - 1}::HUGEINT)::BIGINT"
        return f"nullif({since}, 0) + {self.first - 1}"


def packing(view: View, saga: Saga, clock: Clock) -> Packing:
    """Choose widths for the events of a view."""
    time = f"{clock}_at"
    first, last, head, untimed = view.remember(
        f"SELECT min(epoch_us({time})) FILTER (isfinite({time})), "
        f"max(epoch_us({time})) FILTER (isfinite({time})), coalesce(max(position), 0), "
        f"count(*) FILTER (NOT coalesce(isfinite({time}), FALSE)) "
        f"FROM {EVENTS} WHERE {view.filter} AND {any_of('event_type', saga.types)}"
    )[0]
    span = 0 if first is None else last - first + 1
    return Packing(
        clock,
        bool(untimed),
        first,
        span.bit_length(),
        head.bit_length(),
        len(saga.types).bit_length(),
    )


def of_saga(view: View, saga: Saga) -> str:
    """Write the condition that finds the events of sagas."""
    key = view.read(saga.correlation).value
    return f"{view.filter} AND {any_of('event_type', saga.types)} AND {key} IS NOT NULL"


def packed_sql(view: View, saga: Saga, pack: Packing) -> str:
    """Write SQL for one row for each id: ``saga_id``, ``flow`` (packed events in order), ``trace``.

    An element of a trace is the event's code plus ``2 ** code_bits`` times the number of its part: the place
    in the flow at which the part appears first. The trace of a very long flow is left open.
    """
    time = f"{pack.clock}_at"
    us = (
        f"CASE WHEN isfinite({time}) THEN epoch_us({time}) END"
        if pack.by_position
        else f"epoch_us({time})"
    )
    codes = " ".join(f"WHEN {text(kind)} THEN {code}" for code, kind in enumerate(saga.types, 1))
    parts = "".join(
        f", {view.read(step.part).value} AS part_{at}"
        for at, step in enumerate(saga.steps)
        if step.part is not None
    )
    gathered = (
        f"SELECT saga_id, list_sort(list({pack.pack(saga)})) AS flow FROM "
        f"(SELECT {view.read(saga.correlation).value} AS saga_id, {us} AS us, position, "
        f"CASE event_type {codes} END AS code{parts} FROM {EVENTS} WHERE {of_saga(view, saga)}) GROUP BY saga_id"
    )
    code = pack.code_of("x")
    if not parts:
        return f"SELECT saga_id, flow, list_transform(flow, lambda x: {code}) AS trace FROM ({gathered})"
    part = pack.part_of("x")
    return (
        f"SELECT saga_id, flow, CASE WHEN len(flow) < {LONG} THEN list_transform(flow, lambda x: "
        f"({code} + {2**pack.code_bits} * list_position(parts, {part}))::INTEGER) END AS trace "
        f"FROM (SELECT saga_id, flow, list_transform(flow, lambda x: {part}) AS parts FROM ({gathered}))"
    )


def flows_sql(packed: str, pack: Packing) -> str:
    """Write SQL that fills in the traces of very long flows."""
    code = pack.code_of("x")
    number = f"min(n) OVER (PARTITION BY saga_id, {pack.part_of('x')})"
    return (
        f"SELECT saga_id, flow, coalesce(short.trace, long.trace) AS trace FROM {packed} short LEFT JOIN "
        f"(SELECT saga_id, list(CAST(code + {2**pack.code_bits} * number AS INTEGER) ORDER BY n) AS trace FROM "
        f"(SELECT saga_id, n, {code} AS code, {number} AS number FROM "
        f"(SELECT saga_id, unnest(flow) AS x, generate_subscripts(flow, 1) AS n FROM {packed} WHERE trace IS NULL)) "
        "GROUP BY saga_id) long USING (saga_id)"
    )


def parts_of(saga: Saga) -> dict[int, list[int]]:
    """Index of each step that has parts -> the codes of its events."""
    found: dict[int, list[int]] = {}
    for code, (_, _, at) in enumerate(saga.roles, start=1):
        if at is not None and saga.steps[at].part is not None:
            found.setdefault(at, []).append(code)
    return found
