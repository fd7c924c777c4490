"""``workbench replay``: the rows of a definition as they stood at a moment."""

from __future__ import annotations

from typing import Annotated, Final

import typer

import workbench as wb
from workbench.cli import definitions, options, saving, show

EXAMPLES: Final = (
    "workbench replay bank.duckdb bank.account_summary --as-of 2026-06-30T14:02Z",
    "workbench replay bank.duckdb mine.py:accounts --stream acc-42 --version 12",
    "workbench replay bank.duckdb mine.py:accounts -o accounts.parquet",
    "workbench replay bank.duckdb mine.py:accounts \\",
    "    --as-of 2026-06-30T00:00Z --known-at 2026-07-02T00:00Z",
    "workbench replay bank.duckdb bank.account_summary --sql",
)


def run(
    log: options.Log,
    definition: options.DefinitionName,
    as_of: options.AsOf = None,
    clock: options.ClockName = None,
    known_at: options.KnownAt = None,
    position: options.Position = None,
    version: options.Version = None,
    stream: Annotated[str | None, typer.Option("--stream", help="Only this stream.")] = None,
    limit: options.Limit = None,
    output: options.Output = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the query instead of its rows.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Rebuild the rows of a definition, as they stood at a moment or at the end of the log."""
    saving.check(output)
    chosen = definitions.find(definition)
    with wb.open(log, read_only=True) as opened:
        result = opened.replay(
            chosen,
            as_of,
            clock=clock,
            known_at=known_at,
            position=position,
            version=version,
            stream=stream,
        )
        if sql:
            if json:
                show.document({"sql": result.sql})
            else:
                show.say_verbatim(result.sql)
            return
        count = len(result)
        if output is not None:
            saving.save(result, output)
        rows = result.rows(options.most(limit, json=json)) if output is None else []
        about = {
            "definition": chosen.name,
            "moment": str(result.moment),
            "count": count,
            "columns": result.columns,
            "notes": result.notes,
        }
        columns = result.columns
    if json:
        show.document({**about, **({"rows": rows} if output is None else {"file": output})})
        return
    show.say(f"{result.title}: {count:,} row{'' if count == 1 else 's'}", style="bold")
    if output is None:
        show.table(columns, [list(row.values()) for row in rows])
        if count > len(rows):
            show.notes([f"the first {len(rows):,} of {count:,} rows; -o FILE writes them all"])
    else:
        show.say(f"written to {output}")
    show.notes(result.notes)
