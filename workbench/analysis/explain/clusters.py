"""What the causes of many rows share: a range of positions, a moment at which they stopped, a type, a version."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from workbench._sql import ident, text
from workbench.analysis.explain import causes
from workbench.analysis.explain.ranked import involved, spans_of
from workbench.analysis.explain.words import between, counted, spread
from workbench.store.table import Table
from workbench.store.view import EVENTS

if TYPE_CHECKING:
    from workbench.analysis.explain.result import Explanation

BETWEEN: Final = 3
"""So many events that were applied rightly may lie between two neighbours of a cluster."""
FEWEST: Final = 3
"""Fewer events that lie together are chance, and no cluster of their own."""
KEYS: Final = 20

#: Causes that one outage gives in different rows are gathered together.
FAMILIES: Final[dict[str, str]] = {
    causes.RUN_SKIPPED: causes.SKIPPED,
    causes.RUN_TWICE: causes.TWICE,
}
_DONE: Final[dict[str, str]] = {
    causes.SKIPPED: "never reached the projection",
    causes.TWICE: "were applied twice",
    causes.SWAPPED: "were applied in the wrong order",
    causes.NOT_UPCAST: "were read without their upcaster",
    causes.WRONG_KEY: "were applied to another row than their own",
    causes.BAD_SNAPSHOT: "do not fit the state that they were applied to",
    causes.OTHER_SNAPSHOT: "were lost to a state of another row",
    causes.TWO: "went wrong, two in each row",
}


class Clusters(Table):
    """Rows whose causes lie together, largest first.

    Columns: ``cause``; ``together``, TRUE where the events follow each other in the log, FALSE where they are
    scattered over it; ``rows``; ``events``; ``share`` of the events in the range that are among them (0 to
    1; NULL where scattered); ``first_position``, ``last_position``, ``first_at``, ``last_at`` (UTC);
    ``event_types`` and ``schema_versions``, most frequent first; ``keys``, of twenty rows at most; ``says``, all
    of it as a sentence. Each wrong row is counted once, by its simplest hypothesis.
    """


@dataclass(slots=True)
class _Row:
    """A wrong row with the events of its best hypothesis."""

    k: int
    key: str
    kind: str
    cause: str
    other: int | None
    stopped: bool
    positions: list[int] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    schemas: list[str | None] = field(default_factory=list)
    moments: list[dt.datetime | None] = field(default_factory=list)
    applied: int = 0
    events: int = 0


@dataclass(slots=True)
class _Cluster:
    cause: str
    rows: list[_Row]
    together: bool
    innocent: int = 0

    @property
    def first(self) -> int | None:
        return min((p for row in self.rows for p in row.positions), default=None)

    @property
    def last(self) -> int | None:
        return max((p for row in self.rows for p in row.positions), default=None)


def clusters(explanation: Explanation) -> Clusters:
    """Gather the rows of an explanation, by the best hypothesis of each."""
    rows = _read(explanation)
    found: list[_Cluster] = []
    families: dict[str, list[_Row]] = {}
    for row in rows:
        families.setdefault(FAMILIES.get(row.cause, row.cause), []).append(row)
    late = families.pop(causes.STOPPED, [])
    unwritten = families.pop(causes.NOT_WRITTEN, [])
    unexplained = families.pop(causes.UNEXPLAINED, [])
    for cause, members in families.items():
        found += _by_position(explanation, cause, members)
    for cause, members in ((causes.STOPPED, late), (causes.NOT_WRITTEN, unwritten)):
        # An outage leaves rows late, or unwritten, whose events all fell into it.
        rest = [row for row in members if not _adopted(row, found)]
        found += _stopped(rest) if cause == causes.STOPPED else _by_kind(cause, rest)
    found += _by_kind(causes.UNEXPLAINED, unexplained)
    found.sort(key=lambda one: (-len(one.rows), one.cause, one.first or 0))
    table = pa.Table.from_pylist([_plain(one, explanation) for one in found], _SCHEMA)
    result = Clusters(
        explanation._database,
        "-- gathered in Python",
        title=f"What went wrong in {explanation.diff.model.name}",
    )
    result._stored = explanation._database.keep_arrow(table, result, "clusters")
    return result


def _read(explanation: Explanation) -> list[_Row]:
    suspects, kept = explanation.suspects, explanation.kept
    key = " || ', ' || ".join(ident(name) for name in suspects.work.keys)
    database = explanation._database
    best = f"(FROM {kept} WHERE rank = 1)"
    rows = {
        k: _Row(
            k, name, kind, cause or causes.UNEXPLAINED, other, checkpoint is None, applied=lo or 0
        )
        for k, name, kind, cause, other, checkpoint, lo in database.rows(
            f"SELECT s.wb_k, {key}, s.class, h.cause, h.other_k, s.checkpoint, t.position FROM {suspects.table} s "
            f"LEFT JOIN {best} h USING (wb_k) LEFT JOIN {suspects.tape} t ON t.wb_k = h.wb_k AND t.wb_n = h.lo - 1 ORDER BY 1"
        )
    }
    # Of a long run the first thousand events are enough to say where it lies.
    each = (
        "SELECT cause, row, wb_k, last - first + 1 AS events, unnest(generate_series(first, least(last, first + 999))) AS wb_n "
        f"FROM ({spans_of(best)})"
    )
    for k, position, kind, schema, moment, events in database.rows(
        f"SELECT row, position, event_type, schema_version, moment, CASE WHEN cause = {text(causes.NOT_UPCAST)} THEN 0 ELSE events END "
        f"FROM ({involved(each, explanation.old)}) JOIN {suspects.tape} USING (wb_k, wb_n) ORDER BY position"
    ):
        row = rows[k]
        row.positions.append(position)
        row.types.append(kind)
        row.schemas.append(schema)
        row.moments.append(moment)
        row.events = max(row.events, events)
    for row in rows.values():
        row.events = max(row.events, len(row.positions))
    return list(rows.values())


# -- by position ---------------------------------------------------------------------------------


def _by_position(explanation: Explanation, cause: str, rows: list[_Row]) -> Iterator[_Cluster]:
    """Split at stretches of the log that were applied rightly; what lies alone is scattered."""
    guilty = sorted({position for row in rows for position in row.positions})
    innocent = _between(explanation, guilty)
    number, groups = 0, {guilty[0]: 0} if guilty else {}
    for index, position in enumerate(guilty[1:]):
        number += innocent[index] > BETWEEN
        groups[position] = number
    members: dict[int, list[_Row]] = {}
    for row in rows:
        # A row belongs where most of its events are.
        ((most, _),) = Counter(groups[position] for position in row.positions).most_common(1) or [
            (-1, 0)
        ]
        members.setdefault(most, []).append(row)
    inside: Counter[int] = Counter()
    for index, position in enumerate(guilty[1:]):
        if groups[position] == groups[guilty[index]]:
            inside[groups[position]] += innocent[index]
    sizes = Counter(groups.values())
    scattered: list[_Row] = []
    for group, gathered in members.items():
        if len(gathered) >= FEWEST and sizes[group] >= FEWEST and sizes[group] >= inside[group]:
            yield _Cluster(cause, gathered, together=True, innocent=inside[group])
        else:
            scattered += gathered
    if scattered:
        yield _Cluster(cause, scattered, together=False)


def _between(explanation: Explanation, guilty: Sequence[int]) -> list[int]:
    """How many events that the definition applies lie between neighbours; many where they are far apart."""
    far = 10_000
    near = [
        (index, low, high)
        for index, (low, high) in enumerate(itertools.pairwise(guilty))
        if 1 < high - low <= far
    ]
    found = [0 if high - low <= 1 else far for low, high in itertools.pairwise(guilty)]
    if not near:
        return found
    database, definition, view = (
        explanation._database,
        explanation.diff.definition,
        explanation.diff._view,
    )
    scope = view if definition.types is None else view.where(types=definition.types)
    if definition.stream_type is not None:
        scope = scope.where(stream_type=definition.stream_type)
    columns = zip(("n", "low", "high"), zip(*near, strict=True), strict=True)
    gaps = database.keep_arrow(
        pa.table({name: list(values) for name, values in columns}), explanation, "gaps"
    )
    counted_ = database.rows(
        f"SELECT n, count(*) FROM (SELECT position FROM {EVENTS} WHERE {scope.filter} AND position BETWEEN {guilty[0]} AND {guilty[-1]}) e "
        f"ASOF JOIN {gaps} g ON e.position > g.low WHERE e.position < g.high GROUP BY n"
    )
    for index, _, _ in near:
        found[index] = 0
    for index, count in counted_:
        found[index] = count
    return found


def _adopted(row: _Row, found: Iterable[_Cluster]) -> bool:
    """Put a row into an outage that holds all the events which it lacks."""
    if not row.stopped or not row.positions or row.events > len(row.positions):
        return False
    for one in found:
        if (
            one.cause == causes.SKIPPED
            and one.together
            and one.first is not None
            and one.last is not None
        ):
            low, high = one.first - BETWEEN, one.last + BETWEEN
            if low <= row.positions[0] and row.positions[-1] <= high:
                one.rows.append(row)
                return True
    return False


def _stopped(rows: list[_Row]) -> Iterator[_Cluster]:
    """Rows that one stop of the projection explains: it lies after all that they applied, before all they lack."""
    # The classic stabbing of intervals: a stop at the earliest end takes all that it can.
    left = sorted(rows, key=lambda row: row.positions[0] if row.positions else 0)
    scattered: list[_Row] = []
    while left:
        end = left[0].positions[0] if left[0].positions else 0
        together = [row for row in left if row.applied < end]
        together = together or [left[0]]
        left = [row for row in left if row not in together] if len(together) < len(left) else []
        # Rows that rest for long share a stop by chance; one stop is told where most late rows agree on it.
        if len(together) >= FEWEST and 2 * len(together) >= len(rows):
            yield _Cluster(causes.STOPPED, together, together=True)
        else:
            scattered += together
    if scattered:
        yield _Cluster(causes.STOPPED, scattered, together=False)


def _by_kind(cause: str, rows: list[_Row]) -> Iterator[_Cluster]:
    for kind in dict.fromkeys(row.kind for row in rows):
        yield _Cluster(cause, [row for row in rows if row.kind == kind], together=False)


# -- saying it -----------------------------------------------------------------------------------

_SCHEMA: Final = pa.schema(
    {
        "cause": pa.string(),
        "together": pa.bool_(),
        "rows": pa.int64(),
        "events": pa.int64(),
        "share": pa.float64(),
        "first_position": pa.int64(),
        "last_position": pa.int64(),
        "first_at": pa.timestamp("us", tz="UTC"),
        "last_at": pa.timestamp("us", tz="UTC"),
        "event_types": pa.list_(pa.string()),
        "schema_versions": pa.list_(pa.string()),
        "keys": pa.list_(pa.string()),
        "says": pa.string(),
    }
)


def _plain(one: _Cluster, explanation: Explanation) -> dict[str, Any]:
    positions = {p for row in one.rows for p in row.positions}
    moments = [m for row in one.rows for m in row.moments if m is not None]
    events = (
        len(positions)
        if all(row.events == len(row.positions) for row in one.rows)
        else sum(row.events for row in one.rows)
    )
    share = (
        len(positions) / (len(positions) + one.innocent)
        if one.together and one.cause != causes.STOPPED
        else None
    )
    found = {
        "cause": one.cause,
        "together": one.together,
        "rows": len(one.rows),
        "events": events,
        "share": share,
        "first_position": one.first,
        "last_position": one.last,
        "first_at": min(moments, default=None),
        "last_at": max(moments, default=None),
        "event_types": _most(t for row in one.rows for t in row.types),
        "schema_versions": _most(s for row in one.rows for s in row.schemas if s is not None),
        "keys": [row.key for row in one.rows[:KEYS]],
    }
    return found | {"says": _says(one, found)}


def _most(values: Iterable[str]) -> list[str]:
    return [value for value, _ in Counter(values).most_common(5)]


def _says(one: _Cluster, found: dict[str, Any]) -> str:
    rows = counted(len(one.rows), "row")
    first, last = one.first, one.last
    when = between(found["first_at"], found["last_at"])
    if one.cause == causes.UNEXPLAINED:
        return _unexplained(one, rows)
    if first is None or last is None:
        return f"{rows}: {causes.MEANS[one.cause]}"
    where = spread(first, last)
    if one.cause == causes.STOPPED:
        applied = max(row.applied for row in one.rows)
        lag = max(row.events for row in one.rows)
        lacking = min(row.positions[0] for row in one.rows if row.positions)
        if one.together:
            since = [row.moments[0] for row in one.rows if row.moments and row.moments[0]]
            when = between(min(since), min(since)) if since else "at a time that is not known"
            return (
                f"{rows} are late by up to {counted(lag, 'event')}: the projection stopped after position {applied:,} and "
                f"before {lacking:,}, {when}"
            )
        return f"{rows} {'is' if len(one.rows) == 1 else 'are'} late by up to {counted(lag, 'event')}, each since another event, {when}"
    if one.cause == causes.NOT_WRITTEN:
        return f"{rows} {'was' if len(one.rows) == 1 else 'were'} never written; their events lie at {where}, {when}"
    done = _DONE[one.cause]
    kinds = _kinds(one, found)
    if one.together:
        share = found["events"] + one.innocent
        some = "" if not one.innocent else f"{found['events']:,} of the {share:,} "
        return f"{some or 'all '}events at {where} {done}, {when}: {rows}{kinds}"
    each = "one event" if all(row.events == 1 for row in one.rows) else "events"
    pair = (
        " (the one that lacks it and the one that has it)" if one.cause == causes.WRONG_KEY else ""
    )
    return f"{rows}{pair}: {each} of each {done if each == 'events' else _of_one(done)}, scattered over {where}, {when}{kinds}"


def _of_one(done: str) -> str:
    return done.replace("were", "was").replace("their", "its")


def _kinds(one: _Cluster, found: dict[str, Any]) -> str:
    counts = Counter(t for row in one.rows for t in row.types)
    if len(counts) == 1:
        (kind,) = counts
        versions = found["schema_versions"]
        known = all(s is not None for row in one.rows for s in row.schemas)
        old = f" of schema {versions[0]}" if known and len(versions) == 1 else ""
        return f"; all of them {kind}{old}"
    shown = ", ".join(f"{kind} {count:,}" for kind, count in counts.most_common(3))
    return f"; {shown}{', …' if len(counts) > 3 else ''}"


def _unexplained(one: _Cluster, rows: str) -> str:
    kind = one.rows[0].kind
    if kind == "orphaned":
        return f"{rows} orphaned and unexplained: no change of events that was tried gives them"
    return f"{rows} {kind} and unexplained: no cause that was tried gives what is stored"
