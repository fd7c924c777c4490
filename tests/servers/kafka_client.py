"""What the tests do at a broker: make topics, write records. Synchronous, one call at a time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.errors import KafkaError, for_code

T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """A record to write."""

    value: bytes | None
    key: bytes | None = None
    partition: int = 0
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int | None = None


def event(number: int, stream: str = "acc-1", **changes: Any) -> bytes:
    """Write an event in the default envelope."""
    envelope = {
        "eventId": f"e-{stream}-{number}",
        "eventType": "DepositMade",
        "aggregateId": stream,
        "aggregateType": "account",
        "version": number,
        "timestamp": "2026-06-30T14:02:11.123Z",
        "data": {"amount": "5.10"},
        "metadata": {"correlationId": f"c-{number}", "causationId": "cmd-1", "userId": "ann"},
    }
    return json.dumps(envelope | changes).encode()


def events(count: int, stream: str = "acc-1", *, start: int = 1) -> list[Record]:
    """Return records of ``count`` events of one stream, keyed by it."""
    numbers = range(start, start + count)
    return [Record(event(number, stream), key=stream.encode()) for number in numbers]


class Client:
    """Talks to one broker."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def create(self, topic: str, partitions: int = 1, **config: str) -> str:
        """Create a topic; config keys are written with underscores."""
        # Records of the past are not to be dropped under a test.
        settings = {"retention.ms": "-1"} | {
            name.replace("_", "."): value for name, value in config.items()
        }
        wanted = NewTopic(topic, partitions, 1, topic_configs=settings)

        async def create(admin: AIOKafkaAdminClient) -> None:
            answer = await admin.create_topics([wanted])
            for _, code, *_ in answer.topic_errors:
                if code:
                    raise for_code(code)(topic)

        self._admin(create)
        return topic

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        self._admin(lambda admin: admin.create_partitions({topic: NewPartitions(partitions)}))

    def delete(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone."""

        async def delete(admin: AIOKafkaAdminClient) -> None:
            await admin.delete_topics([topic])
            deadline = time.monotonic() + 10
            while topic in await admin.list_topics():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)

        self._admin(delete)

    def topics(self) -> list[str]:
        """Return the names of all topics."""
        return sorted(self._admin(lambda admin: admin.list_topics()))

    def groups(self) -> list[str]:
        """Return the names of all consumer groups."""
        return sorted(name for name, *_ in self._admin(lambda admin: admin.list_consumer_groups()))

    def delete_records(self, topic: str, before: int, partition: int = 0) -> None:
        """Remove the records below an offset, as retention does."""
        wanted = {TopicPartition(topic, partition): RecordsToDelete(before)}
        self._admin(lambda admin: admin.delete_records(wanted))

    def offsets(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """Return a partition's first offset, and the one behind its last record or marker."""

        async def ask() -> tuple[int, int]:
            consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
            await consumer.start()
            try:
                one = TopicPartition(topic, partition)
                consumer.assign([one])
                first, last = (
                    await consumer.beginning_offsets([one]),
                    await consumer.end_offsets([one]),
                )
                return first[one], last[one]
            finally:
                await consumer.stop()

        return asyncio.run(ask())

    def read(self, topic: str, partition: int = 0) -> list[Any]:
        """Return what a consumer of its own sees of a partition: records of committed transactions."""

        async def ask() -> list[Any]:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.bootstrap,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
            )
            await consumer.start()
            try:
                one = TopicPartition(topic, partition)
                consumer.assign([one])
                end = (await consumer.end_offsets([one]))[one]
                found: list[Any] = []
                while await consumer.position(one) < end:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found += records
                return found
            finally:
                await consumer.stop()

        return asyncio.run(ask())

    def send(self, topic: str, records: Iterable[Record], **settings: Any) -> None:
        """Write records; settings are those of aiokafka's producer."""

        async def send(producer: AIOKafkaProducer) -> None:
            await _send(producer, topic, records)

        self._producer(send, **settings)

    def transact(
        self, topic: str, records: Iterable[Record], *, commit: bool, transactional_id: str
    ) -> None:
        """Write records in a transaction of their own, and commit or abort it."""

        async def transact(producer: AIOKafkaProducer) -> None:
            await producer.begin_transaction()
            await _send(producer, topic, records)
            await (producer.commit_transaction() if commit else producer.abort_transaction())

        self._producer(transact, transactional_id=transactional_id)

    def hang(self, topic: str, records: Iterable[Record], *, transactional_id: str) -> None:
        """Write records in a transaction and go away without ending it."""

        async def hang(producer: AIOKafkaProducer) -> None:
            await producer.begin_transaction()
            await _send(producer, topic, records)
            await producer.flush()
            # A stop would abort the transaction; a process that dies does not.
            await producer.client.close()

        self._producer(hang, transactional_id=transactional_id, transaction_timeout_ms=600_000)

    def _producer(
        self, work: Callable[[AIOKafkaProducer], Awaitable[None]], **settings: Any
    ) -> None:
        async def run() -> None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.bootstrap, max_request_size=32 << 20, **settings
            )
            await producer.start()
            try:
                await work(producer)
            finally:
                with suppress(KafkaError):
                    await producer.stop()

        asyncio.run(run())

    def _admin(self, work: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        async def run() -> T:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
            await admin.start()
            try:
                return await work(admin)
            finally:
                await admin.close()

        return asyncio.run(run())


async def _send(producer: AIOKafkaProducer, topic: str, records: Iterable[Record]) -> None:
    for record in records:
        await producer.send(
            topic,
            record.value,
            key=record.key,
            partition=record.partition,
            timestamp_ms=record.timestamp_ms,
            headers=list(record.headers),
        )
    await producer.flush()
