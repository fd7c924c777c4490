"""Dead letters built to the specification of each format, byte by byte, for the tests of loading them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import workbench as wb

Header = tuple[str, bytes | None]

FAILED_MS = 1_782_828_131_123  # 2026-06-30T14:02:11.123Z
SENT_MS = 1_782_828_100_000  # 2026-06-30T14:01:40Z
EVENT = {
    "eventId": "e-7",
    "eventType": "DepositMade",
    "aggregateId": "acc-1",
    "version": 7,
    "timestamp": "2026-06-30T14:01:00Z",
    "data": {"amount": 1.10},
    "metadata": {"correlationId": "c-1", "causationId": "cmd-1"},
}
#: Written as it must come out again: json.dumps would make 1.1 of the amount.
VALUE = json.dumps(EVENT).replace("1.1}", "1.10}").encode()
DATA = '{"amount": 1.10}'

SCHEMA = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("key", pa.binary()),
        ("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
        ("value", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Message:
    """A message as a dead-letter topic holds it."""

    headers: Sequence[Header] = ()
    value: bytes | None = VALUE
    key: bytes | None = b"acc-1"
    timestamp_ms: int | None = FAILED_MS
    more: Mapping[str, Any] = field(default_factory=dict)

    def but(self, *changed: Header, value: bytes | None = b"?") -> Message:
        """Return the message with other values of some headers, in their place, or with another value."""
        new = dict(changed)
        headers = [(name, new.pop(name, old)) for name, old in self.headers]
        return Message(
            [*headers, *new.items()],
            self.value if value == b"?" else value,
            self.key,
            self.timestamp_ms,
        )


def parquet(path: Path, messages: Sequence[Message], topic: str = "events.dlq") -> Path:
    """Write messages to a file, as they stand in partition 3 of a topic from offset 100 on."""
    rows = [
        {
            "topic": topic,
            "partition": 3,
            "offset": 100 + number,
            "timestamp": None if one.timestamp_ms is None else one.timestamp_ms * 1000,
            "key": one.key,
            "headers": [{"name": name, "value": value} for name, value in one.headers],
            "value": one.value,
        }
        for number, one in enumerate(messages)
    ]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
    return path


def letters(log: wb.EventLog) -> list[dict[str, Any]]:
    """Return the dead letters of a log, in order."""
    return log.sql("SELECT * FROM log.main.dead_letters ORDER BY dead_letter_id").rows()


def known(letter: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """Return what is known of a dead letter, without what the log itself gives and what was received."""
    left_out = {
        "dead_letter_id", "load_id", "source", "source_position", "raw", "key", "headers", *without,
    }  # fmt: skip
    return {
        name: value for name, value in letter.items() if name not in left_out and value is not None
    }


# -- formats ---------------------------------------------------------------------------------------


def big_endian(value: int, length: int) -> bytes:
    return value.to_bytes(length, "big", signed=True)


def big_integer(value: int) -> bytes:
    """Write an integer as Java's BigInteger.toByteArray() does."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def utf8(prefix: str, **values: str) -> list[Header]:
    return [(prefix + name.replace("_", "-"), value.encode()) for name, value in values.items()]


STACK = "org.shop.LimitException: over 100\n\tat org.shop.Limits.check(Limits.java:41)\n"


def connect() -> Message:
    prefix = "__connect.errors."
    values = {
        "topic": "accounts", "partition": "5", "offset": "4711", "connector.name": "accounts-jdbc",
        "task.id": "0", "stage": "VALUE_CONVERTER", "class.name": "org.apache.kafka.connect.json.JsonConverter",
        "exception.class.name": "org.apache.kafka.connect.errors.DataException",
        "exception.message": "over 100", "exception.stacktrace": STACK,
    }  # fmt: skip
    return Message(
        [(prefix + name, value.encode()) for name, value in values.items()], timestamp_ms=SENT_MS
    )


def streams() -> Message:
    prefix = "__streams.errors."
    values = {
        "exception": "org.shop.LimitException: over 100", "message": "over 100", "stacktrace": STACK,
        "topic": "accounts", "partition": "5", "offset": "4711",
    }  # fmt: skip
    return Message(
        [(prefix + name, value.encode()) for name, value in values.items()], timestamp_ms=SENT_MS
    )


def spring(prefix: str = "kafka_dlt-") -> Message:
    wrapper = "org.springframework.kafka.listener.ListenerExecutionFailedException"
    return Message(
        [
            (f"{prefix}original-topic", b"accounts"),
            (f"{prefix}original-partition", big_endian(5, 4)),
            (f"{prefix}original-offset", big_endian(4711, 8)),
            (f"{prefix}original-timestamp", big_endian(SENT_MS, 8)),
            (f"{prefix}original-timestamp-type", b"CreateTime"),
            ("kafka_dlt-original-consumer-group", b"limits"),
            (f"{prefix}exception-fqcn", wrapper.encode()),
            (f"{prefix}exception-cause-fqcn", b"org.shop.LimitException"),
            (f"{prefix}exception-message", b"Listener failed; over 100"),
            (f"{prefix}exception-stacktrace", STACK.encode()),
        ]
    )


def spring_retry(attempts: bytes = big_endian(5, 4)) -> Message:
    """What ``@RetryableTopic(attempts = 4)`` leaves in its dead-letter topic: the number of a fifth, never made."""
    base = spring("kafka_")
    headers: list[Header] = [
        *base.headers,
        ("retry_topic-original-timestamp", big_integer(SENT_MS)),
        ("retry_topic-attempts", big_endian(2, 4)),
        ("retry_topic-backoff-timestamp", big_integer(FAILED_MS)),
        ("retry_topic-attempts", attempts),
    ]
    return Message(headers)


def smallrye() -> Message:
    headers = utf8(
        "dead-letter-",
        exception_class_name="org.shop.LimitException",
        reason="over 100",
        cause_class_name="java.lang.ArithmeticException",
        cause="overflow",
        topic="accounts",
        partition="5",
        offset="4711",
    )
    return Message(headers)


def nservicebus() -> Message:
    values = {
        "NServiceBus.MessageId": "e-7", "NServiceBus.EnclosedMessageTypes": "Shop.DepositMade, Shop, Version=1.0.0.0; Shop.IEvent, Shop",
        "NServiceBus.ConversationId": "c-1", "NServiceBus.RelatedTo": "cmd-1", "NServiceBus.CorrelationId": "reply-9",
        "NServiceBus.TimeSent": "2026-06-30 14:01:40:000000 Z", "NServiceBus.ProcessingEndpoint": "Limits",
        "NServiceBus.FailedQ": "limits@host", "NServiceBus.TimeOfFailure": "2026-06-30 14:02:11:123456 Z",
        "NServiceBus.FLRetries": "4", "NServiceBus.Retries": "2",
        "NServiceBus.ExceptionInfo.ExceptionType": "Shop.LimitException",
        "NServiceBus.ExceptionInfo.Message": "over 100",
        "NServiceBus.ExceptionInfo.StackTrace": "   at Shop.Limits.Check()",
    }  # fmt: skip
    headers = [(name, value.encode()) for name, value in values.items()]
    return Message(
        headers, value=b'{"amount": 1.10, "aggregateId": "acc-1"}', key=None, timestamp_ms=None
    )


def masstransit() -> Message:
    values = {
        "MT-Reason": "fault", "MT-Fault-ExceptionType": "Shop.LimitException", "MT-Fault-Message": "over 100",
        "MT-Fault-MessageType": "Shop.DepositMade", "MT-Fault-ConsumerType": "Shop.LimitsConsumer",
        "MT-Fault-InputAddress": "rabbitmq://host/limits", "MT-Fault-Timestamp": "2026-06-30T14:02:11.1234567Z",
        "MT-Fault-StackTrace": "   at Shop.Limits.Check()", "MT-Fault-RetryCount": "3", "MT-Fault-RedeliveryCount": "1",
    }  # fmt: skip
    envelope = (
        b'{"messageId": "e-7", "conversationId": "c-1", "correlationId": "x", "initiatorId": "y", '
        b'"messageType": ["urn:message:Shop:DepositMade", "urn:message:Shop:IEvent"], '
        b'"sentTime": "2026-06-30T14:01:40Z", "message": {"amount": 1.10, "aggregateId": "acc-1"}}'
    )
    headers = [(name, value.encode()) for name, value in values.items()]
    return Message(headers, value=envelope, key=None, timestamp_ms=None)


def reference(error: Any = "LimitError: over 100", event: bytes = VALUE, **changes: Any) -> Message:
    members = {"error": error, "attempts": 4, "timestamp": FAILED_MS} | changes
    written = "".join(f', "{name}": {json.dumps(value)}' for name, value in members.items())
    return Message(
        value=b'{"originalEvent": ' + event + written.encode() + b"}", timestamp_ms=FAILED_MS + 5
    )
