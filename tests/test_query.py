"""Asking on: a query over the rows of a result, whatever made them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import workbench as wb
from tests.fix_log import MakeLog
from workbench.errors import QueryError


def deposit(stream: str, amount: str) -> dict[str, Any]:
    return {"stream_id": stream, "event_type": "DepositMade", "data": {"amount": amount}}


def deposited(balance: Decimal, amount: Decimal) -> Decimal:
    return balance + amount


BALANCE = wb.Projection("balance", {"balance": wb.total("amount", on="DepositMade")})
FOLD = wb.Fold("balance", Decimal(0), {"DepositMade": deposited})


@pytest.fixture
def log(make_log: MakeLog) -> wb.EventLog:
    return make_log([deposit("a", "1.10"), deposit("b", "20"), deposit("a", "3")])


@pytest.mark.parametrize("definition", [BALANCE, FOLD], ids=["projection", "fold"])
def test_result_is_the_rows(log: wb.EventLog, definition: wb.Projection | wb.Fold) -> None:
    found = log.replay(definition).query("SELECT count(*) AS n, sum(balance) AS total FROM result")
    assert found.rows() == [{"n": 2, "total": Decimal("24.10")}]


def test_a_query_can_be_asked_on(log: wb.EventLog) -> None:
    rich = log.replay(BALANCE).query("SELECT * FROM result WHERE balance > 5 -- the rich")
    assert rich.query("WITH one AS (FROM result) SELECT stream_id FROM one;").rows() == [
        {"stream_id": "b"}
    ]


def test_a_query_of_log_sql_still_sees_the_narrowed_events(log: wb.EventLog) -> None:
    narrowed = log.where(stream="a").sql("SELECT version FROM events")
    assert narrowed.query("SELECT max(version) AS last FROM result").rows() == [{"last": 2}]


def test_rows_live_as_long_as_what_is_asked_of_them(log: wb.EventLog) -> None:
    model = wb.read_model(log.replay(BALANCE))
    found = log.diff(BALANCE, model).query("SELECT class FROM result")
    assert [row["class"] for row in found.rows()] == ["match", "match"]


def test_a_query_only_reads(log: wb.EventLog) -> None:
    with pytest.raises(QueryError, match="only reads"):
        log.replay(BALANCE).query("DROP TABLE result")


def test_a_wrong_query_says_what_it_asks_of(log: wb.EventLog) -> None:
    with pytest.raises(QueryError, match=r"result\.query of result"):
        log.replay(BALANCE).query("SELECT blance FROM result").rows()


def test_a_result_is_an_arrow_stream(log: wb.EventLog) -> None:
    import pyarrow as pa

    assert pa.table(log.replay(BALANCE)).num_rows == 2


def test_decimals_have_no_empty_places(log: wb.EventLog) -> None:
    frame = log.replay(BALANCE).df()
    assert sorted(map(str, frame["balance"])) == ["20.00", "4.10"]
