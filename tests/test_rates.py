"""Counting events over time."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest

from tests.fix_log import MakeLog
from workbench.analysis.buckets import FEW
from workbench.errors import ConfigError, MomentError


def at(day: int, hour: int = 0, minute: int = 0) -> str:
    return f"2026-06-{day:02d}T{hour:02d}:{minute:02d}Z"


def event(time: str | None, kind: str = "Opened", **more: object) -> dict[str, object]:
    return {"stream_id": "a", "event_type": kind, "recorded_at": time, **more}


def utc(day: int, hour: int = 0) -> dt.datetime:
    return dt.datetime(2026, 6, day, hour, tzinfo=dt.UTC)


def test_counts_by_type_and_fills_empty_buckets_with_0(make_log: MakeLog) -> None:
    log = make_log(
        [event(at(1, 9)), event(at(1, 10)), event(at(3, 23)), event(at(1, 11), "Closed")]
    )
    assert log.rates(every="1 day").rows() == [
        {"moment": utc(1), "event_type": "Opened", "events": 2},
        {"moment": utc(1), "event_type": "Closed", "events": 1},
        {"moment": utc(2), "event_type": "Opened", "events": 0},
        {"moment": utc(2), "event_type": "Closed", "events": 0},
        {"moment": utc(3), "event_type": "Opened", "events": 1},
        {"moment": utc(3), "event_type": "Closed", "events": 0},
    ]


def test_a_bucket_begins_with_its_moment(make_log: MakeLog) -> None:
    log = make_log([event(at(1, 9, 59)), event(at(1, 10))])
    assert [row["moment"] for row in log.rates(every="1 hour").rows()] == [utc(1, 9), utc(1, 10)]


def test_days_are_days_in_utc_whatever_the_zone_of_the_session(make_log: MakeLog) -> None:
    log = make_log([event(at(1, 23, 30)), event(at(2, 0, 30))])
    rates = log.rates(every="1 day")
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'Asia/Tokyo'; ATTACH ':memory:' AS log")
        con.execute("CREATE TABLE log.main.events (event_type VARCHAR, recorded_at TIMESTAMPTZ)")
        con.execute(
            "INSERT INTO log.main.events VALUES ('Opened', '2026-06-01T23:30Z'), ('Opened', '2026-06-02T00:30Z')"
        )
        elsewhere = con.execute(f"SELECT epoch(moment), events FROM ({rates.sql})").fetchall()
    here = [(row["moment"].timestamp(), row["events"]) for row in rates.rows()]
    assert elsewhere == here == [(utc(1).timestamp(), 1), (utc(2).timestamp(), 1)]


def test_months_begin_on_their_first(make_log: MakeLog) -> None:
    log = make_log([event("2026-01-31T23:00Z"), event("2026-03-01T00:00Z")])
    moments = [f"{row['moment']:%Y-%m-%d}" for row in log.rates(every="1 month").rows()]
    assert moments == ["2026-01-01", "2026-02-01", "2026-03-01"]


@pytest.mark.parametrize(
    ("last", "every"),
    [
        ("2026-06-01T00:00:00Z", "1 second"),
        ("2026-06-01T00:02:00Z", "1 second"),
        ("2026-06-01T02:00:00Z", "1 minute"),
        ("2026-06-02T00:00:00Z", "15 minutes"),
        ("2026-06-08T00:00:00Z", "1 hour"),
        ("2026-12-01T00:00:00Z", "1 day"),
        ("2028-12-01T00:00:00Z", "1 week"),
        ("9999-01-01T00:00:00Z", "100 years"),
    ],
)
def test_chooses_a_step_that_people_count_in(make_log: MakeLog, last: str, every: str) -> None:
    rates = make_log([event("2026-06-01T00:00Z"), event(last)]).rates()
    assert rates.every == every
    assert len(rates) <= FEW + 1


def test_rarer_types_are_counted_together_and_the_notes_say_so(make_log: MakeLog) -> None:
    kinds = ["A"] * 5 + ["B"] * 4 + ["C"] * 2 + ["D", "E"]
    rates = make_log([event(at(1), kind) for kind in kinds]).rates(top=2)
    assert rates.groups == {"A": 5, "B": 4, "other (3 types)": 4}
    assert [row["events"] for row in rates.rows()] == [5, 4, 4]
    assert rates.gathered
    assert any(note.startswith("other (3 types)") for note in rates.notes)


def test_one_rare_type_alone_is_not_called_other(make_log: MakeLog) -> None:
    rates = make_log([event(at(1), kind) for kind in "AABBC"]).rates(top=2)
    assert list(rates.groups) == ["A", "B", "C"]
    assert not rates.gathered


def test_a_type_that_is_called_like_the_gathered_ones_keeps_its_own_count(
    make_log: MakeLog,
) -> None:
    kinds = ["other (2 types)"] * 3 + ["B", "C"]
    rates = make_log([event(at(1), kind) for kind in kinds]).rates(top=1)
    assert rates.groups == {"other (2 types)": 3, "other (2 types)…": 2}
    assert [row["events"] for row in rates.rows()] == [3, 2]


def test_counts_by_actor_keep_the_unknown_one_as_null(make_log: MakeLog) -> None:
    rates = make_log([event(at(1), actor="ann"), event(at(1)), event(at(1))]).rates(by="actor")
    assert rates.groups == {None: 2, "ann": 1}
    assert [row["actor"] for row in rates.rows()] == [None, "ann"]


def test_the_unknown_one_is_gathered_too_when_it_is_rare(make_log: MakeLog) -> None:
    actors = ["ann"] * 3 + ["bob"] * 2 + [None]
    rates = make_log([event(at(1), actor=actor) for actor in actors]).rates(by="actor", top=1)
    assert rates.groups == {"ann": 3, "other (2 actors)": 3}
    assert [row["events"] for row in rates.rows()] == [3, 3]


def test_events_without_a_time_are_counted_in_the_notes(make_log: MakeLog) -> None:
    rates = make_log([event(at(1)), event(None)]).rates()
    assert sum(row["events"] for row in rates.rows()) == 1
    assert rates.notes == ("1 event does not say when it was recorded, and is not counted",)


def test_counts_on_the_clock_that_is_asked_for(make_log: MakeLog) -> None:
    log = make_log([event(at(2), occurred_at=at(1))])
    assert log.rates(every="1 day", clock="occurred").rows()[0]["moment"] == utc(1)
    assert log.rates(every="1 day").rows()[0]["moment"] == utc(2)


def test_a_narrowed_log_counts_its_own_events(make_log: MakeLog) -> None:
    log = make_log([event(at(1), "A"), event(at(2), "B"), event(at(9), "A")])
    rates = log.where(types="A").between(None, at(5)).rates(every="1 day")
    assert [(row["moment"], row["events"]) for row in rates.rows()] == [(utc(1), 1)]
    assert rates.words[0] == "event_type = A"


def test_an_empty_log_has_no_buckets(make_log: MakeLog) -> None:
    assert make_log([]).rates().rows() == []
    assert make_log([]).rates(every="1 day").rows() == []


def test_a_log_without_times_has_no_buckets_and_says_why(make_log: MakeLog) -> None:
    rates = make_log([event(None), event(None)]).rates()
    assert rates.rows() == []
    assert rates.notes == ("2 events do not say when they occurred, and are not counted",)


def test_a_clock_that_the_log_has_not_is_refused(make_log: MakeLog) -> None:
    with pytest.raises(MomentError, match="no event says when it was occurred"):
        make_log([event(at(1))]).rates(clock="occurred")


@pytest.mark.parametrize(
    ("every", "says"),
    [
        ("x", "no length of time"),
        ("'; DROP", "no length of time"),
        ("1 month 1 day", "no length of time"),
        ("0 days", "longer than nothing"),
        ("-1 day", "longer than nothing"),
        ("1 second", "1,641,601 buckets"),
    ],
)
def test_refuses_a_step_that_makes_no_readable_buckets(
    make_log: MakeLog, every: str, says: str
) -> None:
    log = make_log([event(at(1)), event(at(20))])
    with pytest.raises(ConfigError, match=says) as raised:
        log.rates(every=every)
    assert raised.value.hint


def test_refuses_an_unknown_column_and_names_the_known_ones(make_log: MakeLog) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'event_type'"):
        make_log([]).rates(by="event_typ")  # type: ignore[arg-type]  # that is the point


def test_refuses_to_show_no_groups(make_log: MakeLog) -> None:
    with pytest.raises(ConfigError, match="top=0"):
        make_log([]).rates(top=0)
