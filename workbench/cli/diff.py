"""``workbench diff``: a stored read model against the replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

import workbench as wb
from workbench.cli import definitions, models, options, saving, show

if TYPE_CHECKING:
    from workbench.analysis.diff import Diff

EXAMPLES: Final = (
    "workbench diff bank.duckdb bank.account_summary accounts.parquet \\",
    "    --version-column version",
    "workbench diff bank.duckdb mine.py:accounts postgresql://audit@db/bank \\",
    "    --table accounts --column acct=account_id --tolerance balance=0.01",
    "workbench diff bank.duckdb mine.py:accounts accounts.csv -o all.parquet",
    "workbench diff bank.duckdb mine.py:accounts accounts.csv --json | jq .counts",
)

WORST_FIRST: Final = ("corrupted", "orphaned", "missing", "stale", "ahead")


def run(
    log: options.Log,
    definition: options.DefinitionName,
    model: models.Model,
    table: models.Table = None,
    query: models.Query = None,
    column: models.Column = None,
    tolerance: models.Tolerance = None,
    timezone: options.Timezone = None,
    version_column: models.VersionColumn = None,
    position_column: models.PositionColumn = None,
    positions: models.Positions = "log",
    as_of: options.AsOf = None,
    clock: options.ClockName = None,
    known_at: options.KnownAt = None,
    position: options.Position = None,
    limit: options.Limit = None,
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
    stored = models.read(
        model,
        table=table,
        query=query,
        column=column,
        version=version_column,
        position=position_column,
        positions=positions,
        timezone=timezone,
    )
    with wb.open(log, read_only=True) as opened:
        result = opened.diff(
            chosen,
            stored,
            as_of,
            clock=clock,
            known_at=known_at,
            position=position,
            tolerance=models.tolerances(tolerance),
        )
        counts = result.counts
        if output is not None:
            saving.save(result, output)
        if json:
            show.document(_plain(result, counts, limit))
        else:
            report(result, counts, some(result, counts, options.ROWS if limit is None else limit))
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
