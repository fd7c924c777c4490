"""What a source is: one bounded, resumable pass over raw records, in batches.

A source hands over *raw* records as Arrow tables and says, in SQL, how they become canonical events
(:class:`Shape`). The log runs that SQL, so no record passes through Python one at a time. A batch and
the bookmark that stands behind it are committed in one transaction; a source that is opened again with
that bookmark goes on exactly after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pyarrow as pa

Bookmark = Mapping[str, Any]
"""Where to go on: plain JSON values, without secrets."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a raw record becomes an event, or a dead letter: SQL over the columns of a batch.

    Attributes
    ----------
    columns
        Canonical column -> DuckDB expression. ``source_position`` is required: the exact coordinates
        at the source, unique there, never changing. A column that is left out is NULL: unknown.
        ``data`` and ``metadata`` are JSON text as received. Without ``event_id`` the log derives one
        from the coordinates.
    reject
        A VARCHAR expression: why this record is no event, or NULL when it is one. It may speak of what
        ``columns`` gave, as ``wb_version``, so that nothing is worked out twice. (The log itself
        rejects records without stream_id or event_type, and with data or metadata that are not JSON.)
    raw
        A BLOB or VARCHAR expression: the record as received, kept with a reject.
    table
        Where its records go. ``columns`` are those of that table; a dead letter needs no more than
        its ``source_position``, and is never rejected for what it says.
    """

    columns: Mapping[str, str]
    reject: str = "NULL"
    raw: str = "NULL"
    table: Literal["events", "dead_letters"] = "events"


@dataclass(frozen=True, slots=True)
class Batch:
    """Raw records, and where to go on once they are committed.

    A batch may be empty and still move the bookmark. Keep one under about 64 MiB: memory is bounded by
    it. Within a batch the order of the rows is the order of the log.
    """

    rows: pa.Table
    bookmark: Bookmark


@dataclass(frozen=True, slots=True)
class Report:
    """What a pass can vouch for, for the health card and for the auditor.

    Attributes
    ----------
    watermark
        Everything up to here is in the log for certain, in words of the source, or None.
    gaps
        Holes that are open: ``{"position": …, "first_seen": ISO time, "state": "open|dead|unproven",
        "evidence": …}``.
    completeness
        One entry for each part of the source (partition, table, file): ``{"part": …, "from": …,
        "to": …, "end": …, "complete": bool, "note": …}``.
    notes
        Sentences for a person: what could not be known, what to do next.
    """

    watermark: str | None = None
    gaps: tuple[Mapping[str, Any], ...] = ()
    completeness: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


class Reading(Protocol):
    """One pass over a source: iterate over ``batches()`` once, then ask for the ``report()``."""

    @property
    def shape(self) -> Shape:
        """How the records of this pass become events."""
        ...

    @property
    def total(self) -> int | None:
        """About how many records this pass will read, for the progress bar; None when unknown."""
        ...

    def batches(self) -> Iterator[Batch]:
        """Read on from the bookmark to the end of the pass, once."""
        ...

    def report(self) -> Report:
        """What was read so far; also right after a pass that broke off."""
        ...


class Source(Protocol):
    """Where events come from. A passive value: nothing is opened before ``read``."""

    @property
    def name(self) -> str:
        """Identity of the source in the log: stable over runs, without secrets."""
        ...

    @property
    def kind(self) -> str:
        """What kind of source it is: ``postgres``, ``kafka``, ``files``."""
        ...

    def read(self, bookmark: Bookmark | None) -> AbstractContextManager[Reading]:
        """Open one pass that goes on after ``bookmark`` (None: from the start)."""
        ...
