"""The canonical event: the columns that every source is mapped to."""

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
