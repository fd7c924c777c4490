"""``workbench causation``: who caused what."""

from __future__ import annotations

from typing import Annotated, Final

import typer

import workbench as wb
from workbench._html import visible
from workbench.cli import options, saving, show

EXAMPLES: Final = (
    "workbench causation shop.duckdb 8cae308c-303e-48e7-95f5-2ca29c893f18",
    "workbench causation shop.duckdb",
    "workbench causation shop.duckdb --json | jq .counts",
)

LINES: Final = 200


def run(
    log: options.Log,
    id: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="A correlation id, or the id of an event. Without it: how sound the links of all events are.",
            show_default=False,
        ),
    ] = None,
    as_of: options.AsOf = None,
    clock: options.ClockName = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="So many lines at most.")
    ] = LINES,
    output: options.Output = None,
    json: options.Json = False,
) -> None:
    """Show who caused what: each event below its cause, and the time between them.

    Given an event, what it comes from and all that comes from it. Causes that are not in the log, circles, and
    events that name themselves are marked.
    """
    from workbench.analysis.causation import Causation  # not before it is needed: it brings DuckDB

    saving.check(output)
    with wb.open(log, read_only=True) as opened:
        scope = opened if as_of is None else opened.as_of(as_of, clock=clock)
        found = scope.causation(id) if id is not None else scope.causation()
        if output is not None:
            saving.save(found, output)
        if json:
            counts = (
                {
                    "events": found.events,
                    "dead_letters": found.dead_letters,
                    "roots": found.roots,
                    "orphans": found.orphans,
                    "cycles": found.cycles,
                    "itself": found.itself,
                    "depth": found.depth,
                }
                if isinstance(found, Causation)
                else found.counts
            )
            show.document(
                {"title": found.title, "counts": counts, "rows": found.rows(), "notes": found.notes}
            )
            return
        show.say(f"{found.title}: {found._subtitle()}", style="bold")
        if isinstance(found, Causation):
            for line in found.tree(limit).splitlines():
                show.say(visible(line, 400))
        else:
            show.table(found.columns, [list(row.values()) for row in found.rows()])
        show.notes(found.notes)
