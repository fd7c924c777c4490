"""``workbench sagas``: what became of a process, where it is stuck, and which rules it broke."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import workbench as wb
from workbench.cli import definitions, options, saving, show
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.analysis.sagas import Sagas

EXAMPLES: Final = (
    "workbench sagas shop.duckdb checkout.saga",
    "workbench sagas shop.duckdb mine.py:checkout --stuck -o stuck.csv",
    "workbench sagas shop.duckdb checkout.saga --violations -o violations.csv",
    "workbench sagas shop.duckdb checkout.saga --instance ID --chart it.html",
    "workbench sagas shop.duckdb checkout.saga --ocel shop.sqlite",
    "workbench sagas shop.duckdb checkout.saga --json | jq .outcomes",
)
CONCERNS: Final = ("failed", "stuck", "timed out")


def run(
    log: options.Log,
    definition: Annotated[
        str,
        typer.Argument(
            metavar="DEFINITION",
            help=f"MODULE:NAME, path/to/file.py:NAME, or {', '.join(definitions.BUNDLED_SAGAS)}.",
            show_default=False,
            autocompletion=lambda: list(definitions.BUNDLED_SAGAS),
        ),
    ],
    instance: Annotated[
        str | None,
        typer.Option(
            "--instance", metavar="ID", help="Show one saga: its steps and its events in time."
        ),
    ] = None,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="List those that do not go on, longest idle first.")
    ] = False,
    violations: Annotated[
        bool, typer.Option("--violations", help="List the broken rules, each with its event.")
    ] = False,
    as_of: options.AsOf = None,
    clock: options.ClockName = None,
    known_at: options.KnownAt = None,
    position: options.Position = None,
    limit: options.Limit = None,
    output: options.Output = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            "--chart",
            metavar="FILE",
            help="Draw the outcomes, or the saga of --instance, to a .html, .png or .svg file.",
            show_default=False,
        ),
    ] = None,
    ocel: Annotated[
        Path | None,
        typer.Option(
            "--ocel",
            metavar="FILE",
            help="Write an object-centric event log (OCEL 2.0, SQLite) for process miners.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Tell what became of a process over several streams: outcomes, steps, deadlines, broken rules.

    completed: the last step is done. compensated: cancelled, and all was undone. compensating: on the way back.
    failed: cancelled without undoing all, or given up. stuck: idle for too long. timed out: started too long ago.
    running: none of these.

    -o writes the rows that are shown: the sagas, or those of --stuck, --violations or --instance.

    Exits with 1 when a saga failed, is stuck or timed out, or broke a rule.
    """
    if sum((instance is not None, stuck, violations)) > 1:
        message = (
            "--instance, --stuck and --violations show different things; only one can be asked for."
        )
        raise ConfigError(message)
    saving.check(output)
    most = options.most(limit, json=json)
    saga = definitions.find_saga(definition)
    with wb.open(log, read_only=True) as opened:
        result = opened.sagas(saga, as_of, clock=clock, known_at=known_at, position=position)
        counts, broken = result.counts, result.violation_counts
        one = None if instance is None else result.instance(instance)
        listed = one or (result.stuck() if stuck else result.violations() if violations else None)
        if output is not None:
            saving.save(listed or result, output)
        if chart is not None:
            wb.charts.save((one or result).chart(), chart)
        written = None if ocel is None else result.ocel(ocel)
        if json:
            found: dict[str, Any] = {
                "saga": saga.name,
                "title": result.title,
                "now": result.now,
                "outcomes": counts,
                "violations": broken,
                "steps": result.funnel().rows(),
                "rows": (listed or result.of(*CONCERNS)).rows(most),
                "notes": result.notes,
            }
            show.document(found)
        elif listed is None:
            report(result, counts, broken, most)
        else:
            some(listed, most)
    if not json:
        for path, what in ((output, "The rows are"), (chart, "The chart is")):
            if path is not None:
                show.say(f"{what} in {path}.")
        if written is not None:
            show.say(repr(written))
    if any(counts[name] for name in CONCERNS) or any(broken.values()):
        raise typer.Exit(1)


def report(
    result: Sagas, counts: dict[str, int], broken: dict[str, int], limit: int | None
) -> None:
    """Print outcomes, the funnel of steps, broken rules, and some sagas that do not go on."""
    total = sum(counts.values())
    show.say(f"{result.title}: {total:,} sagas", style="bold")
    show.table(
        ["outcome", "sagas", "share"],
        [[name, number, f"{number / total:.2%}"] for name, number in counts.items() if number],
    )
    show.say()
    names = ["step", "entered", "done", "skipped", "running", "lost"]
    show.table(
        [*names, "loss"],
        [[*(row[name] for name in names), f"{row['loss']:.2%}"] for row in result.funnel().rows()],
    )
    if any(broken.values()):
        show.say()
        show.table(
            ["broken rule", "sagas"], [[name, number] for name, number in broken.items() if number]
        )
    waiting = result.stuck()
    if len(waiting):
        show.heading("Do not go on, longest idle first")
        some(waiting, limit, titled=False)
    show.notes(result.notes)


_LISTED: Final = {
    "stuck": ("saga_id", "outcome", "step", "idle", "last_event", "last_at", "violations"),
    "violations": (
        "saga_id",
        "violation",
        "step",
        "event_type",
        "event_at",
        "stream_id",
        "version",
    ),
    "instance": ("n", "step", "part", "role", "event_type", "since", "until", "violations"),
}


def some(listed: Any, limit: int | None, *, titled: bool = True) -> None:
    """Print the first rows of a list, with the columns that fit a screen."""
    if titled:
        show.say(listed.title, style="bold")
    columns = set(listed.columns)
    names = next(list(names) for names in _LISTED.values() if columns >= set(names))
    rows = listed.rows(limit)
    show.table(names, [[_short(row[name]) for name in names] for row in rows])
    total = len(listed)
    if total > len(rows):
        show.notes([f"{len(rows):,} of {total:,} rows"])


def _short(value: object) -> object:
    """Leave out the fractions of seconds: a row has to fit a screen, and -o and --json have them."""
    if isinstance(value, dt.timedelta):
        return str(dt.timedelta(seconds=int(value.total_seconds())))
    if isinstance(value, dt.datetime):
        return value.replace(microsecond=0)
    return value
