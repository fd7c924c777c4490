"""Reading a stored read model from Postgres: exact, in one snapshot, never written to."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import psycopg
import pyarrow as pa
import pytest

from tests.fix_postgres import Database
from workbench.errors import ConfigError, SourceError, SourceUnavailable
from workbench.sources.postgres.table import read_table

pytestmark = pytest.mark.postgres

TABLE = """CREATE TABLE account_summary (account_id uuid PRIMARY KEY, balance numeric(20, 2), rate numeric,
    updated timestamptz, naive timestamp, day date, tags text[], state text, extra jsonb, n int)"""
ROWS = """INSERT INTO account_summary VALUES
    ('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 123456789012345678.10, 0.1,
     '2026-06-30T16:02+02', '2026-06-30T14:02', '2026-06-30', '{a,b}', 'open', '{"a": 1.10}', 7),
    ('6ba7b811-9dad-11d1-80b4-00c04fd430c8', -0.01, -1234567890.12345678901, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"""


@pytest.fixture
def summary(database: Database) -> Database:
    database.execute(TABLE)
    database.execute(ROWS)
    return database


def test_values_are_exact(summary: Database) -> None:
    found = read_table(summary.dsn, "account_summary")
    first, second = sorted(found.to_pylist(), key=lambda row: row["account_id"])
    assert first == {
        "account_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "balance": Decimal("123456789012345678.10"),
        "rate": Decimal("0.1"),
        "updated": dt.datetime(2026, 6, 30, 14, 2, tzinfo=dt.UTC),
        "naive": dt.datetime(2026, 6, 30, 14, 2),  # noqa: DTZ001 - a column without a zone
        "day": dt.date(2026, 6, 30),
        "tags": "{a,b}",
        "state": "open",
        "extra": '{"a": 1.10}',
        "n": 7,
    }
    assert (second["balance"], second["rate"]) == (
        Decimal("-0.01"),
        Decimal("-1234567890.12345678901"),
    )
    assert found.schema.field("balance").type == pa.decimal128(20, 2)
    assert found.schema.field("rate").type == pa.decimal128(38, 11)
    assert str(found.schema.field("updated").type) == "timestamp[us, tz=UTC]"


def test_query_and_columns(summary: Database) -> None:
    found = read_table(
        summary.dsn,
        query="SELECT state, sum(balance) AS total, '{%}' AS odd FROM account_summary GROUP BY 1 -- all",
        columns=["total", "state"],
    )
    assert found.schema.names == ["total", "state"]
    assert {row["state"]: row["total"] for row in found.to_pylist()} == {
        "open": Decimal("123456789012345678.10"),
        None: Decimal("-0.01"),
    }


def test_empty_table_has_its_types(database: Database) -> None:
    database.execute(TABLE)
    found = read_table(database.dsn, "account_summary")
    assert found.num_rows == 0
    assert found.schema.field("balance").type == pa.decimal128(20, 2)


@pytest.mark.parametrize(
    "value",
    [
        "'NaN'::numeric",
        "'infinity'::timestamptz",
        "'-infinity'::date",
        "'infinity'::timestamp",
        "1e40",
    ],
)
def test_values_that_nothing_can_hold_are_errors(database: Database, value: str) -> None:
    with pytest.raises(SourceError, match=r"column odd .*(.|\n)*odd::text"):
        read_table(database.dsn, query=f"SELECT {value} AS odd UNION ALL SELECT NULL")
    text = read_table(database.dsn, query=f"SELECT ({value})::text AS odd")
    assert text.num_rows == 1


def test_dates_before_christ_are_values(database: Database) -> None:
    found = read_table(
        database.dsn, query="SELECT '4713-01-01 BC'::date AS d, '4713-01-01Z BC'::timestamptz AS t"
    )
    assert found.num_rows == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"table": "acount_summary"}, "Did you mean 'account_summary'"),
        ({"table": "account_summary", "columns": ["balanse"]}, "Did you mean 'balance'"),
        ({"query": "SELECT balanse FROM account_summary"}, 'column "balanse" does not exist'),
        ({"query": "SELECT 1 AS a, 2 AS a"}, "ambiguous"),
        ({}, "give one of them"),
        ({"table": "account_summary", "query": "SELECT 1"}, "give one of them"),
    ],
)
def test_names_that_are_not_there(
    summary: Database, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        read_table(summary.dsn, **arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_query_cannot_write(summary: Database) -> None:
    for query in (
        "DELETE FROM account_summary RETURNING 1",
        "WITH gone AS (DELETE FROM account_summary RETURNING 1) SELECT * FROM gone",
        "SELECT 1) AS x; DELETE FROM account_summary; --",
    ):
        with pytest.raises((ConfigError, SourceUnavailable)):
            read_table(summary.dsn, query=query)
    summary.execute(
        "CREATE FUNCTION wipe() RETURNS int AS 'DELETE FROM account_summary RETURNING n' LANGUAGE sql"
    )
    with pytest.raises((ConfigError, SourceUnavailable), match="read-only transaction"):
        read_table(summary.dsn, query="SELECT wipe()")
    assert summary.execute("SELECT count(*) FROM account_summary") == [(2,)]


def test_server_that_is_not_there_keeps_the_secret() -> None:
    with pytest.raises(SourceUnavailable) as caught:
        read_table("postgresql://ann:s3cret@127.0.0.1:1/bank", "account_summary")
    assert "s3cret" not in str(caught.value)
    assert not isinstance(caught.value.__cause__, psycopg.Error)
