"""Health: what is in a log, and every reason to doubt an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pytest

import workbench as wb
from tests.fix_log import SHAPE, MakeLog, Written
from tests.oracle import minute
from workbench.errors import SourceUnavailable
from workbench.event import MAPPABLE
from workbench.sources.base import Batch, Report, Shape


def event(
    stream: str = "a", version: int | None = 1, at: int | None = 0, **columns: Any
) -> dict[str, Any]:
    time = None if at is None else minute(at)
    return {"stream_id": stream, "version": version, "recorded_at": time, **columns}


def test_a_healthy_log_gives_no_concern(make_log: MakeLog) -> None:
    health = make_log([event("a", 1, 1), event("a", 2, 2), event("b", 1, 3)]).health()
    assert (health.events, health.streams, health.types) == (3, 2, {"Happened": 3})
    assert (health.clock, health.first, health.last) == ("recorded", minute(1), minute(3))
    assert health.concerns == []


@pytest.mark.parametrize(
    ("events", "counts"),
    [
        ([event(version=1), event(version=4), event(version=5)], {"version_gaps": 2}),
        ([event(version=3), event(version=4)], {"late_starts": 1}),
        ([event(version=0), event(version=1)], {}),
        ([event(version=1), event(version=1, data="{}"), event(version=2)], {"version_clashes": 1}),
        ([event(version=1, at=5), event(version=2, at=3)], {"clock_regressions": 1}),
        ([event(version=1, at=5), event("b", 1, at=3)], {}),
        ([event(version=1, at=1), event(version=2, at=None)], {"untimed": 1}),
        ([event(version=None), event(version=1)], {"unversioned": 1}),
    ],
)
def test_each_trouble_is_counted(
    make_log: MakeLog, events: list[dict[str, Any]], counts: dict[str, int]
) -> None:
    health = make_log(events).health()
    names = [
        "version_gaps",
        "late_starts",
        "version_clashes",
        "clock_regressions",
        "untimed",
        "unversioned",
    ]
    assert {name: getattr(health, name) for name in names if getattr(health, name)} == counts
    assert len(health.concerns) == len(counts)
    for concern in health.concerns:
        assert concern in repr(health)


def test_holes_in_versions_are_listed(make_log: MakeLog) -> None:
    log = make_log([event("b", 1), event("b", 3), event("a", 7), event("a", 2), event("a", None)])
    assert log.gaps().rows() == [
        {"stream_id": "a", "after_version": 2, "before_version": 7, "missing": 4},
        {"stream_id": "b", "after_version": 1, "before_version": 3, "missing": 1},
    ]
    assert log.where(stream="b").health().version_gaps == 1


def test_duplicates_and_rejects_are_counted(make_log: MakeLog) -> None:
    one = event(event_id="e1", data='{"n": 1}')
    log = make_log([one, one, {**one, "data": '{"n": 2}'}])
    health = log.health()
    assert (health.events, health.duplicates, health.rejects) == (1, 1, 1)
    assert health.concerns == ["1 records were rejected: log.rejects() shows them with their bytes"]


def test_a_log_without_times_is_examined_too(make_log: MakeLog) -> None:
    health = make_log([event(at=None)]).health()
    assert (health.first, health.last, health.untimed) == (None, None, 1)


def test_an_empty_log_says_what_to_do() -> None:
    with wb.open() as log:
        assert log.health().concerns == []
        assert "nothing is loaded yet: log.load(" in repr(log)
        assert "Nothing is loaded yet" in log._repr_html_()


def test_a_view_is_examined_on_its_own(make_log: MakeLog) -> None:
    log = make_log([event("a", 1), event("a", 3), event("b", 1)])
    health = log.where(stream="b").health()
    assert (health.events, health.streams, health.version_gaps) == (1, 1, 0)
    assert "stream_id = b" in health.label


# -- sources -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reporting:
    """A source without records, that has something to say, or cannot be opened."""

    told: Report
    breaks: bool = False
    name: str = "shop"
    kind: str = "test"
    shape: Shape = SHAPE
    total: int | None = None

    @contextmanager
    def read(self, bookmark: object) -> Iterator[Reporting]:
        if self.breaks:
            message = "gone"
            raise SourceUnavailable(message)
        yield self

    def batches(self) -> Iterator[Batch]:
        yield Batch(pa.table({name: pa.array([], pa.string()) for name in MAPPABLE}), {"at": 1})

    def report(self) -> Report:
        return self.told


OPEN = Report(
    watermark="events/7",
    gaps=({"position": 8, "state": "open"}, {"position": 9, "state": "dead"}, {"position": 10}),
    completeness=({"part": "events/0", "complete": True}, {"part": "events/1", "complete": False}),
    notes=("look again",),
)


def test_what_a_source_vouches_for_is_shown() -> None:
    with wb.open() as log:
        log.load(Reporting(OPEN), progress=False)
        health = log.health()
        (source,) = health.sources
        assert (source.source, source.kind, source.status, source.watermark) == (
            "shop", "test", "complete", "events/7",
        )  # fmt: skip
        assert (source.open_gaps, source.incomplete, source.notes) == (
            2,
            ("events/1",),
            ("look again",),
        )
        assert health.concerns == [
            "shop has 2 open gaps: load again later, they are read again",
            "shop: events/1 is not complete",
        ]
        assert "events/7" in repr(log)


def test_a_load_that_could_not_begin_hides_nothing_of_what_was_known() -> None:
    source = Reporting(OPEN)
    with wb.open() as log:
        log.load(source, progress=False)
        with pytest.raises(SourceUnavailable):
            log.load(replace(source, breaks=True), progress=False)
        (now,) = log.health().sources
        assert (now.status, now.watermark, now.open_gaps) == ("interrupted", "events/7", 2)
        assert now.incomplete == ("events/1",)
        assert (
            "the last load of shop is interrupted: run it again, it goes on"
            in log.health().concerns
        )


def test_counts_of_a_source_are_of_all_its_loads() -> None:
    with wb.open() as log:
        log.load(Written([event(event_id="1")]), progress=False)
        log.load(Written([event(event_id="1"), event(version=2, event_id="2")]), progress=False)
        (source,) = log.health().sources
        assert (source.read, source.stored, source.duplicate, source.rejected) == (3, 2, 1, 0)


# -- how it looks --------------------------------------------------------------------------------


def test_a_card_of_hostile_names(make_log: MakeLog) -> None:
    hostile = "<img src=x onerror=alert(1)>\x1b[2J\n  ! all is well"
    log = make_log([event(hostile, event_type=hostile)])
    assert "<img" not in log._repr_html_()
    assert "\x1b" not in repr(log) + log._repr_html_()
    assert "\n  ! all is well" not in repr(log)


def test_health_as_plain_values(make_log: MakeLog) -> None:
    values = json.loads(json.dumps(make_log([event(version=2)]).health().to_dict(), default=str))
    assert values["late_starts"] == 1
    assert values["concerns"] == ["1 streams do not begin at their first version"]
    assert values["sources"][0]["stored"] == 1


def test_html_needs_no_script_and_says_what_text_says(make_log: MakeLog) -> None:
    log = make_log([event("a", 1, 1), event("a", 5, 2)])
    html = log._repr_html_()
    assert "<script" not in html
    for part in ("2 in 1 stream", "3 versions are missing inside streams", "Happened"):
        assert part in html
        assert part in repr(log)
