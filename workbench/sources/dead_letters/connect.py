"""Kafka Connect (KIP-298): sinks, with ``errors.deadletterqueue.context.headers.enable``.

The message keeps the source's time. A header that is there already is not replaced, so each stands there once.
"""

from __future__ import annotations

from typing import Final

from workbench.sources.dead_letters.expressions import whole, word
from workbench.sources.dead_letters.record_format import APPEND_TIME, CREATE_TIME, RecordFormat

_PREFIX: Final = "__connect.errors."

CONNECT: Final = RecordFormat(
    name="connect",
    marks=tuple(
        f"{_PREFIX}{name}"
        for name in (
            "topic",
            "connector.name",
            "stage",
            "exception.class.name",
            "exception.message",
        )
    ),
    columns={
        "dead_lettered_at": APPEND_TIME,
        # An empty topic and -1: the reporter had no record in hand.
        "origin_topic": word(f"{_PREFIX}topic").then("nullif({}, '')"),
        "origin_partition": whole(f"{_PREFIX}partition"),
        "origin_offset": whole(f"{_PREFIX}offset"),
        "origin_at": CREATE_TIME,
        "consumer": word(f"{_PREFIX}connector.name"),
        "error_class": word(f"{_PREFIX}exception.class.name"),
        "error_message": word(f"{_PREFIX}exception.message"),
        "error_stack": word(f"{_PREFIX}exception.stacktrace"),
    },
    keeps_source_time=True,
)
