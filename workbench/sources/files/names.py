"""Which column of a file is which column of an event."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from workbench._sql import ident, text
from workbench.errors import ConfigError, did_you_mean
from workbench.event import MAPPABLE
from workbench.sources import mapping
from workbench.sources.base import Shape
from workbench.sources.files import records
from workbench.sources.files.paths import NDJSON, PARQUET
from workbench.sources.mapping import Epoch, Spec

#: Names that other stores use, tried when a file has no column of the canonical name.
_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "stream_id": ("aggregate_id",),
    "stream_type": ("aggregate_type",),
    "version": ("aggregate_version", "stream_version"),
    "event_id": ("id",),
    "event_type": ("type",),
    "occurred_at": ("timestamp",),
    "data": ("payload",),
}
_NEEDED: Final = ("stream_id", "event_type")
_INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


def automatic(have: Iterable[str], where: str) -> dict[str, Spec]:
    """Map a file's columns by their names.

    Raises
    ------
    ConfigError
        No column, or more than one, is the stream or the type of an event.
    """
    columns = list(have)
    found: dict[str, Spec] = {}
    for canonical in MAPPABLE:
        if canonical in columns:
            found[canonical] = canonical
            continue
        others = [name for name in _ALSO.get(canonical, ()) if name in columns]
        if len(others) == 1:
            found[canonical] = others[0]
    found.pop("source_position", None)  # the coordinates are those in the file
    missing = [canonical for canonical in _NEEDED if canonical not in found]
    if missing:
        guesses = "".join(did_you_mean(canonical, columns) for canonical in missing if columns)
        message = (
            f"{where}: no column is {' or '.join(missing)} by its name. "
            f"The columns are {', '.join(columns) or '(none)'}."
        )
        if "Did you mean" in guesses:
            message += guesses
        spec = ", ".join(f"{canonical!r}: '…'" for canonical in missing)
        raise ConfigError(message, hint=f"say which they are: columns={{{spec}, …}}")
    return found


def merged(surveys: Iterable[tuple[str, Mapping[str, str]]], source: str) -> dict[str, str]:
    """Return the columns of all files; integers of different widths become the widest.

    Raises
    ------
    ConfigError
        A column has types that have nothing to do with each other.
    """
    have: dict[str, str] = {}
    first: dict[str, tuple[str, str]] = {}
    for file, columns in surveys:
        for name, duck_type in columns.items():
            known = have.setdefault(name, duck_type)
            first.setdefault(name, (duck_type, file))
            if known == duck_type:
                continue
            if not {known, duck_type} <= set(_INTEGERS):
                message = f"{source}: column {name} is {' in '.join(first[name])}, but {duck_type} in {file}."
                raise ConfigError(
                    message, hint="load these files apart, each with a name of its own"
                )
            have[name] = "BIGINT"
    return have


def heads(columns: Mapping[str, Spec], have: Mapping[str, str], format: str) -> dict[str, str]:
    """Return the columns of the file that a mapping needs, with their types."""
    needed: dict[str, str] = {}
    for value in columns.values():
        for spec in [value] if isinstance(value, str) else value:
            head = spec if spec in have else spec.partition(".")[0]
            if head in have:
                needed[head] = have[head]
            elif spec == records.WHOLE and format != NDJSON:
                needed.update(have)
    return needed


def shape(
    columns: Mapping[str, Spec],
    have: Mapping[str, str],
    *,
    format: str,
    source: str,
    timezone: str | None,
    epoch: Epoch | None,
) -> Shape:
    """Compile the mapping of a file's columns.

    Raises
    ------
    ConfigError
        See :func:`workbench.sources.mapping.shape`.
    """
    known = dict(have)
    entire: list[str] = []
    if format == NDJSON:
        known[records.WHOLE] = "JSON"
    else:
        entire = [name for name in ("data", "metadata") if columns.get(name) == records.WHOLE]
    compiled = mapping.shape(
        {name: spec for name, spec in columns.items() if name not in entire},
        known,
        source=source,
        source_position=ident(records.AT),
        raw=_raw(format, heads(columns, have, format)),
        timezone=timezone,
        epoch=epoch,
        reject=[ident(records.PROBLEM)],
    )
    # In NDJSON the record as a whole is there as text; elsewhere it is put together.
    return replace(compiled, columns={**compiled.columns, **dict.fromkeys(entire, _object(have))})


def _raw(format: str, columns: Mapping[str, str]) -> str:
    if format == PARQUET:
        return _object(columns)
    return f"coalesce({ident(records.BYTES)}, encode({ident(records.WHOLE)}))"


def _object(columns: Mapping[str, str]) -> str:
    """Write a record as a JSON object; JSON columns stand in it as they are."""
    members = []
    for name, duck_type in columns.items():
        value = ident(name)
        if duck_type.startswith("DECIMAL"):  # a narrow one would lose its last zeros
            value = f"CAST({value} AS DECIMAL(38,{duck_type.rstrip(')').split(',')[1]}))"
        if duck_type != "JSON":
            value = f"CAST(to_json({value}) AS VARCHAR)"
        members.append(
            f"{text(json.dumps(name, ensure_ascii=False))} || ': ' || coalesce({value}, 'null')"
        )
    return "'{' || " + (" || ', ' || ".join(members) or "''") + " || '}'"
