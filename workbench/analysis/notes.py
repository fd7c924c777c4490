"""What a reader has to know about a replay: what was left out, what could not be read, what looks misspelt."""

from __future__ import annotations

from collections.abc import Iterator

from workbench._sql import any_of, ident
from workbench.analysis.definition import Definition
from workbench.errors import did_you_mean
from workbench.moments import Clock, Moment
from workbench.store.view import EVENTS, View

LOOKED_AT = 1_000_000
"""So many events are searched for a field before it is called absent."""


def notes(definition: Definition, view: View, moment: Moment, clock: Clock) -> list[str]:
    """Return the notes on a replay, as sentences."""
    asked = view.until(moment)
    return [
        *_not_applied(definition, asked),
        *_misspelt_types(definition, view),
        *_misspelt_fields(definition, view),
        *_misspelt_stream_type(definition, view),
        *_without_key(definition, asked),
        *_without_time(view, moment, clock),
        *_unusable(definition, asked),
    ]


def _not_applied(definition: Definition, view: View) -> Iterator[str]:
    if definition.types is None:
        return
    known = {*definition.types, *definition.ignore}
    kind = definition.stream_type
    scope = view if kind is None else view.where(stream_type=kind)
    unknown = {name: count for name, count in scope.types.items() if name not in known}
    if unknown:
        shown = ", ".join(f"{name} ({count:,})" for name, count in list(unknown.items())[:6])
        more = f" and {len(unknown) - 6} more types" if len(unknown) > 6 else ""
        yield f"not applied, since {definition.name!r} does not name them: {shown}{more}"


def _misspelt_types(definition: Definition, view: View) -> Iterator[str]:
    """Types that no event of the whole log has; a narrowed view may well lack some."""
    known = View(view.database).types
    if known:
        for name in definition.types or ():
            if name not in known:
                yield f"no event of this log is a {name}.{did_you_mean(name, known)}"


def _misspelt_fields(definition: Definition, view: View) -> Iterator[str]:
    """Fields that are in no event; where that is so, each value of them is NULL."""
    whole = view.whole
    if not whole.count:
        return
    types = "TRUE" if definition.types is None else any_of("event_type", definition.types)
    for item in definition.fields:
        if not item.path:
            continue
        reader = whole.read(item)
        present = reader.present
        looked_at = f"SELECT * FROM {EVENTS} WHERE {types} LIMIT {LOOKED_AT}"
        if whole.remember(f"SELECT 1 FROM ({looked_at}) WHERE {present} LIMIT 1"):
            continue
        column = ident(item.column)
        keys = whole.remember(
            f"SELECT DISTINCT unnest(json_keys({column})) FROM (SELECT {column} FROM {EVENTS} "
            f"WHERE {types} AND json_type({column}) = 'OBJECT' LIMIT 10000) LIMIT 200"
        )
        head = item.path.partition(".")[0]
        close = did_you_mean(head, [row[0] for row in keys]) if (head,) not in keys else ""
        yield f"no event that it applies has a value at {item.name!r}.{close}"


def _misspelt_stream_type(definition: Definition, view: View) -> Iterator[str]:
    wanted = definition.stream_type
    if wanted is None or not View(view.database).count:
        return
    known = [
        row[0] for row in view.remember(f"SELECT DISTINCT stream_type FROM {EVENTS} LIMIT 200")
    ]
    if wanted not in known:
        yield f"no stream of this log is a {wanted}.{did_you_mean(wanted, [name for name in known if name])}"


def _without_key(definition: Definition, view: View) -> Iterator[str]:
    if definition.by_stream:
        return
    missing = " OR ".join(f"{view.read(item).value} IS NULL" for item in definition.key.values())
    types = view if definition.types is None else view.where(types=definition.types)
    (lost,) = view.remember(f"SELECT count(*) FROM {EVENTS} WHERE {types.filter} AND ({missing})")[
        0
    ]
    if lost:
        yield f"{lost:,} events have no {', '.join(definition.key)}, and touch no row"


def _without_time(view: View, moment: Moment, clock: Clock) -> Iterator[str]:
    if moment.time is not None and (untimed := view.without_time(clock)):
        yield f"{untimed:,} events do not say when they were {clock}, and are left out"


def _unusable(definition: Definition, view: View) -> Iterator[str]:
    touched = view if definition.types is None else view.where(types=definition.types)
    for item in definition.fields:
        reader = view.read(item)
        if reader.unusable is None:
            continue
        (unusable,) = view.remember(
            f"SELECT count(*) FROM {EVENTS} WHERE {touched.filter} AND {reader.unusable}"
        )[0]
        if unusable:
            yield f"{unusable:,} values of {item.name} are no {item.type}: columns that need them are NULL there"
