"""Settling: events in good physical order, and not one answer different."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog, Written
from workbench.errors import LogError, MomentError
from workbench.store import settle

COUNT = wb.Projection("p", {"n": wb.count(), "x": wb.total("n"), "last": wb.latest("n")})
EVENTS: list[dict[str, Any]] = [
    {"stream_id": f"s{n * 7 % 5}", "version": 100 - n, "event_id": f"e{n}", "data": {"n": n}}
    for n in range(40)
]


def answers(log: wb.EventLog) -> list[Any]:
    return [
        log.fingerprint(),
        log.df().to_dict("records"),
        sorted(map(str, log.replay(COUNT).rows())),
        sorted(map(str, log.history(COUNT).rows())),
        log.types,
    ]


def physical(log: wb.EventLog) -> list[tuple[Any, ...]]:
    sql = "SELECT stream_id, version, rowid FROM log.main.events_base ORDER BY rowid"
    return [tuple(row.values())[:2] for row in log.sql(sql).rows()]


def test_settling_sorts_by_stream_and_version_and_changes_no_answer(make_log: MakeLog) -> None:
    log = make_log(EVENTS)
    before = answers(log)
    assert log.settle() is True
    assert answers(log) == before
    assert physical(log) == sorted((event["stream_id"], event["version"]) for event in EVENTS)


def test_a_settled_log_has_nothing_to_settle(make_log: MakeLog) -> None:
    log = make_log(EVENTS)
    log.settle()
    assert log.settle() is False


def test_what_comes_later_is_merged_in(tmp_path: Path) -> None:
    with wb.open(tmp_path / "log.duckdb") as log:
        log.load(Written(EVENTS[:25]), prepare=[COUNT], progress=False)
        log.settle()
        log.load(Written(EVENTS), progress=False)
        before = answers(log)
        log.settle()
        assert answers(log) == before
        assert physical(log) == sorted((event["stream_id"], event["version"]) for event in EVENTS)
    with wb.open(tmp_path / "log.duckdb") as log:
        assert answers(log) == before


def test_order_within_a_version_is_that_of_the_log(make_log: MakeLog) -> None:
    log = make_log([{"stream_id": "a", "version": None, "data": {"n": n}} for n in (3, 1, 2)])
    log.settle()
    listed = wb.Projection("p", {"n": wb.collect("n")})
    assert log.replay(listed).rows()[0]["n"] == ["3", "1", "2"]


@pytest.mark.parametrize(
    ("rows", "share", "settled"), [(39, 0.25, True), (40, 0.25, False), (0, 1e9, True)]
)
def test_a_load_settles_when_it_pays(
    monkeypatch: pytest.MonkeyPatch, rows: int, share: float, settled: bool
) -> None:
    monkeypatch.setattr(settle, "TAIL_ROWS", rows)
    monkeypatch.setattr(settle, "TAIL_SHARE", share)
    with wb.open() as log:
        log.load(Written(EVENTS), progress=False)
        assert (len(physical(log)) == 40) is settled


def test_a_small_tail_of_a_large_base_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "TAIL_ROWS", 1)
    with wb.open() as log:
        log.load(Written(EVENTS[:36]), progress=False)
        log.load(Written(EVENTS), progress=False)
        assert len(physical(log)) == 36


def test_settling_that_fails_changes_nothing(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make_log(EVENTS)
    before = answers(log)
    with monkeypatch.context() as patch:
        patch.setattr(settle, "COLUMNS", {**settle.COLUMNS, "no_such": "VARCHAR"})
        with pytest.raises(Exception, match="no_such"):
            log.settle()
    assert answers(log) == before
    log.settle()
    assert answers(log) == before


def test_a_view_and_a_read_only_log_are_not_settled(tmp_path: Path) -> None:
    with wb.open(tmp_path / "log.duckdb") as log:
        log.load(Written(EVENTS), progress=False)
        with pytest.raises(MomentError, match="settle works on the whole log"):
            log.where(stream="s1").settle()
    with (
        wb.open(tmp_path / "log.duckdb", read_only=True) as log,
        pytest.raises(LogError, match="read-only"),
    ):
        log.settle()
