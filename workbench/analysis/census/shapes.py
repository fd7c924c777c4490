"""The shapes of payloads: which fields they have, of which types, and where in the log.

DuckDB reduces each payload to its structure and counts equal ones; of these there are few, and here they are taken
apart. So the payloads stay in DuckDB, and keys may be called anything.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Shape = dict[str, str]
"""Path -> type of the value there."""

_TYPES: Final = {
    "BOOLEAN": "boolean",
    "BIGINT": "integer",
    "UBIGINT": "integer",
    "HUGEINT": "integer",
    "DOUBLE": "decimal",
    "VARCHAR": "text",
    "NULL": "null",
}
FEW_KEYS: Final = 200
"""An object in which more different keys are met holds data in its keys; so many are listed at most, …"""
RARE: Final = 0.1
"""… and only those in so large a share of the objects; all others are one field together."""
ANY_KEY: Final = "*"

Kept = Mapping[str | None, frozenset[str]]
"""Path of an object with many keys (None: the payload itself) -> the keys that are listed."""


@dataclass(frozen=True, slots=True)
class Row:
    """Events of one type and version, in one stretch of the log, whose payloads have one structure."""

    event_type: str
    schema_version: str | None
    part: int
    structure: str | None
    events: int
    first_position: int
    last_position: int
    first_seen: dt.datetime | None
    last_seen: dt.datetime | None


@dataclass(slots=True)
class Span:
    """How many events, the first and the last of them; and how many in each stretch of the log."""

    events: int = 0
    first: tuple[int, dt.datetime | None] | None = None
    last: tuple[int, dt.datetime | None] | None = None
    parts: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, row: Row) -> None:
        """Add the events of a row."""
        self.events += row.events
        self.parts[row.part] += row.events
        first, last = (row.first_position, row.first_seen), (row.last_position, row.last_seen)
        if self.first is None or first[0] < self.first[0]:
            self.first = first
        if self.last is None or last[0] > self.last[0]:
            self.last = last


@dataclass(slots=True)
class Pair:
    """The payloads of one type and version.

    Attributes
    ----------
    all
        All events.
    present, absent
        Path -> the events that have a field there, and those that have not.
    types
        Path -> type -> the events in which it is of that type.
    starts
        Stretch of the log -> the first event of it.
    """

    all: Span = field(default_factory=Span)
    present: dict[str, Span] = field(default_factory=lambda: defaultdict(Span))
    absent: dict[str, Span] = field(default_factory=lambda: defaultdict(Span))
    types: dict[str, dict[str, Span]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Span))
    )
    starts: dict[int, tuple[int, dt.datetime | None]] = field(default_factory=dict)


Key = tuple[str, str | None]


def shapes(rows: Iterable[Row], depth: int) -> dict[Key, Pair]:
    """Take the structures apart, down to so many keys."""
    listed: dict[Key, dict[str | None, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        listed[row.event_type, row.schema_version][row.structure].append(row)
    return {key: _pair(structures, depth) for key, structures in listed.items()}


def _pair(structures: Mapping[str | None, list[Row]], depth: int) -> Pair:
    pair = Pair()
    kept = _kept(structures, depth)
    shaped = {structure: shape(structure, depth, kept) for structure in structures}
    for structure, rows in structures.items():
        for row in rows:
            pair.all.add(row)
            start = (row.first_position, row.first_seen)
            if row.part not in pair.starts or start[0] < pair.starts[row.part][0]:
                pair.starts[row.part] = start
            for path, kind in shaped[structure].items():
                pair.present[path].add(row)
                pair.types[path][kind].add(row)
    for structure, rows in structures.items():
        for path in pair.present.keys() - shaped[structure].keys():
            for row in rows:
                pair.absent[path].add(row)
    return pair


def shape(structure: str | None, depth: int, kept: Kept) -> Shape:
    """Take one structure apart: path -> type, elements of lists as ``lines[]``.

    >>> shape('{"id":"VARCHAR","lines":[{"sku":"VARCHAR"}]}', 4, {})
    {'id': 'text', 'lines': 'list', 'lines[]': 'object', 'lines[].sku': 'text'}
    """
    if structure is None:
        return {}
    found: Shape = {}
    for _, _, path, value in _walk(json.loads(structure), None, depth, kept):
        kind = _type(value, inside="[]" in path)
        found[path] = kind if found.setdefault(path, kind) == kind else "mixed"
    return found


def _walk(
    structure: Any, above: str | None, depth: int, kept: Kept
) -> Iterator[tuple[str | None, str | None, str, Any]]:
    """Yield each value in a structure: the path of what holds it, its key (none in a list), its path, its type."""
    if isinstance(structure, dict) and depth:
        listed = kept.get(above)
        for key, value in structure.items():
            name = ANY_KEY if listed is not None and key not in listed else escaped(key)
            path = name if above is None else f"{above}.{name}"
            yield above, key, path, value
            yield from _walk(value, path, depth - 1, kept)
    elif isinstance(structure, list) and above is not None and structure[0] != "NULL":
        path = above + "[]"
        yield above, None, path, structure[0]
        yield from _walk(structure[0], path, depth, kept)


def _type(structure: Any, *, inside: bool) -> str:
    if isinstance(structure, dict):
        return "object"
    if isinstance(structure, list):
        return "list"
    # DuckDB calls JSON what has no one type: an empty object, or elements of several types.
    return _TYPES.get(structure, "mixed" if inside else "object")


def escaped(key: str) -> str:
    r"""Write a key as a part of a path: ``a.b`` as ``a\.b``."""
    return key.replace("\\", "\\\\").replace(".", "\\.")


def _kept(structures: Mapping[str | None, list[Row]], depth: int) -> Kept:
    """Find the objects with too many different keys, and the keys of them that are fields all the same."""
    counts: dict[str | None, Counter[str]] = defaultdict(Counter)
    of_parent: Counter[str | None] = Counter()
    for structure, rows in structures.items():
        if structure is None:
            continue
        events = sum(row.events for row in rows)
        parents = set()
        for above, key, _, _ in _walk(json.loads(structure), None, depth, {}):
            if key is not None:
                counts[above][key] += events
                parents.add(above)
        for above in parents:
            of_parent[above] += events
    found = {}
    for above, known in counts.items():
        if len(known) > FEW_KEYS:
            common = [key for key, events in known.items() if events >= RARE * of_parent[above]]
            common.sort(key=lambda key: (-known[key], key))
            found[above] = frozenset(common[:FEW_KEYS])
    return found
