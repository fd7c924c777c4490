"""Kafka topics as a source of events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import duckdb
import pyarrow as pa

from workbench.errors import ConfigError
from workbench.moments import check_zone
from workbench.sources.base import Batch, Bookmark, Report, Shape
from workbench.sources.kafka.cluster import Cluster, check_options
from workbench.sources.kafka.envelope import Envelope, compile_envelope
from workbench.sources.kafka.loop import LoopThread
from workbench.sources.kafka.reader import Limits, Offsets, Reader
from workbench.sources.kafka.report import report
from workbench.sources.kafka.spans import Bound, Span, Topics, bound, held, plan, select
from workbench.sources.mapping import Epoch, Spec
from workbench.sources.payload import Cutter

Isolation = Literal["read_committed", "read_uncommitted"]
_ISOLATIONS: Final = ("read_committed", "read_uncommitted")


def kafka(
    bootstrap: str | Sequence[str],
    topics: Topics,
    *,
    name: str | None = None,
    from_: object = None,
    until: object = None,
    columns: Mapping[str, Spec] | None = None,
    timezone: str | None = None,
    epoch: Epoch | None = None,
    isolation: Isolation = "read_committed",
    lost: Literal["raise", "skip"] = "raise",
    timeout: float = 30.0,
    **client_options: Any,
) -> KafkaSource:
    """Read events from Kafka topics, up to where they end when the load begins.

    Nothing is written to the broker: no consumer group, no committed offset, no topic. The log keeps
    where each partition stands, and the next load goes on there; partitions and topics that appeared
    since are read from their start.

    Parameters
    ----------
    bootstrap
        ``"broker:9092"``, several with commas, or a list.
    topics
        A topic, a glob (``"events.*"``), a compiled pattern, or a list of these. Patterns leave out the
        broker's internal topics.
    name
        Identity of the source in the log; it holds the bootstrap address and the topics when not given.
        A change of ``from_``, or another selection, wants a name of its own.
    from_, until
        Where to begin, and where to stop (exclusive): an aware time (or as text,
        ``"2026-06-30T14:02Z"``), ``"start"``, ``"end"``, or offsets ``{("topic", 0): 1200}``. Times are
        compared with each record's own, exactly; since these need not be in order, the whole topic up to
        its end is looked at, and the next load begins at the first record that was left out.
        ``from_`` counts for partitions that the log does not know yet.
    columns
        Where an event's columns stand in a record, for those that differ from the default envelope:
        ``{"stream_id": "orderId", "actor": "header.user", "data": "value"}``. A spec is a path into the
        JSON value, ``key``, ``topic``, ``header.NAME``, ``record.timestamp``, ``value`` (all of it),
        ``"=text"``, or a list of these, of which the first that is there counts.
    timezone, epoch
        How to read times without an offset, and times that are numbers (``"s"``, ``"ms"``, ``"us"``).
    isolation
        ``"read_committed"`` leaves out aborted transactions and stops before open ones.
    lost
        What to do when the broker no longer holds what comes next: ``"raise"`` SourceDataLost, or
        ``"skip"`` it and keep it on record as a gap.
    timeout
        Seconds to wait for a connection, and for the broker to give anything.
    **client_options
        Settings of aiokafka's client, as ``security_protocol``, ``sasl_mechanism``,
        ``sasl_plain_username``, ``sasl_plain_password``, ``ssl_context``, ``client_id``; and
        ``fetch_max_bytes``, ``max_partition_fetch_bytes``. They never show in a message or a repr.

    Returns
    -------
    KafkaSource
        For ``log.load(…)``. An event's ``source_position`` is ``topic/partition/offset``. Its
        ``occurred_at`` is the envelope's time, else the producer's; its ``recorded_at`` is the broker's
        time where the topic keeps it (``LogAppendTime``), else unknown. ``data`` and ``metadata`` are
        text as received; where an envelope has no metadata, it is the record's key and headers.

    Raises
    ------
    ConfigError
        An argument is not usable. Unknown topics are found out when the load begins.

    Examples
    --------
    >>> kafka("broker:9092", "events.*")
    kafka('broker:9092', 'events.*')
    >>> kafka("broker:9092", ["orders", "payments"]).name
    'kafka:broker:9092/orders,payments'
    """
    servers = [bootstrap] if isinstance(bootstrap, str) else list(bootstrap)
    hosts = [host.strip() for server in servers for host in server.split(",") if host.strip()]
    patterns = [topics] if isinstance(topics, str | re.Pattern) else list(topics)
    shown = ",".join(one if isinstance(one, str) else f"/{one.pattern}/" for one in patterns)
    # What stands before an '@' could be a password; it is not part of an address either.
    places = ",".join(host.rpartition("@")[2] for host in hosts)
    named = name or f"kafka:{places}/{shown}"
    if not hosts or not patterns or not all(patterns):
        message = f"{named}: kafka() wants a broker and at least one topic."
        raise ConfigError(message, hint="kafka('broker:9092', topics='events.*')")
    if any("@" in host for host in hosts):
        message = f"{named}: a broker's address holds no user."
        raise ConfigError(message, hint="say sasl_plain_username=… and sasl_plain_password=…")
    if isolation not in _ISOLATIONS or lost not in ("raise", "skip"):
        message = (
            f"{named}: isolation is one of {', '.join(_ISOLATIONS)}, and lost is 'raise' or 'skip'."
        )
        raise ConfigError(message)
    check_options(named, client_options)
    check_zone(timezone)
    return KafkaSource(
        name=named,
        bootstrap=",".join(hosts),
        topics=topics,
        from_=bound(from_, name="from_", source=named),
        until=bound(until, name="until", source=named),
        isolation=isolation,
        lost=lost,
        timeout=timeout,
        envelope=compile_envelope(columns, source=named, timezone=timezone, epoch=epoch),
        options=dict(client_options),
        shown=f"kafka({','.join(hosts)!r}, {shown!r})",
    )


@dataclass(frozen=True, repr=False)
class KafkaSource:
    """Topics of one cluster. A passive value: nothing is opened before ``read``."""

    name: str
    bootstrap: str
    topics: Topics
    from_: Bound | None
    until: Bound | None
    isolation: Isolation
    lost: Literal["raise", "skip"]
    timeout: float
    envelope: Envelope
    shown: str
    options: Mapping[str, Any] = field(repr=False)
    limits: Limits = field(default_factory=Limits)

    @property
    def kind(self) -> str:
        """What kind of source it is: ``kafka``."""
        return "kafka"

    def __repr__(self) -> str:
        return self.shown

    @contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[KafkaReading]:
        """Open one pass that goes on after ``bookmark``.

        Raises
        ------
        SourceUnavailable
            The broker cannot be reached within the timeout, or refused us.
        SourceDataLost
            The broker no longer holds what comes next.
        ConfigError
            A topic does not exist, or the client's settings are not usable.
        """
        with ExitStack() as stack:
            loop = stack.enter_context(LoopThread(f"workbench {self.name}"))
            cluster = Cluster(self.name, self.bootstrap, self.timeout, self.options)
            stack.callback(lambda: loop.run(cluster.close()))
            spans = loop.run(self._plan(cluster, bookmark))
            con = stack.enter_context(duckdb.connect(":memory:"))
            con.execute("SET timezone = 'UTC'; SET enable_progress_bar = false")
            reader = Reader(
                cluster,
                spans,
                {
                    span.partition: at
                    for span in spans
                    if (at := held(bookmark, span.partition)) is not None
                },
                Cutter(self.envelope.cuts),
                cuts=len(self.envelope.cuts),
                committed=self.isolation == "read_committed",
                since=self.from_ if isinstance(self.from_, int) else None,
                until=self.until if isinstance(self.until, int) else None,
                limits=self.limits,
                source=self.name,
            )
            stack.callback(lambda: loop.run(reader.stop()))
            yield KafkaReading(loop, reader, con, spans, self.envelope, bookmark or {}, self)

    async def _plan(self, cluster: Cluster, bookmark: Bookmark | None) -> list[Span]:
        await cluster.open()
        topics = select(self.topics, cluster, source=self.name)
        return await plan(
            cluster,
            topics,
            bookmark,
            self.from_,
            self.until,
            committed=self.isolation == "read_committed",
            lost=self.lost,
            source=self.name,
        )


class KafkaReading:
    """One pass: the topics from their bookmarks to where they ended when it began."""

    def __init__(
        self,
        loop: LoopThread,
        reader: Reader,
        con: duckdb.DuckDBPyConnection,
        spans: Sequence[Span],
        envelope: Envelope,
        bookmark: Bookmark,
        source: KafkaSource,
    ) -> None:
        self._loop = loop
        self._reader = reader
        self._con = con
        self._spans = spans
        self._envelope = envelope
        self._bookmark: dict[str, dict[str, int]] = {
            topic: dict(partitions) for topic, partitions in bookmark.items()
        }
        self._source = source
        self._reached: Offsets = {span.partition: span.start for span in spans}

    @property
    def shape(self) -> Shape:
        """How a record becomes an event."""
        return self._envelope.shape

    @property
    def total(self) -> int:
        """How many offsets lie before us; markers and holes make the records fewer."""
        return sum(max(0, span.end - span.start) for span in self._spans)

    def batches(self) -> Iterator[Batch]:
        """Read to the planned ends.

        Raises
        ------
        SourceUnavailable
            The broker went away; what was handed over is sound, and the next load goes on behind it.
        SourceDataLost
            Retention or a deletion was faster than we.
        """
        self._loop.run(self._reader.start())
        while (piece := self._loop.run(self._reader.next())) is not None:
            rows = self._columns(piece.rows)
            for (topic, number), offset in piece.bookmarks.items():
                self._bookmark.setdefault(topic, {})[str(number)] = offset
            yield Batch(rows, {topic: dict(held) for topic, held in self._bookmark.items()})
            self._reached = piece.reached

    def report(self) -> Report:
        """Say for each partition from where to where it was read, and what lies behind."""
        return report(
            self._spans,
            self._reached,
            committed=self._source.isolation == "read_committed",
            gone=sorted(set(self._bookmark) - {span.partition.topic for span in self._spans}),
        )

    def _columns(self, slabs: pa.Table) -> pa.Table:
        """Parse the values once, in DuckDB; what is long stays where it is."""
        self._con.register("slabs", slabs)
        try:
            rows = self._con.sql(self._envelope.select("slabs")).to_arrow_table()
        finally:
            self._con.unregister("slabs")
        for name in self._envelope.kept:
            rows = rows.append_column(name, slabs[name])
        return rows
