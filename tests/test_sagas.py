"""What became of sagas: outcomes, current steps, broken rules; one behaviour each."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.fix_log import MakeLog, Written
from workbench.analysis.sagas import OUTCOMES, VIOLATIONS, Sagas, flows
from workbench.bundled import checkout_saga
from workbench.errors import ConfigError, MomentError
from workbench.samples import path

START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)

trip = wb.Saga(
    "trip",
    start="Asked",
    steps=[
        wb.Step("seat", "SeatHeld", failure="SeatRefused", compensation="SeatFreed", part="seat", deadline="1 hour"),
        wb.Step("pay", "Paid", failure="NotPaid", compensation="Refunded", deadline="2 hours"),
        wb.Step("meal", "MealOrdered", optional=True),
        wb.Step("ticket", "TicketSent", deadline="3 hours"),
    ],
    cancelled="GivenUp",
    deadline="2 days",
    compensation_deadline="4 hours",
)  # fmt: skip


def at(hours: float) -> str:
    return (START + dt.timedelta(hours=hours)).isoformat()


def flow(words: str, saga: str = "t-1", **more: Any) -> list[dict[str, Any]]:
    """Write ``"Asked SeatHeld:1A Paid@5"`` as events, a minute apart or at the hour that is said."""
    found, hour = [], 0.0
    for word in words.split():
        word, _, said = word.partition("@")
        kind, _, seat = word.partition(":")
        hour = float(said) if said else hour + 1 / 60 * bool(found)
        found.append(
            {
                "stream_id": f"{kind}-{saga}-{seat}",
                "event_type": kind,
                "event_id": f"{saga}/{len(found) + 1}",
                "correlation_id": saga,
                "recorded_at": at(hour),
                "data": {"seat": seat} if seat else {},
            }
            | more
        )
    return found


def judged(make_log: MakeLog, words: str, now: float = 1) -> dict[str, Any]:
    (row,) = make_log(flow(words)).sagas(trip, at(now)).rows()
    return row


def broken(make_log: MakeLog, words: str, now: float = 1) -> list[tuple[str, str | None, str]]:
    sagas = make_log(flow(words)).sagas(trip, at(now))
    found = sagas.violations().rows()
    assert {row["violation"] for row in found} == set(sagas.rows()[0]["violations"])
    # Which event shows it: its place in the saga, from 1.
    return [(row["violation"], row["step"], row["event_id"].partition("/")[2]) for row in found]


# -- outcomes ------------------------------------------------------------------------------------

DONE = "Asked SeatHeld:1A Paid MealOrdered TicketSent"


@pytest.mark.parametrize(
    ("words", "now", "outcome", "step"),
    [
        (DONE, 1, "completed", None),
        ("Asked SeatHeld:1A Paid TicketSent", 1, "completed", None),
        ("Asked SeatHeld:1A Paid TicketSent GivenUp", 1, "completed", None),
        ("Asked", 1, "running", "seat"),
        ("Asked", 1.001, "stuck", "seat"),
        ("Asked SeatHeld:1A@0.5", 2.5, "running", "pay"),
        ("Asked SeatHeld:1A@0.5", 2.501, "stuck", "pay"),
        # The next step that is needed: the meal may be left out.
        ("Asked SeatHeld:1A@0 Paid@0", 3, "running", "ticket"),
        ("Asked SeatHeld:1A@0 Paid@0", 3.01, "stuck", "ticket"),
        ("Asked SeatHeld:1A Paid MealOrdered@47", 48, "running", "ticket"),
        ("Asked SeatHeld:1A Paid MealOrdered@47", 48.01, "timed out", "ticket"),
        # A failure may be followed by another attempt.
        ("Asked SeatHeld:1A@0 NotPaid@0", 4, "compensating", "pay"),
        ("Asked SeatHeld:1A@0 NotPaid@0", 4.01, "failed", "pay"),
        ("Asked SeatHeld:1A NotPaid NotPaid Paid", 1, "running", "ticket"),
        ("Asked SeatHeld:1A NotPaid SeatFreed:1A", 1, "compensating", "pay"),
        ("Asked SeatHeld:1A NotPaid SeatFreed:1A@1", 6, "failed", "pay"),
        ("Asked SeatHeld:1A NotPaid SeatFreed:1A GivenUp", 1, "compensated", None),
        ("Asked SeatHeld:1A NotPaid GivenUp", 1, "failed", None),
        ("Asked SeatRefused:1A GivenUp", 1, "compensated", None),
        # Cancelled without a failure: what is undone says so.
        ("Asked SeatHeld:1A SeatFreed:1A", 1, "compensating", None),
        ("Asked SeatHeld:1A Paid Refunded SeatFreed:1A GivenUp", 1, "compensated", None),
        ("Asked SeatHeld:1A SeatHeld:1B NotPaid SeatFreed:1B GivenUp", 1, "failed", None),
        # A part that failed stands for its step, whatever the other parts did.
        ("Asked SeatRefused:1A SeatHeld:1B", 1, "compensating", "seat"),
        # What comes after the end still counts: the seat is free now, the money is here.
        ("Asked SeatHeld:1A NotPaid GivenUp SeatFreed:1A", 1, "compensated", None),
        ("Asked SeatHeld:1A NotPaid SeatFreed:1A GivenUp Paid", 1, "failed", None),
    ],
)
def test_outcome(make_log: MakeLog, words: str, now: float, outcome: str, step: str | None) -> None:
    row = judged(make_log, words, now)
    assert (row["outcome"], row["step"]) == (outcome, step)


def test_times_are_those_of_start_last_event_and_end(make_log: MakeLog) -> None:
    row = judged(
        make_log, "Asked@0 SeatHeld:1A@1 NotPaid@2 SeatFreed:1A@3 GivenUp@4 SeatFreed:1A@5", 9
    )
    assert (row["started_at"], row["ended_at"], row["last_at"]) == tuple(
        START + dt.timedelta(hours=hours) for hours in (0, 4, 5)
    )
    assert row["duration"] == dt.timedelta(hours=4)
    assert row["events"] == 6


def test_a_saga_without_an_end_has_no_duration(make_log: MakeLog) -> None:
    row = judged(make_log, "Asked SeatHeld:1A")
    assert (row["ended_at"], row["duration"]) == (None, None)


def test_without_deadlines_nothing_is_late(make_log: MakeLog) -> None:
    calm = wb.Saga(
        "calm",
        "Asked",
        [wb.Step("pay", "Paid", failure="NotPaid"), wb.Step("ticket", "TicketSent")],
    )
    log = make_log([*flow("Asked", "a"), *flow("Asked NotPaid", "b")])
    found = {row["saga_id"]: row["outcome"] for row in log.sagas(calm, at(9_999)).rows()}
    assert found == {"a": "running", "b": "compensating"}


def test_without_a_cancelling_event_it_has_ended_when_nothing_is_left_to_undo(
    make_log: MakeLog,
) -> None:
    quiet = wb.Saga(
        "quiet", "Asked",
        [wb.Step("seat", "SeatHeld", compensation="SeatFreed", part="seat"), wb.Step("pay", "Paid", failure="NotPaid")],
    )  # fmt: skip
    log = make_log(
        [
            *flow("Asked SeatHeld:1 SeatHeld:2 NotPaid SeatFreed:2 SeatFreed:1@1", "undone"),
            *flow("Asked SeatHeld:1 SeatHeld:2 NotPaid SeatFreed:2", "half"),
            *flow("Asked NotPaid", "nothing"),
        ]
    )
    found = {row["saga_id"]: (row["outcome"], row["ended_at"]) for row in log.sagas(quiet).rows()}
    assert found == {
        "undone": ("compensated", START + dt.timedelta(hours=1)),
        "half": ("compensating", None),
        "nothing": ("compensating", None),
    }


# -- broken rules --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "now", "found"),
    [
        (DONE, 1, []),
        ("Asked SeatHeld:1A NotPaid SeatFreed:1A GivenUp", 1, []),
        ("Asked SeatHeld:1A SeatHeld:1B SeatHeld:1C Paid", 1, []),
        ("Asked SeatHeld:1A NotPaid NotPaid Paid", 1, []),
        ("Asked SeatHeld:1A NotPaid GivenUp", 1, [("missing compensation", "seat", "2")]),
        ("Asked SeatHeld:1A@0 NotPaid@0", 4, []),
        ("Asked SeatHeld:1A@0 NotPaid@0", 5, [("missing compensation", "seat", "2")]),
        (
            "Asked SeatHeld:1A SeatHeld:1B Paid GivenUp",
            1,
            [("missing compensation", "seat", "2"), ("missing compensation", "seat", "3"),
             ("missing compensation", "pay", "4")],
        ),
        # Of what was done, undone and done again, the last time counts.
        (
            "Asked SeatHeld:1A SeatFreed:1A SeatHeld:1A GivenUp",
            1,
            [("missing compensation", "seat", "4")],
        ),
        (
            "Asked SeatHeld:1A SeatHeld:1B NotPaid SeatFreed:1A SeatFreed:1B GivenUp",
            1,
            [("compensation in the wrong order", "seat", "5")],
        ),
        (
            "Asked SeatHeld:1A SeatHeld:1B Paid SeatFreed:1B SeatFreed:1A Refunded GivenUp",
            1,
            [("compensation in the wrong order", "seat", "5"), ("compensation in the wrong order", "seat", "6")],
        ),
        ("Asked SeatHeld:1A SeatHeld:1B Paid Refunded SeatFreed:1B SeatFreed:1A GivenUp", 1, []),
        # Undone before the other was done: there was no order to keep.
        ("Asked SeatHeld:1A SeatFreed:1A SeatHeld:1B SeatFreed:1B GivenUp", 1, []),
        (
            "Asked SeatHeld:1A NotPaid Refunded SeatFreed:1A GivenUp",
            1,
            [("compensation of what never happened", "pay", "4")],
        ),
        (
            "Asked SeatRefused:1A SeatFreed:1A GivenUp",
            1,
            [("compensation of what never happened", "seat", "3")],
        ),
        ("Asked SeatHeld:1A Paid Paid TicketSent", 1, [("duplicate step", "pay", "4")]),
        ("Asked SeatHeld:1A SeatHeld:1A Paid", 1, [("duplicate step", "seat", "3")]),
        ("Asked Asked SeatHeld:1A", 1, [("duplicate step", "start", "2")]),
        (
            "Asked SeatHeld:1A NotPaid SeatFreed:1A SeatFreed:1A GivenUp",
            1,
            [("duplicate step", "seat", "5")],
        ),
        ("Asked SeatHeld:1A Paid Refunded Paid TicketSent", 1, []),
        (
            "Asked SeatHeld:1A Paid TicketSent MealOrdered",
            1,
            [("event after the end", "meal", "5")],
        ),
        (
            "Asked SeatHeld:1A Paid TicketSent GivenUp",
            1,
            [("event after the end", None, "5")],
        ),
        (
            "Asked SeatHeld:1A Paid TicketSent Paid",
            1,
            [("duplicate step", "pay", "5"), ("event after the end", "pay", "5")],
        ),
        ("Asked SeatHeld:1A TicketSent", 1, [("step skipped", "pay", "3")]),
        (
            "Asked TicketSent",
            1,
            [("step skipped", "seat", "2"), ("step skipped", "pay", "2")],
        ),
        ("Asked Paid SeatHeld:1A TicketSent", 1, [("step skipped", "seat", "2")]),
        ("Asked SeatHeld:1A NotPaid MealOrdered", 1, [("step skipped", "pay", "4")]),
    ],
)  # fmt: skip
def test_broken_rules(
    make_log: MakeLog, words: str, now: float, found: Sequence[tuple[str, str | None, str]]
) -> None:
    assert sorted(broken(make_log, words, now), key=repr) == sorted(found, key=repr)


def test_violations_are_narrowed_and_name_their_event(make_log: MakeLog) -> None:
    log = make_log(flow("Asked SeatHeld:1A TicketSent Paid"))
    sagas = log.sagas(trip)
    (row,) = sagas.violations("event after the end").rows()
    assert row == {
        "saga_id": "t-1",
        "violation": "event after the end",
        "step": "pay",
        "event_type": "Paid",
        "event_at": START + dt.timedelta(minutes=3),
        "stream_id": "Paid-t-1-",
        "version": 1,
        "position": 4,
        "event_id": "t-1/4",
    }
    with pytest.raises(ConfigError, match="Did you mean 'step skipped'"):
        sagas.violations("step skiped")


def test_counts_of_violations_are_of_sagas(make_log: MakeLog) -> None:
    sagas = make_log(flow("Asked SeatHeld:1 SeatHeld:2 Paid GivenUp")).sagas(trip)
    assert len(sagas.violations("missing compensation")) == 3
    assert sagas.violation_counts == dict.fromkeys(VIOLATIONS, 0) | {"missing compensation": 1}


# -- which events, in which order ----------------------------------------------------------------


def test_events_are_ordered_by_time_not_by_loading(make_log: MakeLog) -> None:
    events = flow(DONE)
    random.Random(3).shuffle(events)
    row = make_log(events).sagas(trip).rows()[0]
    assert (row["outcome"], row["violations"]) == ("completed", [])


def test_events_of_one_time_are_in_the_order_of_the_log(make_log: MakeLog) -> None:
    row = judged(make_log, "Asked@0 SeatHeld:1A@0 Paid@0 TicketSent@0")
    assert (row["outcome"], row["violations"]) == ("completed", [])


def test_the_occurred_clock_tells_another_story(make_log: MakeLog) -> None:
    events = flow("Asked SeatHeld:1A TicketSent Paid")
    for event, hour in zip(events, (1, 2, 4, 3), strict=True):
        event["occurred_at"] = at(hour)
    log = make_log(events)
    assert log.sagas(trip).rows()[0]["violations"] == ["event after the end", "step skipped"]
    assert log.sagas(trip, clock="occurred").rows()[0]["violations"] == []


def test_a_moment_is_inclusive_and_is_now(make_log: MakeLog) -> None:
    log = make_log(flow("Asked@0 SeatHeld:1A@1 Paid@2 TicketSent@3"))
    sagas = log.sagas(trip, at(2))
    assert (sagas.rows()[0]["outcome"], sagas.rows()[0]["events"]) == ("running", 3)
    assert sagas.now == START + dt.timedelta(hours=2)
    assert log.sagas(trip, at(1.99)).rows()[0]["events"] == 2


def test_now_is_the_time_of_the_last_event_of_any_type(make_log: MakeLog) -> None:
    log = make_log([*flow("Asked"), *flow("Unrelated@9", "other")])
    assert log.sagas(trip).now == START + dt.timedelta(hours=9)
    assert log.sagas(trip).counts["stuck"] == 1


def test_a_position_cuts_too(make_log: MakeLog) -> None:
    log = make_log(flow("Asked@0 SeatHeld:1A@1 Paid@2 TicketSent@3"))
    sagas = log.sagas(trip, position=2)
    assert (sagas.counts["running"], sagas.now) == (1, START + dt.timedelta(hours=1))


def test_a_narrowed_log_has_the_sagas_of_its_events(make_log: MakeLog) -> None:
    log = make_log([*flow(DONE, "a"), *flow("Asked", "b")])
    assert [row["saga_id"] for row in log.where(correlation="b").sagas(trip).rows()] == ["b"]


def test_events_of_other_types_are_no_part_of_it(make_log: MakeLog) -> None:
    row = judged(make_log, "Asked Chatter SeatHeld:1A Chatter Paid TicketSent Chatter")
    assert (row["events"], row["violations"]) == (4, [])


def test_a_field_of_the_payload_may_tie_a_saga(make_log: MakeLog) -> None:
    events = flow("Asked Paid")
    for event in events:
        event["correlation_id"] = None
        event["data"] = {"trip": {"id": "t-9"}}
    saga = wb.Saga("s", "Asked", [wb.Step("pay", "Paid")], correlation="trip.id")
    assert [row["saga_id"] for row in make_log(events).sagas(saga).rows()] == ["t-9"]


def test_what_belongs_to_no_saga_is_counted(make_log: MakeLog) -> None:
    log = make_log(
        [
            *flow(DONE),
            *flow("SeatHeld:1 Paid", "headless"),
            *flow("Paid", "lone", correlation_id=None),
        ]
    )
    sagas = log.sagas(trip)
    assert len(sagas) == 1
    assert (
        "1 events of these types have no event.correlation_id, and belong to no saga" in sagas.notes
    )
    assert any(
        note.startswith("1 values of event.correlation_id (2 events) have no Asked")
        for note in sagas.notes
    )


def test_misspelt_types_are_noted(make_log: MakeLog) -> None:
    saga = wb.Saga("s", "Asked", [wb.Step("pay", "Payd")])
    assert (
        "no event of this log is a Payd. Did you mean 'Paid'?"
        in make_log(flow(DONE)).sagas(saga).notes
    )


def test_events_without_a_time_are_taken_in_the_order_of_the_log(make_log: MakeLog) -> None:
    events = flow("Asked SeatHeld:1A Paid TicketSent")
    events[2]["recorded_at"] = None
    events[3]["recorded_at"] = "infinity"
    sagas = make_log(events).sagas(trip)
    (row,) = sagas.rows()
    assert (row["outcome"], row["violations"], row["ended_at"], row["duration"]) == (
        "completed",
        [],
        None,
        None,
    )
    assert any("order of the log" in note for note in sagas.notes)


def test_a_log_without_times(make_log: MakeLog) -> None:
    sagas = make_log(flow("Asked SeatHeld:1A Paid", recorded_at=None)).sagas(trip)
    assert (sagas.now, sagas.counts["running"]) == (None, 1)
    assert sagas.stuck().rows() == []
    assert len(sagas.over_time()) == 0
    assert sagas.instance("t-1").rows()[-1]["role"] == "waiting"
    assert repr(sagas)


def test_times_far_apart_do_not_confuse_the_order(make_log: MakeLog) -> None:
    events = flow(DONE)
    for event, year in zip(events, (1, 900, 1970, 2026, 9999), strict=True):
        event["recorded_at"] = f"{year:04d}-01-02T00:00Z"
    (row,) = make_log(events).sagas(trip).rows()
    assert (row["violations"], row["started_at"].year, row["ended_at"].year) == ([], 1, 9999)


def test_an_empty_log(make_log: MakeLog) -> None:
    log = make_log([])
    sagas = log.sagas(trip)
    assert sagas.counts == dict.fromkeys(OUTCOMES, 0)
    assert (len(sagas.violations()), len(sagas.variants()), len(sagas.graph())) == (0, 0, 0)
    assert [row["entered"] for row in sagas.funnel().rows()] == [0] * 5
    assert "none" in repr(sagas)


def test_hostile_ids_and_names_are_only_text(make_log: MakeLog) -> None:
    evil = "<script>'); DROP TABLE events; --"
    saga = wb.Saga(evil, "A'sked", [wb.Step("p'ay", 'P"aid', part=None)])
    events = [
        {"stream_id": "s", "event_type": kind, "correlation_id": evil, "recorded_at": at(1)}
        for kind in ("A'sked", 'P"aid')
    ]
    sagas = make_log(events).sagas(saga)
    assert sagas.instance(evil).rows()[1]["step"] == "p'ay"
    assert [row["path"] for row in sagas.variants().rows()] == [["A'sked", 'P"aid']]
    assert "<script>" not in sagas._repr_html_()


def test_a_saga_of_very_many_events_is_judged_by_the_same_rules(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    seats = [f"SeatHeld:{number}" for number in range(300)]
    freed = [f"SeatFreed:{number}" for number in reversed(range(1, 300))]
    log = make_log(flow(" ".join(["Asked", *seats, "NotPaid", *freed, "SeatFreed:7", "GivenUp"])))
    found = [(row["violation"], row["event_id"]) for row in log.sagas(trip).violations().rows()]
    assert found == [("missing compensation", "t-1/2"), ("duplicate step", "t-1/602")]
    monkeypatch.setattr(flows, "LONG", 10_000)  # the way of short ones gives the same
    assert [
        (row["violation"], row["event_id"]) for row in log.sagas(trip).violations().rows()
    ] == found


def test_it_takes_a_saga(make_log: MakeLog) -> None:
    with pytest.raises(ConfigError, match=r"takes a saga, and this is Projection"):
        make_log([]).sagas(wb.Projection("p", {"n": wb.count()}))  # type: ignore[arg-type]
    with pytest.raises(MomentError, match="says no time zone"):
        make_log([]).sagas(trip, "2026-06-01T00:00")


def test_the_query_stands_alone(make_log: MakeLog) -> None:
    log = make_log([*flow(DONE, "a"), *flow("Asked SeatHeld:1 NotPaid GivenUp", "b")])
    sagas = log.sagas(trip)
    alone = {
        row["saga_id"]: row
        for row in log._view.database.cursor().sql(sagas.sql).to_arrow_table().to_pylist()
    }
    for row in sagas.rows():
        assert (alone[row["saga_id"]]["outcome"], list(alone[row["saga_id"]]["violations"])) == (
            row["outcome"],
            row["violations"],
        )


# -- against a plain reading of the rules ---------------------------------------------------------

KINDS = [*(f"{kind}:{seat}" for kind in ("SeatHeld", "SeatRefused", "SeatFreed") for seat in "AB"),
         "Paid", "NotPaid", "Refunded", "MealOrdered", "TicketSent", "GivenUp", "Asked"]  # fmt: skip


def plainly(kinds: Sequence[str]) -> tuple[str, str | None, list[tuple[str, str | None, int]]]:
    """Judge one saga as a person would, event by event; it was idle for five hours."""
    steps = ["seat", "pay", "meal", "ticket"]
    roles = {kind: (role, at) for kind, role, at in trip.roles}
    parts: dict[tuple[int, str], dict[str, list[int]]] = {}
    found: list[tuple[str, str | None, int]] = []
    first: dict[int, int] = {}
    end, completed, cancelled, started, compensations = None, False, False, 0, 0
    for n, word in enumerate(kinds, start=1):
        kind, _, seat = word.partition(":")
        role, at_step = roles[kind]
        name = "start" if role == "start" else None if at_step is None else steps[at_step]
        if end is not None:
            found.append(("event after the end", name, n))
        if role == "start":
            if started:
                found.append(("duplicate step", name, n))
            started = started or n
        elif role == "cancelled":
            cancelled, end = True, end or n
        else:
            assert at_step is not None
            part = parts.setdefault(
                (at_step, seat), {"success": [], "failure": [], "compensation": [], "undone": []}
            )
            stands = bool(part["success"]) and part["success"][-1] > max(
                part["compensation"], default=0
            )
            if role == "success":
                if stands:
                    found.append(("duplicate step", name, n))
                for earlier, needed in enumerate(steps[:at_step]):
                    nothing_later = not any(first.get(at) for at in range(earlier + 1, 4))
                    if needed != "meal" and earlier not in first and nothing_later:
                        found.append(("step skipped", needed, n))
                first.setdefault(at_step, n)
                if at_step == 3:
                    completed, end = True, end or n
            elif role == "compensation":
                compensations += 1
                if not part["success"]:
                    found.append(("compensation of what never happened", name, n))
                else:
                    if not stands:
                        found.append(("duplicate step", name, n))
                    part["undone"].append(n)
            part[role].append(n)
    undone = [
        (part["success"][0], part["undone"][0], at)
        for (at, _), part in parts.items()
        if part["undone"]
    ]
    for done, back, at_step in undone:
        if any(done < later < back < later_back for later, later_back, _ in undone):
            found.append(("compensation in the wrong order", steps[at_step], back))
    standing = [
        (at, part["success"][-1])
        for (at, _), part in parts.items()
        if at < 2 and part["success"] and part["success"][-1] > max(part["compensation"], default=0)
    ]
    failed = [
        at
        for (at, _), part in parts.items()
        if max(part["failure"], default=0) > max(part["success"], default=0)
    ]
    furthest = max(first, default=-1)
    step: str | None = ["seat", "pay", "ticket", "ticket"][furthest + 1] if furthest < 3 else None
    if completed:
        outcome, step = "completed", None
    elif cancelled:
        outcome, step = ("failed" if standing else "compensated"), None
    elif failed or compensations:
        outcome, step = "failed", steps[max(failed)] if failed else None
    else:
        outcome = "stuck"
    if outcome == "failed":
        found += [("missing compensation", steps[at], n) for at, n in standing]
    return outcome, step, sorted(found, key=repr)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.sampled_from(KINDS), max_size=14), min_size=20, max_size=120))
def test_the_rules_in_sql_are_those_of_a_plain_reading(lives: list[list[str]]) -> None:
    cases = {f"t-{number}": ["Asked", *kinds] for number, kinds in enumerate(lives)}
    events = [event for saga, kinds in cases.items() for event in flow(" ".join(kinds), saga)]
    random.Random(len(events)).shuffle(events)
    with wb.open() as log:
        log.load(Written(events), progress=False)
        sagas = log.sagas(trip, at(5.25))
        broken: dict[str, list[tuple[str, str | None, int]]] = {}
        for row in sagas.violations().rows():
            saga, _, n = row["event_id"].partition("/")
            broken.setdefault(saga, []).append((row["violation"], row["step"], int(n)))
        for row in sagas.rows():
            saga = row["saga_id"]
            found = (row["outcome"], row["step"], sorted(broken.get(saga, []), key=repr))
            assert found == plainly(cases[saga]), " ".join(cases[saga])


# -- the bundled checkout ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout() -> Sagas:
    log = wb.open()
    log.load(wb.files(path("checkout/events.ndjson.gz")), progress=False)
    return log.sagas(checkout_saga)


def test_the_checkout_is_what_its_truth_says(checkout: Sagas) -> None:
    truth = json.loads(path("checkout/sagas_truth.json").read_text())
    assert checkout.counts == truth["outcomes"]
    found = (
        checkout.violations().query("SELECT violation, count(*) AS n FROM result GROUP BY 1").rows()
    )
    assert {row["violation"]: row["n"] for row in found} == truth["violations"]


def test_its_deadlines_are_those_of_the_truth() -> None:
    hours = json.loads(path("checkout/sagas_truth.json").read_text())["deadline_hours"]
    own = {step.name: step.deadline for step in checkout_saga.steps}
    own |= {"compensate": checkout_saga.compensation_deadline, "saga": checkout_saga.deadline}
    assert own == {name: dt.timedelta(hours=number) for name, number in hours.items()}
