"""Sending messages again, each once and in order; and finding out which of them a topic holds already.

This is the only place of the workbench that writes to a broker. Nothing here decides *what* is sent.

A partition gets one message after the other, each when the one before it is acknowledged, from an idempotent
producer that waits for all replicas. So a message is never repeated by a retry, and when something fails, nothing
that belongs behind it has overtaken it. A sender that is killed leaves at most one message a partition of which
nobody knows; each message is marked, so that the topic itself can be asked.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from workbench.errors import ConfigError, SourceDataLost, SourceUnavailable, did_you_mean
from workbench.sources.kafka.cluster import (
    EARLIEST,
    FETCH,
    LATEST,
    Cluster,
    check_options,
    describe,
)
from workbench.sources.kafka.loop import LoopThread

ID: Final = "workbench-redrive-id"
OF: Final = "workbench-redrive-of"

_LARGEST: Final = 64 << 20
_IN_FLIGHT_SECONDS: Final = 1.0
"""What a killed sender had handed to its machine is with the broker by then."""

Ends = dict[str, dict[int, int]]


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send.

    Attributes
    ----------
    of
        Where its dead letter stands: its mark.
    partition
        Where it stood before; None, or one that the topic has not: by ``key``, else by ``order_by``.
    order_by
        Messages of one value go to one partition where neither partition nor key says which.
    """

    of: str
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes | None]]
    order_by: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A marked message in a topic."""

    redrive_id: str
    of: str
    topic: str
    partition: int
    offset: int
    at: dt.datetime


class Redriver:
    """A connection of its own to a broker, for one re-drive; use it as a context manager."""

    def __init__(self, bootstrap: str, *, timeout: float, options: Mapping[str, Any]) -> None:
        self.name = f"redrive to {bootstrap.rpartition('@')[2]}"
        check_options(self.name, options)
        self._bootstrap = bootstrap
        self._timeout = timeout
        self._options = {name: value for name, value in options.items() if name not in FETCH}
        self._options.setdefault("client_id", "workbench-redrive")
        self._options.setdefault("request_timeout_ms", max(1000, int(timeout * 1000)))
        self._stack = ExitStack()
        self._next_at = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._loop = stack.enter_context(LoopThread(f"workbench {self.name}"))
            self._cluster = Cluster(self.name, self._bootstrap, self._timeout, self._options)
            stack.callback(lambda: self._loop.run(self._cluster.close()))
            self._loop.run(self._cluster.open())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # -- asking ----------------------------------------------------------------------------------

    def check_topics(self, topics: Collection[str]) -> None:
        """Check that topics are there: a producer that names one that is not may create it.

        Raises
        ------
        ConfigError
            One is not.
        """
        known = self._cluster.topics()
        for topic in sorted(topics):
            if topic not in known:
                message = f"{self.name}: there is no topic {topic!r}, and a re-drive makes none."
                raise ConfigError(
                    message + did_you_mean(topic, known),
                    hint="say where to: plan.send(…, to='topic')",
                )

    def ends(self, topics: Collection[str]) -> Ends:
        """Return where each partition of some topics ends now."""
        return self._loop.run(self._offsets(topics, LATEST))

    async def _offsets(self, topics: Collection[str], which: int) -> Ends:
        wanted = [one for topic in topics for one in self._cluster.partitions(topic)]
        found = await self._cluster.offsets(dict.fromkeys(wanted, which), committed=False)
        ends: Ends = {}
        for partition, offset in found.items():
            ends.setdefault(partition.topic, {})[partition.partition] = offset or 0
        return ends

    def arrived(
        self, redrive_ids: Collection[str], since: Mapping[str, Mapping[int, int]]
    ) -> list[Found]:
        """Return the messages of some re-drives that stand in their topics, from these offsets on.

        Raises
        ------
        SourceDataLost
            A topic no longer holds what stood there: what arrived cannot be known.
        """
        time.sleep(_IN_FLIGHT_SECONDS)
        return self._loop.run(self._arrived(set(redrive_ids), since))

    async def _arrived(self, ids: set[str], since: Mapping[str, Mapping[int, int]]) -> list[Found]:
        starts = await self._offsets(since, EARLIEST)
        ends = await self._offsets(since, LATEST)
        spans: dict[TopicPartition, tuple[int, int]] = {}
        for topic, partitions in ends.items():
            for number, end in partitions.items():
                start = since[topic].get(number, 0)
                first = starts[topic][number]
                if first > start and number in since[topic]:
                    message = (
                        f"{self.name}: {topic}/{number} begins at offset {first:,}, and the re-drive began at "
                        f"{start:,}; which of its messages arrived cannot be known."
                    )
                    raise SourceDataLost(
                        message, hint="find out from the consumer; nothing was sent now"
                    )
                if end > max(start, first):
                    spans[TopicPartition(topic, number)] = (max(start, first), end)
        found: list[Found] = []
        if spans:
            async with self._consumer() as consumer:
                consumer.assign(list(spans))
                for partition, (start, _) in spans.items():
                    consumer.seek(partition, start)
                while any([await consumer.position(one) < end for one, (_, end) in spans.items()]):
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        found += [one for record in records if (one := _marked(record, ids))]
        return found

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            # An open transaction of somebody else must not hide what was sent behind it.
            isolation_level="read_uncommitted",
            max_partition_fetch_bytes=_LARGEST,
            **self._options,
        )
        try:
            await consumer.start()
            yield consumer
        except KafkaError as error:
            message = f"{self.name}: the topic cannot be read: {describe(error)}"
            raise SourceUnavailable(message, hint="nothing was sent; run it again") from error
        finally:
            await consumer.stop()

    # -- sending ---------------------------------------------------------------------------------

    def send(
        self, messages: Sequence[Message], redrive_id: str, rate: float | None
    ) -> tuple[list[Found], SourceUnavailable | None]:
        """Send messages in their order, so many a second at most; return those that arrived, and what went wrong."""
        return self._loop.run(self._send(messages, redrive_id, rate))

    async def _send(
        self, messages: Sequence[Message], redrive_id: str, rate: float | None
    ) -> tuple[list[Found], SourceUnavailable | None]:
        found: list[Found] = []
        try:
            producer = await self._producer()
        except (KafkaError, OSError) as error:
            return found, self._failed(error, None)
        waiting: dict[tuple[str, int], tuple[Message, asyncio.Future[Any]]] = {}

        async def settle(lane: tuple[str, int]) -> None:
            message, future = waiting.pop(lane)
            try:
                meta = await future
            except (KafkaError, OSError) as error:
                raise _RefusedError(message, error) from error
            at = dt.datetime.now(dt.UTC)
            found.append(Found(redrive_id, message.of, meta.topic, meta.partition, meta.offset, at))

        problem: SourceUnavailable | None = None
        try:
            for message in messages:
                lane = (message.topic, self._partition(message))
                if lane in waiting:
                    await settle(lane)
                await self._pace(rate)
                waiting[lane] = (
                    message,
                    await self._hand_over(producer, message, lane[1], redrive_id),
                )
        except _RefusedError as refused:
            problem = self._failed(refused.error, refused.message)
        except (KafkaError, OSError) as error:
            problem = self._failed(error, None)
        for lane in list(waiting):
            try:
                await settle(lane)
            except _RefusedError as refused:
                problem = problem or self._failed(refused.error, refused.message)
        return found, problem

    async def _producer(self) -> AIOKafkaProducer:
        if not hasattr(self, "_made"):
            made = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks="all",
                enable_idempotence=True,
                max_request_size=_LARGEST,
                **self._options,
            )
            await made.start()
            self._made = made
            self._stack.callback(lambda: self._loop.run(made.stop()))
        return self._made

    async def _hand_over(
        self, producer: AIOKafkaProducer, message: Message, partition: int, redrive_id: str
    ) -> asyncio.Future[Any]:
        marks = [(ID, redrive_id.encode()), (OF, message.of.encode())]
        future: asyncio.Future[Any] = await producer.send(
            message.topic,
            message.value,
            key=message.key,
            partition=partition,
            headers=[*message.headers, *marks],
        )
        return future

    async def _pace(self, rate: float | None) -> None:
        if rate is None:
            return
        now = time.monotonic()
        if self._next_at > now:
            await asyncio.sleep(self._next_at - now)
        # Time that a slow broker took is not made up for by a burst.
        self._next_at = max(self._next_at, now) + 1 / rate

    def _partition(self, message: Message) -> int:
        """Choose as before, else as a producer does that knows the key."""
        there: list[int] = [one.partition for one in self._cluster.partitions(message.topic)]
        if message.partition is not None and message.partition in there:
            return message.partition
        key = message.key if message.key is not None else (message.order_by or "").encode()
        return there[_murmur2(key) % len(there)]

    def _failed(self, error: BaseException, message: Message | None) -> SourceUnavailable:
        which = f" (dead letter {message.of})" if message is not None else ""
        return SourceUnavailable(
            f"{self.name}: a message was not accepted{which}: {describe(error)}",
            hint="send the same plan again when the cause is mended: it goes on, and repeats nothing",
        )


class _RefusedError(Exception):
    def __init__(self, message: Message, error: BaseException) -> None:
        super().__init__(str(error))
        self.message, self.error = message, error


def _murmur2(key: bytes) -> int:
    from aiokafka.partitioner import murmur2

    return int(murmur2(key)) & 0x7FFFFFFF


def _marked(record: Any, ids: set[str]) -> Found | None:
    marks = {
        name: value.decode(errors="replace")
        for name, value in record.headers
        if name in (ID, OF) and value is not None
    }
    if marks.get(ID) not in ids or OF not in marks:
        return None
    at = dt.datetime.fromtimestamp(record.timestamp / 1000, dt.UTC)
    return Found(marks[ID], marks[OF], record.topic, record.partition, record.offset, at)
