"""``workbench diff``: a stored read model against the replay."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

import workbench as wb
from workbench.cli import definitions, options, saving, show
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.analysis.compare import Tolerance
    from workbench.analysis.diff import Diff

EXAMPLES: Final = (
    "workbench diff bank.duckdb bank.account_summary accounts.parquet \\",
    "    --version-column version",
    "workbench diff bank.duckdb mine.py:accounts postgresql://audit@db/bank \\",
    "    --table accounts --column acct=account_id --tolerance balance=0.01",
    "workbench diff bank.duckdb mine.py:accounts accounts.csv -o all.parquet",
    "workbench diff bank.duckdb mine.py:accounts accounts.csv --json | jq .counts",
)

ROWS: Final = 10
WORST_FIRST: Final = ("corrupted", "orphaned", "missing", "stale", "ahead")
_CHECKPOINT = "The read model's checkpoint"
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def run(
    log: options.Log,
    definition: options.DefinitionName,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Where the read model is: postgresql://…, or a .parquet, .csv or .duckdb file.",
            show_default=False,
        ),
    ],
    table: Annotated[str | None, typer.Option("--table", help="The table, in a database.")] = None,
    query: Annotated[
        str | None, typer.Option("--query", metavar="SELECT", help="Or a query, in a database.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="THEIRS=OURS",
            help="A column of the read model, and its name in the definition. Repeatable.",
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            "--tolerance",
            metavar="COLUMN=AMOUNT",
            help="Differences up to there are none: balance=0.01, updated_at=5s. Repeatable.",
        ),
    ] = None,
    timezone: options.Timezone = None,
    version_column: Annotated[
        str | None,
        typer.Option(
            "--version-column",
            metavar="COLUMN",
            help="Its column with the version up to which a row has applied its stream. Rows are then compared at "
            "that version, since lag is no corruption.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    position_column: Annotated[
        str | None,
        typer.Option(
            "--position-column",
            metavar="COLUMN",
            help="The same for positions.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = None,
    positions: Annotated[
        Literal["log", "source"],
        typer.Option(
            "--positions",
            help="Whether positions count as in this log or as in the source.",
            rich_help_panel=_CHECKPOINT,
        ),
    ] = "log",
    as_of: options.AsOf = None,
    clock: options.ClockName = None,
    known_at: options.KnownAt = None,
    position: options.Position = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=0,
            help=f"So many differing rows at most; by default {ROWS}, and all of them with --json.",
            show_default=False,
        ),
    ] = None,
    output: options.Output = None,
    json: options.Json = False,
) -> None:
    """Compare a stored read model with the replay, and name each row for what it is.

    match: equal. stale: equal to an earlier state; lag, not damage. missing: the read model has no such row.
    orphaned: the replay has no such row. corrupted: equal to no state that the row ever had. ahead: the row has
    applied events that this log does not hold.

    Exits with 1 when any row is not a match.
    """
    saving.check(output)
    chosen = definitions.find(definition)
    stored = wb.read_model(
        model,
        table=table,
        query=query,
        columns=dict(options.pairs(column or [], "--column", "THEIRS=OURS")),
        version=version_column,
        position=position_column,
        positions=positions,
        timezone=timezone,
    )
    tolerances = {
        name: amount(name, value)
        for name, value in options.pairs(tolerance or [], "--tolerance", "COLUMN=AMOUNT")
    }
    with wb.open(log, read_only=True) as opened:
        result = opened.diff(
            chosen,
            stored,
            as_of,
            clock=clock,
            known_at=known_at,
            position=position,
            tolerance=tolerances,
        )
        counts = result.counts
        if output is not None:
            saving.save(result, output)
        if json:
            show.document(_plain(result, counts, limit))
        else:
            report(result, counts, some(result, counts, ROWS if limit is None else limit))
    if output is not None and not json:
        show.say(f"All {sum(counts.values()):,} rows are in {output}.")
    if sum(counts.values()) != counts["match"]:
        raise typer.Exit(1)


def report(result: Diff, counts: dict[str, int], rows: list[dict[str, Any]]) -> None:
    """Print the classes, the columns that differ, and some rows that do not match."""
    total = sum(counts.values())
    show.say(f"{result.title}: {total:,} rows", style="bold")
    show.table(
        ["class", "rows", "share"],
        [[name, rows, f"{rows / total:.2%}"] for name, rows in counts.items() if rows],
    )
    differing = total - counts["match"]
    columns = result.by_column().rows()
    if columns:
        show.say()
        show.table(["column", "class", "rows"], [list(row.values()) for row in columns])
    if rows:
        show.say()
        names = [
            *result.definition.key,
            "class",
            "columns",
            "equals_version",
            "stale_since",
            "lag_events",
        ]
        show.table(names, [[row[name] for name in names] for row in rows])
        if differing > len(rows):
            show.notes([f"{len(rows):,} of the {differing:,} rows that differ"])
    show.notes(result.notes)


def some(result: Diff, counts: dict[str, int], limit: int) -> list[dict[str, Any]]:
    """Choose rows that do not match, so many from each class that every class is there."""
    present = [name for name in WORST_FIRST if counts[name]]
    chosen: list[dict[str, Any]] = []
    for index, name in enumerate(present):
        share = -(-(limit - len(chosen)) // (len(present) - index))
        chosen += result.of(name).rows(share)
    return chosen


def _plain(result: Diff, counts: dict[str, int], limit: int | None) -> dict[str, Any]:
    return {
        "definition": result.definition.name,
        "model": result.model.name,
        "title": result.title,
        "counts": counts,
        "compared": result.compared,
        "rows": result.of(*WORST_FIRST).rows(limit),
        "notes": result.notes,
    }


def amount(column: str, value: str) -> Tolerance:
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
