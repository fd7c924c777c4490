"""Diff: every row named for what it is, against the oracle; lag is never called corruption."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests import oracle
from tests.fix_log import MakeLog
from tests.oracle import MONEY, Key, Stored, minute
from workbench.analysis.diff import CLASSES
from workbench.errors import ConfigError, MomentError, ProjectionError, SourceError


def account(**options: Any) -> wb.Projection:
    return wb.Projection(
        "account",
        {
            "balance": wb.total("amount", on="Deposited") - wb.total("amount", on="Withdrew"),
            "moves": wb.count(on=[*MONEY, "Opened"]),
            "status": wb.latest("status", on=["Opened", "Noted"]),
        },
        ends="Closed",
        **options,
    )


def deposit(stream: str, amount: Any, at: int | None = None, **columns: Any) -> dict[str, Any]:
    time = None if at is None else minute(at)
    return {
        "stream_id": stream, "event_type": "Deposited", "data": f'{{"amount": {amount}}}',
        "recorded_at": time, **columns,
    }  # fmt: skip


def model(rows: list[dict[str, Any]], **options: Any) -> Any:
    return wb.read_model(pd.DataFrame(rows, dtype=object) if rows else pa.table({}), **options)


def classes(diff: Any) -> dict[str, str]:
    return {row["stream_id"]: row["class"] for row in diff.rows()}


def only(diff: Any) -> dict[str, Any]:
    (row,) = diff.rows()
    return row


# -- against the oracle --------------------------------------------------------------------------


@st.composite
def stored_rows(
    draw: st.DrawFn, projection: wb.Projection, events: list[dict[str, Any]], unit: str | None
) -> dict[Key, Stored]:
    """Draw a read model: rows that are up to date, late, damaged, left behind, made up, or not there."""
    found: dict[Key, Stored] = {}
    keyed = sorted(oracle.steps(projection, events).items())
    strange = oracle.Step({"balance": Decimal(7), "moves": 1, "status": None}, 3, 3)
    for key, steps in [*keyed, (("strange",) * len(projection.key), [strange])]:
        alive = [step for step in steps if step.row is not None]
        how = draw(st.sampled_from(["now", "earlier", "damaged", "gone", "any checkpoint", "none"]))
        if how == "gone" or not alive:
            continue
        step = alive[-1] if how == "now" else draw(st.sampled_from(alive))
        row = dict(step.row or {})
        if how == "damaged":
            row[draw(st.sampled_from(["balance", "moves"]))] += draw(st.integers(-2, 2))
        checkpoint = step.position if unit == "position" else step.version
        if how == "any checkpoint":
            checkpoint = draw(st.integers(0, 45))
        found[key] = Stored(row, None if how == "none" else checkpoint)
    return found


def as_table(projection: wb.Projection, stored: dict[Key, Stored]) -> pa.Table:
    names = list(projection.key)
    rows = [
        {**dict(zip(names, key, strict=True)), **one.row, "checkpoint_of_row": one.checkpoint}
        for key, one in stored.items()
    ]
    schema = {name: pa.string() for name in names} | {
        "balance": pa.decimal128(20, 4), "moves": pa.int64(), "status": pa.string(),
        "checkpoint_of_row": pa.int64(),
    }  # fmt: skip
    return pa.Table.from_pylist(rows, pa.schema(schema))


KEYS = {
    name: {k: v for k, v in options.items() if k != "ends"} for name, options in oracle.KEYS.items()
}


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        ("by stream", None), ("by a payload field", None), ("by two fields", None),
        ("by stream", "version"), ("by stream", "position"), ("by a payload field", "position"),
    ],
)  # fmt: skip
@given(data=st.data())
@oracle.examples(14)
def test_a_diff_says_what_trying_every_state_says(
    key: str, unit: str | None, data: st.DataObject
) -> None:
    projection = account(**KEYS[key])
    events = data.draw(oracle.event_lists())
    if unit == "version":
        events = oracle.renumbered(events)
    stored = data.draw(stored_rows(projection, events, unit))
    checkpoint = {unit: "checkpoint_of_row"} if unit else {}
    with oracle.log_of(events) as log:
        diff = log.diff(projection, wb.read_model(as_table(projection, stored), **checkpoint))
        found = oracle.by_key(projection, diff.rows())
        counts = diff.counts
    expected = oracle.diff(projection, events, stored, unit)
    assert {row: one["class"] for row, one in found.items()} == {
        row: one.kind for row, one in expected.items()
    }
    for row, judged in expected.items():
        if judged.kind == "stale":
            assert found[row]["lag_events"] == judged.lag_events
            assert found[row]["equals_position"] == judged.equals_position
        if judged.kind == "match":
            assert found[row]["columns"] == []
    assert sum(counts.values()) == len(expected)
    assert list(counts) == list(CLASSES)


@given(data=st.data())
@oracle.examples(14)
def test_a_row_that_equals_an_earlier_state_is_stale_whatever_else_happened(
    data: st.DataObject,
) -> None:
    projection = account()
    events = data.draw(oracle.event_lists())
    states = oracle.steps(projection, events)
    stored = {
        key: Stored(dict(data.draw(st.sampled_from(alive)).row))
        for key, steps in states.items()
        if (alive := [step for step in steps if step.row is not None])
    }
    with oracle.log_of(events) as log:
        diff = log.diff(projection, wb.read_model(as_table(projection, stored)))
        assert set(classes(diff).values()) <= {"match", "stale"}


@given(data=st.data(), position=st.integers(0, 40))
@oracle.examples(14)
def test_a_read_model_taken_at_a_position_lags_and_nothing_else(
    data: st.DataObject, position: int
) -> None:
    """A model that is right at a position has matches and stale rows alone, however far the log went on."""
    projection = account()
    events = oracle.renumbered(data.draw(oracle.event_lists()))
    taken = oracle.replay(projection, events, oracle.At(clock="recorded", position=position))
    stored = {
        key: Stored({name: row[name] for name in projection.columns}) for key, row in taken.items()
    }
    with oracle.log_of(events) as log:
        read_model = wb.read_model(as_table(projection, stored), position=position)
        diff = log.diff(projection, read_model)
        found = {row["stream_id"]: row for row in diff.rows()}
    assert {row["class"] for row in found.values()} <= {"match", "stale"}
    assert {(key,) for key in found} >= set(stored)


# -- the classes, one by one ---------------------------------------------------------------------

TWO = [deposit("a", 5, 1), deposit("a", 7, 4)]
BALANCE = wb.Projection("balance", {"balance": wb.total("amount", on="Deposited")}, ends="Closed")


def test_a_match(make_log: MakeLog) -> None:
    row = only(make_log(TWO).diff(BALANCE, model([{"stream_id": "a", "balance": 12}])))
    assert (row["class"], row["columns"], row["lag_events"]) == ("match", [], None)


def test_a_stale_row_says_which_state_it_equals_and_how_far_it_lags(make_log: MakeLog) -> None:
    row = only(make_log(TWO).diff(BALANCE, model([{"stream_id": "a", "balance": 5}])))
    assert row["class"] == "stale"
    assert (row["equals_version"], row["equals_position"]) == (1, 1)
    assert (row["lag_events"], row["lag_time"]) == (1, dt.timedelta(minutes=3))
    assert (row["stored_balance"], row["replayed_balance"], row["columns"]) == (5, 12, ["balance"])


def test_of_several_equal_states_the_latest_counts(make_log: MakeLog) -> None:
    events = [deposit("a", amount) for amount in (5, 1, -1, 9)]
    row = only(make_log(events).diff(BALANCE, model([{"stream_id": "a", "balance": 5}])))
    assert (row["equals_version"], row["lag_events"]) == (3, 1)


def test_a_missing_an_orphaned_and_a_corrupted_row(make_log: MakeLog) -> None:
    diff = make_log([*TWO, deposit("b", 1)]).diff(
        BALANCE, model([{"stream_id": "a", "balance": 13}, {"stream_id": "x", "balance": 1}])
    )
    assert classes(diff) == {"a": "corrupted", "x": "orphaned", "b": "missing"}
    assert [row["class"] for row in diff.rows()] == ["corrupted", "orphaned", "missing"]


def test_an_ended_row_that_is_still_stored_lags(make_log: MakeLog) -> None:
    closed = {"stream_id": "a", "event_type": "Closed", "recorded_at": minute(9)}
    diff = make_log([*TWO, closed]).diff(BALANCE, model([{"stream_id": "a", "balance": 12}]))
    row = only(diff)
    assert (row["class"], row["lag_events"], row["lag_time"]) == (
        "stale",
        1,
        dt.timedelta(minutes=5),
    )


def test_an_ended_row_that_never_was_so_is_orphaned(make_log: MakeLog) -> None:
    closed = {"stream_id": "a", "event_type": "Closed"}
    diff = make_log([*TWO, closed]).diff(BALANCE, model([{"stream_id": "a", "balance": 99}]))
    assert classes(diff) == {"a": "orphaned"}


def test_a_row_is_held_against_its_own_checkpoint(make_log: MakeLog) -> None:
    rows = [
        {"stream_id": "a", "balance": 5, "v": 1},  # right there and then
        {"stream_id": "b", "balance": 5, "v": 2},  # equals version 1, but says 2: an event was lost
        {"stream_id": "c", "balance": 99, "v": 3},  # the log does not hold version 3
        {"stream_id": "d", "balance": 12, "v": 2},
        {"stream_id": "e", "balance": 5, "v": None},  # without one it is judged by its states
        {"stream_id": "f", "balance": 6, "v": None},
    ]
    events = [{**one, "stream_id": stream} for stream in "abcdef" for one in TWO]
    diff = make_log(events).diff(BALANCE, model(rows, version="v"))
    assert classes(diff) == {
        "a": "stale", "b": "corrupted", "c": "ahead", "d": "match", "e": "stale", "f": "corrupted",
    }  # fmt: skip
    found = {row["stream_id"]: row for row in diff.rows()}
    assert (found["b"]["replayed_balance"], found["b"]["equals_version"]) == (12, 1)
    assert (found["a"]["replayed_balance"], found["a"]["columns"]) == (5, [])
    assert found["e"]["lag_events"] == 1


@pytest.mark.parametrize(
    ("number", "expected"),
    [(10, "stale"), (15, "stale"), (20, "match"), (21, "ahead"), (None, "stale")],
)
def test_positions_of_the_source(make_log: MakeLog, number: int | None, expected: str) -> None:
    events = [
        {**one, "source_position": f"events/{place}"}
        for one, place in zip(TWO, (10, 20), strict=True)
    ]
    balance = {"match": 12, "stale": 5, "ahead": 99}[expected]
    rows = [{"stream_id": "a", "balance": balance, "p": number}]
    diff = make_log(events).diff(BALANCE, model(rows, position="p", positions="source"))
    assert classes(diff) == {"a": expected}


def test_rows_that_are_younger_than_the_whole_read_model_are_not_missing(make_log: MakeLog) -> None:
    log = make_log([*TWO, deposit("b", 1)])
    assert classes(log.diff(BALANCE, model([{"stream_id": "a", "balance": 12}], position=2))) == {
        "a": "match", "b": "stale",
    }  # fmt: skip


def test_rows_that_were_ended_when_the_whole_read_model_was_taken_are_not_missing(
    make_log: MakeLog,
) -> None:
    closed = {"stream_id": "a", "event_type": "Closed"}
    log = make_log([deposit("a", 5), closed, deposit("a", 7), deposit("b", 1)])
    stored = wb.read_model(pa.table({"stream_id": ["c"], "balance": [1]}), position=2)
    diff = log.diff(BALANCE, stored)
    assert classes(diff) == {"a": "stale", "b": "stale", "c": "orphaned"}
    assert {row["stream_id"]: row["lag_events"] for row in diff.rows()} == {
        "a": 1,
        "b": 1,
        "c": None,
    }


@pytest.mark.parametrize(
    ("number", "expected"), [(19, "stale"), (20, "match"), (29, "match"), (99, "ahead")]
)
def test_one_position_of_the_source_for_the_whole_read_model(
    make_log: MakeLog, number: int, expected: str
) -> None:
    places = zip([*TWO, deposit("b", 1)], (10, 20, 30), strict=True)
    log = make_log([{**one, "source_position": f"events/{place}"} for one, place in places])
    balance = {"match": 12, "stale": 5, "ahead": 99}[expected]
    stored = model([{"stream_id": "a", "balance": balance}], position=number, positions="source")
    assert classes(log.diff(BALANCE, stored)) == {
        "a": expected, "b": "missing" if expected == "ahead" else "stale",
    }  # fmt: skip


def test_a_state_without_a_version_or_a_time_borrows_none(make_log: MakeLog) -> None:
    events = [
        deposit("a", 5, 1, version=1),
        deposit("a", 7, version=None),
        deposit("a", 1, 9, version=None),
    ]
    row = only(make_log(events).diff(BALANCE, model([{"stream_id": "a", "balance": 12}])))
    assert (row["class"], row["equals_version"], row["equals_position"]) == ("stale", None, 2)


def test_a_moment_is_when_the_read_model_was_taken(make_log: MakeLog) -> None:
    log = make_log([*TWO, deposit("b", 1, 9)])
    stored = model([{"stream_id": "a", "balance": 5}])
    assert classes(log.diff(BALANCE, stored, minute(3))) == {"a": "match"}
    assert classes(log.diff(BALANCE, stored, position=2)) == {"a": "stale"}
    with pytest.raises(MomentError):
        log.diff(BALANCE, stored, "2026-01-01")


@pytest.mark.parametrize("checkpoint", ["version", "position"])
def test_a_checkpoint_after_the_moment_is_ahead_of_it(make_log: MakeLog, checkpoint: str) -> None:
    rows = [{"stream_id": "a", "balance": 12, "c": 2}]
    diff = make_log(TWO).diff(BALANCE, model(rows, **{checkpoint: "c"}), minute(3))
    assert classes(diff) == {"a": "ahead"}


def test_a_view_is_compared_as_it_is_narrowed(make_log: MakeLog) -> None:
    log = make_log([*TWO, deposit("b", 1)]).where(stream="a")
    assert classes(log.diff(BALANCE, model([{"stream_id": "a", "balance": 12}]))) == {"a": "match"}


def test_a_log_without_times_and_a_log_without_events(make_log: MakeLog) -> None:
    stored = model([{"stream_id": "a", "balance": 5}])
    row = only(make_log([deposit("a", 5), deposit("a", 7)]).diff(BALANCE, stored))
    assert (row["class"], row["lag_events"], row["lag_time"]) == ("stale", 1, None)
    assert classes(make_log([]).diff(BALANCE, stored)) == {"a": "orphaned"}


def test_an_empty_read_model(make_log: MakeLog) -> None:
    empty = wb.read_model(
        pa.table({"stream_id": pa.array([], pa.string()), "balance": pa.array([], pa.int64())})
    )
    diff = make_log(TWO).diff(BALANCE, empty)
    assert classes(diff) == {"a": "missing"}
    assert classes(make_log([]).diff(BALANCE, empty)) == {}
    assert repr(make_log([]).diff(BALANCE, empty))


# -- folds ---------------------------------------------------------------------------------------


def add(balance: Decimal, amount: Decimal) -> Decimal:
    return balance + amount


FOLD = wb.Fold("balance", Decimal(0), {"Deposited": add}, ends="Closed")


def test_a_fold_is_compared_as_a_projection_is(make_log: MakeLog) -> None:
    events = [{**one, "stream_id": stream} for stream in "abcd" for one in TWO]
    events.append({"stream_id": "d", "event_type": "Closed", "recorded_at": minute(9)})
    rows = [
        {"stream_id": stream, "balance": balance}
        for stream, balance in zip("abdx", (12, 5, 12, 1), strict=True)
    ]
    log = make_log(events)
    by_fold, by_projection = (log.diff(one, model(rows)).rows() for one in (FOLD, BALANCE))
    assert by_fold == by_projection
    assert {row["stream_id"]: row["class"] for row in by_fold} == {
        "a": "match", "b": "stale", "c": "missing", "d": "stale", "x": "orphaned",
    }  # fmt: skip


def test_a_fold_that_has_no_rows_yet(make_log: MakeLog) -> None:
    diff = make_log(TWO).diff(FOLD, model([{"stream_id": "a", "balance": 5}]), minute(0))
    assert classes(diff) == {"a": "orphaned"}


# -- where read models come from -----------------------------------------------------------------


def stored_in(form: str, folder: Path) -> Any:
    rows = {"stream_id": ["a", "b"], "balance": [Decimal("12.10"), Decimal("5.25")]}
    rows_in_arrow = pa.table(rows)
    floats = rows_in_arrow.set_column(1, "balance", rows_in_arrow["balance"].cast(pa.float64()))
    match form:
        case "Arrow":
            return rows_in_arrow
        case "DataFrame of Decimals":
            return pd.DataFrame(rows)
        case "DataFrame of floats":
            return pd.DataFrame(floats.to_pydict())
        case "DataFrame of text":
            return pd.DataFrame({**rows, "balance": ["12.10", "5.250"]})
        case "DataFrame with an index":
            return pd.DataFrame(rows).set_index("stream_id")
        case "Parquet":
            duckdb.sql("FROM rows_in_arrow").write_parquet(str(folder / "m.parquet"))
            return folder / "m.parquet"
        case "CSV":
            duckdb.sql("FROM rows_in_arrow").write_csv(str(folder / "m.csv"))
            return str(folder / "m.csv")
        case "DuckDB":
            with duckdb.connect(str(folder / "m.duckdb")) as con:
                con.execute("CREATE TABLE m AS FROM floats")
            return folder / "m.duckdb"
        case "relation":
            return duckdb.sql("FROM rows_in_arrow")
    raise AssertionError(form)


@pytest.mark.parametrize(
    "form",
    [
        "Arrow", "DataFrame of Decimals", "DataFrame of floats", "DataFrame of text",
        "DataFrame with an index", "Parquet", "CSV", "DuckDB", "relation",
    ],
)  # fmt: skip
def test_read_models_in_every_form(make_log: MakeLog, tmp_path: Path, form: str) -> None:
    options = {"table": "m"} if form == "DuckDB" else {}
    stored = wb.read_model(stored_in(form, tmp_path), **options)
    log = make_log([deposit("a", "12.10"), deposit("b", "5.25"), deposit("b", "1")])
    assert classes(log.diff(BALANCE, stored)) == {"a": "match", "b": "stale"}


def test_a_result_is_a_read_model(make_log: MakeLog) -> None:
    log = make_log(TWO)
    assert classes(log.diff(BALANCE, wb.read_model(log.replay(FOLD)))) == {"a": "match"}
    assert classes(log.diff(BALANCE, wb.read_model(log.replay(BALANCE, position=1)))) == {
        "a": "stale"
    }


def test_a_query_is_a_read_model(make_log: MakeLog, tmp_path: Path) -> None:
    stored_in("DuckDB", tmp_path)
    stored = wb.read_model(tmp_path / "m.duckdb", query="SELECT * FROM m WHERE stream_id = 'a'")
    assert classes(make_log([deposit("a", "12.1")]).diff(BALANCE, stored)) == {"a": "match"}


def test_csv_guesses_no_types(make_log: MakeLog, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("stream_id,balance\n007,12345678901234567.89\n08,\n")
    log = make_log([deposit("007", "12345678901234567.89"), deposit("08", "0.1")])
    diff = log.diff(BALANCE, wb.read_model(tmp_path / "m.csv"))
    assert classes(diff) == {"007": "match", "08": "corrupted"}


def test_whole_numbers_are_keys_too(make_log: MakeLog) -> None:
    assert classes(
        make_log([deposit("5", 1)]).diff(BALANCE, model([{"stream_id": 5, "balance": 1}]))
    ) == {"5": "match"}


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda folder: wb.read_model(folder / "gone.parquet"), ConfigError, "does not exist"),
        (lambda folder: wb.read_model(folder / "bad.parquet"), SourceError, "cannot be read"),
        (lambda folder: wb.read_model(folder / "bad.txt"), ConfigError, "is read from .duckdb"),
        (lambda folder: wb.read_model(folder / "m.duckdb"), ConfigError, "say which table"),
        (lambda folder: wb.read_model(folder / "m.duckdb", table="n"), ConfigError, "n does not exist"),
        (lambda folder: wb.read_model(42), ConfigError, "int is no place"),
        (lambda folder: model([{"stream_id": "a", "balance": 1}, {"stream_id": "b", "balance": "x"}]),
         ConfigError, "cannot be read as a table"),
        (lambda folder: model([{"stream_id": None, "balance": 1}]), ConfigError, "is NULL"),
        (lambda folder: model([{"stream_id": "a", "balance": 1}] * 2), ConfigError, "2 rows with the key a"),
        (lambda folder: model([{"id": "a", "balance": 1}]), ConfigError, "has no column 'stream_id'"),
        (lambda folder: model([{"stream_id": "a", "x": 1}]), ConfigError, "no column in common"),
        (lambda folder: model([{"stream_id": "a", "x": 1}], columns={"y": "balance"}), ConfigError, "no column 'y'"),
        (lambda folder: model([{"stream_id": "a", "x": 1, "balance": 2}], columns={"x": "balance"}), ConfigError,
         "more than one column 'balance'"),
        (lambda folder: model([{"stream_id": "a", "balance": 1}], version="v"), ConfigError, "no column 'v'"),
        (lambda folder: wb.read_model([], version="v", position="p"), ConfigError, "one checkpoint"),
        (lambda folder: wb.read_model("x.duckdb", table="t", query="q"), ConfigError, "not both"),
        (lambda folder: model([{"stream_id": "a", "balance": 1, "v": "one"}], version="v"), ConfigError, "whole number"),
        (lambda folder: wb.read_model([], position=-5), ConfigError, "count from 1"),
        (lambda folder: wb.read_model([], timezone="Europe/Madird"), ConfigError, "no time zone 'Europe/Madird'"),
    ],
)  # fmt: skip
def test_read_models_that_cannot_be_read(
    make_log: MakeLog, tmp_path: Path, make: Any, error: type[Exception], says: str
) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "bad.txt").write_text("x")
    stored_in("DuckDB", tmp_path)
    log = make_log(TWO)
    with pytest.raises(error, match=says):
        log.diff(BALANCE, make(tmp_path))


def test_what_is_no_definition(make_log: MakeLog) -> None:
    with pytest.raises(ProjectionError, match="is no definition"):
        make_log(TWO).diff("balance", model([]))  # type: ignore[arg-type]  # that is the point


# -- values --------------------------------------------------------------------------------------

ROWS = wb.Projection(
    "rows",
    {
        "x": wb.latest("x", type="decimal"),
        "s": wb.latest("s"),
        "at": wb.latest("event.recorded_at"),
    },
)


def test_null_is_equal_to_null_and_to_nothing_else(make_log: MakeLog) -> None:
    log = make_log([{"stream_id": stream, "data": data} for stream, data in
                    (("a", "{}"), ("b", "{}"), ("c", '{"x": 0}'), ("d", '{"s": ""}'))])  # fmt: skip
    rows = [
        {"stream_id": "a", "x": None, "s": None}, {"stream_id": "b", "x": 0, "s": None},
        {"stream_id": "c", "x": None, "s": None}, {"stream_id": "d", "x": None, "s": None},
    ]  # fmt: skip
    diff = log.diff(ROWS, model(rows))
    assert {row["stream_id"]: row["columns"] for row in diff.rows()} == {
        "a": [], "b": ["x"], "c": ["x"], "d": ["s"],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["abc", "", "1,000", "12 EUR", "NaN", "0x0C"])
def test_text_that_is_no_number_is_a_difference_never_an_equality(
    make_log: MakeLog, text: str
) -> None:
    log = make_log([{"stream_id": "a", "data": "{}"}, {"stream_id": "a", "data": '{"x": 12}'}])
    row = only(log.diff(ROWS, model([{"stream_id": "a", "x": text}])))
    # Neither the state in which x was NULL nor the present one.
    assert (row["class"], row["columns"], row["stored_x"]) == ("corrupted", ["x"], text)


@pytest.mark.parametrize(
    ("stored", "tolerance", "kind"),
    [
        (12.34, None, "match"), (12.341, None, "corrupted"), (12.341, 0.01, "match"),
        (12.35, Decimal("0.01"), "match"), (12.36, Decimal("0.01"), "corrupted"), ("12.33", 0.01, "match"),
        (None, 100, "stale"), (10**6, 10**7, "match"),
    ],
)  # fmt: skip
def test_tolerance_of_numbers(make_log: MakeLog, stored: Any, tolerance: Any, kind: str) -> None:
    log = make_log([{"stream_id": "a", "data": "{}"}, {"stream_id": "a", "data": '{"x": 12.34}'}])
    options = {} if tolerance is None else {"tolerance": {"x": tolerance}}
    diff = log.diff(ROWS, model([{"stream_id": "a", "x": stored}]), **options)
    assert classes(diff) == {"a": kind}


@pytest.mark.parametrize(
    ("stored", "options", "kind"),
    [
        (minute(1), {}, "match"),
        (minute(2), {}, "corrupted"),
        (minute(2), {"tolerance": {"at": dt.timedelta(minutes=1)}}, "match"),
        (minute(1).replace(tzinfo=None), {"timezone": "UTC"}, "match"),
        (dt.datetime(2026, 1, 1, 1, 1), {"timezone": "Europe/Madrid"}, "match"),  # noqa: DTZ001
        ("2026-01-01T01:01+01:00", {}, "match"),
        ("2026-01-01 00:01", {"timezone": "UTC"}, "match"),
        ("2026-01-01 00:01", {"timezone": "Europe/Madrid"}, "corrupted"),
        ("soon", {}, "corrupted"),
        (dt.date(2026, 1, 1), {"timezone": "UTC"}, "corrupted"),
    ],
)
def test_times(make_log: MakeLog, stored: Any, options: dict[str, Any], kind: str) -> None:
    log = make_log([{"stream_id": "a", "recorded_at": minute(1)}])
    tolerance = options.pop("tolerance", None)
    diff = log.diff(ROWS, model([{"stream_id": "a", "at": stored}], **options), tolerance=tolerance)
    assert classes(diff) == {"a": kind}


@pytest.mark.parametrize(
    "naive",
    [dt.datetime(2026, 1, 1), dt.date(2026, 1, 1), "2026-01-01 00:01", "2026-01-01"],  # noqa: DTZ001
)
def test_naive_times_need_a_zone(make_log: MakeLog, naive: Any) -> None:
    log = make_log([{"stream_id": "a", "recorded_at": minute(1)}])
    with pytest.raises(ConfigError, match="says no time zone") as failure:
        log.diff(ROWS, model([{"stream_id": "a", "at": naive}]))
    assert "timezone='UTC'" in str(failure.value)


@pytest.mark.parametrize(
    ("tolerance", "says"),
    [
        ({"y": 1}, "no column that is compared"), ({"x": -1}, "is negative"),
        ({"x": dt.timedelta(1)}, "wants a number"), ({"at": 5}, "wants a timedelta"),
        ({"at": -dt.timedelta(1)}, "is negative"), (0.01, "wants the columns' names"),
    ],
)  # fmt: skip
def test_tolerances_that_make_no_sense(make_log: MakeLog, tolerance: Any, says: str) -> None:
    log = make_log([{"stream_id": "a", "recorded_at": minute(1)}])
    with pytest.raises(ConfigError, match=says):
        log.diff(ROWS, model([{"stream_id": "a", "x": 1, "at": minute(1)}]), tolerance=tolerance)


def test_lists_are_compared_value_by_value(make_log: MakeLog) -> None:
    projection = wb.Projection("p", {"x": wb.collect("x", type="decimal"), "s": wb.collect("s")})
    log = make_log([{"stream_id": one, "data": {"x": 1.5, "s": "a"}} for one in "abc"])
    table = pa.table(
        {"stream_id": ["a", "b", "c"], "x": [[1.5], [1.5, 2.0], [1.5]], "s": [["a"], ["a"], ["b"]]}
    )
    diff = log.diff(projection, wb.read_model(table))
    assert {row["stream_id"]: row["columns"] for row in diff.rows()} == {
        "a": [],
        "b": ["x"],
        "c": ["s"],
    }


# -- columns -------------------------------------------------------------------------------------


def test_columns_of_one_side_alone_are_told(make_log: MakeLog) -> None:
    diff = make_log(TWO).diff(account(), model([{"stream_id": "a", "balance": 12, "extra": 1}]))
    assert diff.compared == ("balance",)
    assert "not compared, since the read model has no such column: moves, status" in diff.notes
    assert "not compared, since 'account' does not define them: extra" in diff.notes


def test_columns_may_have_other_names(make_log: MakeLog) -> None:
    stored = model([{"id": "a", "saldo": 12}], columns={"id": "stream_id", "saldo": "balance"})
    assert classes(make_log(TWO).diff(BALANCE, stored)) == {"a": "match"}


# -- looking at it -------------------------------------------------------------------------------


@pytest.fixture
def mixed(make_log: MakeLog) -> Any:
    events = [{**one, "stream_id": stream} for stream in "abcd" for one in TWO]
    rows = [
        {"stream_id": stream, "balance": balance}
        for stream, balance in zip("abcx", (12, 5, 99, 1), strict=True)
    ]
    return make_log(events).diff(BALANCE, model(rows, name="account_summary"))


def test_counts_and_shares(mixed: Any) -> None:
    assert mixed.counts == {
        "match": 1, "stale": 1, "missing": 1, "orphaned": 1, "corrupted": 1, "ahead": 0,
    }  # fmt: skip
    assert [row["share"] for row in mixed.summary().rows()] == [0.2] * 5 + [0.0]


def test_rows_of_some_classes(mixed: Any) -> None:
    assert {row["stream_id"] for row in mixed.of("stale", "missing").rows()} == {"b", "d"}
    with pytest.raises(ConfigError, match="Did you mean 'corrupted'"):
        mixed.of("corupted")


def test_cells_that_differ(mixed: Any) -> None:
    assert {tuple(row.values()) for row in mixed.cells().rows()} == {
        ("b", "stale", "balance", "5", "12.00"), ("c", "corrupted", "balance", "99", "12.00"),
    }  # fmt: skip
    assert mixed.by_column().rows() == [
        {"column_name": "balance", "class": "corrupted", "rows": 1},
        {"column_name": "balance", "class": "stale", "rows": 1},
    ]


def test_each_row_leads_to_its_events(mixed: Any) -> None:
    assert [row["position"] for row in mixed.events("b").rows()] == [3, 4]
    assert mixed.events("x").rows() == []
    with pytest.raises(ConfigError, match="2 values were given"):
        mixed.events("a", "b")


def test_the_events_of_a_row_by_payload(make_log: MakeLog) -> None:
    log = make_log(
        [{"stream_id": s, "data": {"order": {"id": o}, "n": 1}} for s, o in ("ax", "by", "cx")]
    )
    projection = wb.Projection("p", {"n": wb.total("n")}, key={"order_id": "order.id"})
    diff = log.diff(projection, model([{"order_id": "x", "n": 9}, {"order_id": "y", "n": 1}]))
    assert [row["stream_id"] for row in diff.events("x").rows()] == ["a", "c"]


def test_it_says_what_it_found_and_how_to_go_on(mixed: Any) -> None:
    for shown in (repr(mixed), mixed._repr_html_()):
        assert "account_summary against the replay of balance" in shown
        assert "corrupted" in shown
        assert ".cells()" in shown
    assert "match 1   stale 1   missing 1   orphaned 1   corrupted 1" in repr(mixed)


def test_hostile_keys_and_values_are_only_shown(make_log: MakeLog) -> None:
    hostile = "<script>alert(1)</script>\x1b[2J'; DROP TABLE events; --"
    log = make_log([{"stream_id": hostile, "data": {"x": 1, "s": hostile}}])
    diff = log.diff(ROWS, model([{"stream_id": hostile, "x": None, "s": "<b>"}], name=hostile))
    for table in (diff, diff.cells(), diff.of("corrupted"), diff.events(hostile), diff.by_column()):
        assert len(table) >= 1
        assert "<script" not in table._repr_html_()
        assert "\x1b" not in repr(table) + table._repr_html_()
    cells = diff.of("corrupted")._repr_html_()
    assert "NULL" in cells
    assert "&lt;b&gt;" in cells


def test_what_is_made_from_a_diff_outlives_it(make_log: MakeLog) -> None:
    log = make_log(TWO)
    cells = log.diff(BALANCE, model([{"stream_id": "a", "balance": 5}])).cells()
    assert len(cells) == 1
    relation = log.diff(BALANCE, model([{"stream_id": "a", "balance": 5}])).relation
    assert len(relation.fetchall()) == 1


def test_nothing_is_left_in_the_workspace(make_log: MakeLog) -> None:
    log = make_log(TWO)
    for _ in range(3):
        log.diff(BALANCE, model([{"stream_id": "a", "balance": 5}])).cells().rows()
        log.replay(FOLD).rows()
    left = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'memory'"
    assert log.sql(left).rows() == []


def test_a_stale_row_says_since_when(make_log: MakeLog) -> None:
    log = make_log([deposit("a", 5, 1), deposit("a", 1, 2), deposit("a", 1, 9)])
    row = log.diff(BALANCE, model([{"stream_id": "a", "balance": 5}])).row("a")
    assert (row["class"], row["stale_since"]) == ("stale", minute(2))
    assert row["lag_time"] == minute(9) - minute(1)


def test_a_row_is_found_by_its_key(make_log: MakeLog) -> None:
    diff = make_log(TWO).diff(BALANCE, model([{"stream_id": "a", "balance": 5}]))
    assert diff.row("a")["stream_id"] == "a"
    with pytest.raises(ConfigError, match="has a row nobody"):
        diff.row("nobody")
    with pytest.raises(ConfigError, match="2 values were given"):
        diff.row("a", "b")
