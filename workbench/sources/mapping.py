"""From a source's own columns to canonical events: one grammar for every source.

A mapping is ``{canonical column: spec}``. A spec is

* ``"aggregate_id"``: a column of the source,
* ``"metadata.user"``: a field inside a JSON column (``metadata.trace.id`` goes deeper),
* ``"=account"``: the same text for every record.

A spec may be a list of specs: the first that is not NULL counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from workbench._sql import aware_time, ident, json_path, text
from workbench.errors import ConfigError, did_you_mean
from workbench.event import COLUMNS, MAPPABLE
from workbench.sources.base import Shape

Spec = str | Sequence[str]
Epoch = Literal["s", "ms", "us"]

_TO_MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}
# DuckDB's TIMESTAMPTZ reaches further, but pandas and Python's datetime end at year 9999.
_LAST_MICROSECOND: Final = 253_402_300_799_999_999


def shape(
    mapping: Mapping[str, Spec],
    have: Mapping[str, str],
    *,
    source: str,
    source_position: str,
    raw: str,
    timezone: str | None = None,
    epoch: Epoch | None = None,
    reject: Sequence[str] = (),
    otherwise: Mapping[str, str] | None = None,
) -> Shape:
    """Compile a mapping to a :class:`~workbench.sources.base.Shape`.

    Parameters
    ----------
    mapping
        Canonical column -> spec.
    have
        The columns of a batch -> their DuckDB types.
    source
        The source's name, for messages.
    source_position, raw
        Expressions for the coordinates and for the record as received.
    timezone
        How to read times that carry no offset (``"UTC"``, ``"Europe/Madrid"``). Without it a naive
        time column is an error, and a naive time text is a reject.
    epoch
        The unit of times that are numbers.
    reject
        Further conditions of the source, each a VARCHAR expression: the reason, or NULL.
    otherwise
        Canonical column -> an expression for records in which nothing that it is mapped to is there. A
        value that is there but cannot be read is no reason to guess.

    Raises
    ------
    ConfigError
        A canonical column that does not exist, a source column that does not exist, or a naive time
        column without a time zone.
    """
    columns: dict[str, str] = {"source_position": source_position, **(otherwise or {})}
    reasons = [*reject, *_not_text(mapping, have)]
    paths = _paths(mapping, have)
    for canonical, spec in mapping.items():
        if canonical not in MAPPABLE or canonical == "source_position":
            message = f"{source}: the mapping names {canonical!r}, which is no column of an event."
            raise ConfigError(message + did_you_mean(canonical, MAPPABLE))
        given = [_field(one, have, paths, source, canonical) for one in listed(spec)]
        converted = [
            _convert(canonical, expression, duck_type, source, timezone, epoch)
            for expression, duck_type in given
        ]
        stated = converted[0] if len(converted) == 1 else f"coalesce({', '.join(converted)})"
        present = " OR ".join(f"({expression}) IS NOT NULL" for expression, _ in given)
        if canonical in columns:
            stated = f"CASE WHEN {present} THEN {stated} ELSE {columns[canonical]} END"
        columns[canonical] = stated
        if COLUMNS[canonical] in ("BIGINT", "TIMESTAMPTZ"):
            # A value that is there but cannot be read must not turn into 'unknown'.
            shown = f"coalesce({', '.join(f'CAST({expression} AS VARCHAR)' for expression, _ in given)})"
            wanted = "a whole number" if COLUMNS[canonical] == "BIGINT" else _wanted_time(epoch)
            reasons.append(
                f"CASE WHEN ({present}) AND wb_{canonical} IS NULL THEN "
                f"{text(canonical + ' is not ' + wanted + ': ')} || left({shown}, 80) END"
            )
    reason = f"coalesce({', '.join(reasons)})" if reasons else "NULL"
    return Shape(columns=columns, reject=reason, raw=raw)


def _wanted_time(epoch: Epoch | None) -> str:
    return (
        f"a time in {epoch} since 1970"
        if epoch
        else "a time with an offset (as in 2026-06-30T14:02Z)"
    )


def listed(spec: Spec) -> list[str]:
    """Return a spec as a list.

    >>> listed("data"), listed(("metadata.user", "metadata.userId"))
    (['data'], ['metadata.user', 'metadata.userId'])
    """
    return [spec] if isinstance(spec, str) else list(spec)


def columns_used(mapping: Mapping[str, Spec], have: Collection[str]) -> set[str]:
    """Return the source columns that a mapping reads, so that no other has to be fetched.

    >>> sorted(columns_used({"stream_id": "id", "actor": "meta.user", "event_type": "=Paid"}, ["id", "meta", "x"]))
    ['id', 'meta']
    """
    return {
        column
        for spec in mapping.values()
        for one in listed(spec)
        if (column := _column(one, have))
    }


def _column(spec: str, have: Collection[str]) -> str | None:
    """Return the column that a spec reads; None for a constant and for a column that is not there."""
    if spec.startswith("="):
        return None
    name = spec if spec in have else spec.partition(".")[0]
    return name if name in have else None


def _paths(mapping: Mapping[str, Spec], have: Collection[str]) -> dict[str, list[str]]:
    """Return the paths inside each JSON column, in a fixed order."""
    paths: dict[str, list[str]] = {}
    for spec in mapping.values():
        for one in listed(spec):
            column = _column(one, have)
            if column is not None and column != one:
                paths.setdefault(column, []).append(one[len(column) + 1 :])
    return paths


def _not_text(mapping: Mapping[str, Spec], have: Mapping[str, str]) -> list[str]:
    """Return a reason to reject for each column of bytes that is no text."""
    return [
        f"CASE WHEN {ident(name)} IS NOT NULL AND try(decode({ident(name)})) IS NULL "
        f"THEN {text(name + ' is not UTF-8')} END"
        for name in sorted(columns_used(mapping, have))
        if have[name].upper() == "BLOB"
    ]


def _field(
    spec: str,
    have: Mapping[str, str],
    paths: Mapping[str, Sequence[str]],
    source: str,
    canonical: str,
) -> tuple[str, str]:
    """Return the expression of one spec and its DuckDB type."""
    if spec.startswith("="):
        return text(spec[1:]), "VARCHAR"
    head = spec.partition(".")[0]
    name = _column(spec, have)
    if name is not None:
        kind = have[name].upper()
        value, kind = (
            (f"try(decode({ident(name)}))", "VARCHAR") if kind == "BLOB" else (ident(name), kind)
        )
        if name == spec:
            if kind == "JSON" and COLUMNS[canonical] != "JSON":
                return _json_scalar(value), "VARCHAR"
            return value, kind
        if kind != "JSON":
            # Text may be no JSON; the log rejects that record with its reason.
            value = (
                f"CASE WHEN json_valid(CAST({value} AS VARCHAR)) THEN CAST({value} AS VARCHAR) END"
            )
        # All fields of a column in one expression that is the same wherever it stands: the column is
        # parsed once, however many fields are wanted.
        wanted = ", ".join(text(json_path(path)) for path in paths[name])
        nth = paths[name].index(spec[len(name) + 1 :]) + 1
        return f"json_extract_string({value}, [{wanted}])[{nth}]", "VARCHAR"
    message = f"{source}: {canonical} is mapped to {spec!r}, but there is no column {head!r}."
    raise ConfigError(
        message + did_you_mean(head, have),
        hint="name the columns with columns={'stream_id': …, 'event_type': …, …}",
    )


def _json_scalar(value: str) -> str:
    """Return the text of a JSON value: a string without its quotes, a number with all its digits."""
    return (
        f"CASE WHEN starts_with(CAST({value} AS VARCHAR), '\"') THEN json_extract_string({value}, '$') "
        f"WHEN CAST({value} AS VARCHAR) <> 'null' THEN CAST({value} AS VARCHAR) END"
    )


def _convert(
    canonical: str,
    expression: str,
    duck_type: str,
    source: str,
    timezone: str | None,
    epoch: Epoch | None,
) -> str:
    wanted = COLUMNS[canonical]
    if wanted == "BIGINT":
        # A cast from 1.5 or '1.5' rounds; only a whole number is a version.
        if duck_type in ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER"):
            return f"CAST({expression} AS BIGINT)"
        return f"CASE WHEN regexp_full_match(CAST({expression} AS VARCHAR), '-?\\d+(\\.0+)?') THEN try_cast({expression} AS BIGINT) END"
    if wanted == "TIMESTAMPTZ":
        return _time(canonical, expression, duck_type, source, timezone, epoch)
    if wanted == "JSON":
        # A JSON column was checked by who wrote it; anything else is text that the log has to check.
        return expression if duck_type == "JSON" else f"CAST({expression} AS VARCHAR)"
    return f"CAST({expression} AS {wanted})"


def _time(
    canonical: str,
    expression: str,
    duck_type: str,
    source: str,
    timezone: str | None,
    epoch: Epoch | None,
) -> str:
    number = f"try_cast({expression} AS DOUBLE)"
    if duck_type == "TIMESTAMP WITH TIME ZONE":
        return _within_reach(expression, expression)
    if duck_type.startswith("TIMESTAMP") or duck_type == "DATE":
        if timezone is None:
            message = f"{source}: {canonical} comes from a column of type {duck_type}, which says no time zone."
            raise ConfigError(message, hint="say how to read it: timezone='UTC' (or its zone)")
        local = f"CAST({expression} AS TIMESTAMP)"
        return _within_reach(local, f"timezone({text(timezone)}, {local})")
    if duck_type != "VARCHAR":
        if epoch is None:
            message = f"{source}: {canonical} comes from a column of type {duck_type}; a time as a number needs its unit."
            raise ConfigError(message, hint="say epoch='s', 'ms' or 'us'")
        return _from_epoch(number, expression, epoch)
    parsed = aware_time(expression)
    fallbacks = [parsed]
    if epoch is not None:
        fallbacks.append(_from_epoch(number, expression, epoch))
    if timezone is not None:
        fallbacks.append(f"timezone({text(timezone)}, try_cast({expression} AS TIMESTAMP))")
    time = fallbacks[0] if len(fallbacks) == 1 else f"coalesce({', '.join(fallbacks)})"
    return _within_reach(time, time)


def _within_reach(time: str, value: str) -> str:
    """Return ``value`` where ``time`` is one that Python can hold: not infinite, years 1 to 9999."""
    return (
        f"CASE WHEN isfinite({time}) AND epoch_us({time}) BETWEEN -62135596800000000 "
        f"AND {_LAST_MICROSECOND} THEN {value} END"
    )


def _from_epoch(number: str, expression: str, epoch: Epoch) -> str:
    factor = _TO_MICROSECONDS[epoch]
    # Whole microseconds through DECIMAL: a DOUBLE has no exact thousandths at today's epoch.
    exact = f"try_cast(round(try_cast({expression} AS DECIMAL(38,9)) * {factor}) AS BIGINT)"
    return f"CASE WHEN abs({number}) * {factor} <= {_LAST_MICROSECOND} THEN make_timestamptz({exact}) END"
