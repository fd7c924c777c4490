"""``workbench explain``: which events made the rows of a read model wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import workbench as wb
from workbench.cli import definitions, models, options, saving, show
from workbench.errors import ConfigError, WorkbenchError

if TYPE_CHECKING:
    from workbench.analysis.explain import Explanation

EXAMPLES: Final = (
    "workbench explain bank.duckdb bank.account_summary a.parquet",
    "workbench explain bank.duckdb mine.py:accounts accounts.csv --row acc-000774",
    "workbench explain bank.duckdb mine.py:accounts a.csv --repair repair.sql",
    "workbench explain bank.duckdb mine.py:accounts a.csv --json | jq .clusters",
)

Row = Annotated[
    str | None,
    typer.Option(
        "--row",
        metavar="KEY",
        help="Show all hypotheses for this row; the parts of a key are joined by commas.",
    ),
]


def run(
    log: options.Log,
    definition: options.DefinitionName,
    model: models.Model,
    table: models.Table = None,
    query: models.Query = None,
    row: Row = None,
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
    repair: Annotated[
        Path | None,
        typer.Option(
            "--repair",
            metavar="FILE",
            help="Write SQL that would put the rows right, to be reviewed; nothing is run.",
            show_default=False,
        ),
    ] = None,
    output: options.Output = None,
    json: options.Json = False,
) -> None:
    """Say which events made the rows of a read model wrong, and what they share.

    A cause counts only when it gives the stored row exactly: events skipped, applied twice, swapped, not upcast,
    applied to another row, a row that stopped, a bad snapshot. Where several do, each is shown and none asserted.

    Exits with 1 when any row is wrong.
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
        found = opened.diff(
            chosen,
            stored,
            as_of,
            clock=clock,
            known_at=known_at,
            position=position,
            tolerance=models.tolerances(tolerance),
        ).explain()
        if output is not None:
            saving.save(found, output)
        if repair is not None:
            _write(found.repair().script(), repair)
        if row is not None:
            _one(found, row, json)
        elif json:
            show.document(_plain(found))
        else:
            report(found)
        wrong = sum(found.suspects.counts.values())
    if output is not None and not json:
        show.say(f"All hypotheses are in {output}.")
    if repair is not None and not json:
        show.say(f"A plan is in {repair}: review it; nothing has been run.")
    if wrong:
        raise typer.Exit(1)


def report(found: Explanation) -> None:
    """Print how many rows each cause explains, and what they share."""
    show.say(found.title, style="bold")
    rows = found.summary().rows()
    if not rows:
        show.say("No row is wrong: there is nothing to explain.")
        return
    show.table(
        ["class", "cause", "rows", "in several ways"],
        [[row["class"], row["cause"], row["rows"], row["several"]] for row in rows],
    )
    show.say()
    for number, row in enumerate(found.clusters().rows(), 1):
        show.say(f"{number}. {row['says']}")
    show.notes(found.notes)


def _one(found: Explanation, key: str, json: bool) -> None:
    width = len(found.diff.definition.key)
    rows = found.row(*(key.split(",", width - 1) if width > 1 else [key]))
    if json:
        show.document({"rows": rows})
        return
    show.say(f"{key}: {rows[0]['class']}", style="bold")
    names = ["rank", "cause", "positions", "versions", "event_types", "first_at", "other", "detail"]
    show.table(names, [[row[name] for name in names] for row in rows])
    if not rows[0]["complete"]:
        show.notes(["this row has too many events for everything to be tried"])


def _plain(found: Explanation) -> dict[str, Any]:
    return {
        "definition": found.diff.definition.name,
        "model": found.diff.model.name,
        "title": found.title,
        "counts": found.counts,
        "summary": found.summary().rows(),
        "clusters": found.clusters().rows(),
        "rows": found.rows(),
        "notes": found.notes,
    }


def _write(script: str, path: Path) -> None:
    if not path.parent.is_dir():
        message = f"{path} cannot be written: there is no folder {path.parent}."
        raise ConfigError(message, hint="make the folder first")
    try:
        path.write_text(script, encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise WorkbenchError(message, hint="check the disk and the folder's permissions") from error
