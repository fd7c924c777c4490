"""Dead letters as a source for a log: messages of Kafka topics or files, rows of Postgres tables or their dumps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import duckdb
import pyarrow as pa

from workbench._sql import ident
from workbench.errors import ConfigError, did_you_mean
from workbench.event import DEAD_LETTER
from workbench.sources.base import Batch, Bookmark, Reading, Report, Shape
from workbench.sources.dead_letters import messages, records, tables
from workbench.sources.dead_letters.expressions import Expr, query
from workbench.sources.dead_letters.table_format import TableFormat, plain
from workbench.sources.files import Files, files, names
from workbench.sources.files.parquet import Parquet
from workbench.sources.files.paths import CSV, PARQUET
from workbench.sources.files.reading import Work
from workbench.sources.files.records import AT, Format
from workbench.sources.kafka import KafkaSource
from workbench.sources.kafka.envelope import Envelope, compile_envelope
from workbench.sources.mapping import Epoch, Spec
from workbench.sources.postgres import Postgres
from workbench.sources.postgres.whole import whole

#: What may be said with ``format=``.
FORMATS: Final = (*records.BY_NAME, *tables.BY_NAME)

Translate = Callable[[pa.Table], pa.Table]
_SHAPE: Final = Shape(
    {
        name: ident(name)
        for name in DEAD_LETTER
        if name not in ("dead_letter_id", "load_id", "source")
    },
    table="dead_letters",
)
_PIECE_ROWS: Final = 20_480


def dead_letters(
    origin: KafkaSource | Postgres | str | Path | Sequence[str | Path],
    format: str | None = None,
    *,
    name: str | None = None,
    columns: Mapping[str, Spec] | None = None,
    timezone: str | None = None,
    epoch: Epoch | None = None,
) -> DeadLetters:
    """Read dead letters: the messages that consumers gave up.

    Each becomes a row of ``dead_letters`` in the log, whatever is wrong with it: what cannot be read is
    NULL, ``parse_error`` says why, and ``raw``, ``key`` and ``headers`` keep the bytes as received. Loading
    again reads what is new, each dead letter once.

    Parameters
    ----------
    origin
        ``wb.kafka(…)`` of the dead-letter topics; ``wb.postgres(…, table="dead_letter_entry")``; or paths or
        patterns of files: Parquet with the columns ``topic``, ``partition``, ``offset``, ``timestamp``,
        ``key``, ``headers STRUCT(name VARCHAR, value BLOB)[]``, ``value``, or with those of a table; NDJSON
        with one message a line. A table is read whole each time, and what the log has is not stored twice.
    format
        Of all the dead letters: ``reference``, ``connect``, ``streams``, ``spring``, ``spring_retry``,
        ``smallrye``, ``nservicebus``, ``masstransit``; of tables ``axon``, ``wolverine``, ``marten``. By
        default each message is known by its headers or its form, and a table by its columns.
    name
        What the log calls this source; made from the origin unless given.
    columns, timezone, epoch
        For files: where an event's columns stand in a message, and how its times are read, as for
        :func:`workbench.kafka`. A Kafka or Postgres origin has its own.

    Returns
    -------
    DeadLetters
        A source for :meth:`workbench.EventLog.load`.

    Raises
    ------
    ConfigError
        An argument cannot be used.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> import workbench as wb
    >>> event = {"eventId": "e-7", "eventType": "DepositMade", "aggregateId": "acc-1", "data": {"amount": 1.10}}
    >>> letter = {"originalEvent": event, "error": "TypeError: no limit", "attempts": 4, "timestamp": 1782828131000}
    >>> path = pathlib.Path(tempfile.mkdtemp(), "dead.ndjson")
    >>> _ = path.write_text(json.dumps(letter))
    >>> log = wb.open()
    >>> log.load(wb.dead_letters(path, name="dlq"), progress=False)
    Loaded 1 dead letters from dlq (read 1, duplicate 0, rejected 0)
      complete up to 1 of 1 files, 1 records
    >>> log.sql("SELECT format, event_id, error_class, attempts FROM log.main.dead_letters").rows()
    [{'format': 'reference', 'event_id': 'e-7', 'error_class': 'TypeError', 'attempts': 4}]
    """
    if format is not None and format not in FORMATS:
        message = f"dead_letters() knows no format {format!r}."
        raise ConfigError(message + did_you_mean(format, FORMATS))
    if isinstance(origin, KafkaSource | Postgres):
        if columns or timezone or epoch:
            message = "dead_letters(): columns=, timezone= and epoch= are said where the origin is."
            raise ConfigError(message, hint="wb.kafka(…, columns={…})")
        given: KafkaSource | Postgres | MessageFiles = origin
    elif isinstance(origin, str | Path) or (
        isinstance(origin, Sequence) and all(isinstance(one, str | Path) for one in origin)
    ):
        made = files(origin, timezone=timezone, epoch=epoch)
        given = MessageFiles(made.patterns, made.name, None, None, timezone, epoch)
    else:
        message = f"dead_letters() takes wb.kafka(…), wb.postgres(…) or paths, and this is {type(origin).__name__}."
        raise ConfigError(message)
    named = name or f"dead letters of {given.name}"
    if isinstance(given, Postgres) and format in records.BY_NAME:
        message = f"{named}: dead letters of format {format} are messages, and a table holds rows."
        raise ConfigError(message, hint=f"formats of tables: {', '.join(tables.BY_NAME)}")
    if isinstance(given, KafkaSource) and format in tables.BY_NAME:
        message = f"{named}: dead letters of format {format} are rows of a table."
        raise ConfigError(message, hint=f"formats of messages: {', '.join(records.BY_NAME)}")
    if isinstance(given, KafkaSource):
        envelope = given.envelope
    else:
        envelope = compile_envelope(columns, source=named, timezone=timezone, epoch=epoch)
    return DeadLetters(named, given, format, envelope)


@dataclass(frozen=True, repr=False)
class DeadLetters:
    """Dead letters as a :class:`~workbench.sources.base.Source`; made by :func:`dead_letters`."""

    kind: ClassVar[str] = "dead letters"

    name: str
    origin: KafkaSource | Postgres | MessageFiles
    format: str | None
    envelope: Envelope

    @property
    def timezone(self) -> str | None:
        """How times without an offset are read."""
        return None if isinstance(self.origin, KafkaSource) else self.origin.timezone

    def __repr__(self) -> str:
        forced = "" if self.format is None else f", format={self.format!r}"
        return f"dead_letters({self.origin.name!r}{forced})"

    @contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[DeadLetterReading]:
        """Open one pass that goes on after ``bookmark``.

        Raises
        ------
        SourceUnavailable, SourceDataLost, ConfigError
            As the origin does; ConfigError also for a table or a file that holds no dead letters.
        """
        decoder = records.Decoder(self.envelope, records.BY_NAME.get(self.format or ""))
        with closing(decoder), closing(duckdb.connect(":memory:")) as con:
            con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            translate = _Translation(self, decoder, con)
            if isinstance(self.origin, KafkaSource):
                origin = dataclasses.replace(self.origin, envelope=messages.AS_RECEIVED)
                with origin.read(bookmark) as topics:
                    yield DeadLetterReading(topics, translate)
            elif isinstance(self.origin, Postgres):
                with whole(self.origin, translate.order) as table:
                    yield DeadLetterReading(table, translate)
            else:
                with self.origin.read(bookmark) as found:
                    yield DeadLetterReading(found, translate)


class DeadLetterReading:
    """One pass over the origin; what it reads is translated batch by batch."""

    def __init__(self, inner: Reading, translate: Translate) -> None:
        self._inner = inner
        self._translate = translate
        self.shape = _SHAPE

    @property
    def total(self) -> int | None:
        """About how many there are."""
        return self._inner.total

    def batches(self) -> Iterator[Batch]:
        """Read on."""
        for batch in self._inner.batches():
            if batch.rows.num_rows:
                yield Batch(self._translate(batch.rows), batch.bookmark)
            else:
                yield Batch(
                    pa.table({"source_position": pa.array([], pa.string())}), batch.bookmark
                )

    def report(self) -> Report:
        """What the origin can vouch for."""
        return self._inner.report()


class _Translation:
    """Brings what an origin hands over to dead letters."""

    def __init__(
        self, source: DeadLetters, decoder: records.Decoder, con: duckdb.DuckDBPyConnection
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._con = con
        self._forced = tables.BY_NAME.get(source.format or "")

    def __call__(self, rows: pa.Table) -> pa.Table:
        if messages.are_messages(rows):
            if self._forced is not None:
                message = f"{self._source.name} holds messages, and dead letters of {self._forced.name} are rows."
                raise ConfigError(message)
            return self._read(*self._decoder.decode(messages.conform(rows, self._source.name)))
        rows = rows.select([name for name in rows.column_names if not name.startswith(AT[0])])
        format = self._table_format(rows.column_names)
        prepared = format.prepare(rows)
        self._con.register("letters", prepared)
        described = self._con.execute("DESCRIBE SELECT * FROM letters").fetchall()
        types = {name: kind for name, kind, *_ in described}
        return self._read(prepared, tables.columns(format, types, self._source.timezone))

    def _read(self, rows: pa.Table, columns: Mapping[str, Expr]) -> pa.Table:
        """Compute the columns of ``dead_letters``; one that no adapter knows is NULL."""
        listed = {name: columns.get(name, Expr("NULL")) for name in _SHAPE.columns}
        typed = {
            name: one.then(f"CAST({{}} AS {DEAD_LETTER[name]})") for name, one in listed.items()
        }
        # In several pieces, so that DuckDB reads them on all cores.
        pieces = rows.combine_chunks().to_batches(max_chunksize=_PIECE_ROWS)
        self._con.register("letters", pa.Table.from_batches(pieces, rows.schema))
        try:
            return self._con.sql(query(typed, "letters")).to_arrow_table()
        finally:
            self._con.unregister("letters")

    def order(self, columns: Sequence[str]) -> list[str]:
        """Name the columns of a table that put its rows in order."""
        wanted = [plain(name) for name in self._table_format(columns).order]
        spelt = {plain(name): name for name in columns}
        return [spelt[name] for name in wanted if name in spelt]

    def _table_format(self, columns: Sequence[str]) -> TableFormat:
        if self._source.format in records.BY_NAME:
            message = f"{self._source.name} holds no messages, as dead letters of {self._source.format} are: its columns are {', '.join(columns)}."
            raise ConfigError(message)
        if self._forced is not None:
            return tables.check(self._forced, columns, self._source.name)
        return tables.find(columns, self._source.name)


class MessageFiles(Files):
    """Files of messages or of a table's rows, with all their columns as they are."""

    __slots__ = ()

    def _reader(self, format: str) -> Format:
        if format == CSV:
            message = f"{self.name}: dead letters hold bytes, and CSV holds text."
            raise ConfigError(message, hint="write them as Parquet, or as NDJSON")
        return Parquet(exact=True) if format == PARQUET else super()._reader(format)

    def _shape(self, format: str, work: Sequence[Work]) -> tuple[Shape, Mapping[str, str]]:
        if format != PARQUET:
            return messages.NOWHERE, {}
        surveys = [(item.file.name, item.survey.columns) for item in work if item.survey.rows != 0]
        return messages.NOWHERE, names.merged(surveys, self.name)
