"""Declaring projections: what is refused, with the next step; and what a declaration knows of itself."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog
from workbench.errors import ProjectionError, QueryError


def test_a_projection_says_what_it_reads() -> None:
    projection = wb.Projection(
        "p",
        {
            "balance": wb.total("amount", on="Deposited"),
            "large": wb.count(on="Deposited", where=wb.field("customer.rank") == "gold"),
        },
        key={"order_id": "order.id"},
        ends="Closed",
    )
    assert [(item.name, item.type) for item in projection.fields] == [
        ("order.id", "text"), ("amount", "decimal"), ("customer.rank", "text"),
    ]  # fmt: skip
    assert projection.types == ("Closed", "Deposited")
    assert not projection.by_stream
    assert repr(projection) == "Projection 'p': balance, large by order_id"


def test_a_column_without_types_is_about_all_of_them() -> None:
    assert wb.Projection("p", {"n": wb.count()}).types is None
    assert wb.Projection("p", {"n": wb.count()}, on=["A", "B"]).types == ("A", "B")


def test_declarations_are_values() -> None:
    one, other = (wb.Projection("p", {"n": wb.count() + 1}) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        ({}, {}, "has no columns"),
        ({"n": 1}, {}, "column 'n' is int, not a column"),
        ({"n": wb.count() * 0 - wb.count()}, {"key": []}, "has no key"),
        ({"version": wb.count()}, {}, "cannot be called 'version'"),
        ({"VALID_TO": wb.count()}, {}, "cannot be called 'VALID_TO'"),
        ({"stream_id": wb.count()}, {}, "cannot be called 'stream_id'"),
        ({"is_end": wb.count()}, {}, "cannot be called 'is_end'"),
        ({"n": wb.count(), "N": wb.count()}, {}, "cannot be called 'N'"),
        ({"n": wb.count()}, {"key": "version"}, "key cannot be called 'version'"),
        ({"n": wb.count()}, {"key": "event.event_type"}, "key cannot be called 'event_type'"),
        ({"n": wb.count()}, {"key": "meta.moment"}, "key cannot be called 'moment'"),
        ({"n": wb.count()}, {"key": "stored_at"}, "key cannot be called 'stored_at'"),
        ({"n": wb.count()}, {"key": {"a": "x", "A": "y"}}, "key cannot be called 'A'"),
        ({"n": wb.count()}, {"key": ["order.id", "customer.id"]}, "two fields of its key"),
        ({"n": wb.count()}, {"key": "event.nothing"}, "an event has no column 'nothing'"),
        ({"n": wb.count()}, {"key": ""}, "a field needs a name"),
        ({"n": wb.count()}, {"ends": []}, "names no event types"),
        ({"n": wb.count()}, {"on": [1]}, "names no event types"),
    ],
)
def test_what_cannot_be_declared(
    columns: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ProjectionError, match=says):
        wb.Projection("p", columns, **options)


def test_a_column_of_constants_depends_on_no_event() -> None:
    from workbench.projections.columns import Constant

    with pytest.raises(ProjectionError, match="depends on no event"):
        wb.Projection("p", {"n": Constant(1)})


@pytest.mark.parametrize(
    "make",
    [
        lambda: wb.total("amount") * 0.1,
        lambda: 0.5 + wb.total("amount"),
        lambda: wb.total("amount") / True,
        lambda: wb.total("amount").clip(0.5),
        lambda: wb.total("amount") + Decimal("NaN"),
        lambda: wb.count(where=wb.field("amount") > 0.5),
    ],
)
def test_floats_are_no_money(make: Any) -> None:
    with pytest.raises(ProjectionError, match="no exact number"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: wb.latest("status") + 1,
        lambda: 1 - wb.first("amount"),
        lambda: wb.collect("amount", type="decimal") * 2,
        lambda: wb.latest("event.recorded_at") - 1,
        lambda: wb.smallest("name", type="text").round(2),
        lambda: wb.latest("status").clip(0),
        lambda: -wb.latest("status"),
    ],
)
def test_only_numbers_can_be_calculated_with(make: Any) -> None:
    with pytest.raises(ProjectionError, match="cannot be calculated with"):
        make()


def test_a_latest_number_can_be_calculated_with(make_log: MakeLog) -> None:
    projection = wb.Projection("p", {"x": wb.latest("n", type="integer") * 2 + 1})
    assert make_log([{"stream_id": "a", "data": {"n": 3}}]).replay(projection).rows()[0]["x"] == 7


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: wb.latest("x", type="money"), "there is no type 'money'"),
        (lambda: wb.latest("event.version", type="text"), "is integer, not text"),
        (lambda: wb.count(on=""), "names no event types"),
        (lambda: wb.field("x") == None, "cannot be compared with NoneType"),  # noqa: E711
        (lambda: wb.field("x") == [1], "cannot be compared with list"),
        (lambda: wb.total(""), "a field needs a name"),
        (lambda: wb.total("event."), "a field needs a name"),
    ],
)
def test_fields_and_conditions_that_are_none(make: Any, says: str) -> None:
    with pytest.raises(ProjectionError, match=says):
        make()


def test_a_close_name_is_offered() -> None:
    with pytest.raises(ProjectionError, match="Did you mean 'occurred_at'"):
        wb.latest("event.ocurred_at")


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        (wb.field("n") == 2, 1), (wb.field("n") != 2, 2), (wb.field("n") > 1, 2),
        (wb.field("n") >= 2, 2), (wb.field("n") < 2, 1), (wb.field("n") <= 2, 2),
        (wb.field("n") == Decimal("2.0"), 1), (wb.field("s") == "it's; --", 1),
        (wb.field("ok") == True, 1), (wb.field("metadata.user") == "ann", 1),  # noqa: E712
        (wb.field("event.version") > 2, 2), ((wb.field("n") > 1) & (wb.field("n") < 3), 1),
        (wb.field("at") >= dt.datetime(2026, 1, 1, tzinfo=dt.UTC), 1), (wb.field("gone") == "x", 0),
    ],
)  # fmt: skip
def test_conditions_compare_as_they_read(make_log: MakeLog, condition: Any, wanted: int) -> None:
    log = make_log(
        [
            {"stream_id": "a", "data": {"n": 1, "s": "it's; --", "ok": False}},
            {"stream_id": "a", "data": {"n": 2.0, "ok": True}, "metadata": {"user": "ann"}},
            {"stream_id": "a", "data": {"n": 3, "at": "2026-01-01T02:00:00+02:00"}},
            {"stream_id": "a"},
        ]
    )
    projection = wb.Projection("p", {"n": wb.count(where=condition)})
    assert log.replay(projection).rows()[0]["n"] == wanted


HOSTILE = ["'; DROP TABLE events; --", 'a"b', "a\\\\b", "ключ", "$", "#", "a b", "a[0]", "/a", "@1"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_fields_and_columns_are_only_names(make_log: MakeLog, name: str) -> None:
    key = name.replace("\\\\", "\\")
    log = make_log([{"stream_id": "a", "data": json.dumps({key: {key: "5"}})}])
    projection = wb.Projection(
        "p", {name: wb.total(f"{name}.{name}"), "t": wb.latest(f"{name}.{name}")}
    )
    for _ in range(2):
        (row,) = log.replay(projection).rows()
        assert (row[name], row["t"], len(log)) == (5, "5", 1)
        log.prepare(projection)


def test_a_dot_in_a_key_is_written_with_a_backslash(make_log: MakeLog) -> None:
    log = make_log([{"stream_id": "a", "data": {"a.b": {"c": 5}}}])
    assert log.replay(wb.Projection("p", {"x": wb.total(r"a\.b.c")})).rows()[0]["x"] == 5


@pytest.mark.parametrize("name", ["*", "a.*", "a..b"])
def test_keys_that_cannot_be_read_are_refused(name: str) -> None:
    with pytest.raises(ProjectionError, match="cannot be read"):
        wb.total(name)


def test_a_projection_that_a_database_cannot_work_out_is_a_query_error(make_log: MakeLog) -> None:
    log = make_log([{"stream_id": "a", "data": {"amount": 10**15}}])
    with pytest.raises(QueryError):
        log.replay(wb.Projection("p", {"x": wb.total("amount") * wb.total("amount")})).rows()
