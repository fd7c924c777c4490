"""Malformed twins of every format: the bytes survive, what is wrong is said, and the load goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.dead_letters import (
    Header,
    Message,
    big_endian,
    connect,
    known,
    letters,
    masstransit,
    nservicebus,
    parquet,
    reference,
    smallrye,
    spring,
    spring_retry,
    streams,
)
from workbench.sources.dead_letters.records import FORMATS

ALL = {
    "connect": connect(), "streams": streams(), "spring": spring(), "spring_retry": spring_retry(),
    "smallrye": smallrye(), "nservicebus": nservicebus(), "masstransit": masstransit(), "reference": reference(),
}  # fmt: skip
DLT = "kafka_dlt-"


def load(messages: Sequence[Message], format: str | None = None) -> list[dict[str, Any]]:
    """Load messages from a file; every one of them has to arrive as it was."""
    with TemporaryDirectory() as folder, wb.open() as log:
        path = parquet(Path(folder, "m.parquet"), messages)
        loaded = log.load(wb.dead_letters(path, format), progress=False)
        assert (loaded.read, loaded.stored) == (len(messages), len(messages))
        found = letters(log)
    for message, letter in zip(messages, found, strict=True):
        headers = [(one["name"], one["value"]) for one in letter["headers"] or ()]
        assert headers == list(message.headers)
        assert (letter["raw"], letter["key"]) == (message.value, message.key)
    return found


BROKEN: list[tuple[str | None, Message, str, str]] = [
    # format, message, column that is unknown, what is said
    ("spring", spring().but((f"{DLT}original-partition", b"\x00\x05")), "origin_partition", "integer of 4 bytes: 2 bytes 0x0005"),
    ("spring", spring().but((f"{DLT}original-partition", b"")), "origin_partition", "integer of 4 bytes: 0 bytes 0x"),
    ("spring", spring().but((f"{DLT}original-offset", b"4711")), "origin_offset", "integer of 8 bytes: 4 bytes 0x34373131"),
    ("spring", spring().but((f"{DLT}original-offset", b"\x00" * 9)), "origin_offset", "integer of 8 bytes: 9 bytes"),
    ("spring", spring().but((f"{DLT}original-timestamp", big_endian(2**62, 8))), "origin_at", "no time: 4611686018427387904 ms"),
    ("spring", spring().but((f"{DLT}original-timestamp", big_endian(-1, 8))), "origin_at", "no time: -1 ms"),
    ("spring", spring().but((f"{DLT}original-topic", b"\xff\xfe")), "origin_topic", "original-topic is not UTF-8 text: 2 bytes 0xFFFE"),
    ("spring", spring().but((f"{DLT}exception-message", b"caf\xe9")), "error_message", "exception-message is not UTF-8"),
    ("spring_retry", spring_retry(attempts=b"\x00\x00"), "attempts", "integer of 4 or 1 bytes: 2 bytes"),
    ("spring_retry", spring_retry(attempts=b"\x00" * 1_000_000), "attempts", "integer of 4 or 1 bytes: 1000000 bytes 0x00000000000000000000000000000000;"),
    ("spring_retry", spring_retry().but(("retry_topic-original-timestamp", b"\x80")), "", "positive integer of 1 to 8 bytes: 1 bytes 0x80"),
    ("spring_retry", spring_retry().but(("retry_topic-original-timestamp", b"\x01" * 9)), "", "positive integer of 1 to 8 bytes: 9 bytes"),
    ("connect", connect().but(("__connect.errors.partition", b"five")), "origin_partition", "partition is not a whole number: 4 bytes 0x66697665"),
    ("connect", connect().but(("__connect.errors.offset", b"4711.0")), "origin_offset", "offset is not a whole number"),
    ("connect", connect().but(("__connect.errors.offset", b"9" * 40)), "origin_offset", "offset is not a whole number"),
    ("connect", connect().but(("__connect.errors.exception.stacktrace", b"\x00\xc3")), "error_stack", "stacktrace is not UTF-8"),
    ("streams", streams().but(("__streams.errors.offset", b" 1")), "origin_offset", "offset is not a whole number"),
    ("streams", streams().but(("__streams.errors.exception", b"\xed\xa0\x80")), "error_class", "exception is not UTF-8"),
    ("smallrye", smallrye().but(("dead-letter-partition", big_endian(5, 4))), "origin_partition", "partition is not a whole number"),
    ("smallrye", smallrye().but(("dead-letter-reason", b"\xc0\x80")), "error_message", "reason is not UTF-8"),
    ("nservicebus", nservicebus().but(("NServiceBus.TimeOfFailure", b"yesterday")), "dead_lettered_at", "TimeOfFailure is not a time with an offset: yesterday"),
    ("nservicebus", nservicebus().but(("NServiceBus.TimeOfFailure", b"2026-06-30 14:02:11:123456")), "dead_lettered_at", "not a time with an offset"),
    ("nservicebus", nservicebus().but(("NServiceBus.FLRetries", b"many"), ("NServiceBus.Retries", b"")), "attempts", "FLRetries is not a whole number"),
    ("nservicebus", nservicebus().but(value=b"<Deposit/>"), "data", "the event is not JSON"),
    ("masstransit", masstransit().but(("MT-Fault-Timestamp", b"2026-06-30T14:02:11")), "dead_lettered_at", "Timestamp is not a time with an offset: 2026-06-30T14:02:11"),
    ("masstransit", masstransit().but(("MT-Fault-Timestamp", b"9999999-01-01T00:00:00Z")), "dead_lettered_at", "not a time"),
    ("masstransit", masstransit().but(("MT-Fault-RetryCount", b"-")), "attempts", "RetryCount is not a whole number"),
    ("masstransit", masstransit().but(("MT-Fault-RetryCount", b"9" * 18), ("MT-Fault-RedeliveryCount", b"9" * 18)), "attempts", ""),
    ("masstransit", masstransit().but(value=b'{"messageId": {}}'), "data", "there is no message"),
    ("masstransit", masstransit().but(value=b"\xff"), "data", "the event is not valid UTF-8"),
    ("reference", reference(attempts="often"), "attempts", "attempts is not a whole number"),
    ("reference", reference(attempts=4.5), "attempts", "attempts is not a whole number: 4.5"),
    ("reference", reference(attempts=10**30), "attempts", "attempts is not a whole number"),
    ("reference", reference(timestamp="noon"), "dead_lettered_at", "timestamp is not a time"),
    ("reference", reference(timestamp=-5), "", "timestamp is not a time: -5"),
    ("reference", reference(timestamp=10**15), "", "timestamp is not a time"),
    ("reference", reference(timestamp={"$date": 1}), "", "timestamp is not a time"),
    ("reference", reference(event=b'"{not json"'), "data", "the event is not JSON"),
    (None, reference(event=b'"\\ud800"'), "data", "the event is not JSON"),
    ("reference", reference(event=b"[1, 2]"), "data", "the event is JSON, but not an object"),
    (None, reference(event=b'{"data": "\\ud800", "version": 1}'), "version", "not JSON"),
    ("reference", reference(event=b'{"version": "seven", "data": {}}'), "version", "version is not a whole number: seven"),
    ("reference", reference(event=b'{"eventId": "a\\u0000b", "timestamp": "2026-01-01"}'), "", "occurred_at is not a time"),
    ("spring", spring().but(value=None), "data", "the event is null (a tombstone)"),
    ("spring", spring().but(value=b""), "data", "the event is not JSON"),
    ("spring", spring().but(value=b"\xff" * 70_000), "data", "the event is not valid UTF-8"),
    ("spring", spring().but(value=b"[" * 100_000), "data", "the event"),
    ("spring", spring().but(value=b'{"a":' * 50_000 + b"1" + b"}" * 50_000), "data", "the event"),
]  # fmt: skip


def test_what_is_broken_is_unknown_and_said_and_the_rest_is_read() -> None:
    found = load([message for _, message, _, _ in BROKEN])
    for letter, (format, _, column, said) in zip(found, BROKEN, strict=True):
        assert letter["format"] == format, said
        if said:
            assert said in f"{letter['parse_error']};"
        if column:
            assert letter[column] is None


@pytest.mark.parametrize("format", ALL)
def test_one_broken_header_costs_one_column(format: str) -> None:
    """Each header in turn is replaced by bytes that are nothing."""
    sound = ALL[format]
    names = list(dict.fromkeys(name for name, _ in sound.headers))
    found = load([sound, *(sound.but((name, b"\xff\xff\xff")) for name in names)], format)
    whole = known(found[0])
    for name, letter in zip(names, found[1:], strict=True):
        differs = {column for column, value in whole.items() if known(letter).get(column) != value}
        assert len(differs) <= 1, name
        if differs:
            assert f"header {name} is not" in letter["parse_error"]


@pytest.mark.parametrize("format", ALL)
def test_a_format_that_was_asked_for_and_is_not_there_is_unknown(format: str) -> None:
    for letter in load([Message(), Message(value=b"\x00"), Message(value=None)], format):
        assert letter["format"] == format
        assert letter["error_class"] is None
        assert letter["error_message"] is None


def test_a_header_of_a_megabyte_and_one_repeated_a_thousand_times() -> None:
    name = f"{DLT}exception-message"
    many = Message(
        [(f"{DLT}original-topic", b"accounts"), *[(name, str(n).encode()) for n in range(1_000)]]
    )
    long = Message(
        [(f"{DLT}original-topic", b"accounts"), (name, b"\x00" + "ж".encode() * 500_000)]
    )
    repeated, huge = load([many, long])
    assert repeated["error_message"] == "999"
    assert len(huge["error_message"]) == 500_001
    assert (repeated["parse_error"], huge["parse_error"]) == (None, None)


def test_a_broken_header_of_another_format_is_no_concern() -> None:
    stale = ("__connect.errors.partition", b"five")
    one, _ = load([Message([*spring().headers, stale]), connect()])
    assert (one["format"], one["parse_error"]) == ("spring", None)


NAMES = sorted({header for one in FORMATS for e in one.columns.values() for header, _ in e.headers})
VALUES = st.one_of(
    st.none(), st.binary(max_size=12), st.integers(-(2**63), 2**63 - 1).map(lambda n: big_endian(n, 8)),
    st.integers(-(2**31), 2**31 - 1).map(lambda n: big_endian(n, 4)), st.text(max_size=8).map(str.encode),
    st.sampled_from([b"-1", b"infinity", b"2026-06-30T14:02:11Z", b"294247-01-10T04:00:54Z", b"0001-01-01T00:00:00+14:00"]),
)  # fmt: skip
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=5), VALUES), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["originalEvent", "error", "attempts", "timestamp", "message", "data", "eventId", "version"]) | st.text(max_size=3),
        inner,
        max_size=5,
    ),
    max_leaves=8,
)  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> Message:
    value = draw(
        st.one_of(st.none(), st.binary(max_size=30), JSON.map(lambda one: json.dumps(one).encode()))
    )
    headers: list[Header] = draw(HEADERS)
    return Message(
        headers,
        value,
        draw(st.none() | st.binary(max_size=4)),
        draw(st.none() | st.just(0) | st.just(1_782_828_131_123)),
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=40), st.sampled_from([None, *ALL]))
@example([Message([("", None)], b'{"originalEvent": 1, "error": {"name": 1, "name": 2}}')], None)
@example([Message(value=b'{"originalEvent": {}, "error": "\\ud800", "attempts": 1}')], None)
def test_no_message_stops_a_load(given_messages: list[Message], format: str | None) -> None:
    load(given_messages, format)
