"""From a source's own columns to canonical events: one grammar for every source.

A mapping is ``{canonical column: spec}``. A spec is

* ``"aggregate_id"``: a column of the source,
* ``"metadata.user"``: a field inside a JSON column (``metadata.trace.id`` goes deeper),
* ``"=account"``: the same text for every record.

A spec may be a list of specs: the first that is not NULL counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from workbench._sql import aware_time, ident, json_text, text
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

    Raises
    ------
    ConfigError
        A canonical column that does not exist, a source column that does not exist, or a naive time
        column without a time zone.
    """
    columns: dict[str, str] = {"source_position": source_position}
    reasons = list(reject)
    for canonical, spec in mapping.items():
        if canonical not in MAPPABLE or canonical == "source_position":
            message = f"{source}: the mapping names {canonical!r}, which is no column of an event."
            raise ConfigError(message + did_you_mean(canonical, MAPPABLE))
        specs = [spec] if isinstance(spec, str) else list(spec)
        given = [_field(one, have, source, canonical) for one in specs]
        converted = [
            _convert(canonical, expression, duck_type, source, timezone, epoch)
            for expression, duck_type in given
        ]
        columns[canonical] = (
            converted[0] if len(converted) == 1 else f"coalesce({', '.join(converted)})"
        )
        if COLUMNS[canonical] in ("BIGINT", "TIMESTAMPTZ"):
            # A value that is there but cannot be read must not turn into 'unknown'.
            present = " OR ".join(f"({expression}) IS NOT NULL" for expression, _ in given)
            shown = f"coalesce({', '.join(f'CAST({expression} AS VARCHAR)' for expression, _ in given)})"
            wanted = "a whole number" if COLUMNS[canonical] == "BIGINT" else _wanted_time(epoch)
            reasons.append(
                f"CASE WHEN ({present}) AND ({columns[canonical]}) IS NULL THEN "
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


def _field(spec: str, have: Mapping[str, str], source: str, canonical: str) -> tuple[str, str]:
    """Return the expression of one spec and its DuckDB type."""
    if spec.startswith("="):
        return text(spec[1:]), "VARCHAR"
    if spec in have:
        return ident(spec), have[spec].upper()
    head, dot, rest = spec.partition(".")
    if dot and head in have:
        # A JSON column may hold text that is no JSON; the log rejects that record with its reason.
        return (
            f"CASE WHEN json_valid(CAST({ident(head)} AS VARCHAR)) THEN {json_text(ident(head), rest)} END",
            "VARCHAR",
        )
    message = f"{source}: {canonical} is mapped to {spec!r}, but there is no column {head!r}."
    raise ConfigError(
        message + did_you_mean(head, have),
        hint="name the columns with columns={'stream_id': …, 'event_type': …, …}",
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
        # 'infinity' and years that Python cannot hold are rejects, not crashes.
        return (
            f"CASE WHEN isfinite({expression}) AND epoch_us({expression}) BETWEEN -62135596800000000 "
            f"AND {_LAST_MICROSECOND} THEN {expression} END"
        )
    if duck_type.startswith("TIMESTAMP") or duck_type == "DATE":
        if timezone is None:
            message = f"{source}: {canonical} comes from a column of type {duck_type}, which says no time zone."
            raise ConfigError(message, hint="say how to read it: timezone='UTC' (or its zone)")
        return f"timezone({text(timezone)}, CAST({expression} AS TIMESTAMP))"
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
    return fallbacks[0] if len(fallbacks) == 1 else f"coalesce({', '.join(fallbacks)})"


def _from_epoch(number: str, expression: str, epoch: Epoch) -> str:
    factor = _TO_MICROSECONDS[epoch]
    # Whole microseconds through DECIMAL: a DOUBLE has no exact thousandths at today's epoch.
    exact = f"try_cast(round(try_cast({expression} AS DECIMAL(38,9)) * {factor}) AS BIGINT)"
    return f"CASE WHEN abs({number}) * {factor} <= {_LAST_MICROSECOND} THEN make_timestamptz({exact}) END"
