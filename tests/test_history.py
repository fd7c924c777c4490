"""History: every state with its interval, against the oracle in plain Python."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests import oracle
from tests.fix_log import MakeLog
from tests.oracle import At, minute
from workbench.errors import ConfigError, MomentError

BALANCE = wb.Projection(
    "balance", {"balance": wb.total("amount"), "moves": wb.count()}, ends="Closed"
)
CLOCKS = st.sampled_from([At(clock="recorded"), At(clock="occurred")])


def event(stream: str, amount: int, at: int | None, **columns: Any) -> dict[str, Any]:
    time = None if at is None else minute(at)
    return {"stream_id": stream, "data": {"amount": amount}, "recorded_at": time, **columns}


def states(history: Any) -> dict[Any, list[dict[str, Any]]]:
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in history.rows():
        key = tuple(row[name] for name in history.definition.key)
        found.setdefault(key, []).append(row)
    return {
        # States that take no time are told apart by their events.
        key: sorted(
            rows, key=lambda row: (row["valid_from"], row["valid_to"] is None, row["events"])
        )
        for key, rows in found.items()
    }


def balances(history: Any, stream: str = "a") -> list[tuple[Any, Any, Any]]:
    rows = states(history).get((stream,), [])
    return [(row["valid_from"], row["valid_to"], row["balance"]) for row in rows]


# -- against the oracle --------------------------------------------------------------------------


@pytest.mark.parametrize("key", oracle.KEYS)
@given(events=oracle.event_lists(), at=CLOCKS)
@oracle.examples(10)
def test_a_history_holds_every_state_that_loops_find(
    key: str, events: list[dict[str, Any]], at: At
) -> None:
    projection = oracle.projection(**oracle.KEYS[key])
    name = f"{at.clock}_at"
    if all(one[name] is None for one in events):
        return
    with oracle.log_of(events) as log:
        found = log.history(projection, **at.arguments()).rows()
    expected = {
        (*row_key, state.position): state
        for row_key, many in oracle.history(projection, events, at).items()
        for state in many
    }
    got = {(*(row[part] for part in projection.key), row["position"]): row for row in found}
    assert set(got) == set(expected)
    for where, state in expected.items():
        row = got[where]
        assert (row["valid_from"], row["valid_to"]) == (state.valid_from, state.valid_to)
        assert (row["event_type"], row["events"]) == (state.event_type, state.row["events"])
        for column in projection.columns:
            wanted = state.row[column]
            if column == "mean":
                wanted = wanted and pytest.approx(wanted, rel=1e-12)
            assert row[column] == wanted, column


@given(events=oracle.event_lists(), at=CLOCKS)
@oracle.examples(14)
def test_the_states_of_a_row_follow_each_other_without_overlap(
    events: list[dict[str, Any]], at: At
) -> None:
    if all(one[f"{at.clock}_at"] is None for one in events):
        return
    with oracle.log_of(events) as log:
        found = states(log.history(wb.Projection("p", {"n": wb.count()}), **at.arguments()))
    for rows in found.values():
        for row, following in itertools.pairwise(rows):
            assert row["valid_to"] == following["valid_from"]
        assert [row["valid_to"] for row in rows][-1] is None
        assert [row["events"] for row in rows] == list(range(1, len(rows) + 1))


@given(events=oracle.event_lists(), n=st.integers(-1, 21))
@oracle.examples(14)
def test_a_state_at_a_time_is_the_replay_as_of_it_where_the_clock_runs_forwards(
    events: list[dict[str, Any]], n: int
) -> None:
    projection = oracle.projection(ends="Closed")
    with oracle.log_of(events) as log:
        # On the occurred clock events apply in the order in which they happened: it always runs forwards.
        if all(one["occurred_at"] is None for one in events):
            return
        replay = log.replay(projection, minute(n), clock="occurred").rows()
        at = log.history(projection, clock="occurred").at(minute(n)).rows()
    columns = ["stream_id", *projection.columns, "events"]
    assert sorted(([row[name] for name in columns] for row in at), key=str) == sorted(
        ([row[name] for name in columns] for row in replay), key=str
    )


@given(events=oracle.event_lists(most=25), step=st.integers(1, 9))
@oracle.examples(14)
def test_over_time_adds_up_the_states_at_the_end_of_each_bucket(
    events: list[dict[str, Any]], step: int
) -> None:
    if all(one["recorded_at"] is None for one in events):
        return
    with oracle.log_of(events) as log:
        history = log.history(BALANCE, clock="recorded")
        found = history.over_time("balance", every=f"{step} minutes").rows()
        rows = history.rows()
    moments = [row["moment"] for row in found]
    assert moments == sorted(set(moments))
    for bucket in found:
        # A bucket ends before its moment; the last one ends with the last change.
        before = bucket["moment"] - dt.timedelta(microseconds=bucket["moment"] != moments[-1])
        there = [
            row
            for row in rows
            if row["valid_from"] <= before and (row["valid_to"] is None or row["valid_to"] > before)
        ]
        assert bucket["rows"] == len(there)
        assert bucket["total"] == sum((row["balance"] for row in there), Decimal(0))


# -- one behaviour each --------------------------------------------------------------------------


def test_a_state_holds_from_its_event_to_the_next(make_log: MakeLog) -> None:
    history = make_log([event("a", 5, 1), event("a", 7, 4)]).history(BALANCE)
    assert balances(history) == [(minute(1), minute(4), 5), (minute(4), None, 12)]


def test_an_ended_row_has_no_state_until_its_next_event(make_log: MakeLog) -> None:
    log = make_log([event("a", 5, 1), event("a", 0, 4, event_type="Closed"), event("a", 7, 9)])
    assert balances(log.history(BALANCE)) == [(minute(1), minute(4), 5), (minute(9), None, 7)]
    assert log.history(BALANCE).at(minute(5)).rows() == []


def test_a_clock_that_runs_backwards_gives_no_row_two_states_at_once(make_log: MakeLog) -> None:
    log = make_log([event("a", 1, 10), event("a", 2, 30), event("a", 4, 20), event("a", 8, 40)])
    history = log.history(BALANCE)
    assert balances(history) == [
        (minute(10), minute(30), 1),
        (minute(30), minute(30), 3),
        (minute(30), minute(40), 7),
        (minute(40), None, 15),
    ]
    assert [row["balance"] for row in history.at(minute(25)).rows()] == [1]


def test_an_event_without_a_time_is_at_no_moment(make_log: MakeLog) -> None:
    log = make_log([event("a", 1, 10), event("a", 2, None), event("a", 4, 20)])
    history = log.history(BALANCE)
    assert balances(history) == [(minute(10), minute(20), 1), (minute(20), None, 5)]
    assert [row["balance"] for row in history.at(minute(20)).rows()] == [5]
    assert log.replay(BALANCE, minute(20)).rows()[0]["balance"] == 5
    assert any("1 events do not say when they were recorded" in note for note in history.notes)


def test_a_log_without_times_has_states_without_times(make_log: MakeLog) -> None:
    found = make_log([event("a", 1, None), event("a", 2, None)]).history(BALANCE).rows()
    assert [(row["valid_from"], row["version"], row["balance"]) for row in found] == [
        (None, 1, 1), (None, 2, 3),
    ]  # fmt: skip


def test_a_fold_keeps_each_state_as_it_was_then(make_log: MakeLog) -> None:
    """Handlers change lists in place; what was before must not change with them."""

    def noted(state: dict[str, Any], amount: Decimal) -> None:
        state["seen"].append(amount)
        state["by_amount"][f"{amount}"] = len(state["seen"])

    fold = wb.Fold("f", lambda: {"seen": [], "by_amount": {"0": 0}}, {"Happened": noted})
    found = make_log([event("a", 1, 1), event("a", 2, 2)]).history(fold).rows()
    assert [row["seen"] for row in found] == [[1], [1, 2]]
    assert [row["by_amount"]["2"] for row in found] == [None, 2]


def test_a_fold_and_a_projection_have_the_same_history(make_log: MakeLog) -> None:
    def moved(state: dict[str, Any], amount: Decimal) -> None:
        state["balance"] += amount
        state["moves"] += 1

    fold = wb.Fold(
        "f",
        {"balance": Decimal(0), "moves": 0},
        {"Happened": moved, "Noted": lambda state: None},
        ends="Closed",
    )
    events = [event("a", 1, 10), event("a", 2, 30), event("a", 4, 20), event("b", 8, None)]
    events += [event("a", 0, 40, event_type="Closed"), event("a", 3, 50)]
    log = make_log(events)
    assert states(log.history(fold)) == states(log.history(BALANCE))


def test_one_stream_and_one_moment_narrow_a_history(make_log: MakeLog) -> None:
    log = make_log([event("a", 5, 1), event("a", 7, 4), event("b", 9, 2)])
    assert len(log.history(BALANCE, stream="a")) == 2
    assert balances(log.history(BALANCE, minute(3))) == [(minute(1), None, 5)]
    assert balances(log.history(BALANCE, version=1)) == [(minute(1), None, 5)]


def test_a_history_without_states_still_has_its_columns(make_log: MakeLog) -> None:
    fold = wb.Fold("f", {"balance": Decimal(0)}, {"Happened": lambda state: None})
    log = make_log([event("a", 5, 1)])
    for definition in (BALANCE, fold):
        empty = log.history(definition, minute(0))
        assert len(empty) == 0
        assert {"stream_id", "valid_from", "valid_to", "balance"} <= set(empty.columns)
        assert empty.at(minute(0)).rows() == []


def test_at_wants_a_time_with_a_zone(make_log: MakeLog) -> None:
    history = make_log([event("a", 5, 1)]).history(BALANCE)
    with pytest.raises(MomentError, match="no time zone"):
        history.at("2026-01-01T00:00")


def test_over_time_names_the_columns_that_there_are(make_log: MakeLog) -> None:
    history = make_log([event("a", 5, 1)]).history(BALANCE)
    with pytest.raises(ConfigError, match="Did you mean 'balance'"):
        history.over_time("balanse")


def test_over_time_finds_buckets_of_its_own(make_log: MakeLog) -> None:
    log = make_log([event("a", 1, 10 * n) for n in range(50)])
    found = log.history(BALANCE).over_time("balance").rows()
    assert 40 <= len(found) <= 201
    assert (found[-1]["total"], found[-1]["rows"]) == (50, 1)


def test_what_is_made_from_a_history_outlives_it(make_log: MakeLog) -> None:
    fold = wb.Fold("f", 0, {"Happened": lambda state: state + 1})
    log = make_log([event("a", 5, 1)])
    assert log.history(fold).at(minute(3)).relation.fetchall()[0][0] == "a"
    assert len(log.history(fold).over_time("f")) == 1
