"""Typed columns: the same answers without parsing JSON; the payload stays the truth."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog, Written
from workbench.errors import MomentError, ProjectionError

VALUES = wb.Projection(
    "p",
    {
        "amount": wb.latest("amount", type="decimal"),
        "whole": wb.latest("whole", type="integer"),
        "name": wb.latest("name"),
        "ok": wb.latest("ok", type="boolean"),
        "at": wb.latest("at", type="time"),
        "list": wb.latest("list", type="json"),
        "user": wb.latest("metadata.user.id"),
    },
)
DATA = '{"amount": 1.10, "whole": 3.0, "name": "Zoë", "ok": true, "at": "2026-01-01T02:00+02:00", "list": [1.10]}'


def event(data: str = DATA, **columns: Any) -> dict[str, Any]:
    return {"stream_id": "a", "data": data, "metadata": '{"user": {"id": "u1"}}', **columns}


def row(log: wb.EventLog, definition: wb.Projection = VALUES) -> dict[str, Any]:
    (found,) = log.replay(definition).rows()
    return found


def test_fields_get_columns_of_their_own_types(make_log: MakeLog) -> None:
    log = make_log([event()])
    before = row(log)
    assert before == {
        "stream_id": "a", "amount": Decimal("1.1"), "whole": 3, "name": "Zoë", "ok": True,
        "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "list": "[1.10]", "user": "u1",
        "version": 1, "position": 1, "events": 1,
    } | {"list": before["list"]}  # fmt: skip
    assert log.prepare(VALUES) == [
        "data.amount::decimal", "data.whole::integer", "data.name::text", "data.ok::boolean",
        "data.at::time", "metadata.user.id::text",
    ]  # fmt: skip
    assert row(log) == before
    assert "json_extract_string(data" not in log.replay(VALUES).sql


def test_preparing_twice_makes_no_column_twice(make_log: MakeLog) -> None:
    log = make_log([event()])
    log.prepare(VALUES)
    assert log.prepare(VALUES) == []


def test_the_log_says_the_same_with_typed_columns(make_log: MakeLog) -> None:
    log = make_log([event()])
    before = log.fingerprint()
    log.prepare(VALUES)
    assert log.fingerprint() == before


def test_columns_are_filled_in_the_base_and_in_the_tail(tmp_path: Path) -> None:
    events = [event(f'{{"amount": {n}}}', event_id=f"e{n}", stream_id=f"s{n}") for n in range(6)]
    with wb.open(tmp_path / "log.duckdb") as log:
        log.load(Written(events[:2]), progress=False)
        log.settle()
        log.load(Written(events[:4]), progress=False)
        log.prepare(VALUES)
        log.load(Written(events), progress=False)
    with wb.open(tmp_path / "log.duckdb") as log:
        typed = log.sql('SELECT "data.amount::decimal" AS n FROM events ORDER BY position')
        assert [found["n"] for found in typed.rows()] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "amount",
    [
        "1.12345", "123456789012345.6789", "12345678901234567890", "1.000000000000000001",
        "99999999999999.9999", "100000000000000", "-0.00001", "1e5", "1.50000000",
    ],
)  # fmt: skip
def test_amounts_of_any_size_are_exact(make_log: MakeLog, amount: str, late: bool) -> None:
    """A narrow column is widened when a value does not fit, before or after it was made."""
    first = [event('{"amount": 0.25}', event_id="e1")]
    odd = event(f'{{"amount": {amount}}}', event_id="e2")
    log = make_log(first if late else [*first, odd])
    total = wb.Projection("p", {"x": wb.total("amount")})
    log.prepare(total)
    if late:
        log.load(Written([*first, odd], name="test"), progress=False)
    assert row(log, total)["x"] == Decimal("0.25") + Decimal(amount)
    (typed,) = log.sql("SELECT misfits FROM log.main.typed_columns").rows()
    assert typed["misfits"] == 0


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("decimal", "1.5", '"abc"'), ("decimal", "1.5", "1e-30"), ("integer", "7", "7.5"),
        ("integer", "7", "99999999999999999999"), ("boolean", "true", '"yes"'),
        ("time", '"2026-01-01T00:00Z"', '"2026-01-01T00:00"'),
        ("time", '"2026-01-01T00:00Z"', '"2026-01-01"'),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_unknown_prepared_or_not(
    make_log: MakeLog, type: Any, good: str, bad: str, late: bool
) -> None:
    events = [
        event(f'{{"x": {good}}}', event_id="e1", stream_id="good"),
        event(f'{{"x": {bad}}}', event_id="e2", stream_id="bad"),
    ]
    projection = wb.Projection("p", {"x": wb.latest("x", type=type)})
    log = make_log(events[:1] if late else events)
    log.prepare(projection)
    if late:
        log.load(Written(events, name="test"), progress=False)
    result = log.replay(projection)
    found = {one["stream_id"]: one["x"] for one in result.rows()}
    assert found["bad"] is None
    assert found["good"] is not None
    assert any(f"1 values of x are no {type}" in note for note in result.notes)


def test_fields_that_differ_by_case_alone(make_log: MakeLog) -> None:
    """JSON tells amount from Amount; DuckDB's columns do not."""
    log = make_log([event('{"amount": 1, "Amount": 2, "AMOUNT": 3}')])
    projection = wb.Projection(
        "p", {"a": wb.total("amount"), "b": wb.total("Amount"), "c": wb.total("AMOUNT")}
    )
    for _ in range(2):
        assert [row(log, projection)[name] for name in "abc"] == [1, 2, 3]
        log.prepare(projection)
    assert len(log.sql("FROM log.main.typed_columns")) == 1


def test_folds_are_prepared_as_projections_are(make_log: MakeLog) -> None:
    def add(total: Decimal, amount: Decimal) -> Decimal:
        return total + amount

    log = make_log([event()])
    assert log.prepare(wb.Fold("f", Decimal(0), {"Happened": add})) == ["data.amount::decimal"]


def test_preparing_that_fails_changes_nothing(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.store import schema

    log = make_log([event()])
    before = (row(log), log.df().columns.tolist())

    def fail(con: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(schema, "define_view", fail)
        with pytest.raises(KeyboardInterrupt):
            log.prepare(VALUES)
    assert (row(log), log.df().columns.tolist()) == before
    assert len(log.prepare(VALUES)) == 6


def test_a_view_is_not_prepared_and_neither_is_what_is_no_definition(make_log: MakeLog) -> None:
    log = make_log([event()])
    with pytest.raises(MomentError, match="prepare works on the whole log"):
        log.where(stream="a").prepare(VALUES)
    with pytest.raises(ProjectionError, match="str is no definition"):
        log.prepare("amount")  # type: ignore[arg-type]  # that is the point
