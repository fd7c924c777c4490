"""What Postgres cannot give: servers and tables that are not there, values that are no event."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import workbench as wb
from tests.fix_postgres import (
    FILL,
    Store,
)
from tests.source_contract import (
    rejects,
    rows,
)
from workbench.errors import ConfigError, SourceUnavailable

pytestmark = pytest.mark.postgres


@pytest.fixture
def log() -> Iterator[wb.EventLog]:
    with wb.open() as opened:
        yield opened


# -- a source that cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dsn", "error", "says"),
    [
        ("postgresql://ann:{}@127.0.0.1:1/bank", SourceUnavailable, "check host and port"),
        ("postgresql://ann:{}@no-such-host.invalid/bank", SourceUnavailable, "cannot connect"),
        ("host=127.0.0.1 port=1 user=ann password='{}'", SourceUnavailable, "check host and port"),
    ],
)
def test_server_that_is_not_there(
    dsn: str, error: type[Exception], says: str, log: wb.EventLog
) -> None:
    source = wb.postgres(dsn.format("s3cret-pass"))
    with pytest.raises(error, match=says) as caught:
        log.load(source, progress=False)
    assert "s3cret" not in _everything(caught.value) + repr(source) + source.name


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://ann:s3cret/pass@db/bank",
        "postgresql://ann:7/s3cret@db/bank",
        "postgresql://ann:s3@cret@db/bank",
        "host=db pasword=s3cret",
        "host=db password='s3cret",
        "s3cret",
    ],
)
def test_unreadable_connection_string_shows_nothing_of_it(dsn: str) -> None:
    with pytest.raises(ConfigError, match="not readable") as caught:
        wb.postgres(dsn)
    assert "cret" not in _everything(caught.value)


def _everything(error: BaseException) -> str:
    """All that a traceback would print of an error and of what led to it."""
    told = str(error)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told + (_everything(cause) if cause else "")


def test_unknown_user_and_database(store: Store, log: wb.EventLog) -> None:
    for changes, says in (({"user": "wb_nobody"}, "user"), ({"dbname": "wb_none"}, "database")):
        dsn = make_conninfo(store.dsn, password="s3cret", **changes)
        with pytest.raises(SourceUnavailable, match=f"check .*{says}") as caught:
            log.load(wb.postgres(dsn), progress=False)
        assert "s3cret" not in _everything(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"table": "event"}, "no table 'event'.*Did you mean 'events'"),
        ({"table": "sales.events"}, "no table 'sales.events'"),
        ({"position": "positon"}, "no column 'positon'.*Did you mean 'position'"),
        ({"position": "data"}, "type jsonb"),
        ({"transaction_id": "xid"}, "events.xid does not exist"),
        ({"transaction_id": "version"}, "of type int8"),
        ({"columns": {"stream_id": "agregate_id"}}, "Did you mean 'aggregate_id'"),
        ({"columns": {"stream": "aggregate_id"}}, "Did you mean 'stream_id'"),
    ],
)
def test_names_that_are_not_there(
    store: Store, log: wb.EventLog, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        log.load(store.source(**arguments), progress=False)


def test_unknown_layout() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'reference'"):
        wb.postgres("", layout="referense")


def test_table_that_may_not_be_read(store: Store, log: wb.EventLog) -> None:
    role = f"wb_guest_{os.getpid()}"
    store.execute(f"CREATE ROLE {role} LOGIN")
    try:
        with pytest.raises(ConfigError, match=r"permission denied(.|\n)*GRANT SELECT"):
            log.load(wb.postgres(make_conninfo(store.dsn, user=role)), progress=False)
    finally:
        store.execute(f"DROP ROLE {role}")


def test_naive_times_need_a_zone(store: Store, log: wb.EventLog) -> None:
    store.execute('ALTER TABLE events ALTER "timestamp" TYPE timestamp')
    store.execute(FILL.format(1))
    with pytest.raises(ConfigError, match="timezone="):
        log.load(store.source(), progress=False)
    log.load(store.source(timezone="Europe/Madrid"), progress=False)
    assert rows(log, "SELECT occurred_at::VARCHAR FROM events") == [("2026-06-30 12:02:01+00",)]


def test_positions_that_are_not_unique(store: Store, log: wb.EventLog) -> None:
    store.execute("ALTER TABLE events DROP CONSTRAINT events_pkey")
    store.execute(FILL.format(3))
    store.execute("UPDATE events SET position = 2 WHERE position = 3")
    with pytest.raises(ConfigError, match="position 2 occurs more than once"):
        log.load(store.source(), progress=False)


def test_rows_without_a_position(store: Store, log: wb.EventLog) -> None:
    store.execute("ALTER TABLE events ADD seq bigint")
    store.execute(FILL.format(3))
    with pytest.raises(ConfigError, match="rows without seq"):
        log.load(store.source(position="seq"), progress=False)


def test_table_without_an_index_is_read_in_one_sort(store: Store, log: wb.EventLog) -> None:
    store.execute("ALTER TABLE events DROP CONSTRAINT events_pkey")
    store.execute(FILL.format(3_000))
    loaded = log.load(store.source(batch_rows=700), progress=False)
    assert loaded.stored == 3_000
    assert "no index" in loaded.report.notes[0]


def test_lock_and_statement_timeouts(store: Store, log: wb.EventLog) -> None:
    store.execute(FILL.format(20))
    with psycopg.connect(store.dsn) as migration:
        migration.execute("LOCK TABLE events")
        with pytest.raises(SourceUnavailable, match="lock_timeout="):
            log.load(store.source(lock_timeout=0.2), progress=False)
        migration.rollback()
    store.execute(
        "CREATE FUNCTION slow(bigint) RETURNS bigint AS 'SELECT $1 FROM pg_sleep(0.2)' LANGUAGE sql"
    )
    store.execute(
        'CREATE VIEW slowly AS SELECT slow(position) AS position, aggregate_id, event_type, version, "timestamp", '
        "data, metadata FROM events"
    )
    with pytest.raises(SourceUnavailable, match="statement_timeout="):
        log.load(store.source(table="slowly", statement_timeout=0.5), progress=False)


# -- payloads --------------------------------------------------------------------------------------


def test_large_deep_and_long_payloads_arrive_whole(store: Store, log: wb.EventLog) -> None:
    payloads = [
        '{"text": "' + "x" * 10_000_000 + '"}',
        '{"deep": ' + "[" * 500 + "]" * 500 + "}",
        '{"n": 123456789012345678901234567890.12345678901234567890}',
        '{"n": ' + "9" * 400 + "}",
    ]
    with store.connect() as connection:
        for version, payload in enumerate(payloads, 1):
            store.append(connection, "acc-1", version, payload)
    loaded = log.load(store.source(), progress=False)
    assert (loaded.stored, loaded.rejected) == (4, 0)
    assert [
        text for (text,) in rows(log, "SELECT data::VARCHAR FROM events ORDER BY position")
    ] == payloads


def test_times_that_no_log_can_hold_are_rejects(store: Store, log: wb.EventLog) -> None:
    times = ["infinity", "-infinity", "294276-12-31Z", "10000-01-01Z", "0044-03-15Z BC"]
    for version, when in enumerate([*times, "9999-12-31 23:59:59Z", "0001-01-01Z"], 1):
        store.execute(
            'INSERT INTO events (aggregate_id, event_type, version, "timestamp", data) VALUES '
            f"('a', 'Opened', {version}, '{when}', '{{}}')"
        )
    loaded = log.load(store.source(), progress=False)
    assert (loaded.read, loaded.stored, loaded.rejected) == (7, 2, 5)
    found = rejects(log)
    assert ["infinite" in reason for _, reason, _ in found] == [True, True, True, False, False]
    assert all("occurred_at" in reason for _, reason, _ in found)
    assert b'"timestamp":"10000-01-01 00:00:00+00"' in found[3][0]
    assert len(log.df()) == 2


def test_naive_infinity_is_a_reject_too(store: Store, log: wb.EventLog) -> None:
    store.execute('ALTER TABLE events ALTER "timestamp" TYPE timestamp')
    store.execute(FILL.format(3))
    store.execute(
        "UPDATE events SET \"timestamp\" = 'infinity' WHERE version = 0 AND aggregate_id = 'acc-2'"
    )
    loaded = log.load(store.source(timezone="UTC"), progress=False)
    assert (loaded.stored, loaded.rejected) == (2, 1)


def test_numbers_that_are_no_version(store: Store, log: wb.EventLog) -> None:
    store.execute("ALTER TABLE events ALTER version TYPE numeric")
    for value in ("'NaN'", "'1.5'", "99999999999999999999", "7"):
        store.execute(
            'INSERT INTO events (aggregate_id, event_type, version, "timestamp", data) VALUES '
            f"('a', 'Opened', {value}, now(), '{{}}')"
        )
    loaded = log.load(store.source(), progress=False)
    assert (loaded.stored, loaded.rejected) == (1, 3)
    assert {reason for _, reason, _ in rejects(log)} == {
        "version is not a whole number: NaN",
        "version is not a whole number: 1.5",
        "version is not a whole number: 99999999999999999999",
    }


@pytest.mark.parametrize("kind", ["text", "bytea"])
def test_payload_columns_that_hold_no_json(store: Store, log: wb.EventLog, kind: str) -> None:
    using = "data::text" if kind == "text" else "convert_to(data::text, 'UTF8')"
    store.execute(f"ALTER TABLE events ALTER data TYPE {kind} USING {using}")
    bad = ["'{\"a\": '", "''", "'not json'"]
    if kind == "bytea":
        bad += [r"'\xff00fe'::bytea", r"'\x7b00'::bytea"]
    for version, value in enumerate([*bad, "'{\"a\": 1}'"], 1):
        store.execute(
            'INSERT INTO events (aggregate_id, event_type, version, "timestamp", data) VALUES '
            f"('a', 'Opened', {version}, now(), {value})"
        )
    loaded = log.load(store.source(), progress=False)
    assert (loaded.stored, loaded.rejected) == (1, len(bad))
    assert rows(log, "SELECT data::VARCHAR FROM events") == [('{"a": 1}',)]
    reasons = {reason for _, reason, _ in rejects(log)}
    assert reasons == {
        "data is not valid JSON",
        *(["data is not UTF-8"] if kind == "bytea" else []),
    }
    assert log.load(store.source(), progress=False).read == 0
