"""``workbench census``: which payloads a log holds, by type and version, and whether they decode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import workbench as wb
from workbench.cli import definitions, options, saving, show

if TYPE_CHECKING:
    from workbench.analysis.census import Census

EXAMPLES: Final = (
    "workbench census bank.duckdb",
    "workbench census bank.duckdb --upcasters mine.py",
    "workbench census bank.duckdb --type DepositMade -o fields.csv",
    "workbench census bank.duckdb --chart census.html",
    "workbench census bank.duckdb --json | jq '.versions[].status'",
)

Upcasters = Annotated[
    str | None,
    typer.Option(
        "--upcasters",
        metavar="PLACE",
        help="Where the upcasters are: path/to/file.py, or MODULE:NAME.",
        show_default=False,
    ),
]
Chart = Annotated[
    Path | None,
    typer.Option(
        "--chart", metavar="FILE", help="Draw it to a .html, .png or .svg file.", show_default=False
    ),
]


def run(
    log: options.Log,
    upcasters: Upcasters = None,
    rules: Annotated[
        bool,
        typer.Option("--rules", help="Take the migration rules that events carry, too."),
    ] = False,
    type: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="List the fields of this event type."),
    ] = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="List the fields that changed within a version.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            metavar="N",
            min=1,
            help="Look for fields in so many events, chosen by chance; by default in all.",
            show_default=False,
        ),
    ] = None,
    output: options.Output = None,
    chart: Chart = None,
    json: options.Json = False,
) -> None:
    """Count the payloads of a log by type and version: their times, their fields, and whether they decode.

    newest: nothing to do. upcast: upcasters lead to the newest version. no chain: none do. failing: an upcaster
    fails on some payloads.

    -o writes the rows that are shown: the versions, or the fields of --type or --drift.

    Exits with 1 when a version has no chain, or fails.
    """
    saving.check(output)
    with wb.open(log, read_only=True) as opened:
        given = definitions.find_upcasters(upcasters) if upcasters else []
        carried = opened.migration_rules() if rules else ()
        read = opened.upcast(*given, *carried) if (given or carried) else opened
        result = read.census(sample=sample)
        fields = result.drift() if drift else result.fields(type) if type else None
        versions = result.rows()
        if output is not None:
            saving.save(fields or result, output)
        if chart is not None:
            wb.charts.save((fields or result).chart(), chart)
        if json:
            show.document(_plain(result, versions, type))
        elif fields is None:
            report(result, versions)
        else:
            _fields(fields.title, fields.rows())
    if not json:
        for path, what in ((output, "The rows are"), (chart, "The chart is")):
            if path is not None:
                show.say(f"{what} in {path}.")
    if not all(row["decodes"] for row in versions):
        raise typer.Exit(1)


def report(result: Census, versions: list[dict[str, Any]]) -> None:
    """Print the versions, and the fields that changed within one."""
    show.say(f"{result.title}: {len(versions):,} versions", style="bold")
    names = [
        "event_type",
        "schema_version",
        "events",
        "first_seen",
        "last_seen",
        "fields",
        "status",
    ]
    show.table(names, [[row[name] for name in names] for row in versions])
    drifting = result.drift().rows()
    if drifting:
        show.say()
        _fields("Fields that changed within a version", drifting)
    show.notes(result.notes)


def _fields(title: str, rows: list[dict[str, Any]]) -> None:
    show.say(title, style="bold")
    names = [
        "event_type",
        "schema_version",
        "field",
        "present",
        "share",
        "types",
        "changed",
        "since",
    ]
    show.table(
        names,
        [
            [
                row["event_type"],
                row["schema_version"],
                row["field"],
                row["present"],
                f"{row['share']:.1%}",
                ", ".join(f"{kind} {count:,}" for kind, count in row["types"].items()),
                "" if row["drift"] is None else f"{row['before']} to {row['after']}",
                row["since"],
            ]
            for row in rows
        ],
    )


def _plain(result: Census, versions: list[dict[str, Any]], type: str | None) -> dict[str, Any]:
    return {
        "title": result.title,
        "clock": result.clock,
        "versions": versions,
        "fields": result.fields(type).rows(),
        "notes": result.notes,
    }
