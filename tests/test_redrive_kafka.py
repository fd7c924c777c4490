"""Re-drive on a real broker: each message once and in order, whatever kills the sender."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.benchmarks.truth_dead_letters import differences, load_from_broker
from tests.fix_kafka import Kafka
from tests.servers.kafka_client import Record, event
from workbench.analysis.redrive import RedrivePlan
from workbench.errors import ConfigError, SourceDataLost, SourceUnavailable
from workbench.samples import path
from workbench.store import redrives as journal

pytestmark = pytest.mark.kafka

ID, OF = "workbench-redrive-id", "workbench-redrive-of"


class Shop:
    """A topic of events, its dead-letter topic, and a log of both."""

    def __init__(self, kafka: Kafka, path: Path, partitions: int = 3) -> None:
        self.kafka, self.path = kafka, path
        self.topic = kafka.topic(partitions)
        self.dlq = kafka.topic(1)
        self.partitions = partitions
        self.log = wb.open(path)

    def fill(self, streams: int, each: int, every: int = 2) -> None:
        """Write events, and give up every so-manieth, as Kafka Connect does."""
        written: list[tuple[int, bytes, bytes]] = []
        for number, stream in itertools.product(range(1, each + 1), range(streams)):
            key = f"acc-{stream}"
            written.append((stream % self.partitions, key.encode(), event(number, key)))
        self.kafka.send(
            self.topic,
            [
                Record(value, key, partition, headers=[("trace", b"t-1"), ("trace", b"t-2")])
                for partition, key, value in written
            ],
        )
        offsets = [itertools.count() for _ in range(self.partitions)]
        places = [
            (partition, next(offsets[partition]), key, value) for partition, key, value in written
        ]
        # Given up in an order that is not that of the topic.
        self.give_up([place for place in places if place[1] % every == 0][::-1])
        self.load()

    def give_up(
        self, places: list[tuple[int, int, bytes, bytes]], *marks: tuple[str, bytes]
    ) -> None:
        self.kafka.send(
            self.dlq,
            [
                Record(
                    value,
                    key,
                    headers=[
                        ("trace", b"t-1"),
                        ("trace", b"t-2"),
                        *connect(self.topic, partition, offset),
                        *marks,
                    ],
                )
                for partition, offset, key, value in places
            ],
        )

    def load(self) -> None:
        self.log.load(wb.kafka(self.kafka.bootstrap, self.topic, name="events"), progress=False)
        dead = wb.kafka(self.kafka.bootstrap, self.dlq)
        self.log.load(wb.dead_letters(dead, name="dead"), progress=False)

    def plan(self, **options: Any) -> RedrivePlan:
        return self.log.dead_letters().redrive(**options)

    def redriven(self, topic: str | None = None) -> list[list[Any]]:
        """The marked records of each partition, in the order in which they stand there."""
        return [
            [
                record
                for record in self.kafka.read(topic or self.topic, partition)
                if OF in dict(record.headers)
            ]
            for partition in range(self.partitions)
        ]

    def expected(self) -> list[list[tuple[bytes, bytes]]]:
        """What has to stand in each partition again: key and value of what was given up, by offset."""
        found: list[list[tuple[int, bytes, bytes]]] = [[] for _ in range(self.partitions)]
        for record in self.kafka.read(self.dlq):
            headers = dict(record.headers)
            if OF in headers:
                continue
            place = (
                int(headers["__connect.errors.partition"]),
                int(headers["__connect.errors.offset"]),
            )
            found[place[0]].append((place[1], record.key, record.value))
        return [[(key, value) for _, key, value in sorted(partition)] for partition in found]


def connect(topic: str, partition: int, offset: int) -> list[tuple[str, bytes]]:
    said = {
        "topic": topic, "partition": partition, "offset": offset, "connector.name": "sink", "stage": "TASK_PUT",
        "exception.class.name": "java.lang.X", "exception.message": "no",
    }  # fmt: skip
    return [(f"__connect.errors.{name}", str(value).encode()) for name, value in said.items()]


def contents(partitions: list[list[Any]]) -> list[list[tuple[bytes, bytes]]]:
    return [[(record.key, record.value) for record in records] for records in partitions]


@pytest.fixture
def shop(kafka: Kafka, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(kafka, tmp_path / "shop.duckdb")
    yield made
    made.log.close()


def test_a_message_is_sent_as_it_was_to_where_it_was_and_marked(shop: Shop) -> None:
    shop.fill(streams=5, each=4)

    done = shop.plan().send(shop.kafka.bootstrap, rate=None)

    again = shop.redriven()
    assert contents(again) == shop.expected()
    assert done.sent == sum(map(len, again)) > 0
    places = {row["place"] for row in shop.plan().rows()}
    marks = [dict(record.headers) for records in again for record in records]
    assert {mark[OF].decode() for mark in marks} == places
    assert {mark[ID].decode() for mark in marks} == {done.redrive_id}
    for record in itertools.chain(*again):
        assert list(record.headers)[:2] == [("trace", b"t-1"), ("trace", b"t-2")]
        assert {name for name, _ in record.headers} == {"trace", ID, OF}


def test_what_was_sent_is_not_sent_again(shop: Shop) -> None:
    shop.fill(streams=3, each=4)
    first = shop.plan().send(shop.kafka.bootstrap)

    second = shop.plan().send(shop.kafka.bootstrap)

    assert (second.sent, second.before) == (0, first.sent)
    assert contents(shop.redriven()) == shop.expected()


def test_dead_letters_from_a_broker_are_what_the_truth_says(kafka: Kafka) -> None:
    folder, suffix = path("checkout/events.ndjson.gz").parent, kafka.name("")
    with wb.open() as log:
        load_from_broker(folder, [folder / "events.ndjson.gz"], kafka, suffix, log)
        assert len(log) == 9_000
        assert differences(log, folder, suffix) == []


def test_an_unreadable_message_is_the_event_that_was_read_from_its_origin(shop: Shop) -> None:
    shop.fill(streams=3, each=4)
    shop.give_up([(1, 2, b"acc-1", b"cut o")])
    shop.load()

    (letter,) = shop.log.dead_letters(condition="parse_error IS NOT NULL").rows()

    assert (letter["stream_id"], letter["version"]) == ("acc-1", 3)
    (event_,) = shop.log.where(stream="acc-1").sql("FROM events WHERE version = 3").rows()
    assert (letter["position"], letter["event_id"]) == (event_["position"], event_["event_id"])


def test_a_dry_run_sends_nothing(shop: Shop) -> None:
    shop.fill(streams=3, each=4)
    before = [shop.kafka.offsets(shop.topic, number) for number in range(3)]

    repr(shop.plan())

    assert [shop.kafka.offsets(shop.topic, number) for number in range(3)] == before
    assert len(shop.log.redrives()) == 0


SENDER = """
import sys
import workbench as wb
log = wb.open(sys.argv[1])
print(log.dead_letters().redrive().send(sys.argv[2], rate=float(sys.argv[3])), flush=True)
"""


def start(shop: Shop, rate: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SENDER, str(shop.path), shop.kafka.bootstrap, str(rate)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def test_a_sender_that_is_killed_again_and_again_sends_each_message_once_and_in_order(
    shop: Shop,
) -> None:
    shop.fill(streams=9, each=30)
    shop.log.close()
    everything = shop.expected()
    total = sum(map(len, everything))
    for goal in (total // 4, total // 2):
        process = start(shop, rate=60)
        deadline = time.monotonic() + 60
        while sum(map(len, shop.redriven())) < goal:
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL
        assert sum(map(len, shop.redriven())) < total

    shop.log = wb.open(shop.path)
    done = shop.plan().send(shop.kafka.bootstrap, rate=None)

    again = shop.redriven()
    assert contents(again) == everything
    assert len({dict(record.headers)[ID] for records in again for record in records}) == 1
    assert 0 < done.sent < total
    assert done.found > 0
    assert done.sent + done.before == total
    shop.load()
    assert shop.log.redrives().counts == {"arrived": total}


def test_a_refused_message_stops_what_is_behind_it_and_nothing_is_repeated(
    kafka: Kafka, tmp_path: Path
) -> None:
    shop = Shop(kafka, tmp_path / "shop.duckdb", partitions=1)
    shop.topic = kafka.topic(1, max_message_bytes="20000")
    small, large = event(1), event(2, data={"note": "x" * 50_000})
    kafka.send(shop.topic, [Record(small, b"acc-1")])
    shop.give_up([(0, 0, b"acc-1", small), (0, 1, b"acc-1", large), (0, 2, b"acc-1", event(3))])
    shop.load()

    with pytest.raises(SourceUnavailable, match=r"(?s)MessageSizeTooLarge.*1 of 3"):
        shop.plan().send(kafka.bootstrap)

    assert contents(shop.redriven()) == [[(b"acc-1", small)]]
    letters = shop.log.dead_letters(condition="origin_offset <> 1")
    assert letters.redrive().send(kafka.bootstrap).sent == 1
    assert contents(shop.redriven()) == [[(b"acc-1", small), (b"acc-1", event(3))]]
    shop.log.close()


def test_a_message_that_fails_again_is_told_and_can_be_sent_again(shop: Shop) -> None:
    shop.fill(streams=3, each=4)
    plan = shop.plan()
    first = plan.send(shop.kafka.bootstrap)
    assert shop.log.redrives().counts == {"not seen": first.sent}
    failed = shop.redriven()[1][0]
    shop.give_up(
        [(1, failed.offset, failed.key, failed.value)],
        *[(name, value) for name, value in failed.headers if name in (ID, OF)],
    )
    shop.load()

    assert shop.log.redrives().counts == {"arrived": first.sent - 1, "failed again": 1}
    (letter,) = shop.log.dead_letters(condition="redrives > 0").rows()
    assert letter["redrives"] == 1
    assert letter["redrive_id"] == first.redrive_id
    assert len({row["event_key"] for row in shop.log.dead_letters().rows()}) == first.sent
    again = shop.plan()
    assert again.counts == {"sent": first.sent - 1, "to send": 1}
    assert again.send(shop.kafka.bootstrap).sent == 1
    assert [row["redrives"] for row in again.rows() if row["state"] == "to send"] == [1]
    last = max(shop.redriven()[1], key=lambda record: record.offset)
    assert dict(last.headers)[OF].decode() == letter["source_position"]
    assert [name for name, _ in last.headers] == ["trace", "trace", ID, OF]


def test_the_reference_formats_own_event_is_sent_byte_for_byte(
    kafka: Kafka, tmp_path: Path
) -> None:
    shop = Shop(kafka, tmp_path / "shop.duckdb", partitions=1)
    original = b'{ "eventId":"e-1","eventType":"Paid","aggregateId":"o-1", "data":{"amount":1.10}}'
    letter = (
        b'{"error":"no","originalEvent":' + original + b',"attempts":4,"timestamp":1782828131000}'
    )
    kafka.send(shop.dlq, [Record(letter, b"o-1")])
    kafka.send(shop.topic, [Record(original, b"o-1")])
    shop.load()

    # The letter does not say where it came from; the log does, since it has the event.
    assert shop.plan().send(kafka.bootstrap).sent == 1

    ((record,),) = shop.redriven()
    assert (record.key, record.value) == (b"o-1", original)
    shop.log.close()


def test_a_message_without_a_known_place_goes_to_the_partition_of_its_key(shop: Shop) -> None:
    originals = [event(number, f"acc-{number % 4}") for number in range(12)]
    records = [
        Record(json.dumps({"originalEvent": json.loads(one), "error": "no", "attempts": 1}).encode(),
               f"acc-{number % 4}".encode())
        for number, one in enumerate(originals)
    ]  # fmt: skip
    shop.kafka.send(shop.dlq, records)
    shop.load()
    own = shop.kafka.topic(3)

    assert shop.plan().counts == {"held back": 12}
    assert shop.plan().send(shop.kafka.bootstrap, to=own).sent == 12

    homes: dict[bytes, set[int]] = {}
    for partition, records_there in enumerate(shop.redriven(own)):
        versions: dict[bytes, list[int]] = {}
        for record in records_there:
            homes.setdefault(record.key, set()).add(partition)
            versions.setdefault(record.key, []).append(json.loads(record.value)["version"])
        assert all(found == sorted(found) for found in versions.values())
    assert [len(partitions) for partitions in homes.values()] == [1, 1, 1, 1]


def test_a_rate_is_kept(shop: Shop) -> None:
    shop.fill(streams=3, each=8)
    begun = time.monotonic()

    done = shop.plan().send(shop.kafka.bootstrap, rate=10)

    assert time.monotonic() - begun >= (done.sent - 1) / 10


def test_nothing_is_sent_to_a_topic_that_is_not_there(shop: Shop) -> None:
    shop.fill(streams=3, each=2)
    missing = shop.kafka.name("missing")

    with pytest.raises(ConfigError, match="no topic"):
        shop.plan(to=missing).send(shop.kafka.bootstrap)

    assert missing not in shop.kafka.topics()


def test_two_senders_at_once_are_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.fill(streams=3, each=4)
    entries = [(row["n"], "dead", row["place"], shop.topic) for row in shop.plan().rows()]
    with monkeypatch.context() as other:  # a process that is there: the one that started this
        other.setattr(journal, "sender", lambda: f"{socket.gethostname()}:{os.getppid()}")
        journal.begin(
            shop.log._view.database,
            "theirs",
            shop.kafka.bootstrap,
            {shop.topic: {0: 0, 1: 0, 2: 0}},
            entries,
        )

    with pytest.raises(ConfigError, match="theirs is being sent by"):
        shop.plan().send(shop.kafka.bootstrap)

    assert contents(shop.redriven()) == [[], [], []]


def test_where_the_topic_forgot_what_arrived_nothing_is_sent(shop: Shop) -> None:
    shop.fill(streams=3, each=4)
    database = shop.log._view.database
    rows = shop.plan().rows()
    ends = {shop.topic: {number: shop.kafka.offsets(shop.topic, number)[1] for number in range(3)}}
    entries = [(row["n"], "dead", row["place"], shop.topic) for row in rows]
    journal.begin(database, "broken-off", shop.kafka.bootstrap, ends, entries)
    shop.kafka.send(shop.topic, [Record(event(9), b"acc-0", 0)] * 2)
    shop.kafka.delete_records(shop.topic, ends[shop.topic][0] + 1)

    assert shop.plan().counts == {"unsure": len(rows)}
    with pytest.raises(SourceDataLost, match="cannot be known"):
        shop.plan().send(shop.kafka.bootstrap)
    assert contents(shop.redriven()) == [[], [], []]


def test_a_broker_that_is_not_there_is_named_and_nothing_is_noted(shop: Shop) -> None:
    shop.fill(streams=3, each=2)

    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:1"):
        shop.plan().send("127.0.0.1:1", timeout=1)

    assert len(shop.log.redrives()) == 0
