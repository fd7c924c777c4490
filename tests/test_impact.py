"""Which rows a change changes, and from which event on: held against the truth, and against replays one by one."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog, Written
from tests.fix_versions import Versioned, three_versions  # noqa: F401  # a fixture
from tests.oracle import log_of
from workbench.analysis.impact import Impact
from workbench.bundled import account_summary, order_summary
from workbench.errors import ConfigError, LogError

# -- against the truth ---------------------------------------------------------------------------

SECOND = {
    "bank": wb.Projection(
        "second",
        {
            **account_summary.columns,
            "risk_score": (
                10 * wb.count(on="WithdrawalMade", where=wb.field("amount") > 500)
                + 40 * wb.count(on="AccountFrozen")
                + 5 * wb.count(on="WithdrawalRejected")
            ).clip(high=100),
        },
        key={"account_id": "event.stream_id"},
        on=account_summary.on,
        stream_type="account",
        ends="AccountClosed",
    ),
    "checkout": wb.Projection(
        "second",
        {**order_summary.columns, "items": wb.total("quantity", on="InventoryReserved")},
        key={"order_id": "orderId"},
    ),
}


def differing(impact: Impact, key: str) -> list[dict[str, Any]]:
    return sorted(
        (
            {
                key: row[key],
                "columns": sorted(row["columns"]),
                "first_position": row["first_position"],
                "since_position": row["since_position"],
            }
            for row in impact.rows()
        ),
        key=lambda row: row[key],
    )


def test_it_is_the_truth(three_versions: Versioned) -> None:  # noqa: F811
    key = next(iter(three_versions.definition.key))
    impacts = {
        "projection": three_versions.log.upcast(*three_versions.at_hand).impact(
            three_versions.definition, SECOND[three_versions.domain]
        ),
        "upcasters": three_versions.log.impact(
            [], three_versions.every, of=three_versions.definition
        ),
    }
    for change, impact in impacts.items():
        truth = [
            {name: value for name, value in row.items() if name != "change"}
            | {"columns": sorted(row["columns"])}
            for row in three_versions.impact
            if row["change"] == change
        ]
        assert truth
        assert differing(impact, key) == truth, change


# -- against replays at every position -----------------------------------------------------------


def event(stream: str, kind: str, amount: Any = None, **more: Any) -> dict[str, Any]:
    minute = more.pop("minute", 0)
    return {
        "stream_id": stream, "event_type": kind, "data": {} if amount is None else {"amount": amount},
        "recorded_at": f"2026-01-01T00:{minute:02d}Z", **more,
    }  # fmt: skip


def summary(
    name: str, *, over: int, key: Any = "event.stream_id", more: bool = False
) -> wb.Projection:
    return wb.Projection(
        name,
        {
            "sum": wb.total("amount", on="Paid"),
            "large": wb.count(on="Paid", where=wb.field("amount") > over).clip(high=2),
            **({"notes": wb.count(on="Noted")} if more else {}),
        },
        key=key,
        ends="Closed",
    )


def as_fold(definition: wb.Projection, over: int) -> wb.Fold:
    def paid(state: dict[str, Any], amount: Decimal) -> dict[str, Any]:
        amount = amount or Decimal(0)
        return {"sum": state["sum"] + amount, "large": min(2, state["large"] + (amount > over))}

    key = {name: item.name for name, item in definition.key.items()}
    return wb.Fold(
        definition.name,
        lambda: {"sum": Decimal(0), "large": 0},
        {"Paid": paid},
        key=key,
        ends="Closed",
    )


def random_events(chance: random.Random) -> list[dict[str, Any]]:
    return [
        event(
            f"s{chance.randint(1, 4)}",
            chance.choice(["Paid", "Paid", "Paid", "Closed", "Noted"]),
            chance.choice([None, 50, 150, 250]),
            minute=number,
        )
        for number in range(30)
    ]


def by_replays(log: wb.EventLog, before: Any, after: Any) -> dict[str, tuple[Any, ...]]:
    """What an impact should say, from a replay of both sides at each position."""
    apart: dict[str, list[int]] = {}
    last: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    end = len(log)
    for position in range(1, end + 1):
        last = tuple(
            {
                row["stream_id"]: (row["sum"], row["large"])
                for row in log.replay(one, position=position).rows()
            }
            for one in (before, after)
        )  # type: ignore[assignment]  # two of them
        for key in last[0].keys() | last[1].keys():
            if last[0].get(key) != last[1].get(key):
                apart.setdefault(key, []).append(position)
    found = {}
    for key, positions in apart.items():
        one, other = last[0].get(key), last[1].get(key)
        kind = (
            "passing"
            if one == other
            else "added"
            if one is None
            else "removed"
            if other is None
            else "changed"
        )
        names = (
            []
            if kind != "changed"
            else [n for n, a, b in zip(("sum", "large"), one, other, strict=True) if a != b]
        )
        found[key] = (kind, sorted(names), positions[0])
    return found


def by_impact(impact: Impact) -> dict[str, tuple[Any, ...]]:
    return {
        row["stream_id"]: (row["class"], sorted(row["columns"]), row["first_position"])
        for row in impact.rows()
    }


@pytest.mark.parametrize("seed", range(4))
def test_a_row_differs_from_the_event_on_after_which_replays_do(seed: int) -> None:
    before, after = summary("v1", over=200), summary("v2", over=100)
    with log_of(random_events(random.Random(seed))) as log:
        expected = by_replays(log, before, after)
        assert by_impact(log.impact(before, after)) == expected
        folds = as_fold(before, 200), as_fold(after, 100)
        assert by_impact(log.impact(*folds, passing=True)) == expected
        assert by_impact(log.impact(before, folds[1], passing=True)) == expected
        lasting = {key: row for key, row in expected.items() if row[0] != "passing"}
        short = log.impact(*folds)
        assert by_impact(short) == lasting
        assert "passing=True does, event by event" in short.notes[-1] + short.notes[0]


def test_many_rows_of_a_fold_are_looked_at_in_turn(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.analysis.impact.find.AT_ONCE", 3)
    log = make_log([event(f"s{number}", "Paid", 150) for number in range(7)])
    folds = as_fold(summary("v1", over=200), 200), as_fold(summary("v2", over=100), 100)
    assert len(log.impact(*folds)) == 7


def test_rows_keyed_by_the_payload_go_by_position(make_log: MakeLog) -> None:
    log = make_log([
        {"stream_id": stream, "event_type": "Paid", "data": {"order": "o1", "amount": amount}}
        for stream, amount in [("b", 50), ("a", 150), ("b", 50)]
    ])  # fmt: skip
    one, other = (summary(f"v{over}", over=over, key={"stream_id": "order"}) for over in (200, 100))
    assert by_impact(log.impact(one, other)) == {"o1": ("changed", ["large"], 2)}


def test_an_event_that_only_one_of_the_two_handles_counts(make_log: MakeLog) -> None:
    log = make_log([event("a", "Paid", 1), event("a", "Noted"), event("b", "Noted")])
    one = summary("v1", over=1)
    other = wb.Projection(
        "v2", {**one.columns, "sum": wb.total("amount", on="Paid") + wb.count(on="Noted")}
    )
    assert by_impact(log.impact(one, other)) == {
        "a": ("changed", ["sum"], 2), "b": ("added", [], 3),
    }  # fmt: skip
    assert by_impact(log.impact(other, one))["b"] == ("removed", [], 3)


def test_columns_that_one_side_alone_has_are_said_and_not_compared(make_log: MakeLog) -> None:
    log = make_log([event("a", "Paid", 150)])
    impact = log.impact(summary("v1", over=1), summary("v2", over=1, more=True))
    assert impact.rows() == []
    assert "not compared, since only the definition after has them: notes" in impact.notes
    assert "none of 1 rows differs" in repr(impact)


def test_of_nothing_it_is_empty(make_log: MakeLog) -> None:
    impact = make_log([]).impact(summary("v1", over=1), summary("v2", over=2))
    assert (impact.rows(), impact.counts, impact.by_column().rows()) == (
        [], {"changed": 0, "added": 0, "removed": 0, "passing": 0}, [],
    )  # fmt: skip
    fold = as_fold(summary("v1", over=1), 1)
    assert make_log([]).impact(fold, fold, passing=True).rows() == []


def test_the_query_of_two_projections_runs_as_it_stands(make_log: MakeLog) -> None:
    log = make_log([event("a", "Paid", 150), event("b", "Paid", 50)])
    impact = log.impact(summary("v1", over=200), summary("v2", over=100))
    assert "memory." not in impact.sql
    assert [row["stream_id"] for row in log.sql(impact.sql).rows()] == ["a"]


def test_it_counts_by_class_column_type_and_time(make_log: MakeLog) -> None:
    log = make_log([event("a", "Paid", 150, minute=1), event("b", "Paid", 150, minute=5)])
    impact = log.impact(summary("v1", over=200), summary("v2", over=100))
    assert impact.by_column().rows() == [
        {"column_name": "large", "changed": 2, "first_position": 1, "first_at": dt.datetime(2026, 1, 1, 0, 1, tzinfo=dt.UTC)}
    ]  # fmt: skip
    assert impact.by_event_type().rows() == [{"first_event_type": "Paid", "rows": 2}]
    assert [row["differing"] for row in impact.over_time(every="1 minute").rows()] == [
        1,
        1,
        1,
        1,
        2,
    ]
    assert len(impact.of("changed")) == 2
    row = impact.rows()[0]
    assert (row["before_large"], row["after_large"]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((summary("v1", over=1), summary("v2", over=1, key="order")), "has rows by stream_id, and 'v2' by order"),
        ((summary("v1", over=1), wb.Projection("v2", {"x": wb.count()})), "no column in common"),
        ((summary("v1", over=1), []), "two definitions, or two sets of upcasters"),
        (([], []), "what upcasters change is told of the rows of a definition"),
        ((1, 2), "two definitions, or two sets of upcasters"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(make_log: MakeLog, arguments: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_log([]).impact(*arguments)


# -- what if -------------------------------------------------------------------------------------

SUM = wb.Projection("sum", {"sum": wb.total("amount", on="Paid"), "seen": wb.count(on="Paid")})


@pytest.fixture(params=["in memory", "in a file"])
def log(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    path = None if request.param == "in memory" else tmp_path / "log.duckdb"
    with wb.open(path) as opened:
        events = [
            event("a", "Paid", 10, event_id="one", minute=1),
            event("a", "Paid", 20, minute=2),
            event("b", "Paid", 5, minute=3),
        ]
        opened.load(Written(events), progress=False)
        opened.prepare(SUM)
        yield opened


def sums(log: wb.EventLog) -> dict[str, Decimal]:
    return {row["stream_id"]: row["sum"] for row in log.replay(SUM).rows()}


def test_a_fork_has_its_events_and_the_log_keeps_its_own(log: wb.EventLog) -> None:
    before = log.fingerprint()
    fork = log.what_if(
        drop=["one"],
        edit={3: {"amount": Decimal("7.50"), "metadata.by": "me", "event.actor": "auditor"}},
        add=[{"stream_id": "a", "event_type": "Paid", "data": {"amount": Decimal("0.30")}}],
    )
    assert sums(fork) == {"a": Decimal("20.30"), "b": Decimal("7.50")}
    assert sums(log) == {"a": 30, "b": 5}
    assert log.fingerprint() == before
    rows = fork.sql(
        "SELECT position, version, actor, data::VARCHAR AS data, metadata::VARCHAR AS metadata FROM events ORDER BY position"
    ).rows()
    assert [tuple(row.values()) for row in rows] == [
        (2, 2, None, '{"amount": 20}', None),
        (3, 1, "auditor", '{"amount":7.50}', '{"by":"me"}'),
        (4, 3, None, '{"amount":0.30}', None),
    ]
    assert "1 dropped, 1 edited, 1 added" in repr(fork)


def test_a_fork_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log.duckdb"
    with wb.open(path) as log:
        log.load(Written([event("a", "Paid", 10), event("b", "Paid", 5)]), progress=False)
    before = path.read_bytes()
    with wb.open(path, read_only=True) as log:
        fork = log.what_if(drop=[1], add=[{"stream_id": "a", "event_type": "Paid"}])
        assert len(fork.against(SUM)) == 1
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["log.duckdb"]


def test_a_fork_is_held_against_its_log(log: wb.EventLog) -> None:
    fork = log.what_if(drop=[2])
    impact = fork.against(SUM)
    (row,) = impact.rows()
    assert (row["stream_id"], row["class"], row["first_position"]) == ("a", "changed", 2)
    assert (row["before_sum"], row["after_sum"]) == (30, 10)
    fold = as_fold(summary("v", over=1), 1)
    assert [row["stream_id"] for row in fork.against(fold).rows()] == ["a"]
    gone = log.what_if(drop=log.where(stream="b")).against(SUM)
    assert [(row["stream_id"], row["class"]) for row in gone.rows()] == [("b", "removed")]


def test_an_event_is_put_behind_the_one_whose_version_it_has(log: wb.EventLog) -> None:
    late = {"stream_id": "a", "event_type": "Paid", "version": 1, "data": {"amount": 1}}
    amounts = wb.Projection("amounts", {"amounts": wb.collect("amount", type="integer")})
    rows = log.what_if(add=[late]).where(stream="a").replay(amounts).rows()
    assert rows[0]["amounts"] == [10, 1, 20]


def test_two_events_change_places(log: wb.EventLog) -> None:
    fork = log.what_if(edit={1: {"event.version": 2}, 2: {"event.version": 1}})
    amounts = wb.Projection("amounts", {"amounts": wb.collect("amount", type="integer")})
    assert fork.where(stream="a").replay(amounts).rows()[0]["amounts"] == [20, 10]


def test_a_value_that_no_typed_column_holds_is_read_from_the_payload(log: wb.EventLog) -> None:
    fork = log.what_if(edit={1: {"amount": Decimal("1.123456789")}, 2: {"amount": "oops"}})
    assert sums(fork) == {"a": None, "b": 5}
    assert sums(log.what_if(edit={1: {"amount": Decimal("1.123456789")}}))["a"] == Decimal(
        "21.123456789"
    )


def test_forks_of_a_narrowed_or_upcast_log_are_so_too(log: wb.EventLog) -> None:
    doubled = wb.Upcaster("Paid", from_version=None, to_version="2").convert("amount", factor=2)
    fork = log.upcast(doubled).where(stream="a").what_if(drop=[1])
    assert sums(fork) == {"a": 40}
    (row,) = fork.against(SUM).rows()
    assert (row["before_sum"], row["after_sum"]) == (60, 40)


def test_later_loads_do_not_reach_a_fork(log: wb.EventLog) -> None:
    fork = log.what_if(drop=[1])
    assert len(fork) == 2
    log.load(Written([event("c", "Paid", 1)], name="later"), progress=False)
    assert (len(log), len(fork)) == (4, 2)
    assert sums(fork) == {"a": 20, "b": 5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "nothing is dropped, edited or added"),
        ({"drop": [99]}, "there is no event 99"),
        ({"drop": ["two"]}, "there is no event 'two'"),
        ({"drop": [1.5]}, "1.5 names no event"),
        ({"drop": [1], "edit": {1: {"amount": 1}}}, "position 1 is to be dropped and edited"),
        ({"edit": {1: {"event.position": 7}}}, "its position cannot be changed"),
        ({"edit": {1: {"event.nonsense": 7}}}, "no column 'nonsense'"),
        ({"edit": {1: {"event.recorded_at": "2026-01-01T00:00"}}}, "recorded_at"),
        ({"edit": {1: {"amount": 1.5}}}, "position 1, amount: JSON cannot hold '1.5' exactly"),
        ({"edit": {1: {"amount": "\ud800"}}}, "JSON cannot hold"),
        ({"edit": {1: {"event.event_type": None}}}, "its event_type cannot be taken away"),
        ({"edit": {1: {"amount": 1}, "one": {"amount": 2}}}, "one event is to be edited twice"),
        ({"add": [{"stream_id": "a", "event_type": "Paid", "data": "{"}]}, "event 1 of add, data: '{' is no JSON"),
        ({"add": [{"stream_id": "a"}]}, "has no event_type"),
        ({"add": [{"stream_id": "a", "event_type": "Paid", "amount": 1}]}, "no 'amount' that can be given"),
    ],
)  # fmt: skip
def test_changes_that_cannot_be_made_are_refused(
    make_log: MakeLog, changes: Any, said: str
) -> None:
    log = make_log([event("a", "Paid", 1, event_id="one")])
    with pytest.raises(ConfigError, match=said):
        log.what_if(**changes)


def test_a_fork_is_only_looked_at(log: wb.EventLog) -> None:
    fork = log.what_if(drop=[1])
    with pytest.raises(LogError, match="a fork is only looked at"):
        fork.prepare(summary("v", over=1))
    with pytest.raises(ConfigError, match="is a fork already"):
        fork.what_if(drop=[2])
    with pytest.raises(ConfigError, match="this log is no fork"):
        log.against(SUM)
