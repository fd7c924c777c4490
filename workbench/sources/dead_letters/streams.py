"""Kafka Streams (KIP-1034). The message keeps the source's time; the application is not named.

``exception`` holds the exception's ``toString()``: its class, and mostly its message behind it.
"""

from __future__ import annotations

from typing import Final

from workbench.sources.dead_letters.expressions import whole, word
from workbench.sources.dead_letters.record_format import APPEND_TIME, CREATE_TIME, RecordFormat

_PREFIX: Final = "__streams.errors."

STREAMS: Final = RecordFormat(
    name="streams",
    marks=tuple(f"{_PREFIX}{name}" for name in ("exception", "message", "topic", "stacktrace")),
    columns={
        "dead_lettered_at": APPEND_TIME,
        "origin_topic": word(f"{_PREFIX}topic"),
        "origin_partition": whole(f"{_PREFIX}partition"),
        "origin_offset": whole(f"{_PREFIX}offset"),
        "origin_at": CREATE_TIME,
        "error_class": word(f"{_PREFIX}exception").then(
            "nullif(regexp_extract({}, '^[\\w.$]+'), '')"
        ),
        "error_message": word(f"{_PREFIX}message"),
        "error_stack": word(f"{_PREFIX}stacktrace"),
    },
    keeps_source_time=True,
)
