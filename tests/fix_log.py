"""Fixtures that need no server: logs in memory, made of events that a test writes down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

import workbench as wb
from workbench.event import COLUMNS, MAPPABLE
from workbench.sources.base import Batch, Bookmark, Report, Shape

Events = Sequence[Mapping[str, Any]]
MakeLog = Callable[[Events], wb.EventLog]


SHAPE = Shape({name: f"CAST({name} AS {COLUMNS[name]})" for name in MAPPABLE})


@dataclass(frozen=True)
class Written:
    """A source of events that stand in a test, read in one batch."""

    events: Events
    name: str = "test"
    kind: str = "test"
    total: int | None = None
    shape: Shape = SHAPE

    @contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[Written]:
        yield self

    def batches(self) -> Iterator[Batch]:
        rows = list(_rows(self.events))
        columns = {
            name: pa.array([row.get(name) for row in rows], pa.string()) for name in MAPPABLE
        }
        yield Batch(pa.table(columns), {"read": len(rows)})

    def report(self) -> Report:
        return Report()


def _rows(events: Events) -> Iterator[dict[str, str | None]]:
    versions: Counter[str] = Counter()
    for index, event in enumerate(events):
        unknown = set(event) - set(MAPPABLE)
        assert not unknown, f"no columns of an event: {unknown}"
        stream = event["stream_id"]
        versions[stream] += 1
        row = {
            "source_position": index,
            "version": versions[stream],
            "event_type": "Happened",
        } | dict(event)
        yield {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


@pytest.fixture
def make_log() -> Iterator[MakeLog]:
    """Make logs in memory from canonical columns.

    ``make_log([{"stream_id": "a", "event_type": "Opened", "recorded_at": "2026-01-01T00:00Z", "data": {"n": 1}}])``.
    ``data`` is a dictionary, or JSON text as it shall stand. Versions count up in each stream unless
    given; what is left out is NULL.
    """
    made: list[wb.EventLog] = []

    def make(events: Events) -> wb.EventLog:
        log = wb.open()
        made.append(log)
        log.load(Written(events), progress=False)
        return log

    yield make
    for log in made:
        log.close()
