"""Loading from a real Kafka broker."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.fix_kafka import Kafka
from tests.killing import killed_at_random_moments
from tests.servers.kafka_broker import PASSWORD, USER, ApacheKafka, Broker
from tests.servers.kafka_client import Client, Record, event, events
from tests.source_contract import (
    AppendContract,
    Event,
    EventIdContract,
    MakeSource,
    RejectContract,
    SecretContract,
    SourceContract,
    Write,
    rows,
)
from workbench.errors import (
    ConfigError,
    MomentError,
    SourceDataLost,
    SourceUnavailable,
)
from workbench.event import MAPPABLE
from workbench.sources.kafka import KafkaSource
from workbench.sources.kafka.reader import Limits
from workbench.sources.payload import Cutter

pytestmark = pytest.mark.kafka


def load(source: KafkaSource) -> tuple[wb.EventLog, Any]:
    log = wb.open()
    return log, log.load(source, progress=False)


def small(source: KafkaSource, batch: int = 10) -> KafkaSource:
    """Read in small steps, so that a load can be stopped in the middle."""
    options = {**source.options, "max_partition_fetch_bytes": 2000, "fetch_max_bytes": 2000}
    return replace(source, limits=Limits(batch), options=options)


def needs_apache(kafka: Kafka, why: str) -> None:
    """Say what the embedded broker lacks; Apache Kafka, and any broker that is given, must have it."""
    if kafka.label.startswith("noida"):
        pytest.xfail(f"noida-db: {why}")


def positions(log: wb.EventLog) -> list[str]:
    return [at for (at,) in rows(log, "SELECT source_position FROM events ORDER BY position")]


# -- the contract of all sources -----------------------------------------------------------------

NAMES = {
    "stream_id": "eventStream", "stream_type": "kind", "version": "version", "event_id": "eventId",
    "event_type": "eventType", "schema_version": "schemaVersion", "occurred_at": "timestamp",
    "recorded_at": "stored.at", "correlation_id": "flow", "causation_id": "cause", "actor": "who",
    "data": "payload", "metadata": "metadata",
}  # fmt: skip


def envelope(given_event: Event) -> bytes:
    """Write an event as a record; its payload stands in it as it is."""
    members = {
        NAMES[name]: value if name in ("data", "metadata") else json.dumps(value, default=str)
        for name, value in given_event.items()
        if value is not None
    }
    if "stored.at" in members:
        members["stored"] = f'{{ "at": {members.pop("stored.at")} }}'
    return (
        "{ " + " , ".join(f'"{name}" : {text}' for name, text in members.items()) + "}"
    ).encode()


class KafkaContract(SourceContract, AppendContract, EventIdContract, RejectContract):
    # A record always has a time of its own, so when it happened is never unknown.
    fills: ClassVar[list[str]] = [
        name for name in MAPPABLE if name not in ("source_position", "occurred_at")
    ]
    partitions: ClassVar[int] = 1

    @pytest.fixture
    def topic(self, kafka: Kafka) -> str:
        return kafka.topic(self.partitions)

    @pytest.fixture
    def write(self, kafka: Kafka, topic: str) -> Write:
        def write(given_events: Sequence[Event]) -> None:
            records = [
                Record(envelope(one), partition=sum(one["stream_id"].encode()) % self.partitions)
                for one in given_events
            ]
            kafka.send(topic, records)

        return write

    @pytest.fixture
    def source(self, kafka: Kafka, topic: str) -> MakeSource:
        def make(rows: int | None = None) -> KafkaSource:
            made = wb.kafka(kafka.bootstrap, topic, columns=NAMES)
            return made if rows is None else replace(made, limits=Limits(rows))

        return make

    @pytest.fixture(params=[b'{"eventStream": "acc-1", ', b"\xff\xfe", b"[1, 2]", b""])
    def write_broken(
        self, request: pytest.FixtureRequest, kafka: Kafka, topic: str
    ) -> Callable[[], bytes]:
        def write() -> bytes:
            value: bytes = request.param
            kafka.send(topic, [Record(value)])
            return value

        return write

    def test_when_it_happened_arrives_unchanged(self, write: Write, source: MakeSource) -> None:
        from tests.source_contract import events as contract_events

        written = contract_events()
        write(written)
        log, _ = load(source())  # type: ignore[arg-type]  # the fixture above makes these
        found = rows(log, "SELECT event_id, occurred_at FROM events")
        assert dict(found) == {one["event_id"]: one["occurred_at"] for one in written}


class TestOnePartition(KafkaContract):
    pass


class TestThreePartitions(KafkaContract):
    partitions = 3
    one_order = False


class TestSecret(SecretContract):
    @pytest.fixture
    def secret(self) -> str:
        return "hunter2-is-secret"

    @pytest.fixture
    def write(self, kafka: Kafka) -> Write:
        self.name = kafka.topic()
        return lambda given_events: kafka.send(
            self.name, [Record(envelope(one)) for one in given_events]
        )

    @pytest.fixture
    def source(self, kafka: Kafka, secret: str) -> MakeSource:
        # The broker asks for no password, so it is not used; it is held all the same.
        return lambda: wb.kafka(
            kafka.bootstrap, self.name, columns=NAMES, sasl_plain_username="u", sasl_plain_password=secret
        )  # fmt: skip


def test_a_secret_is_in_no_message() -> None:
    secret = "hunter2-is-secret"
    source = wb.kafka(
        f"127.0.0.1:{closed_port()}", "events", timeout=1, security_protocol="SASL_PLAINTEXT",
        sasl_plain_username="u", sasl_plain_password=secret,
    )  # fmt: skip
    with pytest.raises(SourceUnavailable) as raised, source.read(None):
        pass
    chain: list[BaseException] = []
    error: BaseException | None = raised.value
    while error is not None:
        chain.append(error)
        error = error.__cause__ or error.__context__
    assert secret not in " ".join(f"{one} {one!r}" for one in chain)


def test_settings_for_tls_and_sasl_reach_the_broker(secure_kafka: ApacheKafka) -> None:
    client = Client(secure_kafka.bootstrap)
    client.create("secret.events")
    client.send("secret.events", events(5))
    trusted = ssl.create_default_context(cafile=secure_kafka.certificate)
    log, loaded = load(secured(secure_kafka, ssl_context=trusted))
    assert loaded.stored == 5
    assert PASSWORD not in repr(rows(log, "FROM log.main.loads"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sasl_plain_password": "wrong-horse-8"}, "Authentication failed"),
        ({"ssl_context": ssl.create_default_context()}, "certificate verify failed"),
        ({"security_protocol": "PLAINTEXT"}, "cannot be reached"),
    ],
)
def test_a_broker_that_refuses_us_says_why(
    secure_kafka: ApacheKafka, change: dict[str, Any], why: str
) -> None:
    trusted = ssl.create_default_context(cafile=secure_kafka.certificate)
    begin = time.monotonic()
    with pytest.raises(SourceUnavailable, match=why) as raised:
        load(secured(secure_kafka, **{"ssl_context": trusted, **change}))
    assert time.monotonic() - begin < 10
    assert PASSWORD not in str(raised.value)
    assert "wrong-horse" not in str(raised.value)


def secured(broker: ApacheKafka, **changes: Any) -> KafkaSource:
    options: dict[str, Any] = {
        "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN",
        "sasl_plain_username": USER, "sasl_plain_password": PASSWORD, "timeout": 5,
    }  # fmt: skip
    return wb.kafka(broker.secure_bootstrap, "secret.events", **(options | changes))


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="holds no user") as raised:
        wb.kafka("ann:hunter2@broker:9092", "events")
    assert "hunter2" not in str(raised.value)


# -- where the columns come from -----------------------------------------------------------------


def test_the_default_envelope_fills_every_column(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, [Record(event(1, schemaVersion=2))])
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    (found,) = log.sql("FROM events").rows()
    assert {name: found[name] for name in found if name not in ("occurred_at", "source")} == {
        "position": 1, "stream_id": "acc-1", "stream_type": "account", "version": 1,
        "event_id": "e-acc-1-1", "event_type": "DepositMade", "schema_version": "2",
        "recorded_at": None, "correlation_id": "c-1", "causation_id": "cmd-1", "actor": "ann",
        "data": '{"amount": "5.10"}',
        "metadata": '{"correlationId": "c-1", "causationId": "cmd-1", "userId": "ann"}',
        "source_position": f"{topic}/0/0",
    }  # fmt: skip
    assert found["occurred_at"].isoformat() == "2026-06-30T14:02:11.123000+00:00"


def test_the_other_names_of_the_default_envelope_count_too(kafka: Kafka) -> None:
    topic = kafka.topic()
    value = {
        "id": "e-1",
        "type": "Paid",
        "streamId": "o-1",
        "streamType": "order",
        "correlationId": "c",
    }
    kafka.send(topic, [Record(json.dumps(value).encode())])
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    assert rows(
        log, "SELECT event_id, event_type, stream_id, stream_type, correlation_id FROM events"
    ) == [("e-1", "Paid", "o-1", "order", "c")]


def test_an_envelope_of_any_kind_is_mapped(kafka: Kafka) -> None:
    topic = kafka.topic()
    value = b'{"what": {"name": "Paid", "body": {"total": 1.10}}, "topic": "hidden", "at": 1782828131.5}'
    headers = [("user", b"old"), ("user", b"bob"), ("trace", b"t-1")]
    kafka.send(topic, [Record(value, key=b"order-7", headers=headers)])
    columns: dict[str, Any] = {
        "stream_id": "key", "stream_type": "=order", "event_type": "what.name", "data": "what.body",
        "actor": "header.user", "correlation_id": ["header.none", "header.trace"],
        "causation_id": "value.topic", "schema_version": "topic", "occurred_at": "at", "metadata": "value",
    }  # fmt: skip
    log, loaded = load(wb.kafka(kafka.bootstrap, topic, columns=columns, epoch="s"))
    assert loaded.stored == 1
    (found,) = log.sql("FROM events").rows()
    assert found["stream_id"] == "order-7"
    assert found["stream_type"] == "order"
    assert found["event_type"] == "Paid"
    assert found["data"] == '{"total": 1.10}'
    assert found["actor"] == "bob"  # the last one, as Kafka's clients have it
    assert found["correlation_id"] == "t-1"
    assert found["causation_id"] == "hidden"
    assert found["schema_version"] == topic
    assert found["occurred_at"].isoformat() == "2026-06-30T14:02:11.500000+00:00"
    assert found["metadata"] == value.decode()


def test_the_key_is_the_stream_where_the_envelope_names_none(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, [Record(b'{"type": "Paid"}', key="Zoë".encode())])
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    assert rows(log, "SELECT stream_id FROM events") == [("Zoë",)]


def test_key_and_headers_are_kept_where_the_envelope_has_no_metadata(kafka: Kafka) -> None:
    topic = kafka.topic()
    headers = [("try", b"1"), ("try", b"2"), ("id", b"\xff\x00")]
    kafka.send(topic, [Record(b'{"type": "Paid"}', key=b"o-1", headers=headers)])
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    ((metadata,),) = rows(log, "SELECT CAST(metadata AS VARCHAR) FROM events")
    assert json.loads(metadata) == {
        "kafka": {
            "key": "o-1",
            "headers": [["try", "1"], ["try", "2"], ["id", {"base64": "/wA="}]],
        }
    }


def test_the_brokers_time_is_when_it_was_recorded(kafka: Kafka) -> None:
    needs_apache(kafka, "it has no LogAppendTime")
    topic = kafka.topic(message_timestamp_type="LogAppendTime")
    before = time.time()
    kafka.send(topic, [Record(b'{"type": "Paid", "streamId": "o"}', timestamp_ms=1000)])
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    ((occurred, recorded),) = rows(log, "SELECT occurred_at, recorded_at FROM events")
    assert occurred is None
    assert before - 1 <= recorded.timestamp() <= time.time() + 1


def test_the_producers_time_is_when_it_happened(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(
        topic, [Record(b'{"type": "Paid", "streamId": "o"}', timestamp_ms=1_782_828_131_123)]
    )
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    ((occurred, recorded),) = rows(log, "SELECT occurred_at, recorded_at FROM events")
    assert occurred.timestamp() == 1_782_828_131.123
    assert recorded is None


def test_a_time_that_is_there_but_unreadable_is_no_reason_to_guess(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, [Record(event(1, timestamp="yesterday"))])
    log, loaded = load(wb.kafka(kafka.bootstrap, topic))
    assert loaded.rejected == 1
    ((reason,),) = rows(log, "SELECT reason FROM log.main.rejects")
    assert "occurred_at is not a time" in reason


# -- what is no event ----------------------------------------------------------------------------

BAD = [
    (None, "tombstone"),
    (b"", "not JSON"),
    (b"hello", "not JSON"),
    (b'{"type": "A"', "not JSON"),
    (b'{"type": "\xff"}', "not valid UTF-8"),
    (b'\x00\x00\x00\x00\x07{"type": "A"}', "not JSON"),
    (b'{"type": "A", "streamId": "s", "data": {"a": "\x00"}}', "not JSON"),
    (b'{"type": "A", "streamId": "s", "data": {"a": "\\ud800"}}', "not"),
    (b"[1, 2]", "not an object"),
    (b'{"streamId": "s"}', "no event_type"),
    (b'{"type": "A", "streamId": "s", "version": 1.5}', "version is not a whole number"),
    (b'{"type": "A", "streamId": "s", "data": NaN}', "not JSON"),
]


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_what_is_no_event_is_kept_with_its_bytes_and_reason(
    kafka: Kafka, value: bytes | None, reason: str
) -> None:
    topic = kafka.topic()
    # (A key, since a producer does not write a record with neither key nor value.)
    kafka.send(topic, [*events(2), Record(value, key=b"k"), *events(2, start=3)])
    log, loaded = load(wb.kafka(kafka.bootstrap, topic))
    assert (loaded.read, loaded.stored, loaded.rejected) == (5, 4, 1)
    ((at, why, raw),) = rows(log, "SELECT source_position, reason, raw FROM log.main.rejects")
    assert at == f"{topic}/0/2"
    assert reason in why
    assert (None if raw is None else bytes(raw)) == value


def test_a_record_without_a_stream_is_a_reject(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, [Record(b'{"type": "A"}'), Record(b'{"type": "A"}', key=b"\xff")])
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    assert rows(log, "SELECT reason FROM log.main.rejects") == [("no stream_id",)] * 2


def test_a_tombstone_names_its_key(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, [Record(None, key=b"acc-9")])
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    ((reason,),) = rows(log, "SELECT reason FROM log.main.rejects")
    assert "acc-9" in reason


def test_deep_nesting_and_escaped_nul_characters_crash_nothing(kafka: Kafka) -> None:
    topic = kafka.topic()
    deep = b"[" * 100_000 + b"]" * 100_000
    nul = b'{"type": "A", "streamId": "s\\u0000t", "data": {"a": "\\u0000"}}'
    kafka.send(
        topic, [Record(b'{"type": "A", "streamId": "s", "data": ' + deep + b"}"), Record(nul)]
    )
    log, loaded = load(wb.kafka(kafka.bootstrap, topic))
    assert loaded.read == loaded.stored + loaded.rejected == 2
    assert rows(log, "SELECT stream_id, CAST(data AS VARCHAR) FROM events") == [
        ("s\x00t", '{"a": "\\u0000"}')
    ]


def test_a_payload_of_ten_megabytes_arrives_whole(kafka: Kafka) -> None:
    topic = kafka.topic(max_message_bytes="20000000")
    text = "x" * 10_000_000
    kafka.send(topic, [*events(2), Record(event(3, data={"text": text})), *events(2, start=4)])
    log, loaded = load(wb.kafka(kafka.bootstrap, topic))
    assert loaded.stored == 5
    found = rows(log, "SELECT data->>'text' FROM events WHERE version = 3")
    assert found == [(text,)]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, database=None)
@given(
    members=st.dictionaries(st.text(), JSON, max_size=4),
    value=JSON.filter(lambda value: value is not None),
    spaces=st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:  ")]),
    ascii_only=st.booleans(),
)
def test_a_payload_is_cut_out_as_it_stands(
    members: dict[str, Any], value: Any, spaces: tuple[str, str], ascii_only: bool
) -> None:
    def write(one: Any) -> str:
        return json.dumps(one, separators=spaces, ensure_ascii=ascii_only)

    whole = write(members | {"data": value})
    payload = write(value)
    try:
        whole.encode()
    except UnicodeEncodeError:  # half a character; no text in UTF-8 holds one
        return
    _, problems, (data, inner) = Cutter([("data",), ("data", "inner")]).cut([whole.encode()])
    assert problems is None
    assert data[0].as_py() == payload
    expected = value.get("inner") if isinstance(value, dict) else None
    assert inner[0].as_py() == (None if expected is None else write(expected))


# -- which topics, from where, up to where -------------------------------------------------------


def test_a_glob_and_a_pattern_choose_topics(kafka: Kafka) -> None:
    word = kafka.name("shop")
    for topic in ("orders", "payments", "refunds"):
        kafka.create(f"{word}.{topic}")
        kafka.send(f"{word}.{topic}", events(2, topic))
    log, _ = load(wb.kafka(kafka.bootstrap, f"{word}.*"))
    assert len(log) == 6
    pattern = re.compile(re.escape(word) + r"\.(orders|payments)")
    log, _ = load(wb.kafka(kafka.bootstrap, pattern))
    assert len(log) == 4
    log, _ = load(wb.kafka(kafka.bootstrap, [f"{word}.orders", f"{word}.r*"]))
    assert len(log) == 4


def test_new_topics_and_partitions_are_read_from_their_start(kafka: Kafka) -> None:
    word = kafka.name("shop")
    kafka.create(f"{word}.a")
    kafka.send(f"{word}.a", events(2, "a"))
    source = wb.kafka(kafka.bootstrap, f"{word}.*", from_="end")
    with wb.open() as log:
        assert log.load(source, progress=False).read == 0
        kafka.grow(f"{word}.a", 2)
        kafka.send(f"{word}.a", [Record(event(1, "b"), partition=1)])
        kafka.create(f"{word}.c")
        kafka.send(f"{word}.c", events(3, "c"))
        kafka.send(f"{word}.a", events(1, "a", start=3))
        # A broker may take a moment to tell of a new partition.
        deadline = time.monotonic() + 10
        while len(log) < 5 and time.monotonic() < deadline:
            log.load(source, progress=False)
        assert sorted(positions(log)) == sorted(
            [f"{word}.a/0/2", f"{word}.a/1/0", f"{word}.c/0/0", f"{word}.c/0/1", f"{word}.c/0/2"]
        )


def test_a_topic_that_is_not_there_is_named_with_close_matches_and_not_created(
    kafka: Kafka,
) -> None:
    topic = kafka.topic()
    wrong = topic.replace("events", "event")
    with pytest.raises(ConfigError, match="there is no topic") as raised:
        load(wb.kafka(kafka.bootstrap, wrong))
    assert repr(topic) in str(raised.value)
    assert wrong not in kafka.topics()
    with pytest.raises(ConfigError, match="no topic matches"):
        load(wb.kafka(kafka.bootstrap, f"{wrong}.*"))


def test_a_deleted_topic_is_an_error_and_what_was_loaded_stays(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(3))
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    kafka.delete(topic)
    with pytest.raises(ConfigError, match="there is no topic"):
        log.load(wb.kafka(kafka.bootstrap, topic), progress=False)
    assert len(log) == 3
    assert topic not in kafka.topics()


def test_a_topic_that_is_deleted_while_it_is_read_says_so(kafka: Kafka) -> None:
    needs_apache(kafka, "it gives a whole topic in one answer, so nothing happens in the middle")
    topic = kafka.topic()
    kafka.send(topic, events(200))
    with small(wb.kafka(kafka.bootstrap, topic, timeout=5)).read(None) as reading:
        batches = reading.batches()
        next(batches)
        kafka.delete(topic)
        with pytest.raises(SourceDataLost, match="was deleted while it was read"):
            list(batches)
        assert reading.report().completeness[0]["complete"] is False
    assert topic not in kafka.topics()


def test_an_empty_topic_is_complete(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    log, loaded = load(wb.kafka(kafka.bootstrap, topic))
    assert len(log) == 0
    assert [entry["complete"] for entry in loaded.report.completeness] == [True, True]


def test_a_growing_topic_is_read_up_to_where_it_ended(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(100))
    with small(wb.kafka(kafka.bootstrap, topic)).read(None) as reading:
        read = 0
        for number, batch in enumerate(reading.batches()):
            if number < 3:
                kafka.send(topic, events(50, start=101 + 50 * number))
            read += batch.rows.num_rows
            bookmark = batch.bookmark
    assert read == 100
    assert bookmark == {topic: {"0": 100}}


def test_offsets_bound_a_load(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    kafka.send(topic, [*events(10), *(Record(event(n, "b"), partition=1) for n in range(10))])
    source = wb.kafka(
        kafka.bootstrap, topic, from_={(topic, 0): 4, (topic, 1): 8}, until={(topic, 0): 6}
    )
    log, _ = load(source)
    assert sorted(positions(log)) == [f"{topic}/{at}" for at in ("0/4", "0/5", "1/8", "1/9")]
    with pytest.raises(ConfigError, match=r"not among those read.* Did you mean"):
        load(wb.kafka(kafka.bootstrap, topic, from_={(topic, 7): 4}))


def test_times_bound_a_load_exactly_where_they_are_out_of_order(kafka: Kafka) -> None:
    topic = kafka.topic()
    hour = 3_600_000
    times = [1, 5, 2, 9, 3, 8, 4]  # hours
    kafka.send(
        topic,
        [
            Record(event(n), timestamp_ms=1_782_820_800_000 + at * hour)
            for n, at in enumerate(times)
        ],
    )
    day = "2026-06-30T"
    with wb.open() as log:
        bounded: dict[str, Any] = {"from_": f"{day}14:00Z", "until": f"{day}17:00+00:00"}
        source = wb.kafka(kafka.bootstrap, topic, **bounded)
        log.load(source, progress=False)
        assert rows(log, "SELECT version FROM events ORDER BY 1") == [(2,), (4,), (6,)]
        again = log.load(source, progress=False)
        assert (again.stored, again.rejected) == (0, 0)
    with wb.open() as log:
        log.load(wb.kafka(kafka.bootstrap, topic, until=f"{day}17:00Z"), progress=False)
        assert len(log) == 4
        log.load(wb.kafka(kafka.bootstrap, topic), progress=False)
        assert len(log) == 7  # what 'until' left out was left for later, not lost


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"from_": "2026-06-30T14:02"}, MomentError),
        ({"until": "soon"}, MomentError),
        ({"until": 3.5}, ConfigError),
        ({"from_": {("t", 0): -1}}, ConfigError),
        ({"from_": {"t": 1}}, ConfigError),
        ({"group_id": "mine"}, ConfigError),
        ({"security_protocl": "SSL"}, ConfigError),
        ({"isolation": "serializable"}, ConfigError),
        ({"columns": {"strem_id": "key"}}, ConfigError),
        ({"columns": {"stream_id": []}}, ConfigError),
        ({"columns": {"stream_id": None}}, ConfigError),
        ({"columns": {"stream_id": ["key", 7]}}, ConfigError),
        ({"columns": {"actor": "header."}}, ConfigError),
    ],
)
def test_an_argument_that_is_not_usable_is_refused_at_once(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        wb.kafka("broker:9092", "t", **arguments)


def test_settings_that_do_not_fit_together_are_refused(kafka: Kafka) -> None:
    with pytest.raises(ConfigError, match="settings"):
        load(wb.kafka(kafka.bootstrap, "t", security_protocol="SSL"))


# -- transactions, compaction, retention, compression --------------------------------------------


def test_aborted_records_never_appear_and_markers_end_the_read(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.transact(topic, events(3, "a"), commit=True, transactional_id=topic)
    kafka.transact(topic, events(4, "gone"), commit=False, transactional_id=topic)
    kafka.send(topic, events(2, "b"))
    kafka.transact(topic, events(5, "gone"), commit=False, transactional_id=topic)
    log, loaded = load(wb.kafka(kafka.bootstrap, topic))
    expected = [f"{topic}/0/{record.offset}" for record in kafka.read(topic)]
    assert positions(log) == expected
    assert len(log) == 5
    (entry,) = loaded.report.completeness
    assert entry["complete"]
    assert entry["to"] == entry["end"] == entry["high_water"] == kafka.offsets(topic)[1] == 17


def test_interleaved_transactions_are_told_apart(kafka: Kafka) -> None:
    topic = kafka.topic()

    async def interleave() -> None:
        from aiokafka import AIOKafkaProducer

        names = ("kept", "gone", "later")
        producers = {
            name: AIOKafkaProducer(
                bootstrap_servers=kafka.bootstrap, transactional_id=f"{topic}.{name}"
            )
            for name in names
        }
        for producer in producers.values():
            await producer.start()
            await producer.begin_transaction()
        for number in range(1, 21):
            for name, producer in producers.items():
                await producer.send_and_wait(topic, event(number, name), partition=0)
        await producers["gone"].abort_transaction()
        await producers["kept"].commit_transaction()
        await producers["gone"].begin_transaction()
        await producers["gone"].send_and_wait(topic, event(21, "gone, then kept"), partition=0)
        await producers["gone"].commit_transaction()
        await producers["later"].commit_transaction()
        for producer in producers.values():
            await producer.stop()

    asyncio.run(interleave())
    log, _ = load(small(wb.kafka(kafka.bootstrap, topic), batch=3))
    assert positions(log) == [f"{topic}/0/{record.offset}" for record in kafka.read(topic)]
    assert rows(log, "SELECT stream_id, count(*) FROM events GROUP BY ALL ORDER BY ALL") == [
        ("gone, then kept", 1), ("kept", 20), ("later", 20),
    ]  # fmt: skip


def test_a_hanging_transaction_ends_the_read_before_it_and_is_said(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(3, "a"))
    kafka.hang(topic, events(2, "open"), transactional_id=topic)
    kafka.send(topic, events(4, "behind"))
    source = wb.kafka(kafka.bootstrap, topic)
    log, loaded = load(source)
    assert rows(log, "SELECT DISTINCT stream_id FROM events") == [("a",)]
    (entry,) = loaded.report.completeness
    assert (entry["to"], entry["last_stable"], entry["high_water"]) == (3, 3, 9)
    assert "open transaction" in entry["note"]
    assert any("6 offsets from 3 on wait" in note for note in loaded.report.notes)
    unsafe, _ = load(wb.kafka(kafka.bootstrap, topic, isolation="read_uncommitted"))
    assert len(unsafe) == 9
    # The same producer comes back: its new start ends the transaction, and the rest can be read.
    kafka.transact(topic, events(1, "again"), commit=True, transactional_id=topic)
    log.load(source, progress=False)
    assert rows(log, "SELECT stream_id, count(*) FROM events GROUP BY ALL ORDER BY ALL") == [
        ("a", 3), ("again", 1), ("behind", 4),
    ]  # fmt: skip


COMPACTED: dict[str, Any] = {
    "cleanup_policy": "compact", "min_cleanable_dirty_ratio": "0.001", "segment_ms": "100",
    "delete_retention_ms": "0", "min_compaction_lag_ms": "0", "max_compaction_lag_ms": "100",
}  # fmt: skip


def test_a_compacted_topic_is_read_over_its_holes(kafka: Kafka) -> None:
    needs_apache(kafka, "it does not compact")
    topic = kafka.topic(**COMPACTED)
    kafka.send(topic, events(1, "first"))
    for version in range(1, 21):
        records = [Record(event(version, f"acc-{n}"), key=f"acc-{n}".encode()) for n in range(3)]
        kafka.send(topic, records)
    compact(kafka, topic, lambda left: left < 40)
    found, entry = check_compacted(kafka, topic)
    assert found[0] == 0
    assert len(found) < found[-1] + 1  # there are holes
    assert entry["complete"]


def test_a_compacted_topic_that_ends_in_markers_and_tombstones_ends(kafka: Kafka) -> None:
    needs_apache(kafka, "it does not compact")
    topic = kafka.topic(**COMPACTED)
    kafka.send(topic, events(1, "kept"))
    for word in (b"x", b"y", b"z"):
        kafka.transact(topic, [Record(None, key=word)], commit=True, transactional_id=topic)
    compact(kafka, topic, lambda left: left < 6)
    kafka.transact(topic, events(3, "gone"), commit=False, transactional_id=topic)
    _, entry = check_compacted(kafka, topic)
    assert entry["complete"]
    assert entry["to"] == kafka.offsets(topic)[1]


def check_compacted(kafka: Kafka, topic: str) -> tuple[list[int], Mapping[str, Any]]:
    """Load, and compare with what a consumer sees before and after: the cleaner may still be at work."""
    before = {record.offset for record in kafka.read(topic) if record.value is not None}
    log, loaded = load(wb.kafka(kafka.bootstrap, topic))
    after = {record.offset for record in kafka.read(topic) if record.value is not None}
    found = [int(at.rpartition("/")[2]) for at in positions(log)]
    assert found == sorted(found)
    assert after <= set(found) <= before
    return found, loaded.report.completeness[0]


def compact(kafka: Kafka, topic: str, enough: Callable[[int], bool]) -> None:
    """Wait until the broker's cleaner has been there; a closed segment is needed for that."""
    deadline = time.monotonic() + 30
    numbers = itertools.count(1)
    while not enough(len(kafka.read(topic))):
        assert time.monotonic() < deadline, "the broker did not compact"
        time.sleep(0.3)
        kafka.send(topic, [Record(event(next(numbers), "nudge"), key=b"nudge")])


def test_records_that_the_broker_dropped_are_data_loss(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(10))
    with wb.open() as log:
        source = wb.kafka(kafka.bootstrap, topic, until={(topic, 0): 4})
        log.load(source, progress=False)
        kafka.delete_records(topic, 7)
        with pytest.raises(SourceDataLost, match=f"{topic}/0: the records 4 to 6") as raised:
            log.load(wb.kafka(kafka.bootstrap, topic), progress=False)
        assert "lost='skip'" in str(raised.value)
        assert len(log) == 4
        loaded = log.load(wb.kafka(kafka.bootstrap, topic, lost="skip"), progress=False)
        assert loaded.stored == 3
        (gap,) = loaded.report.gaps
        assert (gap["position"], gap["state"]) == (f"{topic}/0", "dead")
        assert "4 to 6" in gap["evidence"]


def test_a_first_load_says_where_the_brokers_copy_begins(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(10))
    kafka.delete_records(topic, 7)
    log, loaded = load(wb.kafka(kafka.bootstrap, topic))
    assert len(log) == 3
    (entry,) = loaded.report.completeness
    assert (entry["from"], entry["log_start"]) == (7, 7)
    assert "begins at 7" in entry["note"]


def test_records_that_go_away_while_they_are_read_are_data_loss(kafka: Kafka) -> None:
    needs_apache(kafka, "it gives a whole topic in one answer, so nothing happens in the middle")
    topic = kafka.topic()
    kafka.send(topic, events(300))
    with small(wb.kafka(kafka.bootstrap, topic)).read(None) as reading:
        batches = reading.batches()
        next(batches)
        kafka.delete_records(topic, 290)
        with pytest.raises(SourceDataLost, match="went away"):
            list(batches)


def test_a_topic_that_was_made_anew_is_data_loss(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(5))
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    kafka.delete(topic)
    kafka.create(topic)
    kafka.send(topic, events(2, "new"))
    with pytest.raises(SourceDataLost, match="made anew"):
        log.load(wb.kafka(kafka.bootstrap, topic), progress=False)
    log.load(wb.kafka(kafka.bootstrap, topic, lost="skip"), progress=False)
    assert rows(log, "SELECT DISTINCT stream_id FROM events ORDER BY 1") == [("acc-1",), ("new",)]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_records_are_read(kafka: Kafka, codec: str) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(500), compression_type=codec)
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    assert len(log) == 500


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_records_that_the_broker_compressed_are_read(kafka: Kafka, codec: str) -> None:
    topic = kafka.topic(compression_type=codec)
    kafka.send(topic, events(500))
    log, _ = load(wb.kafka(kafka.bootstrap, topic))
    assert len(log) == 500


# -- the broker, and us --------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_broker_that_is_not_there_is_said_within_the_timeout() -> None:
    begin = time.monotonic()
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        load(wb.kafka(f"127.0.0.1:{closed_port()}", "events", timeout=2))
    assert time.monotonic() - begin < 5


def test_a_server_that_says_nothing_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        begin = time.monotonic()
        with pytest.raises(SourceUnavailable, match="cannot be reached"):
            load(wb.kafka(f"127.0.0.1:{port}", "events", timeout=1))
        assert time.monotonic() - begin < 5


def test_a_load_works_where_a_loop_is_already_running(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(5))

    async def cell() -> int:  # as in a notebook
        log, _ = load(wb.kafka(kafka.bootstrap, topic))
        return len(log)

    assert asyncio.run(cell()) == 5


def test_the_broker_is_left_as_it_was(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(5))
    topics, groups = kafka.topics(), kafka.groups()
    load(wb.kafka(kafka.bootstrap, topic))
    assert (kafka.topics(), kafka.groups()) == (topics, groups)


def test_a_broker_that_dies_leaves_a_log_that_goes_on(
    mortal_kafka: tuple[Kafka, Broker], tmp_path: Path
) -> None:
    kafka, broker = mortal_kafka
    needs_apache(kafka, "it gives a whole topic in one answer, so nothing happens in the middle")
    topic = kafka.topic(2)
    kafka.send(topic, [*events(300), *(Record(event(n, "b"), partition=1) for n in range(1, 301))])
    source = small(wb.kafka(kafka.bootstrap, topic, name="shop", timeout=2), batch=20)

    def pause(read: int, total: int | None) -> None:
        if read > 100:
            broker.signal(signal.SIGSTOP)

    with wb.open(tmp_path / "log.duckdb") as log:
        with pytest.raises(SourceUnavailable, match="committed and stay") as raised:
            log.load(source, progress=pause)
        assert "run the same load again" in str(raised.value)
        kept = len(log)
        assert 100 < kept < 600
        broker.signal(signal.SIGCONT)
        log.load(source, progress=False)
        assert len(log) == 600
        broker.kill()
        with pytest.raises(SourceUnavailable):
            log.load(source, progress=False)
        assert len(log) == 600


LOADER = """
import sys
from dataclasses import replace
import workbench as wb
from workbench.sources.kafka.reader import Limits
path, bootstrap, topic = sys.argv[1:]
source = wb.kafka(bootstrap, topic, name="shop", max_partition_fetch_bytes=4000, fetch_max_bytes=8000)
with wb.open(path) as log:
    print("loading", flush=True)
    log.load(replace(source, limits=Limits(25)), progress=lambda read, total: print(read, flush=True))
"""


@pytest.mark.slow
def test_loads_killed_at_random_moments_end_in_the_same_log(kafka: Kafka, tmp_path: Path) -> None:
    topic = kafka.topic(2)
    for stream, partition in (("a", 0), ("b", 1)):
        records = [Record(event(n, stream), partition=partition) for n in range(1, 501)]
        kafka.transact(topic, records, commit=True, transactional_id=topic)
        kafka.transact(topic, records[:50], commit=False, transactional_id=topic)
    path = tmp_path / "killed.duckdb"
    command = [sys.executable, "-c", LOADER, str(path), kafka.bootstrap, topic]
    left_off = killed_at_random_moments(command, path)
    content = "SELECT * EXCLUDE position FROM events ORDER BY source_position"
    source = wb.kafka(kafka.bootstrap, topic, name="shop")
    with wb.open(path) as log, wb.open() as whole:
        resumed = log.load(source, progress=False)
        whole.load(source, progress=False)
        assert resumed.duplicate == 0
        assert rows(log, content) == rows(whole, content)
        assert log.fingerprint() == whole.fingerprint()
        assert len(log) == 1000
        again = log.load(source, progress=False)
        assert (again.read, again.stored) == (0, 0)
    assert left_off == sorted(left_off)
    assert any(0 < left < 1000 for left in left_off), "no load was killed in mid-read"
