"""Spring for Apache Kafka: dead-letter topics, and the retry topics in front of them. Numbers are binary.

A message that went through several dead-letter topics has its *original* headers once for each: the first say
where it came from, the last exception and the last consumer group say who gave it up. Exceptions are wrapped:
the cause names the error.
"""

from __future__ import annotations

from typing import Final

from workbench.sources.dead_letters.expressions import (
    Expr,
    big_endian,
    big_integer,
    first_of,
    millis,
    word,
)
from workbench.sources.dead_letters.record_format import RECORD_TIME, RecordFormat


def _columns(prefix: str) -> dict[str, Expr]:
    error = f"{prefix}exception-"
    key_error = f"{prefix}key-exception-"
    return {
        "dead_lettered_at": RECORD_TIME,
        "origin_topic": word(f"{prefix}original-topic", "first"),
        "origin_partition": big_endian(f"{prefix}original-partition", "first", 4),
        "origin_offset": big_endian(f"{prefix}original-offset", "first", 8),
        "origin_at": millis(big_endian(f"{prefix}original-timestamp", "first", 8)),
        "consumer": word("kafka_dlt-original-consumer-group"),
        "error_class": first_of(
            word(f"{error}cause-fqcn"), word(f"{error}fqcn"), word(f"{key_error}fqcn")
        ),
        "error_message": first_of(word(f"{error}message"), word(f"{key_error}message")),
        "error_stack": first_of(word(f"{error}stacktrace"), word(f"{key_error}stacktrace")),
    }


_DLT: Final = "kafka_dlt-"
_RETRY: Final = "kafka_"
_ATTEMPTS: Final = "retry_topic-attempts"

SPRING: Final = RecordFormat(
    name="spring",
    marks=tuple(
        f"{_DLT}{name}"
        for name in ("original-topic", "exception-fqcn", "exception-message", "key-exception-fqcn")
    ),
    columns=_columns(_DLT),
)

_ORIGINAL: Final = _columns(_RETRY)
SPRING_RETRY: Final = RecordFormat(
    name="spring_retry",
    # Not the consumer group: its header has the name that a dead-letter topic gives it, here too.
    marks=(f"{_RETRY}original-topic", f"{_RETRY}exception-fqcn", _ATTEMPTS),
    columns={
        **_ORIGINAL,
        "origin_at": first_of(
            _ORIGINAL["origin_at"], millis(big_integer("retry_topic-original-timestamp", "first"))
        ),
        # The number of the attempt that comes next; one byte in old releases.
        "attempts": big_endian(_ATTEMPTS, "last", 4, 1).then("CASE WHEN {} > 1 THEN {} - 1 END"),
    },
)
