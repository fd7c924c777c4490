"""What if: a log with some events dropped, edited or added, to be held against the log as it is."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import pyarrow as pa

from workbench._sql import any_of, ident, text
from workbench.errors import ConfigError, ProjectionError, did_you_mean
from workbench.event import COLUMNS
from workbench.moments import parse_time
from workbench.projections.engines.upcast_payload import drop_field, set_field
from workbench.projections.upcasting import is_json
from workbench.store.fields import field
from workbench.store.fork import Fork
from workbench.store.view import EVENTS, View

Which = int | str
"""An event, by its position or its event_id."""
Event = Mapping[str, Any]

_FIXED: Final = ("position", "source", "source_position")
_NEEDED: Final = ("stream_id", "event_type")
_ENCODE: Final = msgspec.json.Encoder(decimal_format="number").encode
_SCHEMA: Final = pa.schema([(name, pa.string()) for name in COLUMNS])
SOURCE: Final = "what-if"


def what_if(
    view: View,
    *,
    drop: Iterable[Which] | View = (),
    edit: Mapping[Which, Event] | None = None,
    add: Sequence[Event] = (),
) -> View:
    """Fork a log; see ``EventLog.what_if``."""
    if isinstance(view.database, Fork):
        message = f"{view.database.label} is a fork already."
        raise ConfigError(message, hint="say all changes at once, on the log itself")
    if isinstance(drop, int | str):
        drop = [drop]
    if isinstance(add, Mapping):
        add = [add]
    if isinstance(drop, View):
        gone = [row[0] for row in view.rows(f"SELECT position FROM {EVENTS} WHERE {drop.filter}")]
    else:
        gone = list(_positions(view, drop).values())
    edit = edit or {}
    positions = _positions(view, edit)
    edited = {positions[which]: changes for which, changes in edit.items()}
    if len(edited) < len(edit):
        message = "one event is to be edited twice, by its position and by its event_id."
        raise ConfigError(message)
    if both := set(gone) & set(edited):
        message = f"the event at position {min(both)} is to be dropped and edited."
        raise ConfigError(message)
    changed = [_edited(event, edited[int(event["position"])]) for event in _stored(view, edited)]
    changed += _added(view, add, gone)
    if not (gone or changed):
        message = "nothing is dropped, edited or added."
        raise ConfigError(
            message, hint="write log.what_if(drop=[88120]), with positions or event ids"
        )
    counts = {"dropped": len(gone), "edited": len(edited), "added": len(add)}
    words = "what if: " + ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
    fork = Fork(
        view.database,
        pa.table({"position": pa.array([*gone, *edited], pa.int64())}),
        pa.Table.from_pylist(changed, _SCHEMA),
        words=words,
    )
    return View(fork, view.conditions, (*view.words, words), view.upcasters)


def _positions(view: View, wanted: Iterable[Which]) -> dict[Which, int]:
    """Find events by position or id."""
    listed = list(wanted)
    numbers = [one for one in listed if isinstance(one, int) and not isinstance(one, bool)]
    names = [one for one in listed if isinstance(one, str)]
    if len(numbers) + len(names) < len(listed):
        odd = next(one for one in listed if one not in numbers and one not in names)
        message = f"{odd!r} names no event."
        raise ConfigError(message, hint="name events by position (88120) or event_id ('0192…')")
    rows = view.rows(
        f"SELECT position, event_id FROM {EVENTS} WHERE {view.filter} AND "
        f"({any_of('position', numbers)} OR {any_of('event_id', names)})"
    )
    found: dict[Which, int] = {position: position for position, _ in rows}
    found |= {event_id: position for position, event_id in rows}
    missing = [one for one in listed if one not in found]
    if missing:
        message = f"{view.database.label}: there is no event {missing[0]!r}."
        raise ConfigError(
            message, hint="log.sql('SELECT position, event_id, … FROM events') lists them"
        )
    return {one: found[one] for one in listed}


def _stored(view: View, positions: Iterable[int]) -> list[dict[str, Any]]:
    columns = ", ".join(f"CAST({ident(name)} AS VARCHAR) AS {ident(name)}" for name in COLUMNS)
    wanted = any_of("position", positions)
    rows = view.rows(f"SELECT {columns} FROM {EVENTS} WHERE {wanted} ORDER BY position")
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def _edited(event: dict[str, Any], changes: Event) -> dict[str, Any]:
    """Change fields of an event, named as in a projection: ``amount``, ``metadata.user``, ``event.version``."""
    where = f"the event at position {event['position']}"
    parsed = {
        name: None if event[name] is None else json.loads(event[name], parse_float=Decimal)
        for name in ("data", "metadata")
    }
    for name, value in changes.items():
        try:
            item = field(name)
        except ProjectionError as error:
            message = f"{where}: {error}"
            raise ConfigError(message) from error
        if item.column in parsed:
            _require_json(value, f"{where}, {name}")
        if item.path:
            data = parsed[item.column]
            if value is None:
                parsed[item.column] = drop_field(data, item.path)
            else:
                parsed[item.column] = set_field(data, item.path, value)
        elif item.column in parsed:
            parsed[item.column] = value
        else:
            event[item.column] = _column(item.column, value, where)
    for name, value in parsed.items():
        event[name] = None if value is None else _ENCODE(value).decode()
    return event


def _added(view: View, events: Sequence[Event], gone: Iterable[int]) -> list[dict[str, Any]]:
    """Put events behind the last one of the log, and behind the last one of their stream."""
    position = int(view.rows(f"SELECT coalesce(max(position), 0) FROM {EVENTS}")[0][0])
    dropped = set(gone)
    versions: dict[str, int] = {}
    found = []
    for number, event in enumerate(events, 1):
        where = f"event {number} of add"
        unknown = [name for name in event if name not in COLUMNS or name in _FIXED]
        if unknown:
            message = f"{where}: an event has no {unknown[0]!r} that can be given."
            raise ConfigError(message + did_you_mean(unknown[0], set(COLUMNS) - set(_FIXED)))
        for name in _NEEDED:
            if not isinstance(event.get(name), str):
                message = f"{where} has no {name}."
                raise ConfigError(
                    message,
                    hint="write {'stream_id': 'acc-1', 'event_type': 'DepositMade', 'data': {'amount': 10}}",
                )
        stream = event["stream_id"]
        kind, last = _of_stream(view, stream, dropped)
        made: dict[str, Any] = {
            "stream_type": kind,
            "version": versions.get(stream, last) + 1,
            "event_id": f"{SOURCE}-{number}",
            **{
                name: _column(name, value, where)
                for name, value in event.items()
                if name not in ("data", "metadata")
            },
        }
        versions[stream] = max(int(made["version"] or 0), versions.get(stream, last))
        for name in ("data", "metadata"):
            value = event.get(name)
            if isinstance(value, str):  # JSON as text
                value = _parsed(value, f"{where}, {name}")
            _require_json(value, f"{where}, {name}")
            made[name] = None if value is None else _ENCODE(value).decode()
        position += 1
        made |= {"position": position, "source": SOURCE, "source_position": str(number)}
        found.append({name: None if value is None else str(value) for name, value in made.items()})
    return found


def _of_stream(view: View, stream: str, dropped: set[int]) -> tuple[str | None, int]:
    """The kind of a stream, and its last version."""
    rows = view.rows(
        f"SELECT stream_type, version, position FROM {EVENTS} WHERE stream_id = {text(stream)} "
        "ORDER BY version DESC NULLS LAST LIMIT 1000"
    )
    left = [row for row in rows if row[2] not in dropped]
    return (rows[0][0] if rows else None), (left[0][1] or 0 if left else 0)


def _parsed(value: str, where: str) -> Any:
    try:
        return json.loads(value, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        message = f"{where}: {value[:80]!r} is no JSON."
        raise ConfigError(message, hint="give a dict: 'data': {'amount': 10}") from error


def _require_json(value: Any, where: str) -> None:
    try:
        usable = is_json(value) and _ENCODE(value) is not None
    except UnicodeEncodeError:  # half of a surrogate pair
        usable = False
    if not usable:
        message = f"{where}: JSON cannot hold {str(value)[:80]!r} exactly."
        raise ConfigError(
            message, hint="use text, int, Decimal, bool, None, or lists and dicts of them"
        )


def _column(name: str, value: Any, where: str) -> str | None:
    """A column of an event, as text."""
    if name in _FIXED or (value is None and name in _NEEDED):
        message = f"{where}: its {name} cannot be {'changed' if name in _FIXED else 'taken away'}."
        raise ConfigError(message)
    if value is None:
        return None
    if name.endswith("_at"):
        return parse_time(value, f"{where}, {name}").astimezone(dt.UTC).isoformat(sep=" ")
    if name == "version" and (isinstance(value, bool) or not isinstance(value, int)):
        message = f"{where}: version={value!r} is no whole number."
        raise ConfigError(message)
    if name != "version" and not isinstance(value, str):
        message = f"{where}: {name}={value!r} is no text."
        raise ConfigError(message)
    return str(value)
