"""Where an event's columns stand in a record: the envelope's mapping, compiled to SQL.

A spec is a path into the value (``"aggregateId"``, ``"metadata.userId"``), or one of

* ``"key"``: the record's key, ``"topic"``: its topic,
* ``"header.NAME"``: a header (the last one of that name, as Kafka's own clients have it),
* ``"record.timestamp"``: the record's own time,
* ``"value"``: the whole value; ``"value.key"``: a member that one of these words would hide,
* ``"=text"``: the same text for every record.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Final

from workbench._sql import ident, json_path, text
from workbench.errors import ConfigError
from workbench.event import COLUMNS
from workbench.sources.base import Shape
from workbench.sources.mapping import Epoch, Spec, shape

#: The reference system's envelope.
DEFAULT: Final[Mapping[str, Spec]] = {
    "event_id": ("eventId", "id"),
    "event_type": ("eventType", "type"),
    "stream_id": ("aggregateId", "streamId", "key"),
    "stream_type": ("aggregateType", "streamType"),
    "version": "version",
    "schema_version": ("schemaVersion", "metadata.schemaVersion"),
    "occurred_at": "timestamp",
    "correlation_id": ("metadata.correlationId", "correlationId"),
    "causation_id": ("metadata.causationId", "causationId"),
    "actor": ("metadata.userId", "userId"),
    "data": "data",
    "metadata": "metadata",
}
_LAST_MS: Final = 253_402_300_799_999  # the end of year 9999, as far as Python's datetime reaches
_TIME: Final = f"CASE WHEN timestamp_ms BETWEEN 0 AND {_LAST_MS} THEN make_timestamptz(timestamp_ms * 1000) END"
_HEADERS: Final = (
    "list_transform(headers, lambda h: json_array(h.name, CASE WHEN h.value IS NULL THEN NULL "
    "WHEN try(decode(h.value)) IS NOT NULL THEN to_json(try(decode(h.value))) "
    "ELSE to_json({'base64': base64(h.value)}) END))"
)
_KEY: Final = (
    "CASE WHEN key IS NULL THEN NULL WHEN try(decode(key)) IS NOT NULL THEN to_json(try(decode(key))) "
    "ELSE to_json({'base64': base64(key)}) END"
)
# Only for a record whose envelope has no metadata of its own: that is never rewritten.
_FACTS: Final = (
    f"CASE WHEN METADATA IS NULL AND (key IS NOT NULL OR headers IS NOT NULL) THEN "
    f"json_object('kafka', json_object('key', {_KEY}, 'headers', coalesce({_HEADERS}, []))) END"
)
_PARSED: Final = "wb_members"


@dataclasses.dataclass(frozen=True, slots=True)
class Envelope:
    """A mapping, compiled.

    Attributes
    ----------
    cuts
        The paths whose members are cut out of the value exactly as they stand: ``cut0``, ….
    columns
        Column -> expression over a slab (see :mod:`~workbench.sources.kafka.slab`).
    kept
        Columns of the slab that stay as they are, without a copy. ``shape`` speaks of these two kinds.
    parse
        What is parsed once for a record and used by many columns: an expression, named ``wb_members``.
    shape
        How the columns become an event.
    """

    cuts: tuple[tuple[str, ...], ...]
    columns: Mapping[str, str]
    kept: tuple[str, ...]
    parse: str
    shape: Shape

    def select(self, table: str) -> str:
        """Return the query that turns slabs into the columns of a batch."""
        columns = ", ".join(f"{sql} AS {ident(name)}" for name, sql in self.columns.items())
        return f"SELECT {columns} FROM (SELECT *, {self.parse} AS {_PARSED} FROM {table})"


def compile_envelope(
    columns: Mapping[str, Spec] | None,
    *,
    source: str,
    timezone: str | None,
    epoch: Epoch | None,
) -> Envelope:
    """Compile a mapping; ``columns`` replaces the default envelope's entries of the same name.

    Raises
    ------
    ConfigError
        A column that no event has, or a spec that means nothing.
    """
    mapping = {**DEFAULT, **(columns or {})}
    paths: dict[str, int] = {}  # JSON path -> place in what is parsed
    cuts: dict[tuple[str, ...], int] = {}
    made: dict[str, str] = {}
    types: dict[str, str] = {}
    named: dict[str, Spec] = {}
    for canonical, given in mapping.items():
        specs = [given] if isinstance(given, str) else list(given or ())
        if not specs or not all(isinstance(spec, str) and spec for spec in specs):
            message = f"{source}: {canonical} is mapped to {given!r}, which names nothing."
            raise ConfigError(message, hint="leave the column out, or name a path in the value")
        whole = COLUMNS.get(canonical) == "JSON"
        names = []
        for spec in specs:
            name, sql, kind = _column(spec, whole, paths, cuts, source)
            if sql is not None:
                made[name], types[name] = sql, kind
            names.append(name)
        named[canonical] = names
    metadata = named["metadata"]
    own = ", ".join(made[name] for name in metadata if name in made) or "'constant'"
    made["record.facts"], types["record.facts"] = (
        _FACTS.replace("METADATA", f"coalesce({own})"),
        "JSON",
    )
    named["metadata"] = [*metadata, "record.facts"]
    made |= {
        "record.place": "topic || '/' || partition || '/' || \"offset\"",
        "record.created": f"CASE WHEN NOT append_time THEN {_TIME} END",
        "record.appended": f"CASE WHEN append_time THEN {_TIME} END",
        # What msgspec takes for JSON and DuckDB does not: an escape that is half a character, say.
        "record.problem": f"CASE WHEN problem IS NOT NULL THEN problem || coalesce(' of key ' || left(try(decode(key)), 200), '') "
        f"WHEN {_PARSED} IS NULL THEN 'the value is not JSON' END",
    }
    compiled = shape(
        named,
        types,
        source=source,
        source_position=ident("record.place"),
        raw="coalesce(raw, encode(text))",
        timezone=timezone,
        epoch=epoch,
        reject=(ident("record.problem"),),
        otherwise={
            "occurred_at": ident("record.created"),
            "recorded_at": ident("record.appended"),
        },
    )
    kept = ("text", "raw", *(f"cut{number}" for number in range(len(cuts))))
    listed = ", ".join(text(path) for path in paths)
    return Envelope(
        cuts=tuple(cuts),
        columns={name: sql for name, sql in made.items() if name not in kept},
        kept=kept,
        parse=f"try(json_extract_string(text, [{listed}]))",
        shape=compiled,
    )


def _column(
    spec: str,
    whole: bool,
    paths: dict[str, int],
    cuts: dict[tuple[str, ...], int],
    source: str,
) -> tuple[str, str | None, str]:
    """Return a spec's column: its name, its expression (None: the mapping knows it), its type."""
    head, _, rest = spec.partition(".")
    if spec.startswith("="):
        return spec, None, "VARCHAR"
    if spec == "key":
        return spec, "try(decode(key))", "VARCHAR"
    if spec == "topic":
        return spec, "topic", "VARCHAR"
    if spec == "value":
        return "text", "text", "VARCHAR"
    if spec == "record.timestamp":
        return spec, _TIME, "TIMESTAMP WITH TIME ZONE"
    if head in ("header", "value") and not rest:
        message = f"{source}: {spec!r} names no header."
        raise ConfigError(
            message, hint="write 'header.NAME', or 'value.header' for a member of the value"
        )
    if head == "header":
        last = f"list_filter(headers, lambda h: h.name = {text(rest)})[-1].value"
        return spec, f"try(decode({last}))", "VARCHAR"
    path = rest if head == "value" else spec
    if whole:
        number = cuts.setdefault(_keys(path), len(cuts))
        return f"cut{number}", f"cut{number}", "JSON"
    number = paths.setdefault(json_path(path), len(paths))
    return spec, f"{_PARSED}[{number + 1}]", "VARCHAR"


def _keys(path: str) -> tuple[str, ...]:
    r"""Split a path as :func:`~workbench._sql.json_path` does.

    >>> _keys(r"body.a\.b")
    ('body', 'a.b')
    """
    return tuple(re.sub(r"\\(.)", r"\1", key) for key in re.findall(r"(?:\\.|[^.\\])+", path))
