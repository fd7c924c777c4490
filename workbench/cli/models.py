"""Arguments and options that say where a read model is, and how it is compared: for the verbs that take one."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

import workbench as wb
from workbench.cli import options
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.analysis.compare import Tolerance as Amount

_CHECKPOINT = "The read model's checkpoint"

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Where the read model is: postgresql://…, or a .parquet, .csv or .duckdb file.",
        show_default=False,
    ),
]
Table = Annotated[str | None, typer.Option("--table", help="The table, in a database.")]
Query = Annotated[
    str | None, typer.Option("--query", metavar="SELECT", help="Or a query, in a database.")
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="THEIRS=OURS",
        help="A column of the read model, and its name in the definition. Repeatable.",
    ),
]
Tolerance = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance",
        metavar="COLUMN=AMOUNT",
        help="Differences up to there are none: balance=0.01, updated_at=5s. Repeatable.",
    ),
]
VersionColumn = Annotated[
    str | None,
    typer.Option(
        "--version-column",
        metavar="COLUMN",
        help="Its column with the version up to which a row has applied its stream. Rows are then compared at "
        "that version, since lag is no corruption.",
        rich_help_panel=_CHECKPOINT,
    ),
]
PositionColumn = Annotated[
    str | None,
    typer.Option(
        "--position-column",
        metavar="COLUMN",
        help="The same for positions.",
        rich_help_panel=_CHECKPOINT,
    ),
]
Positions = Annotated[
    Literal["log", "source"],
    typer.Option(
        "--positions",
        help="Whether positions count as in this log or as in the source.",
        rich_help_panel=_CHECKPOINT,
    ),
]

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def read(
    model: str,
    *,
    table: str | None,
    query: str | None,
    column: Sequence[str] | None,
    version: str | None,
    position: str | None,
    positions: Literal["log", "source"],
    timezone: str | None,
) -> wb.ReadModel:
    """Make of these options the read model that they name."""
    return wb.read_model(
        model,
        table=table,
        query=query,
        columns=dict(options.pairs(list(column or []), "--column", "THEIRS=OURS")),
        version=version,
        position=position,
        positions=positions,
        timezone=timezone,
    )


def tolerances(given: Sequence[str] | None) -> dict[str, Amount]:
    """Make of each ``COLUMN=AMOUNT`` a tolerance."""
    named = options.pairs(list(given or []), "--tolerance", "COLUMN=AMOUNT")
    return {name: amount(name, value) for name, value in named}


def amount(column: str, value: str) -> Amount:
    """Read a tolerance: a number, or a duration for times.

    >>> amount("balance", "0.01"), amount("updated_at", "5m")
    (Decimal('0.01'), datetime.timedelta(seconds=300))

    Raises
    ------
    ConfigError
        It is neither.
    """
    duration = _DURATION.fullmatch(value)
    if duration:
        return dt.timedelta(seconds=float(duration[1]) * _SECONDS[duration[2]])
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        message = f"--tolerance {column}={value}: {value!r} is no number and no duration."
        raise ConfigError(message, hint="write balance=0.01, or updated_at=5s (us, ms, s, m, h, d)")
    return number
