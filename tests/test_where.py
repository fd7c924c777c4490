"""Narrowing a log: values are only values, conditions are only conditions, and views have the same face."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog
from tests.oracle import minute
from workbench.errors import MomentError, QueryError

HOSTILE = [
    "'; DROP TABLE events; --",
    "a'b",
    'a"b',
    "nul\x00byte",
    "ключ 東京 🏦",
    "%",
    "_",
    "",
    "\\",
    "a\nb\r\n\t",
    "$1 ? {x}",
    "<script>alert(1)</script>",
]


def event(
    stream: str = "a", kind: str = "Happened", at: int | None = None, **columns: Any
) -> dict[str, Any]:
    time = None if at is None else minute(at)
    return {"stream_id": stream, "event_type": kind, "recorded_at": time, **columns}


# -- where ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("narrowing", "positions"),
    [
        ({"types": "Paid"}, [2, 4]),
        ({"types": ["Paid", "Opened"]}, [1, 2, 3, 4]),
        ({"types": iter(["Paid", "Paid"])}, [2, 4]),
        ({"types": []}, []),
        ({"stream": "a"}, [1, 2]),
        ({"stream": "a", "types": "Paid"}, [2]),
        ({"stream_type": "account"}, [1]),
        ({"correlation": ["c1", "c2"]}, [2, 3]),
        ({"actor": "ann"}, [4]),
        ({"source": "test"}, [1, 2, 3, 4]),
        ({"source": "other"}, []),
        ({"condition": "version > 1"}, [2, 4]),
        ({"condition": "data->>'currency' = 'EUR'"}, [3]),
        ({"condition": "version > 1 -- of each stream"}, [2, 4]),
        ({"stream": "a", "condition": "version = 1 OR version = 2"}, [1, 2]),
    ],
)
def test_narrowing(make_log: MakeLog, narrowing: dict[str, Any], positions: list[int]) -> None:
    log = make_log(
        [
            event("a", "Opened", stream_type="account"),
            event("a", "Paid", correlation_id="c1"),
            event("b", "Opened", correlation_id="c2", data={"currency": "EUR"}),
            event("b", "Paid", actor="ann"),
        ]
    )
    assert log.where(**narrowing).df()["position"].tolist() == positions


def test_narrowing_twice_is_narrowing_by_both(make_log: MakeLog) -> None:
    log = make_log([event("a", "X"), event("a", "Y"), event("b", "X")])
    assert log.where(stream="a").where(types="X").df()["position"].tolist() == [1]
    assert len(log.where(condition="stream_id = 'a' OR TRUE").where(types="Y")) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_values_are_only_values(make_log: MakeLog, name: str) -> None:
    columns = {"stream_type": name, "correlation_id": name, "actor": name}
    log = make_log([event(name, name or "x", **columns), event("other", "Other")])
    count = wb.Projection(
        "p", {"n": wb.count(on=name or "x", where=wb.field("event.actor") == name)}
    )
    for narrowed in (
        log.where(stream=name), log.where(types=name or "x"), log.where(stream_type=[name]),
        log.where(correlation=name), log.where(actor=[name, "nobody"]),
    ):  # fmt: skip
        assert [row["stream_id"] for row in narrowed.sql("FROM events").rows()] == [name]
        assert len(narrowed.replay(count)) == 1
        assert narrowed.replay(count, stream=name).rows()[0]["n"] == 1
        assert "<script" not in narrowed._repr_html_() + narrowed.replay(count)._repr_html_()
    assert len(log) == 2


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2Jgone", "a\x00b", "\u202egnp.exe"])
def test_names_move_nothing_on_a_terminal(make_log: MakeLog, name: str) -> None:
    log = make_log([event(name, name, at=1)])
    count = wb.Projection("p", {"n": wb.count(on="X")})
    for shown in (repr(log), repr(log.where(stream=name)), repr(log.replay(count, stream=name)),
                  repr(log.sql("FROM events"))):  # fmt: skip
        assert name not in shown


@pytest.mark.parametrize(
    "condition",
    [
        "version >", "no_such_column = 1", "TRUE; DROP TABLE events", "TRUE) OR (TRUE",
        "TRUE THEN 1 END = 1 OR CASE WHEN TRUE", "count(*) > 1", "", "version > 1) --",
        "TRUE LIMIT 0", "TRUE UNION SELECT 1",
    ],
)  # fmt: skip
def test_what_is_no_condition(make_log: MakeLog, condition: str) -> None:
    log = make_log([event()])
    with pytest.raises(QueryError):
        log.where(condition=condition)
    assert len(log) == 1


def test_a_condition_that_fails_on_a_row_is_a_query_error_from_every_verb(
    make_log: MakeLog,
) -> None:
    log = make_log([event("a", at=1)]).where(condition="CAST(stream_id AS INTEGER) > 1")
    projection = wb.Projection("p", {"n": wb.count()})
    fold = wb.Fold("f", 0, {"Happened": lambda n: n + 1})
    for verb in (
        lambda: len(log), log.df, lambda: log.types, lambda: log.replay(projection).rows(),
        lambda: log.replay(fold), log.health, log.fingerprint, lambda: log.gaps().rows(),
    ):  # fmt: skip
        with pytest.raises(QueryError, match="Could not convert string 'a'"):
            verb()


# -- the face ------------------------------------------------------------------------------------


def test_a_view_has_the_face_of_a_log(make_log: MakeLog) -> None:
    log = make_log([event("a", "X", at=1), event("b", "X", at=2), event("b", "Y", at=3)])
    view = log.where(types="X").as_of(minute(2)).between(minute(0), None)
    projection = wb.Projection("p", {"n": wb.count()})
    assert isinstance(view, wb.EventLog)
    assert (len(view), view.types) == (2, {"X": 2})
    assert view.df()["position"].tolist() == view.arrow()["position"].to_pylist() == [1, 2]
    assert view.relation.fetchall()[0][:2] == (1, "a")
    assert view.sql("SELECT count(*) AS n FROM events").rows() == [{"n": 2}]
    assert len(view.replay(projection)) == 2
    assert len(view.history(projection)) == 2
    assert view.fingerprint() != log.fingerprint()
    assert "event_type = X" in repr(view)
    assert "event_type = X" in view._repr_html_()


def test_types_come_most_frequent_first(make_log: MakeLog) -> None:
    log = make_log([event("a", kind) for kind in ("B", "C", "A", "C")])
    assert list(log.types.items()) == [("C", 2), ("A", 1), ("B", 1)]


def test_data_frames_keep_times_and_nulls(make_log: MakeLog) -> None:
    frame = make_log([event("a", at=1), event("a")]).df()
    assert str(frame["recorded_at"].dt.tz) == "UTC"
    assert frame["recorded_at"].isna().tolist() == [False, True]
    assert str(frame["version"].dtype) == "Int64"
    assert frame["actor"].isna().all()


# -- between -------------------------------------------------------------------------------------


def between(log: wb.EventLog, *arguments: Any, **options: Any) -> list[int]:
    return log.between(*arguments, **options).df()["position"].tolist()


def test_between_has_its_start_and_not_its_end(make_log: MakeLog) -> None:
    log = make_log([event(at=n) for n in range(5)])
    assert between(log, minute(1), minute(3)) == [2, 3]
    assert between(log, None, minute(3)) == [1, 2, 3]
    assert between(log, "2026-01-01T01:03+01:00", None) == [4, 5]
    assert between(log, None, None) == [1, 2, 3, 4, 5]
    assert between(log, minute(1), minute(1)) == []


def test_between_on_the_other_clock(make_log: MakeLog) -> None:
    log = make_log([event(at=1, occurred_at=minute(9)), event(at=9, occurred_at=minute(1))])
    assert between(log, minute(0), minute(5), clock="occurred") == [2]


def test_between_leaves_out_what_has_no_time(make_log: MakeLog) -> None:
    log = make_log([event(at=1), event()])
    assert between(log, None, minute(5)) == [1]


@pytest.mark.parametrize(
    "arguments",
    [(dt.datetime(2026, 1, 1), None), (None, "2026-01-01T00:00")],  # noqa: DTZ001
)
def test_between_wants_zones(make_log: MakeLog, arguments: tuple[Any, Any]) -> None:
    with pytest.raises(MomentError, match=r"(start|end)=.*no time zone"):
        make_log([event(at=1)]).between(*arguments)


def test_between_wants_its_start_first(make_log: MakeLog) -> None:
    with pytest.raises(MomentError, match="is after end"):
        make_log([event(at=1)]).between(minute(3), minute(1))
