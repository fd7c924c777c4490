"""Moments: inclusive, on two clocks, never guessed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.fix_log import MakeLog
from tests.oracle import minute
from workbench.errors import MomentError
from workbench.moments import Moment, parse_time


def event(recorded: int | None, occurred: int | None = None, **columns: Any) -> dict[str, Any]:
    return {
        "stream_id": "a",
        "recorded_at": None if recorded is None else minute(recorded),
        "occurred_at": None if occurred is None else minute(occurred),
        **columns,
    }


def positions(log: wb.EventLog) -> list[int]:
    return [row["position"] for row in log.sql("FROM events ORDER BY position").rows()]


@pytest.fixture
def log(make_log: MakeLog) -> wb.EventLog:
    """Recorded in order; the second event happened first; the last says no time at all."""
    return make_log([event(1, 5), event(2, 1), event(9, 6), event(None, None)])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"time": minute(2), "clock": "recorded"}, [1, 2]),
        ({"time": minute(2) - dt.timedelta(microseconds=1), "clock": "recorded"}, [1]),
        ({"time": minute(5), "clock": "occurred"}, [1, 2]),
        ({"time": minute(6), "known_at": minute(2)}, [1, 2]),
        ({"time": minute(1), "known_at": minute(9)}, [2]),
        ({"known_at": minute(2)}, [1, 2]),
        ({"position": 3}, [1, 2, 3]),
        ({"version": 2}, [1, 2]),
        ({"position": 3, "version": 1}, [1]),
        ({"time": minute(2), "clock": "recorded", "position": 1}, [1]),
        ({"position": 0}, []),
        ({"position": -5}, []),
        ({"position": 10**15}, [1, 2, 3, 4]),
        ({}, [1, 2, 3, 4]),
    ],
)
def test_a_moment_is_inclusive(
    log: wb.EventLog, arguments: dict[str, Any], expected: list[int]
) -> None:
    assert positions(log.as_of(**arguments)) == expected


@pytest.mark.parametrize(
    "same",
    [
        "2026-01-01T00:02Z", "2026-01-01 00:02+00:00", " 2026-01-01T01:02+01:00 ", "20260101T000200Z",
        minute(2).astimezone(dt.timezone(dt.timedelta(hours=-7))), pd.Timestamp("2026-01-01T00:02Z"),
        pd.Timestamp("2026-01-01 01:02", tz="Europe/Madrid"),
    ],
)  # fmt: skip
def test_times_in_every_form(log: wb.EventLog, same: Any) -> None:
    assert positions(log.as_of(same, clock="recorded")) == [1, 2]


@pytest.mark.parametrize(
    "naive",
    ["2026-01-01T00:02", "2026-01-01", dt.datetime(2026, 1, 1), pd.Timestamp("2026-01-01")],  # noqa: DTZ001
)
def test_a_naive_time_is_refused_with_the_next_step(log: wb.EventLog, naive: Any) -> None:
    with pytest.raises(MomentError, match="says no time zone") as failure:
        log.as_of(naive)
    assert "Z for UTC" in str(failure.value)


@pytest.mark.parametrize(
    "odd", ["yesterday", "", "2026-13-01T00:00Z", "2026-01-01T00:00Z'; --", pd.NaT]
)
def test_what_is_no_time(log: wb.EventLog, odd: Any) -> None:
    with pytest.raises(MomentError):
        log.as_of(odd)


@pytest.mark.parametrize("odd", [5, dt.date(2026, 1, 1), b"2026", 1.5])
def test_what_is_no_time_but_something_else(log: wb.EventLog, odd: Any) -> None:
    with pytest.raises(MomentError, match=f"but {type(odd).__name__}"):
        log.as_of(odd)


@pytest.mark.parametrize("far", ["9999-12-31T23:59:59-10:00", "0001-01-01T00:00+05:00"])
def test_times_beyond_the_calendar(log: wb.EventLog, far: str) -> None:
    with pytest.raises(MomentError, match="before year 1 or after year 9999"):
        log.as_of(far)


def test_times_at_the_edge_of_the_calendar(log: wb.EventLog) -> None:
    assert positions(log.as_of("9999-12-31T23:59:59.999999Z", clock="recorded")) == [1, 2, 3]
    assert positions(log.as_of("0001-01-01T00:00Z", clock="recorded")) == []


@pytest.mark.parametrize("verb", ["as_of", "replay", "history"])
def test_there_are_two_clocks(log: wb.EventLog, verb: str) -> None:
    definition = [] if verb == "as_of" else [wb.Projection("p", {"n": wb.count()})]
    with pytest.raises(MomentError, match="Did you mean 'recorded'"):
        getattr(log, verb)(*definition, minute(1), clock="record")


def test_known_at_is_the_recorded_clock_already(log: wb.EventLog) -> None:
    with pytest.raises(MomentError, match="recorded clock already"):
        log.as_of(minute(1), known_at=minute(1), clock="recorded")
    assert positions(log.as_of(minute(6), known_at=minute(2), clock="occurred")) == [1, 2]


@pytest.mark.parametrize("name", ["position", "version"])
@pytest.mark.parametrize("odd", ["3", 3.0, True, dt.datetime(2026, 1, 1)])  # noqa: DTZ001
def test_positions_and_versions_are_whole_numbers(log: wb.EventLog, name: str, odd: Any) -> None:
    with pytest.raises(MomentError, match="is no whole number"):
        log.as_of(**{name: odd})


def test_the_numbers_of_a_data_frame_will_do(log: wb.EventLog) -> None:
    assert positions(log.as_of(position=log.df()["position"].max())) == [1, 2, 3, 4]
    assert positions(log.as_of(version=np.int32(1))) == [1]


# -- which clock ---------------------------------------------------------------------------------


def test_without_a_clock_it_is_the_one_that_knows_more(make_log: MakeLog) -> None:
    log = make_log([event(9, 1), event(None, 2)])
    assert positions(log.as_of(minute(5))) == [1, 2]
    assert positions(log.where(condition="position = 1").as_of(minute(5))) == [1]


def test_on_a_tie_it_is_what_was_known(make_log: MakeLog) -> None:
    assert positions(make_log([event(9, 1)]).as_of(minute(5))) == []


@pytest.mark.parametrize(("clock", "other"), [("recorded", "occurred"), ("occurred", "recorded")])
def test_a_clock_that_the_log_has_not(make_log: MakeLog, clock: str, other: str) -> None:
    log = make_log([event(1) if clock == "occurred" else event(None, 1)])
    with pytest.raises(MomentError, match=f"no event says when it was {clock}") as failure:
        log.as_of(minute(5), clock=clock)
    assert f"use clock='{other}'" in str(failure.value)


def test_a_log_without_any_times_has_no_moments(make_log: MakeLog) -> None:
    log = make_log([event(None), event(None)])
    assert positions(log.as_of(position=1)) == [1]
    assert positions(log.as_of(minute(5))) == []


def test_an_empty_log_has_every_moment() -> None:
    with wb.open() as log:
        assert positions(log.as_of(minute(5), known_at=minute(5))) == []
        assert log.replay(wb.Projection("p", {"n": wb.count()}), minute(5)).rows() == []


# -- in words ------------------------------------------------------------------------------------


def test_a_moment_in_words() -> None:
    moment = Moment.of(minute(1), known_at=minute(2), position=1000, version=3)
    assert str(moment) == (
        "as of 2026-01-01 00:01:00Z (occurred), as known at 2026-01-01 00:02:00Z, "
        "up to position 1,000, up to version 3"
    )
    assert str(Moment()) == "at the end of the log"
    assert Moment().is_end
    assert not Moment(position=0).is_end


def test_times_are_read_to_the_microsecond() -> None:
    assert parse_time("2026-01-01T00:00:00.000001Z").microsecond == 1
