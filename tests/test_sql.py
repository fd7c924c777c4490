"""log.sql: any question, and nothing but questions."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

import workbench as wb
from tests.fix_log import MakeLog, Written
from workbench.errors import QueryError
from workbench.store import Table

EVENTS = [{"stream_id": f"s{n % 3}", "data": {"n": n}} for n in range(10)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) AS n FROM events",
        "SELECT count(*) AS n FROM events;",
        "  SELECT count(*) AS n FROM events ;  ",
        "SELECT count(*) AS n FROM events -- all of them",
        "SELECT count(*) AS n FROM events /* ; */",
        "-- how many?\nSELECT count(*) AS n FROM events",
        "FROM events SELECT count(*) AS n",
        "WITH e AS (FROM events) SELECT count(*) AS n FROM e",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT max(n) AS n FROM r",
        "(SELECT count(*) AS n FROM events)",
        "VALUES (10)",
        "SELECT ';' AS x, count(*) AS n FROM events",
    ],
)
def test_questions(make_log: MakeLog, query: str) -> None:
    table = make_log(EVENTS).sql(query)
    assert list(table.rows()[0].values())[-1] == 10
    assert table.relation.fetchall()[0][-1] == 10
    assert table.df().iloc[0, -1] == 10
    assert len(table) == len(table.arrow()) == 1
    assert "10" in repr(table)
    assert "10" in table._repr_html_()
    assert table.sql == query


@pytest.mark.parametrize("query", ["DESCRIBE events", "SUMMARIZE events", "SHOW TABLES"])
def test_questions_about_the_table(make_log: MakeLog, query: str) -> None:
    table = make_log(EVENTS).sql(query)
    assert len(table) == len(table.rows()) >= 1
    assert "position" in repr(table) or "events" in repr(table)


WRITES = [
    "INSERT INTO log.main.meta VALUES ('x', 'y')",
    "DELETE FROM log.main.events_tail",
    "UPDATE log.main.events_tail SET data = '{}'",
    "DROP TABLE log.main.events_tail",
    "CREATE TABLE x AS SELECT 1",
    "CREATE VIEW x AS SELECT 1",
    "ALTER TABLE log.main.meta ADD COLUMN x INT",
    "TRUNCATE log.main.events_tail",
    "ATTACH '{path}' AS other",
    "DETACH log",
    "COPY (SELECT 1) TO '{path}'",
    "COPY events TO '{path}'",
    "EXPORT DATABASE '{path}'",
    "PRAGMA enable_progress_bar",
    "SET TimeZone = 'Asia/Tokyo'",
    "CALL pragma_version()",
    "INSTALL httpfs",
    "LOAD httpfs",
    "BEGIN",
    "CHECKPOINT log",
    "VACUUM",
    "EXPLAIN ANALYZE DELETE FROM log.main.events_tail",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{path}'",
    "SELECT 1; DELETE FROM log.main.events_tail",
    "SELECT 1); DELETE FROM log.main.events_tail; SELECT (1",
    "SELECT 1) TO '{path}' --",
    "",
    ";",
    "-- nothing",
    "SELEC 1",
    "SELECT no_such FROM events",
    "SELECT * FROM no_such",
]
"""None of these is a question."""


FORMS: dict[str, Callable[[Table], object]] = {
    "rows": Table.rows,
    "df": Table.df,
    "arrow": Table.arrow,
    "relation": lambda table: table.relation.fetchall(),
    "repr": repr,
}


@pytest.mark.parametrize("query", WRITES)
def test_what_is_no_question(make_log: MakeLog, tmp_path: Path, query: str) -> None:
    log = make_log(EVENTS)
    before = log.fingerprint()
    for form in FORMS.values():
        with pytest.raises(QueryError):
            form(log.sql(query.replace("{path}", str(tmp_path / "written"))))
    assert log.fingerprint() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["rows", "df", "arrow", "relation"])
def test_a_question_cannot_hold_a_write(make_log: MakeLog, form: str) -> None:
    log = make_log(EVENTS)
    query = "WITH gone AS (DELETE FROM log.main.events_tail RETURNING *) SELECT * FROM gone"
    with pytest.raises(QueryError):
        getattr(log.sql(query), form)()
    assert len(log) == 10


def test_events_are_those_of_the_view(make_log: MakeLog) -> None:
    log = make_log(EVENTS)
    question = "SELECT count(*) AS n FROM events"
    assert [view.sql(question).rows()[0]["n"] for view in (log, log.where(stream="s0"), log)] == [
        10,
        4,
        10,
    ]


def test_the_order_of_a_query_is_that_of_its_rows(make_log: MakeLog) -> None:
    table = make_log(EVENTS).sql("SELECT position FROM events ORDER BY position DESC")
    expected = list(range(10, 0, -1))
    assert [row["position"] for row in table.rows()] == table.df()["position"].tolist() == expected
    assert table.rows(limit=2) == [{"position": 10}, {"position": 9}]


def test_a_mistake_is_pointed_at_and_the_next_step_is_said(make_log: MakeLog) -> None:
    with pytest.raises(QueryError, match="no_such") as failure:
        make_log(EVENTS).sql("SELECT no_such FROM events").rows()
    assert "DESCRIBE events" in str(failure.value)


def test_forms_are_exact(make_log: MakeLog) -> None:
    table = make_log(EVENTS).sql(
        "SELECT CAST('0.1' AS DECIMAL(38,18)) AS money, NULL::BIGINT AS nothing, TRUE AS yes, "
        "TIMESTAMPTZ '2026-01-01 00:00:00+00' AS at, 9007199254740993 AS big, '{\"a\": 1.10}'::JSON AS data"
    )
    (row,) = table.rows()
    assert (row["money"], row["nothing"], row["big"]) == (Decimal("0.1"), None, 9007199254740993)
    assert row["at"].utcoffset().total_seconds() == 0
    frame = table.df()
    assert frame["money"][0] == Decimal("0.1")
    assert frame["big"][0] == 9007199254740993
    assert frame["nothing"].isna().all()
    assert frame["data"][0] == '{"a": 1.10}'
    assert str(frame["at"].dtype).endswith("UTC]")


def test_a_long_result_shows_its_beginning_and_says_so(make_log: MakeLog) -> None:
    table = make_log([{"stream_id": "a"}] * 25).sql("FROM events ORDER BY position")
    assert "the first 10 of 25 rows" in repr(table)
    assert len(repr(table).splitlines()) == 13


def test_hostile_payloads_are_shown_as_text(make_log: MakeLog) -> None:
    hostile = '<script>alert("x")</script>\x1b[2J'
    table = make_log([{"stream_id": hostile, "data": {"x": hostile}}]).sql(
        "SELECT stream_id, data->>'x' AS \"<b>x</b>\", NULL AS nothing FROM events"
    )
    html = table._repr_html_()
    assert "<script" not in html
    assert "<b>x</b>" not in html
    assert "NULL" in html
    assert "\x1b" not in repr(table) + html


def test_a_file_is_asked_as_a_log_in_memory(tmp_path: Path) -> None:
    with wb.open(tmp_path / "log.duckdb") as log:
        log.load(Written(EVENTS), progress=False)
        assert log.sql("SELECT max(position) AS n FROM events").rows() == [{"n": 10}]
        with pytest.raises(QueryError):
            log.sql("DELETE FROM log.main.events_tail")
