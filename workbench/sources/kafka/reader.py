"""The bounded read: from the planned offsets to the planned ends, as a queue of Arrow tables.

A partition is done when ``position >= end``, where the position moves over everything that the broker
hands out: control records, aborted records and holes of compaction count in offsets, and no record ever
says ``end - 1`` behind them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

import pyarrow as pa
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
    for_code,
)

from workbench.errors import (
    ConfigError,
    SourceDataLost,
    SourceError,
    SourceUnavailable,
    WorkbenchError,
)
from workbench.sources.kafka import slab
from workbench.sources.kafka.cluster import Cluster, describe
from workbench.sources.kafka.spans import Span
from workbench.sources.payload import Cutter

_SLAB_BYTES: Final = 2 << 20
_SLAB_ROWS: Final = 4_000
_BACKOFF: Final = 0.2
#: A partition that was given nothing for so long (seconds) is asked for alone.
_QUIET: Final = 1.0

Offsets = dict[TopicPartition, int]
_Taken = tuple[Span, list[Any], list[tuple[int, int]] | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one table holds, about; memory is bounded by it."""

    rows: int = 100_000
    bytes: int = 48 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records, and where each partition stands behind them.

    Attributes
    ----------
    reached
        Everything below was looked at.
    bookmarks
        Where the next load goes on: not behind a record that ``until`` left for later.
    """

    rows: pa.Table
    reached: Offsets
    bookmarks: Offsets


@dataclass(frozen=True, slots=True)
class _Ask:
    """A fetch under way, and the offsets that it asks for."""

    answer: asyncio.Task[Any]
    positions: Offsets


class Reader:
    """Reads spans of partitions; lives on the loop that makes it.

    ``known`` is where the log thinks that the partitions stand: what differs is handed over at the end,
    also when there was no record, so that 'from the end on' means this end and not the next one.
    """

    def __init__(
        self,
        cluster: Cluster,
        spans: Sequence[Span],
        known: Offsets,
        cutter: Cutter,
        *,
        cuts: int,
        committed: bool,
        since: int | None,
        until: int | None,
        limits: Limits,
        source: str,
    ) -> None:
        self._cluster = cluster
        self._spans = {span.partition: span for span in spans}
        self._cutter = cutter
        self._schema = slab.schema(cuts)
        self._committed = committed
        self._since, self._until = since, until
        self._limits = limits
        self._source = source
        # One table waits while the log commits another, and a third is being filled.
        self._queue: asyncio.Queue[Piece | WorkbenchError | None] = asyncio.Queue(maxsize=1)
        self._slabs: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._handed = known
        self._handing = (
            asyncio.Lock()
        )  # fair: bookmarks go out in the order in which they were taken
        self._decoding: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._average = _SLAB_BYTES // 64  # bytes a record, until some were seen
        self._quiet: dict[TopicPartition, float] = {}  # since when it was given nothing
        self._vanished = 0
        self._partition_bytes = cluster.partition_bytes
        self._troubled_since: float | None = None

    async def start(self) -> None:
        """Begin to read into the queue."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def next(self) -> Piece | None:
        """Return the next table; None at the end. Raises what the read broke off with."""
        piece = await self._queue.get()
        if isinstance(piece, WorkbenchError):
            raise piece
        return piece

    async def _run(self) -> None:
        """Read all spans into the queue, and say at its end how it went."""
        outcome: WorkbenchError | None = None
        try:
            await self._read()
        except WorkbenchError as error:
            outcome = error  # what was decoded before is sound, and is handed over first
        except Exception as error:
            message = f"{self._source}: reading broke off: {describe(error)}"
            outcome = SourceError(message)
            outcome.__cause__ = error
        await self._flush()
        await self._queue.put(outcome)

    async def _read(self) -> None:
        pumps: dict[int, asyncio.Task[None]] = {}
        try:
            while waiting := [span for span in self._spans.values() if not span.done]:
                leaders = {self._cluster.leader(span.partition) for span in waiting}
                for node in leaders - {None} - pumps.keys():
                    if node is not None:
                        pumps[node] = asyncio.create_task(self._pump(node))
                if not pumps:
                    await self._wait("no broker leads the partitions that are left")
                    continue
                await asyncio.wait(pumps.values(), return_when=asyncio.FIRST_COMPLETED)
                for node in [node for node, pump in pumps.items() if pump.done()]:
                    pumps.pop(node).result()
        finally:
            for pump in pumps.values():
                pump.cancel()
            await asyncio.gather(*pumps.values(), return_exceptions=True)

    async def _wait(self, why: str) -> None:
        """Wait a little and learn the leaders anew; SourceUnavailable once the trouble lasts too long."""
        now = time.monotonic()
        self._troubled_since = self._troubled_since or now
        if now - self._troubled_since > self._cluster.timeout:
            message = f"{self._source}: the broker went away in mid-read: {why}"
            raise SourceUnavailable(
                message,
                hint="what was loaded stays; load again when the broker is well, and it goes on",
            )
        await asyncio.sleep(_BACKOFF)
        known = await self._cluster.refresh()
        gone = [
            span
            for span in self._spans.values()
            if not span.done and span.partition.topic not in self._cluster.topics()
        ]
        self._vanished = self._vanished + 1 if known and gone else 0
        if self._vanished > 1:  # told twice: a broker that is just starting may not know all topics
            span = gone[0]
            message = f"{self._source}: the topic {span.partition.topic!r} was deleted while it was read, at offset {span.position:,} of {span.end:,}."
            raise SourceDataLost(message, hint="what was loaded stays; load the other topics alone")

    async def _pump(self, node: int) -> None:
        """Fetch from one node until it leads nothing that is left. Returns early when a leader changed."""
        ask = self._ask(node)
        if ask is None:  # another pump still decodes what this node leads now
            await asyncio.sleep(_BACKOFF)
        try:
            while ask is not None:
                try:
                    answer = await ask.answer
                except (KafkaError, OSError, TimeoutError) as error:
                    await self._wait(describe(error))
                    return
                taken, trouble = self._take(node, answer, ask.positions)
                # The next answer is under way while this one is decoded.
                ask = None if trouble else self._ask(node)
                for span, found, aborted in taken:
                    await self._decode(span, found, aborted)
                    del self._decoding[span.partition]
                if trouble:
                    await self._wait(trouble)
        finally:
            if ask is not None:
                ask.answer.cancel()

    def _ask(self, node: int) -> _Ask | None:
        """Send the next fetch to a node, or None when it leads nothing that is left."""
        spans = [
            span
            for span in self._spans.values()
            if not span.done
            and self._cluster.leader(span.partition) == node
            and self._decoding.get(span.partition, node) == node
        ]
        if not spans:
            return None
        # A broker fills its answer from the front, so the one that has waited longest comes first.
        now = time.monotonic()
        spans.sort(key=lambda span: self._quiet.get(span.partition, now))
        if now - self._quiet.get(spans[0].partition, now) > _QUIET:
            spans = spans[:1]
        positions = {span.partition: span.position for span in spans}
        fetch = self._cluster.fetch(
            node,
            positions.items(),
            committed=self._committed,
            partition_bytes=self._partition_bytes,
        )
        return _Ask(asyncio.create_task(fetch), positions)

    def _take(self, node: int, answer: Any, asked: Offsets) -> tuple[list[_Taken], str | None]:
        """Move the positions over an answer; return what is to be decoded, and what is in the way."""
        taken: list[_Taken] = []
        trouble = None
        for topic, rows in answer.topics:
            for number, code, high, *rest in rows:
                span = self._spans[TopicPartition(topic, number)]
                if span.position != asked[span.partition]:
                    continue  # two nodes were asked while the leader changed; one answer is enough
                if code != 0:
                    trouble = self._failed(span, for_code(code))
                    continue
                self._troubled_since = None
                data = rest[-1] or b""
                found = slab.batches(data)
                if found:
                    aborted = None
                    if answer.API_VERSION >= 4:
                        aborted = rest[2] if answer.API_VERSION >= 11 else rest[-2]
                    taken.append((span, found, aborted))
                    self._decoding[span.partition] = node
                    span.position = max(span.position, found[-1].next_offset)
                    self._quiet.pop(span.partition, None)
                elif data:
                    self._widen(span)
                else:
                    self._nothing(span, high)
        return taken, trouble

    def _failed(self, span: Span, error: type[KafkaError]) -> str:
        if error is OffsetOutOfRangeError:
            message = f"{self._source}: {span.label}: offset {span.position:,} went away while it was read: the broker's retention was faster."
            raise SourceDataLost(
                message,
                hint="lengthen the topic's retention and load again, or accept the hole with lost='skip'",
            )
        if error is TopicAuthorizationFailedError:
            raise self._cluster.refused(error(span.label))
        if not error.retriable:
            message = f"{self._source}: {span.label}: the broker cannot give offset {span.position:,}: {error.__name__}"
            raise SourceError(message)
        return f"{span.label}: {error.__name__}"

    def _widen(self, span: Span) -> None:
        """Ask for more at once: an old broker cuts off a record that is larger than what we asked for."""
        if self._partition_bytes >= 1 << 30:
            message = f"{self._source}: {span.label}: the record at offset {span.position:,} is larger than 1 GiB."
            raise SourceError(message)
        self._partition_bytes *= 2

    def _nothing(self, span: Span, high: int) -> None:
        """Bear an empty answer: the broker's answer may be full, or it may be holding us back."""
        now = time.monotonic()
        quiet = now - self._quiet.setdefault(span.partition, now)
        if high < span.position and quiet > _QUIET:
            message = f"{self._source}: {span.label} now ends at {high:,}; when this load began, it ended at {span.end:,}."
            raise SourceDataLost(
                message, hint="the broker lost records that it had confirmed; ask its keeper"
            )
        if quiet > self._cluster.timeout:
            message = f"{self._source}: {span.label}: the broker gives nothing from offset {span.position:,} on, though the topic goes on to {span.end:,}."
            raise SourceUnavailable(
                message,
                hint=f"load again; or stop there with until={{({span.partition.topic!r}, {span.partition.partition}): {span.position}}}",
            )

    async def _decode(
        self, span: Span, found: list[Any], aborted: list[tuple[int, int]] | None
    ) -> None:
        pending: list[Any] = []
        append_time = False
        for batch in slab.visible(found, aborted, committed=self._committed):
            if (
                self._since is not None
                and getattr(batch, "max_timestamp", self._since) < self._since
            ):
                continue
            if slab.is_append_time(batch) != append_time:
                await self._add(span, pending, append_time)
                pending, append_time = [], not append_time
            for records in self._records(span, batch, len(pending)):
                pending += records
                if len(pending) >= self._step:
                    await self._add(span, pending, append_time)
                    pending = []
        await self._add(span, pending, append_time)
        span.read = max(span.read, min(found[-1].next_offset, span.end))

    @property
    def _step(self) -> int:
        """How many records make a slab: fewer when they are large."""
        return max(1, min(_SLAB_ROWS, self._limits.rows, _SLAB_BYTES // self._average))

    def _records(self, span: Span, batch: Any, pending: int) -> Any:
        """Yield a batch's records in lists that fill up a slab."""
        where = f"{self._source}: {span.label}: the record batch at offset {getattr(batch, 'base_offset', span.read):,}"
        if not batch.validate_crc():
            message = f"{where} is damaged: its checksum is wrong."
            raise SourceError(message, hint="read it from another replica, or from a backup")
        try:
            records = chain(batch)  # it can be asked for an iterator only once
            while some := list(islice(records, max(1, self._step - pending))):
                pending = 0
                yield some
        except (UnsupportedCodecError, NotImplementedError) as error:
            message = f"{where} is compressed in a way that this Python cannot read: {error}"
            raise ConfigError(message, hint="pip install cramjam (zstd, lz4, snappy)") from error
        except Exception as error:
            message = f"{where} cannot be decoded: {describe(error)}"
            raise SourceError(message) from error

    async def _add(self, span: Span, records: list[Any], append_time: bool) -> None:
        """Put records of one partition into the table that is being filled."""
        if not records:
            return
        last = records[-1].offset
        if records[0].offset < span.start or last >= span.end:
            records = [one for one in records if span.start <= one.offset < span.end]
        records = self._in_time(span, records)
        if records:
            topic, number = span.partition
            rows = slab.slab(topic, number, append_time, records, self._cutter)
            size = max(1, rows.nbytes)
            self._average = max(1, size // len(records))
            self._slabs.append(rows)
            self._rows += len(records)
            self._bytes += size
        span.read = max(span.read, min(last + 1, span.end))
        if self._bytes >= self._limits.bytes or self._rows >= self._limits.rows:
            await self._flush()
        await asyncio.sleep(0)  # let the socket's next bytes in

    def _in_time(self, span: Span, records: list[Any]) -> list[Any]:
        """Keep what lies in the asked-for time: a topic is in the order of offsets, not of time."""
        if self._since is not None:
            since = self._since
            records = [one for one in records if (one.timestamp or 0) >= since]
        if self._until is not None:
            until = self._until
            late = [one.offset for one in records if (one.timestamp or 0) >= until]
            if late:
                span.excluded = late[0] if span.excluded is None else min(late[0], span.excluded)
                records = [one for one in records if (one.timestamp or 0) < until]
        return records

    async def _flush(self) -> None:
        """Hand over what was decoded, with the bookmark behind it; also when that alone has moved."""
        async with self._handing:
            bookmarks = {span.partition: span.bookmark for span in self._spans.values()}
            if not self._rows and bookmarks == self._handed:
                return
            rows = pa.Table.from_batches(self._slabs, self._schema)
            reached = {span.partition: span.read for span in self._spans.values()}
            self._slabs, self._rows, self._bytes = [], 0, 0
            self._handed = bookmarks
            await self._queue.put(Piece(rows, reached, bookmarks))
