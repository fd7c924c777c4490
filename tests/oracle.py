"""What replays, histories and diffs should say, worked out in plain Python: loops, dictionaries, Decimal.

Nothing here shares code with the engines. An event is a dictionary as ``fix_log`` takes it; its position is
its place in the list, from 1.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import workbench as wb
from tests.fix_log import Written
from workbench.projections.columns import (
    Aggregate,
    Arithmetic,
    Clipped,
    Column,
    Constant,
    Rounded,
)
from workbench.projections.projection import Projection

Row = dict[str, Any]
Key = tuple[Any, ...]
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def examples(count: int) -> settings:
    """Settings for a property: so many examples, always the same ones in CI."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize="CI" in os.environ,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@contextmanager
def log_of(events: Sequence[Mapping[str, Any]]) -> Iterator[wb.EventLog]:
    """Open a log in memory that holds some events."""
    with wb.open() as log:
        log.load(Written(events), progress=False)
        yield log


def minute(n: int) -> dt.datetime:
    """Return a time: so many minutes after the start."""
    return START + dt.timedelta(minutes=n)


# -- random events -------------------------------------------------------------------------------

TYPES = ("Opened", "Deposited", "Withdrew", "Closed", "Noted")
clocks = st.one_of(st.none(), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
amounts = st.one_of(
    st.none(),
    st.integers(-3, 2000).map(str),
    st.decimals(-1000, 1_000_000, places=2).map(str),
    st.decimals(0, 10, places=4).map(str),
)


@st.composite
def event_lists(draw: st.DrawFn, most: int = 40) -> list[dict[str, Any]]:
    """Draw events of 1 to 8 streams with every trouble that clocks, versions and payloads can have."""
    streams = draw(st.integers(1, 8))
    versions = draw(st.sampled_from(["counting", "clashing", "missing"]))
    made = []
    for _ in range(draw(st.integers(0, most))):
        fields = {"amount": draw(amounts), "status": draw(st.sampled_from([None, "a", "b", "c"]))}
        order = draw(st.sampled_from([None, "o1", "o2", "o3"]))
        payload = [f'"{name}": {text}' for name, text in [("amount", fields["amount"])] if text]
        payload += [f'"status": {json.dumps(fields["status"])}'] if fields["status"] else []
        payload += [f'"order": {{"id": "{order}"}}'] if order else []
        recorded, occurred = draw(clocks), draw(clocks)
        event: dict[str, Any] = {
            "stream_id": f"s{draw(st.integers(1, streams))}",
            "event_type": draw(st.sampled_from(TYPES)),
            "recorded_at": None if recorded is None else minute(recorded),
            "occurred_at": None if occurred is None else minute(occurred),
            "data": "{" + ", ".join(payload) + "}",
        }
        if versions == "clashing":
            event["version"] = draw(st.integers(1, 4))
        elif versions == "missing":
            event["version"] = draw(st.one_of(st.none(), st.integers(1, 9)))
        made.append(event)
    return numbered(made)


def numbered(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give events the versions that ``fix_log`` gives them where they have none of their own."""
    counts: dict[str, int] = {}
    made = []
    for event in events:
        counts[event["stream_id"]] = counts.get(event["stream_id"], 0) + 1
        made.append({"version": counts[event["stream_id"]], **event})
    return made


def renumbered(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give events versions that count up in each stream, whatever they had."""
    return numbered({k: v for k, v in one.items() if k != "version"} for one in events)


# -- moments -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class At:
    """A moment, as the arguments of a verb."""

    as_of: dt.datetime | None = None
    clock: str | None = None
    known_at: dt.datetime | None = None
    position: int | None = None
    version: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what was given."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def occurs(self) -> bool:
        """Whether events apply in the order in which they happened."""
        return self.clock == "occurred" or self.known_at is not None

    def reaches(self, event: Mapping[str, Any], position: int) -> bool:
        """Tell whether an event is there at this moment."""
        name = "occurred_at" if self.occurs else "recorded_at"
        return (
            (self.as_of is None or (event[name] is not None and event[name] <= self.as_of))
            and (
                self.known_at is None
                or (event["recorded_at"] is not None and event["recorded_at"] <= self.known_at)
            )
            and (self.position is None or position <= self.position)
            and (self.version is None or (event["version"] or self.version + 1) <= self.version)
        )


minutes = st.integers(-1, 21).map(minute)
moments = st.one_of(
    st.just(At(clock="recorded")),
    st.builds(At, as_of=minutes, clock=st.sampled_from(["recorded", "occurred"])),
    st.builds(At, as_of=minutes, known_at=minutes),
    st.builds(At, position=st.integers(0, 41), clock=st.just("recorded")),
    st.builds(At, version=st.integers(0, 9), clock=st.just("recorded")),
    st.builds(At, as_of=minutes, clock=st.just("recorded"), position=st.integers(0, 41)),
)


# -- events of a row -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """An event with its position and its payload read."""

    position: int
    event: Mapping[str, Any]
    data: Any

    def field(self, column: str, path: str) -> Any:
        """Return the value of a field as it stands; None where it is absent."""
        if not path:
            return self.position if column == "position" else self.event.get(column)
        value = self.data
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value


def touched(definition: Any, events: Sequence[Mapping[str, Any]], at: At) -> dict[Key, list[Seen]]:
    """Return the events of each row of a definition up to a moment, in the order in which they apply."""
    rows: dict[Key, list[Seen]] = {}
    for position, event in enumerate(events, 1):
        if not at.reaches(event, position):
            continue
        if definition.types is not None and event["event_type"] not in definition.types:
            continue
        if (
            definition.stream_type is not None
            and event.get("stream_type") != definition.stream_type
        ):
            continue
        data = event.get("data")
        parsed = json.loads(data, parse_float=Decimal) if isinstance(data, str) else data
        seen = Seen(position, event, parsed)
        key = tuple(seen.field(item.column, item.path) for item in definition.key.values())
        if None not in key:
            rows.setdefault(key, []).append(seen)
    for found in rows.values():
        found.sort(key=_order(at, by_stream=definition.by_stream))
    return rows


def _order(at: At, *, by_stream: bool) -> Callable[[Seen], Any]:
    last = (1, 0)

    def order(seen: Seen) -> Any:
        occurred, version = seen.event["occurred_at"], seen.event["version"]
        by_version = last if version is None else (0, version)
        if not at.occurs:
            return (by_version if by_stream else last, seen.position)
        happened = (1, START) if occurred is None else (0, occurred)
        return (happened, by_version if by_stream else last, seen.position)

    return order


def alive(definition: Any, seen: Sequence[Seen]) -> list[Seen]:
    """Return the events since a row last ended."""
    last = max(
        (n for n, one in enumerate(seen) if one.event["event_type"] in definition.ends), default=-1
    )
    return list(seen[last + 1 :])


# -- columns -------------------------------------------------------------------------------------

UNUSABLE = object()


def read(seen: Seen, field: Any) -> Any:
    """Return a field's value as its type; UNUSABLE where there is one that does not fit."""
    raw = seen.field(field.column, field.path)
    if raw is None or not field.path:
        return raw
    text = json.dumps(raw, default=str) if isinstance(raw, dict | list) else str(raw)
    if isinstance(raw, bool):
        text = text.lower()
    if field.type == "decimal":
        return Decimal(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else UNUSABLE
    if field.type == "integer":
        return int(Decimal(text)) if re.fullmatch(r"-?\d+(\.0+)?", text) else UNUSABLE
    return text


def value(column: Column, seen: Sequence[Seen]) -> Any:
    """Work out a column over the events of a row."""
    match column:
        case Constant(number):
            return number
        case Arithmetic(operator, left, right):
            return _calculated(operator, value(left, seen), value(right, seen))
        case Clipped(inner, low, high):
            found = value(inner, seen)
            if found is None:
                return None
            found = found if low is None else max(found, low)
            return found if high is None else min(found, high)
        case Rounded(inner, places):
            found = value(inner, seen)
            unit = Decimal(1).scaleb(-places)
            return None if found is None else Decimal(found).quantize(unit, ROUND_HALF_UP)
        case Aggregate():
            return _aggregated(column, seen)
    raise AssertionError(column)


def _calculated(operator: str, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return None if right == 0 else float(left) / float(right)


def _aggregated(column: Aggregate, seen: Sequence[Seen]) -> Any:
    mine = [one for one in seen if column.on is None or one.event["event_type"] in column.on]
    conditions = column.where.parts if column.where is not None else ()
    judged = [item for item, _, _ in conditions]
    if column.field is not None and not (column.kind == "count" and not conditions):
        judged.append(column.field)
    if any(read(one, item) is UNUSABLE for one in mine for item in judged):
        return None
    for item, operator, wanted in conditions:
        mine = [one for one in mine if _holds(read(one, item), operator, wanted)]
    if column.field is None:
        return len(mine)
    values = [found for one in mine if (found := read(one, column.field)) is not None]
    match column.kind:
        case "total":
            return sum(values, Decimal(0))
        case "count":
            return len(values)
        case "latest":
            return values[-1] if values else None
        case "first":
            return values[0] if values else None
        case "largest":
            return max(values, default=None)
        case "smallest":
            return min(values, default=None)
        case "collect":
            return values


def _holds(found: Any, operator: str, wanted: Any) -> bool:
    if found is None:
        return False
    return {
        "=": found == wanted,
        "<>": found != wanted,
        ">": found > wanted,
        ">=": found >= wanted,
        "<": found < wanted,
        "<=": found <= wanted,
    }[operator]


# -- replay and history --------------------------------------------------------------------------


def replay(projection: Projection, events: Sequence[Mapping[str, Any]], at: At) -> dict[Key, Row]:
    """Return the rows of a projection at a moment, by key."""
    rows = {}
    for key, seen in touched(projection, events, at).items():
        mine = alive(projection, seen)
        if mine:
            rows[key] = _row(projection, mine)
    return rows


def _row(projection: Projection, seen: Sequence[Seen]) -> Row:
    versions = [one.event["version"] for one in seen if one.event["version"] is not None]
    return {
        **{name: value(column, seen) for name, column in projection.columns.items()},
        "version": max(versions, default=None) if projection.by_stream else len(seen),
        "position": max(one.position for one in seen),
        "events": len(seen),
    }


@dataclass(frozen=True)
class State:
    """A row's state after one event, and the time in which it was the state."""

    row: Row
    event_type: str
    position: int
    valid_from: dt.datetime
    valid_to: dt.datetime | None


def history(
    projection: Projection, events: Sequence[Mapping[str, Any]], at: At
) -> dict[Key, list[State]]:
    """Return every state of every row, by key; ends are left out, and events without a time on the clock."""
    name = "occurred_at" if at.occurs else "recorded_at"
    rows: dict[Key, list[State]] = {}
    for key, seen in touched(projection, events, at).items():
        states: list[State] = []
        timed = [one for one in seen if one.event[name] is not None]
        for n, one in enumerate(timed, 1):
            since = max(other.event[name] for other in timed[:n])
            if states:
                states[-1] = replace(states[-1], valid_to=since)
            mine = alive(projection, timed[:n])
            row = _row(projection, mine) if mine else {}
            states.append(State(row, one.event["event_type"], one.position, since, None))
        rows[key] = [one for one in states if one.event_type not in projection.ends]
    return {key: states for key, states in rows.items() if states}


def by_key(definition: Any, rows: Iterable[Row]) -> dict[Key, Row]:
    """Sort a result's rows by key; no key may be there twice."""
    found: dict[Key, Row] = {}
    for row in rows:
        key = tuple(row.pop(name) for name in definition.key)
        assert key not in found, f"two rows of {key}"
        found[key] = row
    return found


# -- projections to try --------------------------------------------------------------------------

MONEY = ("Deposited", "Withdrew")


def projection(**options: Any) -> Projection:
    """Return a projection with every kind of column."""
    return Projection(
        "everything",
        {
            "balance": wb.total("amount", on="Deposited") - wb.total("amount", on="Withdrew"),
            "moves": wb.count(on=MONEY),
            "amounts": wb.count("amount"),
            "large": wb.count(on=MONEY, where=wb.field("amount") > 1000),
            "large_a": wb.count(
                where=(wb.field("amount") >= 5) & (wb.field("status") == "a"), on="Deposited"
            ),
            "paid_a": wb.total("amount", where=wb.field("status") != "b"),
            "status": wb.latest("status"),
            "opened_as": wb.first("status", on="Opened"),
            "last_amount": wb.latest("amount", type="decimal"),
            "most": wb.largest("amount"),
            "least": wb.smallest("amount", on="Withdrew"),
            "amount_list": wb.collect("amount", type="decimal"),
            "statuses": wb.collect("status", on="Noted"),
            "mean": wb.total("amount") / wb.count("amount"),
            "score": (10 * wb.count(on="Withdrew") - wb.count(on="Noted") + 1).clip(0, 30),
            "rounded": (wb.total("amount") * Decimal("0.1")).round(1),
            "negative": -wb.total("amount", on="Withdrew") + Decimal("0.5"),
            "seen_at": wb.latest("event.recorded_at"),
        },
        **options,
    )


KEYS: dict[str, dict[str, Any]] = {
    "by stream": {},
    "by stream, with ends": {"ends": "Closed"},
    "by a payload field": {"key": "order.id"},
    "by a payload field, with ends": {"key": "order.id", "ends": ["Closed", "Noted"]},
    "by two fields": {"key": {"order_id": "order.id", "stream": "event.stream_id"}},
}


# -- diff ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """A row of a read model: its columns, and its checkpoint where it has one."""

    row: Row
    checkpoint: int | None = None


@dataclass(frozen=True)
class Judged:
    """What a diff should say of a row."""

    kind: str
    lag_events: int | None = None
    equals_position: int | None = None


@dataclass(frozen=True)
class Step:
    """What one event made of a row; ``row`` is None where it ended it."""

    row: Row | None
    version: int
    position: int


def steps(projection: Projection, events: Sequence[Mapping[str, Any]]) -> dict[Key, list[Step]]:
    """Return what each event made of each row, in order."""
    found: dict[Key, list[Step]] = {}
    for key, seen in touched(projection, events, At()).items():
        for n, one in enumerate(seen, 1):
            mine = alive(projection, seen[:n])
            row = {name: value(column, mine) for name, column in projection.columns.items()}
            version = one.event["version"] if projection.by_stream else len(mine)
            found.setdefault(key, []).append(Step(row if mine else None, version, one.position))
    return found


def diff(
    projection: Projection,
    events: Sequence[Mapping[str, Any]],
    stored: Mapping[Key, Stored],
    unit: str | None = None,
) -> dict[Key, Judged]:
    """Judge every row of both sides by trying all states that it ever had; checkpoints count in ``unit``."""
    everything = steps(projection, events)
    last_versions: dict[Key, int] = {}
    for event in events:
        stream = (event["stream_id"],)
        last_versions[stream] = max(last_versions.get(stream, 0), event["version"] or 0)
    judged = {}
    for key in {*everything, *stored}:
        had = everything.get(key, [])
        now = had[-1].row if had else None
        if now is None and key not in stored:
            continue
        if key not in stored:
            judged[key] = Judged("missing")
            continue
        row, checkpoint = stored[key].row, stored[key].checkpoint
        last = len(events) if unit == "position" else last_versions.get(key)
        judged[key] = _judge(row, checkpoint if unit else None, had, unit or "version", last)
    return judged


def _judge(
    row: Row, checkpoint: int | None, had: Sequence[Step], unit: str, last: int | None
) -> Judged:
    now = had[-1].row if had else None
    equal = [n for n, step in enumerate(had, 1) if step.row == row]
    reached_head = checkpoint is None or (bool(had) and checkpoint >= getattr(had[-1], unit))
    if now == row and reached_head:
        return Judged("match")
    if checkpoint is not None and last is not None and checkpoint > last:
        return Judged("ahead")
    reached = [
        n
        for n, step in enumerate(had, 1)
        if checkpoint is None or getattr(step, unit) <= checkpoint
    ]
    at = (equal or [0])[-1] if checkpoint is None else (reached or [0])[-1]
    if at and had[at - 1].row == row:
        if at == len(had):
            return Judged("match")
        return Judged("stale", len(had) - at, had[at - 1].position)
    return Judged("orphaned" if now is None else "corrupted")
