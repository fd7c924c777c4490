"""Taking the census of a log."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import pyarrow as pa

from workbench.analysis.census.drift import drift
from workbench.analysis.census.result import Census
from workbench.analysis.census.shapes import Key, Pair, shapes
from workbench.analysis.census.structures import Structures
from workbench.errors import ConfigError
from workbench.moments import Clock
from workbench.projections.engines.upcast_sql import Upcasters, condition_of
from workbench.projections.upcasting import Chains, shown
from workbench.projections.versions import newest, order_of
from workbench.store.view import EVENTS, View

DEPTH: Final = 4
_TIME: Final = pa.timestamp("us", tz="UTC")
_PAIRS: Final = pa.schema(
    [
        ("event_type", pa.string()),
        ("schema_version", pa.string()),
        ("events", pa.int64()),
        ("first_position", pa.int64()),
        ("last_position", pa.int64()),
        ("first_seen", _TIME),
        ("last_seen", _TIME),
        ("fields", pa.int64()),
        ("drifting", pa.int64()),
        ("decodes", pa.bool_()),
        ("status", pa.string()),
        ("reaches", pa.string()),
        ("failing", pa.int64()),
    ]
)
_FIELDS: Final = pa.schema(
    [
        ("event_type", pa.string()),
        ("schema_version", pa.string()),
        ("field", pa.string()),
        ("present", pa.int64()),
        ("share", pa.float64()),
        ("types", pa.map_(pa.string(), pa.int64())),
        ("drift", pa.string()),
        ("before", pa.string()),
        ("after", pa.string()),
        ("since_position", pa.int64()),
        ("since", _TIME),
    ]
)


def census(view: View, *, depth: int = DEPTH, sample: int | None = None) -> Census:
    """Take the census of the events of a view; see ``EventLog.census``."""
    for name, value in (("depth", depth), ("sample", sample)):
        if value is not None and (isinstance(value, bool) or value < 1):
            message = f"{name}={value!r} is no number of {'keys' if name == 'depth' else 'events'}."
            raise ConfigError(message, hint="pass a whole number, 1 or more")
    clock = view.clock(None)
    counted = _pairs(view, clock)
    structures = Structures(view, clock, sample)
    found = shapes(structures.rows(), depth)
    upcasting = view.upcasters if isinstance(view.upcasters, Upcasters) else Upcasters(Chains())
    decoding = _decoding(view, upcasting, list(counted))
    fields: list[dict[str, Any]] = []
    for key, row in counted.items():
        own = _fields(key, found.get(key, Pair()))
        row["fields"] = len(own)
        row["drifting"] = sum(item["drift"] is not None for item in own)
        row |= decoding[key]
        fields += own
    result = Census(
        view.database, "", title=_title(view, clock), notes=(*structures.notes, *_notes(counted))
    )
    result._stored = view.database.keep_arrow(
        pa.Table.from_pylist(list(counted.values()), _PAIRS), result, "census"
    )
    result._fields = view.database.keep_arrow(
        pa.Table.from_pylist(fields, _FIELDS), result, "census_fields"
    )
    result.sql = _pairs_sql(view, clock)
    result.clock, result.view, result.sampled = clock, view, sample is not None
    return result


def _title(view: View, clock: Clock) -> str:
    return "; ".join([f"Census of {view.database.label}", *view.words])


def _pairs_sql(view: View, clock: Clock) -> str:
    return (
        "SELECT event_type, schema_version, count(*) AS events, min(position) AS first_position, "
        f"max(position) AS last_position, arg_min({clock}_at, position) AS first_seen, "
        f"arg_max({clock}_at, position) AS last_seen FROM {EVENTS} WHERE {view.filter} GROUP BY ALL"
    )


def _pairs(view: View, clock: Clock) -> dict[Key, dict[str, Any]]:
    rows = view.rows(_pairs_sql(view, clock))
    rows.sort(key=lambda row: (row[0], order_of(row[1]), row[1] or ""))
    names = [field.name for field in _PAIRS][: len(rows[0])] if rows else []
    return {(row[0], row[1]): dict(zip(names, row, strict=True)) for row in rows}


# -- fields --------------------------------------------------------------------------------------


def _fields(key: Key, pair: Pair) -> list[dict[str, Any]]:
    found = []
    for path in sorted(pair.present):
        changed = drift(pair, path)
        types = sorted(pair.types[path].items(), key=lambda item: (-item[1].events, item[0]))
        found.append(
            {
                "event_type": key[0],
                "schema_version": key[1],
                "field": path,
                "present": pair.present[path].events,
                "share": pair.present[path].events / pair.all.events,
                "types": [(kind, span.events) for kind, span in types],
                "drift": None if changed is None else changed.what,
                "before": None if changed is None else changed.before,
                "after": None if changed is None else changed.after,
                "since_position": None if changed is None else changed.since[0],
                "since": None if changed is None else changed.since[1],
            }
        )
    return found


# -- decoding ------------------------------------------------------------------------------------


def _decoding(view: View, upcasters: Upcasters, keys: list[Key]) -> dict[Key, dict[str, Any]]:
    """Tell how far each version comes under the upcasters at hand."""
    chains = upcasters.chains
    stored: dict[str, list[str | None]] = {}
    for kind, version in keys:
        stored.setdefault(kind, []).append(version)
    ends = {kind: newest([*known, chains.newest(kind)]) for kind, known in stored.items()}
    found = {}
    for kind, version in keys:
        chain = chains.of(kind, version)
        reached = chain[-1].to_version if chain else version
        arrives = reached == ends[kind]
        failing = _failing(view, upcasters, (kind, version)) if chain else 0
        status = "newest" if arrives and not chain else "upcast" if arrives else "no chain"
        if arrives and failing:
            status = "failing"
        found[kind, version] = {
            "decodes": arrives and not failing,
            "status": status,
            "reaches": reached,
            "failing": failing,
        }
    return found


def _failing(view: View, upcasters: Upcasters, pair: Key) -> int:
    """How many payloads the upcasters of this type and version cannot bring to the end of their chain."""
    fails = upcasters.failing(pair, dataclasses.replace(view, upcasters=None).read, view.database)
    if fails is None:
        return 0
    asked = (
        f"SELECT count(*) FROM {EVENTS} WHERE {view.filter} AND {condition_of(pair)} AND ({fails})"
    )
    return int(view.rows(asked)[0][0])


def _notes(counted: dict[Key, dict[str, Any]]) -> list[str]:
    notes = []
    for status, words in (
        ("no chain", "no chain of upcasters leads to the newest version from"),
        ("failing", "an upcaster fails on payloads of"),
    ):
        pairs = [
            f"{kind} {shown(version)}"
            for (kind, version), row in counted.items()
            if row["status"] == status
        ]
        if pairs:
            more = f" and {len(pairs) - 6} more" if len(pairs) > 6 else ""
            notes.append(f"{words} {', '.join(pairs[:6])}{more}")
    drifting = sum(row["drifting"] for row in counted.values())
    if drifting:
        notes.append(
            f"{drifting:,} field{'s' if drifting > 1 else ''} changed within a version; .fields() says which, and since when"
        )
    return notes
