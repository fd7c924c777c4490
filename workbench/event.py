"""The canonical event and the canonical dead letter: the columns that every source is mapped to."""

from __future__ import annotations

from typing import Final

#: Name and DuckDB type of each column of ``events``, in order.
COLUMNS: Final[dict[str, str]] = {
    "position": "BIGINT",  # total order in this log, dense per load, stable
    "stream_id": "VARCHAR",
    "stream_type": "VARCHAR",
    "version": "BIGINT",  # order in the stream, as the source has it
    "event_id": "VARCHAR",
    "event_type": "VARCHAR",
    "schema_version": "VARCHAR",
    "occurred_at": "TIMESTAMPTZ",  # valid time
    "recorded_at": "TIMESTAMPTZ",  # transaction time
    "correlation_id": "VARCHAR",
    "causation_id": "VARCHAR",
    "actor": "VARCHAR",
    "data": "JSON",
    "metadata": "JSON",
    "source": "VARCHAR",
    "source_position": "VARCHAR",
}

#: What a source may fill. The log itself gives the position and the source's name.
MAPPABLE: Final[tuple[str, ...]] = tuple(
    name for name in COLUMNS if name not in ("position", "source")
)

#: A record without one of these is no event; it goes to ``rejects``.
REQUIRED: Final[tuple[str, ...]] = ("stream_id", "event_type", "source_position")

#: Name and DuckDB type of each column of ``dead_letters``, in order. NULL is 'unknown', never 0.
DEAD_LETTER: Final[dict[str, str]] = {
    "dead_letter_id": "BIGINT",  # dense, in the order of loading
    "load_id": "BIGINT",
    "source": "VARCHAR",
    "source_position": "VARCHAR",  # exact coordinates in the dead-letter topic or table
    "format": "VARCHAR",  # whose dead letter it is; NULL when no format was recognised
    "dead_lettered_at": "TIMESTAMPTZ",
    "origin_topic": "VARCHAR",  # where the consumer read the message that it gave up
    "origin_partition": "INTEGER",
    "origin_offset": "BIGINT",
    "origin_at": "TIMESTAMPTZ",
    "consumer": "VARCHAR",
    "event_id": "VARCHAR",
    "event_type": "VARCHAR",
    "stream_id": "VARCHAR",
    "version": "BIGINT",
    "correlation_id": "VARCHAR",
    "causation_id": "VARCHAR",
    "error_class": "VARCHAR",
    "error_message": "VARCHAR",
    "error_stack": "VARCHAR",
    "attempts": "BIGINT",
    "sequence_id": "VARCHAR",  # a parked sequence: at an index above 0 stand blocked followers
    "sequence_index": "BIGINT",
    "redrive_id": "VARCHAR",  # the marks of a re-drive
    "redrive_of": "VARCHAR",
    "data": "JSON",  # the original event's payload, where it can be read
    "raw": "BLOB",  # the message as received
    "key": "BLOB",
    "headers": "STRUCT(name VARCHAR, value BLOB)[]",  # in order; names repeat
    "parse_error": "VARCHAR",  # what of it could not be read, and why
}
