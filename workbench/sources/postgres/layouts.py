"""How event stores name their tables and columns: plain values, so that a preset is a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from workbench.errors import ConfigError, did_you_mean
from workbench.sources.mapping import Spec


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a store keeps its events, and what its columns mean.

    Attributes
    ----------
    table
        The table, schema-qualified where it is not on the search path.
    position
        The column that orders all events: unique, handed out by a sequence.
    columns
        Canonical column -> spec (see :mod:`workbench.sources.mapping`).
    transaction_id
        A column of type ``xid8`` holding the writing transaction, where the store keeps one.
    """

    table: str = "events"
    position: str = "position"
    columns: Mapping[str, Spec] = field(default_factory=dict)
    transaction_id: str | None = None


REFERENCE: Final = Layout(
    columns=MappingProxyType(
        {
            "stream_id": "aggregate_id",
            "version": "version",
            "event_type": "event_type",
            # When the row was written is not kept, so recorded_at stays unknown.
            "occurred_at": "timestamp",
            "correlation_id": ("metadata.correlationId", "metadata.correlation_id"),
            "causation_id": ("metadata.causationId", "metadata.causation_id"),
            "actor": ("metadata.userId", "metadata.user_id", "metadata.user"),
            "data": "data",
            "metadata": "metadata",
        }
    )
)

LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType({"reference": REFERENCE})


def layout_named(name: str) -> Layout:
    """Return a known layout.

    Raises
    ------
    ConfigError
        There is no layout of this name.
    """
    if name not in LAYOUTS:
        message = f"there is no layout {name!r}." + did_you_mean(name, LAYOUTS)
        raise ConfigError(message, hint="any other table is read with columns={'stream_id': …, …}")
    return LAYOUTS[name]
