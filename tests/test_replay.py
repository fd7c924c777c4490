"""Replay: rows at a moment, against the oracle in plain Python."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests import oracle
from tests.fix_log import MakeLog
from tests.oracle import At, minute
from workbench.errors import MomentError, ProjectionError, QueryError, StreamNotFound

BALANCE = wb.Projection(
    "balance",
    {"balance": wb.total("amount", on="Deposited") - wb.total("amount", on="Withdrew")},
    ends="Closed",
)


def deposit(stream: str, amount: Any, at: int | None = None, **columns: Any) -> dict[str, Any]:
    event = {"stream_id": stream, "event_type": "Deposited", "data": f'{{"amount": {amount}}}'}
    return {**event, "recorded_at": None if at is None else minute(at), **columns}


def rows(replay: wb.EventLog | Any, key: str = "stream_id") -> dict[Any, dict[str, Any]]:
    return {row.pop(key): row for row in replay.rows()}


# -- against the oracle --------------------------------------------------------------------------


@pytest.mark.parametrize("key", oracle.KEYS)
@given(data=st.data())
@oracle.examples(14)
def test_a_replay_says_what_loops_over_the_events_say(key: str, data: st.DataObject) -> None:
    projection = oracle.projection(**oracle.KEYS[key])
    events = data.draw(oracle.event_lists())
    at = data.draw(oracle.moments)
    with oracle.log_of(events) as log:
        try:
            found = log.replay(projection, **at.arguments()).rows()
        except MomentError:
            clocks = {"occurred_at"} if at.occurs else {"recorded_at"}
            clocks |= {"recorded_at"} if at.known_at else set()
            assert any(all(event[name] is None for event in events) for name in clocks)
            return
    expected = oracle.replay(projection, events, at)
    got = oracle.by_key(projection, found)
    assert set(got) == set(expected)
    for row_key, row in expected.items():
        row["mean"] = row["mean"] and pytest.approx(row["mean"], rel=1e-12)
        assert got[row_key] == row


@given(events=oracle.event_lists(), n=st.integers(0, 41))
@oracle.examples(14)
def test_a_replay_at_position_n_is_the_replay_of_the_first_n_events(
    events: list[dict[str, Any]], n: int
) -> None:
    projection = oracle.projection(ends="Closed")
    with oracle.log_of(events) as whole, oracle.log_of(events[:n]) as first:
        assert oracle.by_key(
            projection, whole.replay(projection, position=n).rows()
        ) == oracle.by_key(projection, first.replay(projection).rows())


@given(events=oracle.event_lists(), at=oracle.moments)
@oracle.examples(14)
def test_replaying_up_to_a_moment_is_replaying_the_log_as_it_stood_then(
    events: list[dict[str, Any]], at: At
) -> None:
    with oracle.log_of(events) as log:
        try:
            narrowed = log.as_of(
                at.as_of, **{k: v for k, v in at.arguments().items() if k != "as_of"}
            )
            direct = log.replay(BALANCE, **at.arguments())
        except MomentError:
            return
        clock = "occurred" if at.occurs else "recorded"
        assert rows(narrowed.replay(BALANCE, clock=clock)) == rows(direct)


@given(events=oracle.event_lists())
@oracle.examples(5)
def test_settling_and_preparing_change_no_answer(events: list[dict[str, Any]]) -> None:
    projections = [oracle.projection(**options) for options in oracle.KEYS.values()]
    with oracle.log_of(events) as log:

        def answers() -> list[Any]:
            return [
                oracle.by_key(p, verb(p).rows() if verb == log.replay else [])
                for p in projections
                for verb in (log.replay,)
            ]

        before = answers()
        log.settle()
        assert answers() == before
        log.prepare(*projections)
        assert answers() == before


# -- columns, one behaviour each -----------------------------------------------------------------


def test_money_is_exact(make_log: MakeLog) -> None:
    log = make_log([deposit("a", "0.1"), deposit("a", "0.2")])
    assert rows(log.replay(BALANCE))["a"]["balance"] == Decimal("0.3")


@pytest.mark.parametrize(
    "amount",
    [
        "12345678901234567.89",
        "1.000000000000000001",
        "-99999999999999999.999999999999999999",
        "12345678901234567890",
        "0.1234567890123456",
        "1e3",
        "123456789012345.678e1",
        '"12345678901234567.89"',
    ],
)
@pytest.mark.parametrize("prepared", [False, True])
def test_every_digit_of_a_number_counts(make_log: MakeLog, amount: str, prepared: bool) -> None:
    log = make_log([deposit("a", amount)])
    if prepared:
        log.prepare(BALANCE)
    assert rows(log.replay(BALANCE))["a"]["balance"] == Decimal(amount.strip('"'))


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ('{"old": {"amount": 1.5}, "amount": 12345678901234567.89}', "amount"),
        ('{"a": {"amount": 12345678901234567.89}, "amount": 12345678901234567.89}', "a.amount"),
        (
            '{"note": "\\"amount\\": 99999999999999999.9, ", "amount":\n12345678901234567.89}',
            "amount",
        ),
        ('{"montant\\u00E9": 12345678901234567.89}', "montanté"),
        ('{"montanté": 12345678901234567.89}', "montanté"),
        ('{"\\ud83d\\ude00": 12345678901234567.89}', "😀"),
        ('{"a\\"b\\\\c": 12345678901234567.89}', 'a"b\\\\c'),
    ],
)
def test_digits_are_kept_wherever_the_number_stands(
    make_log: MakeLog, data: str, path: str
) -> None:
    log = make_log([{"stream_id": "a", "data": data}])
    found = log.replay(wb.Projection("p", {"x": wb.total(path), "t": wb.latest(path)})).rows()[0]
    assert (found["x"], found["t"]) == (Decimal("12345678901234567.89"), "12345678901234567.89")


def test_a_number_that_cannot_be_told_apart_is_unknown_not_guessed(make_log: MakeLog) -> None:
    # Both are the same DOUBLE, and DuckDB does not say which of the two it read.
    data = '{"a": {"amount": 12345678901234567.88}, "amount": 12345678901234567.89}'
    result = make_log([{"stream_id": "a", "event_type": "Deposited", "data": data}]).replay(BALANCE)
    assert rows(result)["a"]["balance"] is None
    assert any("1 values of amount are no decimal" in note for note in result.notes)


@pytest.mark.parametrize(
    "amount", ['"abc"', '"NaN"', "NaN", "true", '"1_000"', "1e-25", "[1]", "{}", '""', "1e400"]
)
def test_a_value_that_is_no_number_makes_its_row_unknown_and_is_counted(
    make_log: MakeLog, amount: str
) -> None:
    log = make_log([deposit("a", 1), deposit("a", amount), deposit("b", 2)])
    for _ in range(2):
        result = log.replay(BALANCE)
        assert {key: row["balance"] for key, row in rows(result).items()} == {"a": None, "b": 2}
        assert any("1 values of amount are no decimal" in note for note in result.notes)
        log.prepare(BALANCE)


def test_an_absent_number_and_a_null_add_nothing(make_log: MakeLog) -> None:
    log = make_log(
        [deposit("a", 5), deposit("a", "null"), {"stream_id": "a", "event_type": "Deposited"}]
    )
    assert rows(log.replay(BALANCE))["a"] == {
        "balance": 5, "version": 3, "position": 3, "events": 3,
    }  # fmt: skip


def test_clip_takes_numbers_in_any_notation_and_stays_exact(make_log: MakeLog) -> None:
    projection = wb.Projection("p", {"x": wb.total("amount").clip(low=Decimal("1E+2"))})
    found = make_log([deposit("a", 5)]).replay(projection)
    assert found.rows()[0]["x"] == 100
    assert isinstance(found.rows()[0]["x"], Decimal)


def test_a_division_by_zero_is_unknown(make_log: MakeLog) -> None:
    projection = wb.Projection("p", {"x": wb.total("amount") / wb.count(on="Never")})
    assert make_log([deposit("a", 5)]).replay(projection).rows()[0]["x"] is None


def test_rounding_goes_away_from_zero_at_a_half(make_log: MakeLog) -> None:
    projection = wb.Projection("p", {"x": wb.total("amount").round(1)})
    log = make_log([deposit("a", "0.25"), deposit("b", "-0.25")])
    assert {row["stream_id"]: row["x"] for row in log.replay(projection).rows()} == {
        "a": Decimal("0.3"), "b": Decimal("-0.3"),
    }  # fmt: skip


def test_a_type_that_ends_a_row_takes_it_away_until_the_next_event(make_log: MakeLog) -> None:
    closed = {"stream_id": "a", "event_type": "Closed"}
    log = make_log([deposit("a", 5), closed, deposit("a", 7)])
    assert rows(log.replay(BALANCE, position=2)) == {}
    assert rows(log.replay(BALANCE))["a"]["balance"] == 7


def test_odd_names_of_columns_change_no_value(make_log: MakeLog) -> None:
    log = make_log([deposit("a", 5), deposit("a", 7), {"stream_id": "a", "event_type": "Closed"}])
    names = ["ord", "kind", "moment", "since", "life", "last_end", "stream_version", "class"]
    names += ["value_0", "state", "checkpoint", "stored_x", "applied", "r", "s", "h", "j", 'q"']
    projection = wb.Projection(
        "odd", {name: wb.latest("amount", type="decimal") for name in names}, ends="Never"
    )
    assert {row[name] for row in log.replay(projection).rows() for name in names} == {7}
    states = log.history(projection).rows()
    assert [{state[name] for name in names} for state in states] == [{5}, {7}, {7}]


# -- moments -------------------------------------------------------------------------------------


def test_a_log_without_any_times_is_replayed_by_version(make_log: MakeLog) -> None:
    log = make_log([deposit("a", 5), deposit("a", 7)])
    assert rows(log.replay(BALANCE))["a"]["balance"] == 12
    assert rows(log.replay(BALANCE, version=1))["a"]["balance"] == 5


def test_events_without_a_time_are_left_out_at_a_time_and_a_note_says_so(make_log: MakeLog) -> None:
    result = make_log([deposit("a", 5, 0), deposit("a", 7)]).replay(BALANCE, minute(9))
    assert rows(result)["a"]["balance"] == 5
    assert any("1 events do not say when they were recorded" in note for note in result.notes)


def test_what_was_believed_then_about_an_earlier_time(make_log: MakeLog) -> None:
    log = make_log(
        [
            deposit("a", 5, 1, occurred_at=minute(0)),
            deposit("a", 7, 9, occurred_at=minute(2)),  # came to light late
            deposit("a", 100, 9, occurred_at=minute(8)),
        ]
    )
    assert rows(log.replay(BALANCE, minute(5), known_at=minute(5)))["a"]["balance"] == 5
    assert rows(log.replay(BALANCE, minute(5), known_at=minute(9)))["a"]["balance"] == 12


def test_a_replay_before_the_first_event_has_columns_and_no_rows(make_log: MakeLog) -> None:
    found = make_log([deposit("a", 5, 1)]).replay(BALANCE, minute(0))
    assert (len(found), found.columns) == (
        0,
        ("stream_id", "balance", "version", "position", "events"),
    )


def test_one_stream_alone(make_log: MakeLog) -> None:
    log = make_log([deposit("a", 5), deposit("b", 7)])
    assert list(rows(log.replay(BALANCE, stream="b"))) == ["b"]
    with pytest.raises(StreamNotFound, match="no stream 'c'"):
        log.replay(BALANCE, stream="c")


def test_a_stream_of_a_payload_keyed_projection_is_refused(make_log: MakeLog) -> None:
    log = make_log([deposit("a", 5)])
    with pytest.raises(ProjectionError, match="not by stream"):
        log.replay(oracle.projection(key="order.id"), stream="a")


def test_types_that_a_projection_does_not_name_are_told(make_log: MakeLog) -> None:
    log = make_log([deposit("a", 5), {"stream_id": "a", "event_type": "Depositted"}])
    assert any("Depositted (1)" in note for note in log.replay(BALANCE).notes)
    ignoring = wb.Projection("p", {"b": wb.total("amount", on="Deposited")}, ignore=["Depositted"])
    assert log.replay(ignoring).notes == ()


def test_events_without_the_key_are_told(make_log: MakeLog) -> None:
    log = make_log([deposit("a", 5)])
    result = log.replay(oracle.projection(key="order.id"))
    assert len(result) == 0
    assert any("1 events have no id" in note for note in result.notes)


# -- the result ----------------------------------------------------------------------------------


def test_the_sql_gives_the_same_rows_in_any_duckdb(make_log: MakeLog, tmp_path: Any) -> None:
    import duckdb

    from tests.fix_log import Written

    with wb.open(tmp_path / "log.duckdb") as log:
        log.load(Written([deposit("a", 5, 1), deposit("b", 7, 2)]), progress=False)
        replay = log.replay(BALANCE, minute(1))
        expected = replay.rows()
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{tmp_path}/log.duckdb' AS log (READ_ONLY)")
        con.execute("SET TimeZone = 'UTC'")
        assert con.sql(replay.sql).fetchall() == [tuple(row.values()) for row in expected]


def test_a_relation_outlives_the_result_that_it_came_from(make_log: MakeLog) -> None:
    def add(balance: Decimal, amount: Decimal) -> Decimal:
        return balance + amount

    fold = wb.Fold("f", Decimal(0), {"Deposited": add})
    relation = make_log([deposit("a", 5)]).replay(fold).relation.filter("f > 1")
    assert relation.fetchall()[0][:2] == ("a", 5)


def test_a_result_is_the_log_of_its_time_until_it_is_asked(make_log: MakeLog) -> None:
    log = make_log([deposit("a", 5)])
    frame = log.replay(BALANCE).df()
    assert frame["balance"].tolist() == [Decimal(5)]
    assert str(frame["events"].dtype) == "Int64"


def test_an_overflow_is_a_query_error_not_a_wrong_number(make_log: MakeLog) -> None:
    log = make_log([deposit("a", "9" * 20), deposit("a", "9" * 20)])
    with pytest.raises(QueryError, match=r"[Oo]verflow|[Rr]ange|[Cc]ast"):
        log.replay(BALANCE).rows()


def test_times_of_results_are_aware_utc(make_log: MakeLog) -> None:
    projection = wb.Projection("p", {"at": wb.latest("event.recorded_at")})
    found = make_log([deposit("a", 5, 3)]).replay(projection)
    assert found.rows()[0]["at"] == dt.datetime(2026, 1, 1, 0, 3, tzinfo=dt.UTC)
    assert str(found.df()["at"].dt.tz) == "UTC"


def test_a_product_too_large_to_be_exact_says_so(make_log: MakeLog) -> None:
    log = make_log([{"stream_id": "a", "data": '{"x": 99999999999}'}])
    squared = wb.Projection("squared", {"x": wb.total("x") * wb.total("x") * wb.total("x")})
    with pytest.raises(QueryError, match="a number is too large"):
        log.replay(squared).arrow()
