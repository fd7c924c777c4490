"""Loading dead letters from a real broker: bounded, resumable, with their headers as they are."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

import workbench as wb
from tests.dead_letters import SENT_MS, Message, connect, known, letters, reference, spring
from tests.fix_kafka import Kafka
from tests.servers.kafka_client import Record
from tests.test_load_dead_letters import EXPECTED
from workbench.errors import ConfigError, SourceUnavailable
from workbench.sources.kafka import slab
from workbench.sources.kafka.reader import Limits

pytestmark = pytest.mark.kafka


def send(kafka: Kafka, topic: str, messages: Sequence[Message], partition: int = 0) -> None:
    kafka.send(
        topic,
        [
            Record(one.value, one.key, partition, list(one.headers), one.timestamp_ms)  # type: ignore[arg-type]
            for one in messages
        ],
    )


def test_dead_letters_come_from_a_broker_as_they_come_from_a_file(kafka: Kafka) -> None:
    topic = kafka.topic()
    given = [connect(), spring(), reference()]
    send(kafka, topic, given)
    with wb.open() as log:
        loaded = log.load(wb.dead_letters(wb.kafka(kafka.bootstrap, topic)), progress=False)
        assert (loaded.read, loaded.stored, loaded.rejected) == (3, 3, 0)
        assert loaded.report.watermark == f"{topic}/0@3"
        found = letters(log)
    for number, (letter, message) in enumerate(zip(found, given, strict=True)):
        name = letter["format"]
        assert known(letter, "format") == EXPECTED[name][1]
        assert (letter["raw"], letter["key"]) == (message.value, message.key)
        assert [(h["name"], h["value"]) for h in letter["headers"] or ()] == list(message.headers)
        assert letter["source_position"] == f"{topic}/0/{number}"
    assert [letter["format"] for letter in found] == ["connect", "spring", "reference"]


def test_a_load_goes_on_where_the_last_one_ended(kafka: Kafka) -> None:
    topic = kafka.topic(partitions=2)
    origin = wb.kafka(kafka.bootstrap, topic)
    send(kafka, topic, [spring()] * 5)
    with wb.open() as log:
        assert log.load(wb.dead_letters(origin), progress=False).stored == 5
        send(kafka, topic, [reference()] * 3, partition=1)
        assert log.load(wb.dead_letters(origin), progress=False).read == 3
        again = log.load(wb.dead_letters(origin), again=True, progress=False)
        assert (again.read, again.duplicate, again.stored) == (8, 8, 0)
        assert [one["dead_letter_id"] for one in letters(log)] == list(range(1, 9))
        assert kafka.groups() == []


def test_events_and_dead_letters_of_one_broker_do_not_share_a_bookmark(kafka: Kafka) -> None:
    topic = kafka.topic()
    send(kafka, topic, [Message(headers=spring().headers)])
    origin = wb.kafka(kafka.bootstrap, topic)
    with wb.open() as log:
        assert log.load(origin, progress=False).stored == 1
        assert log.load(wb.dead_letters(origin), progress=False).stored == 1
        (letter,) = letters(log)
        event = log.df().iloc[0]
        assert letter["event_id"] == event["event_id"]
        assert letter["data"] == event["data"]


def test_the_mapping_is_that_of_the_origin(kafka: Kafka) -> None:
    topic = kafka.topic()
    send(kafka, topic, [spring().but(value=b'{"order": "o-1", "kind": "Paid", "x": 1.10}')])
    mapping = {"stream_id": "order", "event_type": "kind", "data": "value"}
    with wb.open() as log:
        log.load(wb.dead_letters(wb.kafka(kafka.bootstrap, topic, columns=mapping)), progress=False)
        (letter,) = letters(log)
        assert (letter["stream_id"], letter["event_type"]) == ("o-1", "Paid")
        assert letter["data"] == '{"order": "o-1", "kind": "Paid", "x": 1.10}'


def test_a_load_that_breaks_off_between_batches_goes_on(kafka: Kafka) -> None:
    topic = kafka.topic()
    send(kafka, topic, [spring(), reference()] * 25)
    origin = wb.kafka(kafka.bootstrap, topic, max_partition_fetch_bytes=2000, fetch_max_bytes=2000)
    source = wb.dead_letters(replace(origin, limits=Limits(rows=10)))

    class Stop(Exception):
        pass

    def stop(read: int, _: int | None) -> None:
        if read >= 20:
            raise Stop

    with wb.open() as log:
        with pytest.raises(Stop):
            log.load(source, progress=stop)
        before = len(letters(log))
        assert 20 <= before < 50
        rest = log.load(source, progress=False)
        assert (rest.stored, rest.duplicate) == (50 - before, 0)
        assert [one["source_position"] for one in letters(log)] == [
            f"{topic}/0/{n}" for n in range(50)
        ]


def test_connect_takes_the_time_of_a_topic_that_stamps_its_records(kafka: Kafka) -> None:
    topic = kafka.topic(message_timestamp_type="LogAppendTime")
    send(kafka, topic, [connect()])
    with wb.open() as log:
        log.load(wb.dead_letters(wb.kafka(kafka.bootstrap, topic)), progress=False)
        (letter,) = letters(log)
    if kafka.label.startswith("noida"):
        pytest.xfail("noida-db: keeps the producer's time")
    assert letter["dead_lettered_at"].timestamp() * 1000 > SENT_MS


@pytest.mark.parametrize("compression", [0, 1], ids=["plain", "gzip"])
def test_names_of_headers_that_are_no_text_are_escaped(compression: int) -> None:
    """No client of ours writes them, so they are put into a batch's bytes, with a checksum that fits."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=compression, is_transactional=0,
        producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=10_000,
    )  # fmt: skip
    for number, name in enumerate(["sound", "broken", "last"]):
        builder.append(number, 1, b"k", b"v", [(name, b"1"), ("x", None)])
    data = bytearray(builder.build())
    body = bytes(data[61:]) if compression == 0 else gzip.decompress(bytes(data[61:]))
    body = body.replace(b"broken", b"br\xffken")
    data[61:] = body if compression == 0 else gzip.compress(body)
    data[8:12] = struct.pack(">i", len(data) - 12)
    data[17:21] = struct.pack(">I", calc_crc32c(bytes(data[21:])))
    (batch,) = slab.batches(bytes(data))
    assert batch.validate_crc()
    names = [[name for name, _ in record.headers] for record in batch]
    assert names == [["sound", "x"], ["br\\xffken", "x"], ["last", "x"]]


def test_what_the_origin_refuses_is_refused(kafka: Kafka) -> None:
    with wb.open() as log:
        with pytest.raises(ConfigError, match="there is no topic"):
            log.load(wb.dead_letters(wb.kafka(kafka.bootstrap, "no.such.topic")), progress=False)
        with pytest.raises(SourceUnavailable):
            log.load(wb.dead_letters(wb.kafka("127.0.0.1:1", "dlq", timeout=1)), progress=False)
        assert log.loads().rows() == []
