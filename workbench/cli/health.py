"""``workbench health``: what is in a log, and what to worry about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

import workbench as wb
from workbench._html import visible
from workbench.cli import options, show

if TYPE_CHECKING:
    from workbench.store.health import Health

EXAMPLES: Final = (
    "workbench health bank.duckdb",
    "workbench health bank.duckdb --strict || echo 'look at it first'",
    "workbench health bank.duckdb --json | jq .concerns",
)


def run(
    log: options.Log,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 when there is anything to worry about.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Examine a log: counts, range of time, sources, gaps, clashes, rejects.

    Concerns are told, and nothing is changed: the file is opened read-only.
    """
    with wb.open(log, read_only=True) as opened:
        found = opened.health()
    if json:
        show.document(found.to_dict())
    else:
        card(found)
    if strict and found.concerns:
        raise typer.Exit(1)


def card(found: Health) -> None:
    """Print a health card."""
    span = "no event says when it was"
    if found.first is not None and found.last is not None:
        span = f"{visible(found.first)} to {visible(found.last)} ({found.clock})"
    show.facts(
        [
            ("log", found.label),
            ("events", f"{found.events:,} in {found.streams:,} streams"),
            ("time", span),
            (
                "order",
                f"{found.version_gaps:,} version gaps, {found.version_clashes:,} clashes, "
                f"{found.clock_regressions:,} clock regressions",
            ),
            ("loading", f"{found.duplicates:,} duplicates, {found.rejects:,} rejects"),
            *([("dead letters", f"{found.dead_letters:,}")] if found.dead_letters else []),
        ]
    )
    if found.types:
        show.say()
        show.table(["event type", "events"], list(found.types.items())[:20])
        show.notes([f"and {len(found.types) - 20} rarer types"] if len(found.types) > 20 else [])
    if found.sources:
        show.say()
        show.table(
            ["source", "status", "stored", "duplicate", "rejected", "complete up to", "open gaps"],
            [
                [
                    *(item.source, item.status, item.stored, item.duplicate, item.rejected),
                    *(item.watermark or "unknown", item.open_gaps),
                ]
                for item in found.sources
            ],
        )
    else:
        show.say("Nothing is loaded yet. Next: workbench load LOG SOURCE")
    for concern in found.concerns:
        show.concern(concern)
