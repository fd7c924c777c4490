"""How each framework writes a dead letter: exact names, and the bytes of binary headers.

SQL over ``letters`` (one row for each event that one service gave up, see
:mod:`workbench.samples.dead_letters`) and ``malformed`` (what is wrong with a few of them). Beside the records
stands what they tell: unknown is NULL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workbench.samples.dead_causes import BLOCKED

#: What may be wrong with a record -> the format whose letters are spoilt so.
MALFORMED: Final[Mapping[str, str]] = {
    "cut_off_record": "reference",
    "not_text": "reference",
    "header_not_text": "connect",
    "offset_not_a_number": "streams",
    "short_partition": "spring",
    "null_header": "spring",
    "long_timestamp": "spring_retry",
    "null_value": "smallrye",
    "no_such_time": "nservicebus",
    "not_an_envelope": "masstransit",
    "payload_not_json": "axon",
    "sent_in_year_one": "wolverine",
    "body_cut_off": "wolverine",
}

_MS: Final = "date_trunc('millisecond', {})"
_GIVEN_UP: Final = _MS.format("given_up_at")
_RECORDED: Final = _MS.format("recorded_at")
_ISO: Final = "strftime({}, '%Y-%m-%dT%H:%M:%S.%gZ')"
_JAVA_STACK: Final = r"concat(error, ': ', message, chr(10), chr(9), frame, chr(10), chr(9), 'at java.base/java.lang.Thread.run(Thread.java:1583)')"
_LISTENER: Final = "'kafka://topic/' || origin_topic"
_QUEUE: Final = "'rabbitmq://queues/' || service"
_WRAPPED: Final = "org.springframework.kafka.listener.ListenerExecutionFailedException"
_SPRING_STACK: Final = (
    f"concat('{_WRAPPED}: Listener failed', chr(10), chr(9), "
    "'at org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.decorateException"
    f"(KafkaMessageListenerContainer.java:2873)', chr(10), 'Caused by: ', {_JAVA_STACK})"
)
_DOTNET_STACK: Final = "concat(error, ': ', message, chr(10), '   ', frame)"


def _text(name: str, value: str) -> str:
    """One header that is text; left out where it is NULL."""
    return f"CASE WHEN ({value}) IS NOT NULL THEN {{'name': '{name}', 'value': encode(CAST({value} AS VARCHAR))}} END"


def _bytes(name: str, value: str) -> str:
    return f"{{'name': '{name}', 'value': {value}}}"


def _big_endian(value: str, length: int) -> str:
    return f"unhex(format('{{:0{length * 2}x}}', CAST({value} AS BIGINT)))"


def _big_integer(value: str) -> str:
    """Milliseconds since 1970 as Java's ``BigInteger.toByteArray`` writes them: six bytes, these centuries."""
    return f"unhex(format('{{:012x}}', (epoch_us({value}) // 1000)))"


def _list(*headers: str) -> str:
    return f"list_filter([{', '.join(headers)}], lambda h: h IS NOT NULL)"


_OWN: Final = _text("content-type", "'application/json'")


def _spring(prefix: str, *more: str) -> str:
    """A dead-letter topic's headers; ``kafka_dlt-`` or, behind retry topics, ``kafka_``."""
    return _list(
        _OWN,
        f"CASE WHEN way = 'null_header' THEN {{'name': '{prefix}original-topic', 'value': NULL::BLOB}} "
        f"ELSE {_bytes(f'{prefix}original-topic', 'encode(origin_topic)')} END",
        _bytes(
            f"{prefix}original-partition",
            f"CASE WHEN way = 'short_partition' THEN unhex('000001') "
            f"ELSE {_big_endian('origin_partition', 4)} END",
        ),
        _bytes(f"{prefix}original-offset", _big_endian("origin_offset", 8)),
        _bytes(f"{prefix}original-timestamp", _big_endian("(epoch_us(recorded_at) // 1000)", 8)),
        _text(f"{prefix}original-timestamp-type", "'CreateTime'"),
        _text("kafka_dlt-original-consumer-group", "service"),
        _text(f"{prefix}exception-fqcn", f"'{_WRAPPED}'"),
        _text(f"{prefix}exception-cause-fqcn", "error"),
        _text(f"{prefix}exception-message", "'Listener failed; ' || message"),
        _text(f"{prefix}exception-stacktrace", _SPRING_STACK),
        *more,
    )


# Sent by hand to the topic again and given up again: what was there stays, the originals are appended.
_SECOND_HOP: Final = _list(
    _text("kafka_dlt-original-topic", "origin_topic"),
    _bytes("kafka_dlt-original-partition", _big_endian("origin_partition", 4)),
    _bytes("kafka_dlt-original-offset", _big_endian("origin_offset + 40", 8)),
    _bytes(
        "kafka_dlt-original-timestamp",
        _big_endian("(epoch_us(given_up_at) // 1000) + 3_600_000", 8),
    ),
    _text("kafka_dlt-original-timestamp-type", "'CreateTime'"),
)

_REFERENCE_VALUE: Final = f"""CASE way
    WHEN 'not_text' THEN unhex('7b226f726967696e616c223afffe00')
    WHEN 'cut_off_record' THEN encode(left(concat('{{"originalEvent":', whole), 300))
    ELSE encode(concat('{{"originalEvent":', whole, ',"error":', CASE WHEN error IS NULL
        THEN CAST(to_json(message) AS VARCHAR)
        ELSE CAST(json_object('name', error, 'message', message,
            'stack', concat(error, ': ', message, chr(10), '    ', frame)) AS VARCHAR) END,
        ',"attempts":', tries, ',"timestamp":"', {_ISO.format(_GIVEN_UP)}, '"}}')) END"""
_MASSTRANSIT_VALUE: Final = f"""CASE way
    WHEN 'not_an_envelope' THEN encode('["not", "an", "envelope"]')
    ELSE encode(concat('{{"messageId":"', event_id, '","conversationId":"', correlation_id,
        '","messageType":["urn:message:', event_type, '"],"message":', data,
        ',"sentTime":"', {_ISO.format("recorded_at")}, '"}}')) END"""

# Format -> topic, record time, headers, value. A NULL partition becomes 0.
_MESSAGES: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "reference": ("target", _GIVEN_UP, "[]", _REFERENCE_VALUE),
    "connect": (
        "target",
        _RECORDED,
        _list(
            _OWN,
            _text("__connect.errors.topic", "origin_topic"),
            _text("__connect.errors.partition", "origin_partition"),
            _text("__connect.errors.offset", "origin_offset"),
            _text("__connect.errors.connector.name", "service"),
            _text("__connect.errors.task.id", "origin_partition"),
            _text("__connect.errors.stage", "'TASK_PUT'"),
            _text("__connect.errors.class.name", "'io.shop.connect.LakeSinkTask'"),
            _text("__connect.errors.exception.class.name", "error"),
            _bytes(
                "__connect.errors.exception.message",
                "CASE WHEN way = 'header_not_text' THEN unhex('c3284669656c64') ELSE encode(message) END",
            ),
            _text("__connect.errors.exception.stacktrace", _JAVA_STACK),
        ),
        "encode(sent)",
    ),
    "streams": (
        "target",
        _RECORDED,
        _list(
            _OWN,
            _text("__streams.errors.exception", "concat(error, ': ', message)"),
            _text("__streams.errors.message", "message"),
            _text("__streams.errors.stacktrace", _JAVA_STACK),
            _text("__streams.errors.topic", "origin_topic"),
            _text("__streams.errors.partition", "origin_partition"),
            _text(
                "__streams.errors.offset",
                "CASE WHEN way = 'offset_not_a_number' THEN 'unknown' ELSE CAST(origin_offset AS VARCHAR) END",
            ),
        ),
        "encode(sent)",
    ),
    "spring": (
        "origin_topic || '-dlt'",
        _GIVEN_UP,
        f"CASE WHEN twice THEN list_concat({_spring('kafka_dlt-')}, {_SECOND_HOP}) "
        f"ELSE {_spring('kafka_dlt-')} END",
        "encode(sent)",
    ),
    "spring_retry": (
        "origin_topic || '-dlt'",
        _GIVEN_UP,
        _spring(
            "kafka_",
            _bytes(
                "retry_topic-original-timestamp",
                f"CASE WHEN way = 'long_timestamp' THEN unhex(repeat('ff', 40)) "
                f"ELSE {_big_integer('recorded_at')} END",
            ),
            # The attempt that would come next.
            _bytes("retry_topic-attempts", _big_endian("tries + 1", 4)),
            _bytes("retry_topic-backoff-timestamp", _big_integer("given_up_at")),
        ),
        "encode(sent)",
    ),
    "smallrye": (
        "target",
        _GIVEN_UP,
        _list(
            _text("dead-letter-exception-class-name", "error"),
            _text("dead-letter-reason", "message"),
            _text("dead-letter-topic", "origin_topic"),
            _text("dead-letter-partition", "origin_partition"),
            _text("dead-letter-offset", "origin_offset"),
            _OWN,
        ),
        "CASE WHEN way = 'null_value' THEN NULL ELSE encode(sent) END",
    ),
    "nservicebus": (
        "target",
        _GIVEN_UP,
        _list(
            _text("NServiceBus.MessageId", "event_id"),
            _text("NServiceBus.ConversationId", "correlation_id"),
            _text("NServiceBus.RelatedTo", "causation_id"),
            _text("NServiceBus.ContentType", "'application/json'"),
            _text("NServiceBus.EnclosedMessageTypes", "event_type || ', Checkout'"),
            _text("NServiceBus.TimeSent", "strftime(recorded_at, '%Y-%m-%d %H:%M:%S:%f Z')"),
            _text("NServiceBus.ProcessingEndpoint", "service"),
            _text("NServiceBus.FailedQ", "service"),
            _text(
                "NServiceBus.TimeOfFailure",
                "CASE WHEN way = 'no_such_time' THEN 'yesterday' "
                "ELSE strftime(given_up_at, '%Y-%m-%d %H:%M:%S:%f Z') END",
            ),
            _text("NServiceBus.FLRetries", "tries - 1"),
            _text("NServiceBus.ExceptionInfo.ExceptionType", "error"),
            _text("NServiceBus.ExceptionInfo.Message", "message"),
            _text("NServiceBus.ExceptionInfo.Source", "'Crm'"),
            _text("NServiceBus.ExceptionInfo.StackTrace", _DOTNET_STACK),
        ),
        "encode(data)",
    ),
    "masstransit": (
        "target",
        _GIVEN_UP,
        _list(
            _text("MT-Reason", "'fault'"),
            _text("MT-Fault-ExceptionType", "error"),
            _text("MT-Fault-InputAddress", _QUEUE),
            _text("MT-Fault-Message", "message"),
            _text("MT-Fault-MessageType", "event_type"),
            _text("MT-Fault-ConsumerType", "service"),
            _text("MT-Fault-Timestamp", _ISO.format("given_up_at")),
            _text("MT-Fault-StackTrace", _DOTNET_STACK),
            _text("MT-Fault-RetryCount", "tries - 1"),
        ),
        _MASSTRANSIT_VALUE,
    ),
}


def _chosen(part: int) -> str:
    cases = " ".join(f"WHEN '{name}' THEN {parts[part]}" for name, parts in _MESSAGES.items())
    return f"CASE format {cases} END"


#: All letters that are messages: coordinates in the topic that they were written to, and the record.
RECORDS: Final = (
    "WITH made AS (SELECT l.*, m.way, draw % 7 = 3 AS twice FROM letters l LEFT JOIN malformed m USING (n)) "
    "SELECT n, topic, partition, "
    'row_number() OVER (PARTITION BY topic, partition ORDER BY n) - 1 AS "offset", '
    "timestamp, key, headers, value FROM ("
    f"SELECT n, {_chosen(0)} AS topic, "
    "CAST(CASE WHEN starts_with(format, 'spring') THEN origin_partition ELSE 0 END AS INTEGER) AS partition, "
    f"{_chosen(1)} AS timestamp, "
    "CASE WHEN format NOT IN ('nservicebus', 'masstransit') THEN encode(stream_id) END AS key, "
    f"{_chosen(2)} AS headers, {_chosen(3)} AS value "
    "FROM made WHERE format NOT IN ('axon', 'wolverine'))"
)

# Two services may park the same event.
_ENTRY: Final = "md5(concat('axon', nullif(service, 'invoicing'), event_id))::UUID::VARCHAR"
_AXON: Final = f"""SELECT {_ENTRY} AS "deadLetterIdentifier",
    service AS "processingGroup", order_id AS "sequenceIdentifier", place_in_sequence AS "sequenceIndex",
    'org.axonframework.eventhandling.GenericDomainEventMessage' AS "messageType",
    event_id AS "eventIdentifier", {_ISO.format("occurred_at")} AS "timestamp",
    event_type AS "payloadType", schema_version AS "payloadRevision",
    CASE WHEN way = 'payload_not_json' THEN unhex('00ff7b2273') ELSE encode(data) END AS "payload",
    encode(concat('{{"traceId":"', correlation_id, '"', ',"correlationId":"' || causation_id || '"',
        ',"user":"', actor, '"}}')) AS "metaData",
    stream_type AS "type", stream_id AS "aggregateIdentifier", version AS "sequenceNumber",
    'org.axonframework.eventhandling.GapAwareTrackingToken' AS "tokenType",
    encode(concat('{{"index":', position, ',"gaps":[]}}')) AS "token",
    {_ISO.format("given_up_at")} AS "enqueuedAt", {_ISO.format("given_up_at")} AS "lastTouched",
    NULL::VARCHAR AS "processingStarted", error AS "causeType", message AS "causeMessage",
    encode('{{}}') AS "diagnostics"
FROM letters LEFT JOIN malformed USING (n) WHERE format = 'axon' ORDER BY n"""


def _little_endian(value: str, length: int) -> str:
    """A whole number of .NET's ``BinaryWriter``: the last byte first."""
    places = ", ".join(f"({value} >> {8 * place}) & 255" for place in range(length))
    return f"unhex(format('{'{:02x}' * length}', {places}))"


def _string(value: str) -> str:
    """A text of .NET's ``BinaryWriter``; below 128 bytes its length takes one."""
    return f"unhex(format('{{:02x}}', octet_length(encode({value})))) || encode({value})"


# Ticks of 100 ns since year 1, and two bits that say 'UTC'.
_TICKS: Final = (
    "((epoch_us(recorded_at) + 62_135_596_800_000_000) * 10 + 4_611_686_018_427_387_904)"
)
_ENVELOPE_HEADERS: Final[Mapping[str, str]] = {
    "source": "'checkout'",
    "message-type": "event_type",
    "content-type": "'application/json'",
    "correlation-id": "correlation_id",
    "attempts": "CAST(tries AS VARCHAR)",
}
_BODY: Final = " || ".join(
    [
        _little_endian(_TICKS, 8),
        _little_endian(str(len(_ENVELOPE_HEADERS)), 4),
        *(
            f"{_string(repr(name))} || {_string(value)}"
            for name, value in _ENVELOPE_HEADERS.items()
        ),
        _little_endian("octet_length(encode(data))", 4),
        "encode(data)",
    ]
)

_WOLVERINE: Final = f"""SELECT event_id::UUID AS id, NULL::TIMESTAMPTZ AS execution_time,
    CASE WHEN way = 'body_cut_off' THEN unhex(left(hex({_BODY}), 120)) ELSE {_BODY} END AS body,
    event_type AS message_type, {_LISTENER} AS received_at,
    'checkout' AS source, error AS exception_type, message AS exception_message,
    CASE WHEN way = 'sent_in_year_one' THEN TIMESTAMPTZ '0001-01-01 00:00:00+00' ELSE recorded_at END AS sent_at,
    FALSE AS replayable
FROM letters LEFT JOIN malformed USING (n) WHERE format = 'wolverine' ORDER BY n"""

#: Table -> its dump.
TABLES: Final[Mapping[str, str]] = {"axon": _AXON, "wolverine": _WOLVERINE}

# Whether the record can be read at all, and the event in it.
_LOST: Final = "coalesce(way IN ('cut_off_record', 'not_text'), FALSE)"
_READABLE: Final = f"(NOT poison AND NOT {_LOST} AND coalesce(way <> 'null_value', TRUE))"
_WITH_ORIGIN: Final = ("connect", "streams", "spring", "spring_retry", "smallrye")


def _where(value: str, *formats: str, unless: str = "") -> str:
    """A value that only some formats tell, and a record that is malformed in one way does not."""
    listed = ", ".join(f"'{name}'" for name in formats)
    spoilt = f" AND coalesce(way <> '{unless}', TRUE)" if unless else ""
    return f"CASE WHEN l.format IN ({listed}){spoilt} THEN {value} END"


_TELLS: Final[Mapping[str, str]] = {
    "format": f"CASE WHEN NOT {_LOST} THEN l.format END",
    "dead_lettered_at": f"CASE WHEN {_LOST} THEN NULL WHEN l.format IN ('reference', 'spring', 'spring_retry', 'smallrye', 'axon', "
    f"'masstransit') THEN {_GIVEN_UP} "
    "WHEN l.format = 'nservicebus' AND coalesce(way <> 'no_such_time', TRUE) THEN given_up_at END",
    "origin_topic": f"CASE l.format WHEN 'nservicebus' THEN service WHEN 'masstransit' THEN {_QUEUE} "
    f"WHEN 'wolverine' THEN {_LISTENER} ELSE {_where('origin_topic', *_WITH_ORIGIN, unless='null_header')} END",
    "origin_partition": _where(
        "CAST(origin_partition AS INTEGER)", *_WITH_ORIGIN, unless="short_partition"
    ),
    "origin_offset": _where("origin_offset", *_WITH_ORIGIN, unless="offset_not_a_number"),
    "origin_at": f"CASE WHEN l.format IN ('connect', 'streams', 'spring', 'spring_retry') THEN {_RECORDED} "
    f"WHEN l.format = 'axon' THEN {_MS.format('occurred_at')} "
    "WHEN l.format = 'nservicebus' THEN recorded_at "
    f"WHEN l.format = 'masstransit' AND coalesce(way <> 'not_an_envelope', TRUE) THEN {_RECORDED} "
    # The first moment of .NET's calendar is what a message has that was never stamped.
    "WHEN l.format = 'wolverine' AND coalesce(way <> 'sent_in_year_one', TRUE) THEN recorded_at "
    # Where the format tells none, the envelope does.
    f"WHEN l.format IN ('reference', 'smallrye') AND {_READABLE} THEN occurred_at END",
    "consumer": _where(
        "service", "connect", "spring", "spring_retry", "axon", "nservicebus", "masstransit"
    ),
    "event_id": f"CASE WHEN {_READABLE} AND coalesce(way <> 'not_an_envelope', TRUE) THEN l.event_id END",
    "event_type": f"CASE WHEN way = 'not_an_envelope' OR {_READABLE} THEN l.event_type END",
    # Also where the value cannot be read: it is the key.
    "stream_id": _where("l.stream_id", "reference", "axon", *_WITH_ORIGIN),
    "version": f"CASE WHEN {_READABLE} THEN {_where('l.version', 'reference', 'axon', *_WITH_ORIGIN)} END",
    "correlation_id": f"CASE WHEN {_READABLE} AND coalesce(way NOT IN ('not_an_envelope', 'body_cut_off'), TRUE) "
    "THEN l.correlation_id END",
    "causation_id": f"CASE WHEN {_READABLE} THEN "
    f"{_where('l.causation_id', 'reference', 'axon', 'nservicebus', *_WITH_ORIGIN)} END",
    "error_class": f"CASE WHEN NOT {_LOST} THEN error END",
    "error_message": f"CASE WHEN NOT {_LOST} AND coalesce(way <> 'header_not_text', TRUE) THEN "
    "CASE WHEN starts_with(l.format, 'spring') THEN 'Listener failed; ' || message ELSE message END END",
    "attempts": f"CASE WHEN NOT {_LOST} THEN "
    f"{_where('CAST(tries AS BIGINT)', 'reference', 'spring_retry', 'nservicebus', 'masstransit', 'wolverine', unless='body_cut_off')} END",
    "sequence_id": _where("order_id", "axon"),
    "sequence_index": "place_in_sequence",
    "fingerprint": f"CASE WHEN cause <> '{BLOCKED}' AND NOT {_LOST} THEN cause END",
}

#: One row for each letter: what was done, and what the record tells of it.
TOLD: Final = (
    f"SELECT CASE l.format WHEN 'axon' THEN 'dead_letter_entry/' || {_ENTRY} "
    f"WHEN 'wolverine' THEN 'wolverine_dead_letters/' || event_id || '/' || {_LISTENER} "
    "ELSE r.topic || '/' || r.partition || '/' || r.\"offset\" END AS source_position, "
    f"l.format AS written_as, service, cause, CASE WHEN cause = '{BLOCKED}' THEN 'blocked' ELSE 'root' END AS role, "
    "way AS malformed, l.position, l.given_up_at, "
    + ", ".join(f"{sql} AS {name}" for name, sql in _TELLS.items())
    + " FROM letters l LEFT JOIN malformed m USING (n) LEFT JOIN records r USING (n) ORDER BY n"
)
