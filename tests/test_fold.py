"""Fold: ordinary Python over events; what a handler is given, what it may do, and how it fails."""

from __future__ import annotations

import datetime as dt
import gc
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog
from tests.oracle import minute
from workbench.errors import ProjectionError, ReplayError


def event(stream: str, data: Any = None, kind: str = "Happened", **columns: Any) -> dict[str, Any]:
    return {"stream_id": stream, "event_type": kind, "data": data, **columns}


def replayed(log: wb.EventLog, fold: wb.Fold, **moment: Any) -> dict[str, Any]:
    return {row["stream_id"]: row[fold.name] for row in log.replay(fold, **moment).rows()}


def add(balance: Decimal, amount: Decimal) -> Decimal:
    return balance + amount


# -- what a handler is given ---------------------------------------------------------------------


def test_parameters_are_fields_by_name_typed_by_annotation(make_log: MakeLog) -> None:
    given: list[Any] = []

    def seen(state: int, amount: Decimal, n: int, name: str, ok: bool, at: dt.datetime) -> int:
        given.append([amount, n, name, ok, at])
        return state + 1

    data = '{"amount": 1.10, "n": 3, "name": "Zoë", "ok": true, "at": "2026-01-01T02:00+02:00"}'
    log = make_log([event("a", data)])
    log.replay(wb.Fold("f", 0, {"Happened": seen}))
    assert given == [[Decimal("1.10"), 3, "Zoë", True, minute(0)]]
    assert [type(value) for value in given[0]] == [Decimal, int, str, bool, dt.datetime]
    assert given[0][4].utcoffset() == dt.timedelta(0)


def test_an_optional_annotation_is_the_type_in_it(make_log: MakeLog) -> None:
    def seen(state: Any, amount: Decimal | None) -> Any:
        return amount

    log = make_log([event("a", '{"amount": 7}')])
    assert replayed(log, wb.Fold("f", None, {"Happened": seen})) == {"a": 7}


def test_columns_of_the_event_have_their_own_types(make_log: MakeLog) -> None:
    def seen(state: Any, version: int, occurred_at: dt.datetime, stream_id: str) -> list[str]:
        return [f"{version} {occurred_at} {stream_id}"]

    log = make_log([event("a", occurred_at=minute(5))])
    found = replayed(log, wb.Fold("f", list, {"Happened": seen}))
    assert found == {"a": ["1 2026-01-01 00:05:00+00:00 a"]}


def test_what_is_absent_or_null_is_none(make_log: MakeLog) -> None:
    given: list[Any] = []

    def seen(state: int, amount: Decimal, occurred_at: dt.datetime) -> int:
        given.append((amount, occurred_at))
        return state

    log = make_log([event("a", "{}"), event("a", '{"amount": null}'), event("a"), event("a", "[]")])
    log.replay(wb.Fold("f", 0, {"Happened": seen}))
    assert given == [(None, None)] * 4


def test_a_field_that_is_called_otherwise(make_log: MakeLog) -> None:
    def seen(state: str, customer: str) -> str:
        return customer

    fold = wb.Fold("f", "", {"Happened": seen}, fields={"customer": "customer.id"})
    assert replayed(make_log([event("a", {"customer": {"id": "c-7"}})]), fold) == {"a": "c-7"}


def test_a_handler_may_take_the_whole_event(make_log: MakeLog) -> None:
    given: list[Any] = []

    def seen(state: int, event: Any) -> int:
        given.append(event)
        return state

    data = '{"amount": 12345678901234567.89, "n": 123456789012345678901234567890}'
    log = make_log([event("a", data, metadata={"user": "ann"}, recorded_at=minute(3))])
    log.replay(wb.Fold("f", 0, {"Happened": seen}))
    (one,) = given
    assert (one.stream_id, one.version, one.position, one.type) == ("a", 1, 1, "Happened")
    assert one.data["amount"] == Decimal("12345678901234567.89")
    assert one.data["n"] == 123456789012345678901234567890
    assert one.metadata == {"user": "ann"}
    assert (one.recorded_at, one.occurred_at) == (minute(3), None)


def test_a_payload_that_is_not_there_is_none_for_a_whole_event(make_log: MakeLog) -> None:
    fold = wb.Fold("f", "", {"Happened": lambda state, event: repr(event.data)})
    assert replayed(make_log([event("a")]), fold) == {"a": "None"}


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(
    "amount",
    ["1.10", "12345678901234567.89", "1.000000000000000001", "-0.0001", "1e3", '"41943.04"', "-5"],
)
def test_decimals_are_exact(make_log: MakeLog, amount: str, prepared: bool) -> None:
    log = make_log([event("a", f'{{"amount": {amount}}}')])
    fold = wb.Fold("f", Decimal(0), {"Happened": add})
    if prepared:
        log.prepare(fold)
    assert replayed(log, fold) == {"a": Decimal(amount.strip('"'))}


def test_sums_are_exact_beyond_the_28_digits_of_python(make_log: MakeLog) -> None:
    big, small = "12345678901234567890", "0.123456789012345678"
    log = make_log([event("a", f'{{"amount": "{one}"}}') for one in (big, small)])
    assert replayed(log, wb.Fold("f", Decimal(0), {"Happened": add})) == {
        "a": Decimal("12345678901234567890.123456789012345678")
    }


# -- states --------------------------------------------------------------------------------------


@dataclass
class Account:
    balance: Decimal = Decimal(0)
    moves: list[str] = field(default_factory=list)


def moved(account: Account, amount: Decimal) -> None:
    account.balance += amount
    account.moves.append("moved")


def test_a_state_may_be_changed_in_place_or_returned(make_log: MakeLog) -> None:
    def replaced(account: Account, amount: Decimal) -> Account:
        return Account(amount, [*account.moves, "set"])

    log = make_log([event("a", {"amount": 5}), event("a", {"amount": 7}, "Set")])
    (row,) = log.replay(wb.Fold("f", Account, {"Happened": moved, "Set": replaced})).rows()
    assert (row["balance"], row["moves"]) == (7, ["moved", "set"])


@pytest.mark.parametrize("initial", [{"items": []}, Account(), [], {"deep": {"items": []}}])
def test_no_two_rows_share_a_state_that_was_given_as_a_value(
    make_log: MakeLog, initial: Any
) -> None:
    def noted(state: Any, n: int) -> None:
        match state:
            case {"deep": deep}:
                deep["items"].append(n)
            case dict():
                state["items"].append(n)
            case Account():
                state.moves.append(str(n))
            case _:
                state.append(n)

    fold = wb.Fold("f", initial, {"Happened": noted}, ends="Closed")
    log = make_log(
        [event("a", {"n": 1}), event("b", {"n": 2}), event("c", {"n": 3}), event("c", kind="Closed"),
         event("c", {"n": 4})]
    )  # fmt: skip
    column = {"Account": "moves", "list": "f"}.get(type(initial).__name__) or next(iter(initial))
    found = {row["stream_id"]: str(row[column]) for row in log.replay(fold).rows()}
    assert [digit for key in "abc" for digit in found[key] if digit.isdigit()] == ["1", "2", "4"]
    assert log.replay(fold).rows() == log.replay(fold).rows()


def test_a_scalar_state_is_a_column_called_as_the_fold(make_log: MakeLog) -> None:
    fold = wb.Fold("events_seen", 0, {"Happened": lambda n: n + 1})
    assert make_log([event("a"), event("a")]).replay(fold).rows() == [
        {"stream_id": "a", "events_seen": 2, "version": 2, "position": 2, "events": 2}
    ]


def test_states_whose_columns_come_and_go(make_log: MakeLog) -> None:
    fold = wb.Fold("f", dict, {"X": lambda s: {"x": 1}, "Y": lambda s: {"y": "y"}})
    found = make_log([event("a", kind="X"), event("b", kind="Y")]).replay(fold).rows()
    assert [(row["stream_id"], row["x"], row["y"]) for row in found] == [
        ("a", 1, None), ("b", None, "y"),
    ]  # fmt: skip


def test_whole_numbers_and_decimals_in_one_column_are_decimals(make_log: MakeLog) -> None:
    def set_to(state: dict[str, Any], amount: Decimal) -> None:
        state["balance"] = amount

    fold = wb.Fold("f", {"balance": 0}, {"Set": set_to, "Opened": lambda state: None})
    log = make_log(
        [event("a", kind="Opened"), event("b", {"amount": "1.5"}, "Set"),
         event("c", {"amount": "1000000000000000000.25"}, "Set")]
    )  # fmt: skip
    result = log.replay(fold)
    assert {row["stream_id"]: row["balance"] for row in result.rows()} == {
        "a": 0, "b": Decimal("1.5"), "c": Decimal("1000000000000000000.25"),
    }  # fmt: skip
    assert str(result.arrow().schema.field("balance").type) == "decimal128(38, 18)"


def test_whole_numbers_beyond_64_bits(make_log: MakeLog) -> None:
    fold = wb.Fold("f", 1, {"Happened": lambda n: n * 10**12})
    assert replayed(make_log([event("a"), event("a")]), fold) == {"a": 10**24}


def test_a_fold_whose_streams_have_no_events_yet_has_its_columns(make_log: MakeLog) -> None:
    log = make_log([event("a", {"amount": 1}, recorded_at=minute(5))])
    empty = log.replay(wb.Fold("f", Account, {"Happened": moved}), minute(0))
    assert empty.columns == ("stream_id", "balance", "moves", "version", "position", "events")
    assert empty.rows() == []


def test_many_events_of_one_row_go_over_the_edge_of_a_batch(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.projections.engines.fold_input.BATCH_ROWS", 2048)
    log = make_log([event(f"s{n % 3}", {"amount": n}) for n in range(9000)])
    found = replayed(log, wb.Fold("f", Decimal(0), {"Happened": add}))
    assert found == {f"s{part}": sum(range(part, 9000, 3)) for part in range(3)}


def test_the_collector_is_as_it_was_also_after_a_failure(make_log: MakeLog) -> None:
    fold = wb.Fold("f", 0, {"Happened": lambda state: 1 // 0})
    with pytest.raises(ReplayError):
        make_log([event("a")]).replay(fold)
    assert gc.isenabled()


# -- failing -------------------------------------------------------------------------------------


def test_a_failing_handler_is_told_with_its_event(make_log: MakeLog) -> None:
    def refused(balance: Decimal, amount: Decimal) -> Decimal:
        if amount > balance:
            message = "lack of funds"
            raise RuntimeError(message)
        return balance - amount

    fold = wb.Fold("f", Decimal(10), {"Withdrew": refused})
    events = [
        event("a", {"amount": 3}, "Withdrew"),
        event("b", {"amount": 11}, "Withdrew", version=7),
    ]
    with pytest.raises(ReplayError) as failure:
        make_log(events).replay(fold)
    message = str(failure.value)
    for part in ("fold 'f'", "Withdrew", "RuntimeError: lack of funds", "stream 'b'", "version 7",
                 "position 2", "test 1", "position = 2"):  # fmt: skip
        assert part in message
    assert failure.value.event == {
        "position": 2, "stream_id": "b", "version": 7, "event_type": "Withdrew",
    }  # fmt: skip
    assert isinstance(failure.value.__cause__, RuntimeError)


@pytest.mark.parametrize("verb", ["replay", "history"])
@pytest.mark.parametrize("ends", [None, "Closed"])
@pytest.mark.parametrize("bad", [0, 3, 6])
def test_the_event_that_is_named_is_the_one_that_failed(
    make_log: MakeLog, verb: str, ends: str | None, bad: int
) -> None:
    def odd(state: int, n: int) -> int:
        if n == bad:
            raise ValueError
        return state

    log = make_log([event(f"s{n % 2}", {"n": n}) for n in range(7)])
    with pytest.raises(ReplayError) as failure:
        getattr(log, verb)(wb.Fold("f", 0, {"Happened": odd}, ends=ends))
    assert failure.value.event["position"] == bad + 1  # type: ignore[index]  # a dictionary


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Decimal, '"abc"'), (Decimal, '"NaN"'), (Decimal, "NaN"), (Decimal, '"1_000"'),
        (Decimal, "true"), (Decimal, "[1]"), (Decimal, '" 1"'), (Decimal, r'"\u0661"'), (int, "1.5"),
        (int, "99999999999999999999"), (bool, '"yes"'), (bool, "1"),
        (dt.datetime, '"2026-01-01T00:00"'), (dt.datetime, '"never"'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prepared", [False, True])
def test_a_value_that_does_not_fit_is_refused_never_changed(
    make_log: MakeLog,
    annotation: Any,
    value: str,
    prepared: bool,
) -> None:
    def handler(state: int, x: Any) -> int:
        raise AssertionError(x)

    handler.__annotations__["x"] = annotation
    log = make_log([event("a", f'{{"x": {value}}}')])
    fold = wb.Fold("f", 0, {"Happened": handler})
    if prepared:
        log.prepare(fold)
    with pytest.raises(
        ReplayError, match=r"x = .* is no (decimal|integer|boolean|time)"
    ) as failure:
        log.replay(fold)
    assert "stream 'a', version 1, position 1 (test 0)" in str(failure.value)


def test_a_value_that_no_handler_is_given_may_be_what_it_likes(make_log: MakeLog) -> None:
    fold = wb.Fold("f", Decimal(0), {"Happened": add, "Opened": lambda state: state})
    log = make_log([event("a", {"amount": "n/a"}, "Opened"), event("a", {"amount": 5})])
    assert replayed(log, fold) == {"a": 5}


def test_not_a_number_in_a_whole_event_is_refused(make_log: MakeLog) -> None:
    fold = wb.Fold("f", 0, {"Happened": lambda state, event: event.data["x"]})
    with pytest.raises(ReplayError, match="NaN in the payload is no number"):
        make_log([event("a", '{"x": NaN}')]).replay(fold)


@pytest.mark.parametrize(
    "state",
    [
        Decimal(1) / Decimal(3), Decimal("NaN"), Decimal(10) ** 30, object(),
        dt.datetime(2026, 1, 1), "mixed", 1 + 2j,  # noqa: DTZ001
    ],
)  # fmt: skip
def test_a_state_that_is_no_column_is_told_with_its_name(make_log: MakeLog, state: Any) -> None:
    def become(old: dict[str, Any], n: int) -> dict[str, Any]:
        return {"odd": 1 if state == "mixed" and n else state}

    fold = wb.Fold("f", {"odd": None}, {"Happened": become})
    with pytest.raises(ReplayError, match="fold 'f': 'odd' cannot be a column"):
        make_log([event("a", {"n": 0}), event("b", {"n": 1})]).replay(fold).rows()


# -- declaring -----------------------------------------------------------------------------------


def test_a_fold_without_handlers() -> None:
    with pytest.raises(ProjectionError, match="no handlers"):
        wb.Fold("f", 0, {})


def test_a_handler_that_is_no_function() -> None:
    with pytest.raises(ProjectionError, match="handler of Happened is str, not a function"):
        wb.Fold("f", 0, {"Happened": "add"})  # type: ignore[dict-item]  # that is the point


def test_a_handler_without_a_state() -> None:
    with pytest.raises(ProjectionError, match="takes no state"):
        wb.Fold("f", 0, {"Happened": lambda: 1})


def test_an_annotation_that_no_field_can_have() -> None:
    def handler(state: int, items: list[str]) -> int:
        return state

    with pytest.raises(ProjectionError, match="parameter 'items' is annotated"):
        wb.Fold("f", 0, {"Happened": handler})


def test_an_initial_state_that_cannot_be_made() -> None:
    def make(opening: int) -> int:
        return opening

    with pytest.raises(ProjectionError, match="initial makes no state: TypeError"):
        wb.Fold("f", make, {"Happened": lambda state: state})


@pytest.mark.parametrize("name", ["version", "Position", "stream_id", "valid_from"])
def test_a_state_with_a_column_of_the_replay(name: str) -> None:
    with pytest.raises(ProjectionError, match=f"cannot be called '{name}'"):
        wb.Fold("f", {name: 0}, {"Happened": lambda state: state})


def test_a_state_that_grows_a_column_of_the_replay(make_log: MakeLog) -> None:
    fold = wb.Fold("f", dict, {"Happened": lambda state: {"version": 1}})
    with pytest.raises(ProjectionError, match="cannot be called 'version'"):
        make_log([event("a")]).replay(fold)


def test_what_is_no_definition(make_log: MakeLog) -> None:
    log = make_log([event("a")])
    for verb in (log.replay, log.history, log.prepare):
        with pytest.raises(ProjectionError, match="dict is no definition of rows"):
            verb({"balance": "sum"})  # type: ignore[operator,arg-type]  # that is the point
