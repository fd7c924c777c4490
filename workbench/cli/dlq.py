"""``workbench dlq``: what consumers gave up, why, and what a re-drive would do; sent only when asked to."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

import workbench as wb
from workbench.cli import definitions, options, saving, show, sources
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.analysis.dead_letters import DeadLetters
    from workbench.analysis.dead_letters.groups import By
    from workbench.analysis.redrive import Redriven
    from workbench.store.table import Table

EXAMPLES: Final = (
    "workbench dlq shop.duckdb",
    "workbench dlq shop.duckdb --by consumer --chart rates.png",
    "workbench dlq shop.duckdb --fingerprints --new-since 2026-06-01T00:00Z",
    "workbench dlq shop.duckdb --redrive --definition mine.py:orders",
    "workbench dlq shop.duckdb --consumer crm --redrive --send broker:9092",
    "workbench dlq shop.duckdb --redrives",
)
_CHOICE = "Which dead letters"
_REDRIVE = "Re-drive"
_COLUMNS: Final = {
    "summary": ("by", "dead_letters", "given_up", "events", "rate", "streams", "first_at", "last_at"),
    "fingerprints": ("fingerprint", "error", "dead_letters", "streams", "seen_from", "new"),
    "streams": ("stream_id", "dead_letters", "given_up", "roots", "first_version", "later_events"),
    "attempts": ("attempts", "dead_letters", "share"),
    "times": ("consumer", "dead_letters", "known", "p50", "p99", "longest", "note"),
    "redrives": ("redrive_id", "n", "place", "topic", "partition", "offset", "sent_at", "outcome"),
    "plan": ("n", "event_type", "stream_id", "version", "verdict", "later_events", "to_topic", "state", "because"),
}  # fmt: skip


def run(
    log: options.Log,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="What rates and the chart are counted by: event_type, consumer, error_class, error, format, "
            "origin_topic, source or role.",
        ),
    ] = "event_type",
    fingerprints: Annotated[
        bool,
        typer.Option(
            "--fingerprints", help="List the ways in which events failed, new ones first."
        ),
    ] = False,
    new_since: Annotated[
        str | None,
        typer.Option(
            "--new-since",
            metavar="TIME",
            help="Fingerprints first seen from then on are new.",
            show_default=False,
        ),
    ] = None,
    streams: Annotated[
        bool,
        typer.Option("--streams", help="List affected streams, with what was processed since."),
    ] = False,
    attempts: Annotated[bool, typer.Option("--attempts", help="Count by attempts.")] = False,
    times: Annotated[
        bool, typer.Option("--times", help="Tell how long each consumer took to give up.")
    ] = False,
    redrives: Annotated[
        bool,
        typer.Option(
            "--redrives",
            help="Tell what became of messages that were sent again.",
            rich_help_panel=_REDRIVE,
        ),
    ] = False,
    consumer: Annotated[
        list[str] | None, typer.Option("--consumer", help="Repeatable.", rich_help_panel=_CHOICE)
    ] = None,
    type_: Annotated[
        list[str] | None,
        typer.Option("--type", help="Of events of this type. Repeatable.", rich_help_panel=_CHOICE),
    ] = None,
    error_class: Annotated[
        list[str] | None, typer.Option("--error-class", help="Repeatable.", rich_help_panel=_CHOICE)
    ] = None,
    fingerprint: Annotated[
        list[str] | None, typer.Option("--fingerprint", help="Repeatable.", rich_help_panel=_CHOICE)
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role", help="root, blocked or follower. Repeatable.", rich_help_panel=_CHOICE
        ),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option("--stream", help="Of events of this stream.", rich_help_panel=_CHOICE),
    ] = None,
    as_of: options.AsOf = None,
    clock: options.ClockName = None,
    redrive: Annotated[
        bool,
        typer.Option(
            "--redrive",
            help="Plan to send the events again. Nothing is sent.",
            rich_help_panel=_REDRIVE,
        ),
    ] = False,
    definition: Annotated[
        str | None,
        typer.Option(
            "--definition",
            metavar="DEFINITION",
            help="Try each event in this projection or fold first.",
            show_default=False,
            rich_help_panel=_REDRIVE,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TOPIC",
            help="Where to; by default each event's own topic.",
            show_default=False,
            rich_help_panel=_REDRIVE,
        ),
    ] = None,
    send: Annotated[
        str | None,
        typer.Option(
            "--send",
            metavar="BROKER",
            help="Send the plan of --redrive to this broker: broker:9092.",
            show_default=False,
            rich_help_panel=_REDRIVE,
        ),
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", help="Messages a second at most.", rich_help_panel=_REDRIVE)
    ] = 50.0,
    failing: Annotated[
        bool,
        typer.Option(
            "--failing", help="Send those, too, that would fail again.", rich_help_panel=_REDRIVE
        ),
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="A setting of the Kafka client, as for load. Repeatable.",
            rich_help_panel=_REDRIVE,
        ),
    ] = None,
    limit: options.Limit = None,
    output: options.Output = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            "--chart",
            metavar="FILE",
            help="Draw the rate over time (or the --fingerprints, the --attempts) to a .html, .png or .svg file.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Tell what consumers gave up: rates beside the events that they are shares of, errors, streams.

    A re-drive sends events again. --redrive plans it, and tries each event in replay with --definition; nothing
    is sent before --send names a broker. A sender that was killed is simply run again: no message is sent twice.

    -o writes the rows that are shown.
    """
    views = {
        "fingerprints": fingerprints, "streams": streams, "attempts": attempts, "times": times,
        "redrives": redrives, "plan": redrive,
    }  # fmt: skip
    asked = [name for name, wanted in views.items() if wanted]
    if len(asked) > 1:
        message = "--fingerprints, --streams, --attempts, --times, --redrive and --redrives show different things."
        raise ConfigError(message, hint="ask for one of them")
    if not redrive and any((definition, to, send, failing, option)):
        message = "--definition, --to, --send, --failing and --option belong to --redrive."
        raise ConfigError(message)
    saving.check(output)
    settings = sources.client_settings(dict(options.pairs(option or [], "--option", "KEY=VALUE")))
    most = options.most(limit, json=json)
    shown = asked[0] if asked else "summary"
    with wb.open(log, read_only=send is None) as opened:
        narrowed = opened if stream is None else opened.where(stream=stream)
        if as_of is not None:
            narrowed = narrowed.as_of(as_of, clock=clock)
        letters = narrowed.dead_letters(
            consumer=consumer,
            types=type_,
            error_class=error_class,
            fingerprint=fingerprint,
            role=role,
        )
        listed: Table
        sent: Redriven | None = None
        about: dict[str, Any] = {}
        if shown == "plan":
            plan = letters.redrive(
                None if definition is None else definitions.find(definition), to=to
            )
            listed, about = plan, {"states": plan.counts, "verdicts": plan.verdicts}
            if send is not None:
                sent = plan.send(send, rate=rate, failing=failing, **settings)
                listed = opened.redrives()
                about["sent"] = dataclasses.asdict(sent)
        elif shown == "redrives":
            listed = opened.redrives()
            about = {"outcomes": opened.redrives().counts}
        else:
            listed = _listed(letters, shown, by, new_since)
        if output is not None:
            saving.save(listed, output)
        if chart is not None:
            drawn = (
                listed.chart()
                if shown in ("fingerprints", "attempts")
                else letters.chart(by=cast("By", by))
            )
            wb.charts.save(drawn, chart)
        if json:
            about = {"title": listed.title, "dead_letters": len(letters), **about}
            show.document({**about, "rows": listed.rows(most), "notes": listed.notes})
        elif sent is not None:
            show.say_verbatim(repr(sent))
        else:
            _report(listed, shown, by, most, letters)
    if not json:
        for path, what in ((output, "The rows are"), (chart, "The chart is")):
            if path is not None:
                show.say(f"{what} in {path}.")


def _listed(letters: DeadLetters, shown: str, by: str, new_since: str | None) -> Table:
    match shown:
        case "fingerprints":
            return letters.fingerprints(new_since)
        case "streams":
            return letters.streams()
        case "attempts":
            return letters.attempts()
        case "times":
            return letters.time_to_dead_letter()
        case _:
            return letters.by(cast("By", by))


def _report(listed: Table, shown: str, by: str, limit: int | None, letters: DeadLetters) -> None:
    """Print the first rows of what was asked for, with the columns that fit a screen."""
    show.say(listed.title, style="bold")
    if shown == "summary":
        show.facts(letters.facts())
        show.say()
    if shown == "plan":
        for line in listed.said():  # type: ignore[attr-defined]  # a plan
            show.say(f"  {line}")
        show.say()
    names = [by if name == "by" else name for name in _COLUMNS[shown]]
    rows = listed.rows(limit)
    show.table(names, [[_short(name, row[name]) for name in names] for row in rows])
    total = len(listed)
    if total > len(rows):
        show.notes([f"{len(rows):,} of {total:,} rows"])
    show.notes(dict.fromkeys([*listed.notes, *(letters.notes if shown == "summary" else ())]))


def _short(name: str, value: object) -> object:
    """Write rates as people do, and leave out the fractions of seconds: -o and --json have them."""
    from workbench.analysis.dead_letters.groups import percent, shorter

    if isinstance(value, float):
        return percent(value)
    if isinstance(value, dt.timedelta):
        return str(dt.timedelta(seconds=round(value.total_seconds())))
    if isinstance(value, dt.datetime):
        return value.replace(microsecond=0)
    return (
        shorter(value, 60) if name in ("error", "because", "note") and value is not None else value
    )
