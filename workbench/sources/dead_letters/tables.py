"""Rows of a table as dead letters: which format the table is of, and the SQL that reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from workbench._sql import text
from workbench.errors import ConfigError, did_you_mean
from workbench.sources.dead_letters.axon import AXON
from workbench.sources.dead_letters.expressions import Expr, all_of
from workbench.sources.dead_letters.marten import MARTEN
from workbench.sources.dead_letters.table_format import Row, TableFormat, plain
from workbench.sources.dead_letters.wolverine import WOLVERINE

FORMATS: Final = (AXON, WOLVERINE, MARTEN)
BY_NAME: Final[Mapping[str, TableFormat]] = {one.name: one for one in FORMATS}


def find(columns: Iterable[str], where: str) -> TableFormat:
    """Recognise a table by its columns.

    Raises
    ------
    ConfigError
        It is no table of dead letters that is known.
    """
    given = list(columns)
    have = {plain(name) for name in given}
    for one in FORMATS:
        if have >= {plain(name) for name in one.needs}:
            return one
    message = (
        f"{where} is no table of dead letters that is known: its columns are {', '.join(given)}."
    )
    raise ConfigError(
        message, hint=f"known are {', '.join(f'{one.table} ({one.name})' for one in FORMATS)}"
    )


def check(format: TableFormat, columns: Iterable[str], where: str) -> TableFormat:
    """See that a table has what a format that was asked for needs.

    Raises
    ------
    ConfigError
        A column is missing.
    """
    given = list(columns)
    have = {plain(name) for name in given}
    for name in format.needs:
        if plain(name) not in have:
            message = f"{where} has no column {name!r}, which a dead letter of {format.name} has."
            raise ConfigError(message + did_you_mean(name, given))
    return format


def columns(format: TableFormat, types: Mapping[str, str], timezone: str | None) -> dict[str, Expr]:
    """Return the columns of ``dead_letters`` over a table with these columns (name -> DuckDB type)."""
    found = dict(format.columns(Row(types, timezone)))
    stated = found.pop("parse_error", Expr("NULL"))
    problems = dict.fromkeys(problem for given in found.values() for problem in given.problems)
    listed = ", ".join([stated.sql, *problems])
    return {
        **found,
        "format": Expr(text(format.name)),
        "parse_error": all_of(f"nullif(concat_ws('; ', {listed}), '')", stated, *found.values()),
    }
