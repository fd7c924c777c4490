"""``workbench load``: read sources into a log, from where their last load ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

import workbench as wb
from workbench.cli import definitions, masking, options, show, sources
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.store.ingest import Loaded

EXAMPLES: Final = (
    "workbench load bank.duckdb 'events/*.parquet'",
    "workbench load bank.duckdb postgresql://audit@db.example.org/bank",
    "workbench load shop.duckdb postgresql://audit@db/shop \\",
    "    --table sales.history --position seq \\",
    "    --column stream_id=order_id --column data=body",
    "workbench load shop.duckdb 'kafka://broker:9092/events.*' \\",
    "    --until 2026-11-01T00:00Z",
    "workbench load shop.duckdb kafka://broker:9093/orders \\",
    "    --option security_protocol=SASL_SSL --option sasl_mechanism=PLAIN \\",
    "    --option sasl_plain_username=audit \\",
    "    --option sasl_plain_password=env:KAFKA_PASSWORD",
    "workbench load shop.duckdb kafka://broker:9092/events.dead-letter \\",
    "    --dead-letters any",
)

_MAPPING = "Mapping"
_POSTGRES = "Postgres"
_KAFKA = "Kafka"


def run(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG", help="The DuckDB file; made when absent.", show_default=False
        ),
    ],
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="postgresql://…, kafka://broker:9092/TOPIC-OR-PATTERN, or files (.parquet, .ndjson, .csv).",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="What the log calls the source; by it the next load knows where to go on.",
        ),
    ] = None,
    prepare: Annotated[
        list[str] | None,
        typer.Option(
            "--prepare",
            metavar="DEFINITION",
            help="Give its fields typed columns right away, so that replays do not parse JSON.",
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Read from the start, as after a mapping was put right; what the log has is not stored twice.",
        ),
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="CANONICAL=SPEC",
            help="Where a column of the event stands: a column, metadata.user for a field in JSON, "
            "=text (so: actor==system) for a constant. Repeatable; of several for one column the first that is there counts.",
            rich_help_panel=_MAPPING,
        ),
    ] = None,
    timezone: options.Timezone = None,
    epoch: Annotated[
        Literal["s", "ms", "us"] | None,
        typer.Option("--epoch", help="The unit of times that are numbers."),
    ] = None,
    format: Annotated[
        Literal["parquet", "ndjson", "csv"] | None,
        typer.Option("--format", help="Of files whose suffix does not tell."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", help="The table, schema.name.", rich_help_panel=_POSTGRES),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            help="How the store names its table and columns: reference.",
            rich_help_panel=_POSTGRES,
        ),
    ] = None,
    position: Annotated[
        str | None,
        typer.Option(
            "--position",
            metavar="COLUMN",
            help="The column that orders all events.",
            rich_help_panel=_POSTGRES,
        ),
    ] = None,
    transaction_id: Annotated[
        str | None,
        typer.Option(
            "--transaction-id",
            metavar="COLUMN",
            help="A column of type xid8 with the writing transaction.",
            rich_help_panel=_POSTGRES,
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME", help="Begin there: a time, or start.", rich_help_panel=_KAFKA
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            help="Stop there (exclusive); by default where the topics end when the load begins.",
            rich_help_panel=_KAFKA,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="A setting of aiokafka's client; also ssl_cafile, ssl_certfile, ssl_keyfile. KEY=env:NAME takes "
            "the value from the environment: secrets have to come so.",
            rich_help_panel=_KAFKA,
        ),
    ] = None,
    dead_letters: Annotated[
        str | None,
        typer.Option(
            "--dead-letters",
            metavar="FORMAT",
            help="The sources hold dead letters, not events: any (each is known by its headers), or reference, "
            "connect, streams, spring, spring_retry, smallrye, nservicebus, masstransit; of tables axon, wolverine, "
            "marten.",
        ),
    ] = None,
    mask: masking.Fields = None,
    mask_key: masking.Key = None,
    json: options.Json = False,
) -> None:
    """Load sources into a log, from where their last load ended.

    Each record is stored once, however often it is read: run the same command again to go on after an
    interruption, or to fetch what is new. Nothing is ever written to a source.

    Each SOURCE is one of its own, so quote patterns that shall stay one: 'events/*.parquet'. A Postgres password
    is best kept in PGPASSWORD or ~/.pgpass, where no process list shows it.
    """
    if name is not None and len(source) > 1:
        message = f"--name names one source, and there are {len(source)}."
        raise ConfigError(message, hint="load them one by one, each with a name of its own")
    how = sources.Options(
        name=name,
        columns=_columns(column or []),
        timezone=timezone,
        epoch=epoch,
        table=table,
        layout=layout,
        position=position,
        transaction_id=transaction_id,
        from_=from_,
        until=until,
        client=dict(options.pairs(option or [], "--option", "KEY=VALUE")),
        format=format,
        dead_letters=dead_letters,
    )
    chosen = [sources.source(text, how) for text in source]
    prepared = [definitions.find(definition) for definition in prepare or []]
    masks = masking.masks(mask, mask_key)
    with wb.open(log) as opened:
        done: list[Loaded] = []
        for item in chosen:
            with show.progress(item.name) as report:
                done.append(
                    opened.load(
                        item, prepare=prepared, again=again, mask=masks, progress=report or False
                    )
                )
        total = len(opened)
        ((parked,),) = opened.sql("SELECT count(*) FROM log.main.dead_letters").relation.fetchall()
    if json:
        counts = {"events": total, "dead_letters": parked}
        show.document({"log": log, **counts, "loads": [_plain(loaded) for loaded in done]})
        return
    show.table(
        ["source", "read", "stored", "duplicate", "rejected", "complete up to"],
        [
            [one.source, one.read, one.stored, one.duplicate, one.rejected, one.report.watermark]
            for one in done
        ],
    )
    for one in done:
        show.notes(one.report.notes)
        if one.report.gaps:
            show.concern(
                f"{one.source} has {len(one.report.gaps):,} open gaps: load it again later"
            )
        if one.rejected:
            show.concern(
                f"{one.rejected:,} records were rejected: wb.open('{log}').rejects() tells why"
            )
    also = f" and {parked:,} dead letters" if parked else ""
    show.say(f"{log} holds {total:,} events{also} now. Next: workbench health {log}")


def _columns(given: list[str]) -> dict[str, str | list[str]]:
    found: dict[str, list[str]] = {}
    for canonical, spec in options.pairs(given, "--column", "CANONICAL=SPEC"):
        found.setdefault(canonical, []).append(spec)
    return {canonical: specs if len(specs) > 1 else specs[0] for canonical, specs in found.items()}


def _plain(loaded: Loaded) -> dict[str, Any]:
    return {
        "source": loaded.source,
        "kind": loaded.kind,
        "read": loaded.read,
        "stored": loaded.stored,
        "duplicate": loaded.duplicate,
        "rejected": loaded.rejected,
        "watermark": loaded.report.watermark,
        "gaps": loaded.report.gaps,
        "completeness": loaded.report.completeness,
        "notes": loaded.report.notes,
    }
