"""The events of one stream, and the state after each."""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog
from workbench.errors import ProjectionError, StreamNotFound

ACCOUNT = wb.Projection(
    "account",
    {
        "balance": wb.total("amount", on="Deposited") - wb.total("amount", on="Withdrawn"),
        "deposits": wb.count(on="Deposited"),
    },
    ends="Closed",
)

HAPPENED = [
    ("Opened", {}),
    ("Deposited", {"amount": 50}),
    ("Reviewed", {}),
    ("Withdrawn", {"amount": 20}),
    ("Closed", {}),
    ("Reviewed", {}),
    ("Deposited", {"amount": 7}),
    ("Reviewed", {}),
]


def account(stream: str = "acc-1") -> list[dict[str, Any]]:
    return [
        {
            "stream_id": stream,
            "event_type": kind,
            "recorded_at": f"2026-06-{day:02d}T12:00Z",
            "actor": "ann",
            "data": data,
        }
        for day, (kind, data) in enumerate(HAPPENED, start=1)
    ]


def column(table: wb.EventLog | Any, name: str) -> list[Any]:
    return [row[name] for row in table.rows()]


def test_lists_the_events_of_one_stream_in_the_order_of_their_versions(make_log: MakeLog) -> None:
    mixed = [*reversed(account()), *account("acc-2")]
    for number, event in enumerate(reversed(mixed[: len(HAPPENED)]), start=1):
        event["version"] = number
    timeline = make_log(mixed).timeline("acc-1")
    assert column(timeline, "version") == list(range(1, 9))
    assert column(timeline, "event_type") == [kind for kind, _ in HAPPENED]
    assert timeline.columns == (
        *("version", "position", "occurred_at", "recorded_at", "event_type", "actor"),
        *("correlation_id", "causation_id", "data"),
    )


def test_shows_the_state_after_each_event(make_log: MakeLog) -> None:
    timeline = make_log(account()).timeline("acc-1", ACCOUNT)
    assert timeline.state == ("balance", "deposits")
    # Nothing before the first event that counts; kept by events that do not count; gone after the end.
    assert column(timeline, "balance") == [None, 50, 50, 30, None, None, 7, 7]
    assert column(timeline, "deposits") == [None, 1, 1, 1, None, None, 1, 1]


def test_a_fold_shows_the_same_states(make_log: MakeLog) -> None:
    def deposited(balance: Decimal, amount: Decimal) -> Decimal:
        return balance + amount

    def withdrawn(balance: Decimal, amount: Decimal) -> Decimal:
        return balance - amount

    fold = wb.Fold(
        "balance",
        Decimal(0),
        {"Deposited": deposited, "Withdrawn": withdrawn},
        ends="Closed",
    )
    timeline = make_log(account()).timeline("acc-1", fold)
    gc.collect()  # the rows that Python made live as long as the timeline
    assert column(timeline, "balance") == [None, 50, 50, 30, None, None, 7, 7]


def test_a_column_that_became_null_stays_null(make_log: MakeLog) -> None:
    def noted(state: dict[str, Any], note: str) -> dict[str, Any]:
        return {"note": note}

    events = [
        {
            "stream_id": "a",
            "event_type": kind,
            "recorded_at": f"2026-06-0{day}T00:00Z",
            "data": data,
        }
        for day, (kind, data) in enumerate(
            [("Noted", {"note": "x"}), ("Noted", {"note": None}), ("Seen", {})], start=1
        )
    ]
    timeline = make_log(events).timeline("a", wb.Fold("notes", dict, {"Noted": noted}))
    assert column(timeline, "note") == ["x", None, None]


def test_a_column_that_events_have_too_gets_a_name_of_its_own(make_log: MakeLog) -> None:
    last = wb.Projection("last", {"actor": wb.latest("event.actor", on="Deposited")})
    timeline = make_log(account()).timeline("acc-1", last)
    assert timeline.state == ("state_actor",)
    assert column(timeline, "actor") == ["ann"] * 8
    assert column(timeline, "state_actor")[:2] == [None, "ann"]


def test_stops_at_a_moment_which_is_inclusive(make_log: MakeLog) -> None:
    timeline = make_log(account()).timeline("acc-1", ACCOUNT, as_of="2026-06-04T12:00Z")
    assert column(timeline, "balance") == [None, 50, 50, 30]


def test_on_the_occurred_clock_events_come_as_they_happened(make_log: MakeLog) -> None:
    events = [
        {
            "stream_id": "a",
            "event_type": "Deposited",
            "recorded_at": f"2026-06-0{recorded}T00:00Z",
            "occurred_at": f"2026-06-0{occurred}T00:00Z",
            "data": {"amount": amount},
        }
        for recorded, occurred, amount in [(5, 2, 1), (6, 1, 10)]
    ]
    timeline = make_log(events).timeline("a", ACCOUNT, clock="occurred")
    assert column(timeline, "version") == [2, 1]
    assert column(timeline, "balance") == [10, 11]


def test_says_what_the_definition_did_not_apply(make_log: MakeLog) -> None:
    timeline = make_log(account()).timeline("acc-1", ACCOUNT)
    assert any("Reviewed (3)" in note for note in timeline.notes)


def test_events_without_times_are_listed_all_the_same(make_log: MakeLog) -> None:
    events = [{**event, "recorded_at": None} for event in account()]
    timeline = make_log(events).timeline("acc-1")
    assert column(timeline, "version") == list(range(1, 9))
    assert timeline.clock is None


def test_a_stream_that_is_not_there_is_named_with_close_ones(make_log: MakeLog) -> None:
    with pytest.raises(StreamNotFound, match="Did you mean 'acc-1'"):
        make_log(account()).timeline("acc-11")


def test_a_hostile_name_of_a_stream_is_a_name(make_log: MakeLog) -> None:
    name = "a'; DROP TABLE events; --\"<script>"
    assert len(make_log(account(name)).timeline(name, ACCOUNT)) == 8


def test_a_definition_whose_rows_are_not_streams_is_refused(make_log: MakeLog) -> None:
    by_actor = wb.Projection("by_actor", {"n": wb.count()}, key="event.actor")
    with pytest.raises(ProjectionError, match="not by stream"):
        make_log(account()).timeline("acc-1", by_actor)
