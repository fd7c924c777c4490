"""``workbench tour``: the whole path on bundled data, in a few seconds and without a server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import workbench as wb
from workbench.cli import health, options, show
from workbench.cli.diff import report, some

if TYPE_CHECKING:
    from workbench.analysis.diff import Diff
    from workbench.bundled import Sample
    from workbench.log import EventLog
    from workbench.store.table import Table

EXAMPLES: Final = ("workbench tour", "workbench tour -o /tmp/tour", "workbench tour --json")

MOMENT: Final = "2026-03-31T12:00Z"


@dataclass(frozen=True, slots=True)
class Traced:
    """A corrupted row, and the event without which the replay gives exactly what is stored."""

    account: str
    cells: list[dict[str, Any]]
    skipped: dict[str, Any]


def run(
    out: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Where the log and the charts go."),
    ] = Path("tour"),
    json: options.Json = False,
) -> None:
    """Show what the workbench does: load, replay, history, diff, charts.

    It works on bundled data: 25,000 events of a bank, and the table of account summaries that its production
    system keeps beside them. Some rows of that table are wrong on purpose, and a file tells which.
    """
    from workbench.bundled import sample

    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    with show.silent(json), wb.open(out / "bank.duckdb") as log:
        bank = sample("bank")
        loaded = _load(log, bank)
        accounts = _replay(log, bank)
        found = _diff(log, bank)
        traced = _trace(log, found)
        charts = _draw(log, found, traced.account, out)
        seconds = round(time.monotonic() - began, 2)
        _where_next(out, charts, seconds)
        counts = found.counts
    if json:
        show.document(
            {
                "folder": out,
                "log": out / "bank.duckdb",
                "events": loaded,
                "moment": MOMENT,
                "accounts": accounts,
                "diff": counts,
                "traced": {
                    "account": traced.account,
                    "cells": traced.cells,
                    "skipped": traced.skipped,
                },
                "charts": charts,
                "seconds": seconds,
            }
        )


def _load(log: EventLog, bank: Sample) -> int:
    show.heading("1. Load a stream of events into one DuckDB file")
    show.say(f"log.load(wb.files({bank.events.name!r}))", style="cyan")
    log.load(wb.files(bank.events, name="bank"), prepare=[bank.definition], progress=False)
    health.card(log.health())
    return len(log)


def _replay(log: EventLog, bank: Sample) -> int:
    show.heading(f"2. The state of every account at {MOMENT}, rebuilt from its events")
    show.say(f"log.replay(account_summary, as_of={MOMENT!r})", style="cyan")
    then = log.replay(bank.definition, MOMENT)
    rows = then.rows()
    total = sum((row["current_balance"] for row in rows), Decimal(0))
    show.say(f"{len(rows):,} accounts were open, with {total:,.2f} in all. The largest:")
    largest = sorted(rows, key=lambda row: (-row["current_balance"], row["account_id"]))[:5]
    show.table(then.columns, [list(row.values()) for row in largest])
    return len(rows)


def _diff(log: EventLog, bank: Sample) -> Diff:
    show.heading("3. The table that production stored, against the replay")
    show.say(
        "log.diff(account_summary, wb.read_model('account_summary.parquet', version='version'))",
        style="cyan",
    )
    found = log.diff(bank.definition, wb.read_model(bank.read_model, version="version"))
    counts = found.counts
    report(found, counts, some(found, counts, 8))
    return found


def _trace(log: EventLog, found: Diff) -> Traced:
    show.heading("4. One corrupted row, traced to its event")
    # A row that has counted one event less than its stream has: was one never applied?
    short = [
        row
        for row in found.of("corrupted").rows()
        if row["stored_transaction_count"] == row["replayed_transaction_count"] - 1
    ]
    traced = next(filter(None, (_without_one(log, found, row) for row in short)))
    show.say(f"{traced.account} is stored as it never was at any time of its life:")
    show.table(
        ["column", "stored", "replayed"],
        [[cell["column_name"], cell["stored"], cell["replayed"]] for cell in traced.cells],
    )
    show.say(f"log.history(account_summary, stream={traced.account!r})", style="cyan")
    event = traced.skipped
    states = log.history(found.definition, stream=traced.account).rows()
    near = [row for row in states if abs(row["version"] - event["version"]) <= 2]
    shown = ["version", "event_type", "valid_from", "current_balance", "transaction_count"]
    show.table(shown, [[row[name] for name in shown] for row in near])
    show.say(
        f"A replay without version {event['version']} ({event['event_type']}, {event['data']}) gives "
        "exactly the stored row: production never applied that event."
    )
    return traced


def _without_one(log: EventLog, found: Diff, row: dict[str, Any]) -> Traced | None:
    """Look for an event without which the replay equals the stored row."""
    account = row["account_id"]
    for event in found.events(account).rows():
        without = log.where(condition=f"position <> {event['position']}")
        rebuilt = without.replay(found.definition, stream=account, version=row["checkpoint"]).rows()
        if rebuilt and all(rebuilt[0][name] == row[f"stored_{name}"] for name in found.compared):
            cells = [cell for cell in found.cells().rows() if cell["account_id"] == account]
            kept = ("position", "version", "event_id", "event_type", "occurred_at", "data")
            return Traced(account, cells, {name: event[name] for name in kept})
    return None


def _draw(log: EventLog, found: Diff, account: str, out: Path) -> list[Path]:
    from workbench import charts  # brings Altair; the verbs that draw nothing start without it

    show.heading("5. Charts, as a page and as a picture")
    results: dict[str, Table] = {
        "balances": log.history(found.definition).over_time("current_balance"),
        "account": log.timeline(account, found.definition),
        "diff": found,
    }
    files = [
        charts.save(chart, out / f"{name}{suffix}")
        for name, chart in ((name, result.chart()) for name, result in results.items())
        for suffix in (".html", ".png")
    ]
    for file in files:
        show.say(f"  {file}")
    return files


def _where_next(out: Path, charts: list[Path], seconds: float) -> None:
    show.heading(f"That took {seconds:g} s. Where to go on")
    show.facts(
        [
            ("look", f"open {charts[0]} in a browser; it needs no internet"),
            (
                "ask",
                f"workbench replay {out / 'bank.duckdb'} bank.account_summary --stream acc-000042",
            ),
            ("learn", "jupyter lab notebooks/00_start_here.ipynb"),
            ("your own", "workbench load incident.duckdb postgresql://… (or kafka://…, or files)"),
        ]
    )
