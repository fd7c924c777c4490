"""``workbench impact``: which rows a new version of a definition, or other upcasters, would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import workbench as wb
from workbench.cli import definitions, options, saving, show
from workbench.cli.census import Chart
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.analysis.impact import Impact

EXAMPLES: Final = (
    "workbench impact bank.duckdb mine.py:summary_v1 mine.py:summary_v2",
    "workbench impact bank.duckdb bank.account_summary --upcasters mine.py",
    "workbench impact bank.duckdb mine.py:v1 mine.py:v2 -o rows.parquet",
    "workbench impact bank.duckdb mine.py:v1 mine.py:v2 --chart impact.html",
    "workbench impact bank.duckdb mine.py:v1 mine.py:v2 --json | jq .counts",
)


def run(
    log: options.Log,
    before: options.DefinitionName,
    after: Annotated[
        str | None,
        typer.Argument(
            metavar="[AFTER]",
            help="The definition that takes its place; left out where only upcasters change.",
            show_default=False,
        ),
    ] = None,
    upcasters: Annotated[
        str | None,
        typer.Option(
            "--upcasters",
            metavar="PLACE",
            help="The upcasters that payloads are read through after the change: path/to/file.py, or MODULE:NAME.",
            show_default=False,
        ),
    ] = None,
    instead_of: Annotated[
        str | None,
        typer.Option(
            "--instead-of",
            metavar="PLACE",
            help="Those before it; by default none.",
            show_default=False,
        ),
    ] = None,
    limit: options.Limit = None,
    output: options.Output = None,
    chart: Chart = None,
    json: options.Json = False,
) -> None:
    """Run two versions over the whole history, and tell which rows differ, in which columns, from which event on.

    Either two definitions, or one definition and --upcasters.

    changed: the row differs. added, removed: it is on one side alone. passing: it differed for a time, and is the
    same at the end.

    Exits with 1 when any row differs.
    """
    saving.check(output)
    if (after is None) == (upcasters is None):
        message = "an impact is that of another definition, or that of upcasters."
        raise ConfigError(message, hint="name a second DEFINITION, or --upcasters; not both")
    if instead_of is not None and upcasters is None:
        message = "--instead-of says what --upcasters take the place of."
        raise ConfigError(message)
    first = definitions.find(before)
    with wb.open(log, read_only=True) as opened:
        if after is not None:
            result = opened.impact(first, definitions.find(after))
        else:
            old = definitions.find_upcasters(instead_of) if instead_of else []
            result = opened.impact(old, definitions.find_upcasters(str(upcasters)), of=first)
        counts = result.counts
        if output is not None:
            saving.save(result, output)
        if chart is not None:
            wb.charts.save(result.chart(), chart)
        if json:
            show.document(_plain(result, counts, limit))
        else:
            report(result, counts, options.ROWS if limit is None else limit)
    if not json:
        for path, what in ((output, "All rows are"), (chart, "The chart is")):
            if path is not None:
                show.say(f"{what} in {path}.")
    if any(counts.values()):
        raise typer.Exit(1)


def report(result: Impact, counts: dict[str, int], limit: int) -> None:
    """Print the classes, the columns that differ, and the rows that differed first."""
    differing = sum(counts.values())
    show.say(
        f"{result.title}: {differing:,} rows differ; there are {result.of_rows:,}", style="bold"
    )
    if differing:
        show.table(["class", "rows"], [[name, rows] for name, rows in counts.items() if rows])
    for table in (result.by_column(), result.by_event_type()):
        rows = table.rows()
        if rows:
            show.say()
            show.table(list(rows[0]), [list(row.values()) for row in rows])
    listed = result.query("FROM result ORDER BY first_position").rows(limit)
    if listed:
        show.say()
        names = [
            *result.definition.key,
            "class",
            "columns",
            "first_position",
            "first_event_type",
            "first_at",
        ]
        show.table(names, [[row[name] for name in names] for row in listed])
        if differing > len(listed):
            show.notes([f"{len(listed):,} of the {differing:,} rows, those that differed first"])
    show.notes(result.notes)


def _plain(result: Impact, counts: dict[str, int], limit: int | None) -> dict[str, Any]:
    return {
        "title": result.title,
        "counts": counts,
        "of_rows": result.of_rows,
        "compared": result.compared,
        "columns": result.by_column().rows(),
        "rows": result.rows(limit),
        "notes": result.notes,
    }
