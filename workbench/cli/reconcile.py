"""``workbench reconcile``: read models held against the log, explained, and put right when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

import workbench as wb
from workbench.cli import definitions, models, options, show
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.analysis.reconcile import Reconciliation

EXAMPLES: Final = (
    "workbench reconcile bank.duckdb mine.py:accounts accounts.csv --script",
    "workbench reconcile shop.duckdb shop.py:orders o.csv shop.py:stock s.csv",
    "workbench reconcile bank.duckdb mine.py:accounts postgresql://reader@db \\",
    "    --table accounts --apply postgresql://writer@db",
)


def run(
    log: options.Log,
    pairs: Annotated[
        list[str],
        typer.Argument(
            metavar="DEFINITION MODEL …",
            help="What each read model should hold, and where it is (see explain); several one after another.",
            show_default=False,
        ),
    ],
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            help="The table of each read model in a database, in the same order. Repeatable.",
        ),
    ] = None,
    column: models.Column = None,
    tolerance: models.Tolerance = None,
    timezone: options.Timezone = None,
    version_column: models.VersionColumn = None,
    position_column: models.PositionColumn = None,
    positions: models.Positions = "log",
    as_of: options.AsOf = None,
    clock: options.ClockName = None,
    position: options.Position = None,
    script: Annotated[
        bool, typer.Option("--script", help="Print the SQL that would put the rows right.")
    ] = False,
    apply: Annotated[
        str | None,
        typer.Option(
            "--apply",
            metavar="DSN",
            help="Run that SQL on this connection, in one transaction, diff again inside it, and roll back "
            "whole unless all is as planned.",
        ),
    ] = None,
    orphans: Annotated[
        bool,
        typer.Option("--delete-orphans", help="Plan to delete rows that no event explains."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Diff and explain read models, and plan what puts them right; dry unless --apply is given.

    Columns, checkpoints and tolerances hold for each read model that has them.

    Exits with 1 when any row is wrong and stays so.
    """
    if len(pairs) % 2:
        message = (
            f"{len(pairs)} names were given: a definition and a read model, one after another."
        )
        raise ConfigError(message, hint="write DEFINITION MODEL DEFINITION MODEL …")
    chosen = [definitions.find(name) for name in pairs[::2]]
    tables = list(table or [])
    if tables and len(tables) != len(chosen):
        message = f"{len(tables)} tables were given for {len(chosen)} read models."
        raise ConfigError(message, hint="give --table once for each, in the same order")
    stored = [
        models.read(
            model,
            table=tables[index] if tables else None,
            query=None,
            column=column,
            version=version_column,
            position=position_column,
            positions=positions,
            timezone=timezone,
        )
        for index, model in enumerate(pairs[1::2])
    ]
    classes = ["stale", "missing", "corrupted", *(["orphaned"] if orphans else [])]
    with wb.open(log, read_only=True) as opened:
        found = opened.reconcile(
            chosen,
            stored,
            as_of,
            apply=apply,
            classes=classes,
            tolerance=models.tolerances(tolerance),
            clock=clock,
            position=position,
        )
        if json:
            show.document(_plain(found))
        elif script:
            show.say_verbatim(found.script())
        else:
            report(found)
        left = any(found.left.values())
    if left:
        raise typer.Exit(1)


def report(found: Reconciliation) -> None:
    """Print rows by class and cause, what they share, and what was or would be done."""
    show.say(found.title, style="bold")
    names = ["model", "class", "cause", "action", "rows"]
    show.table(names, [[row[name] for name in names] for row in found.rows()])
    show.say()
    for row in found.clusters().rows():
        show.say(f"{row['model']}: {row['says']}")
    if found.applied is None:
        show.notes(["dry: nothing was written; --script prints the SQL, --apply runs it"])
    else:
        show.notes(found.what_next())


def _plain(found: Reconciliation) -> dict[str, object]:
    return {
        "rows": found.rows(),
        "clusters": found.clusters().rows(),
        "applied": found.applied,
        "left": found.left,
        "script": found.script(),
    }
