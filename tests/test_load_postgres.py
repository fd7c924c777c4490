"""Loading from Postgres: what arrives, what is refused, what survives a kill."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import workbench as wb
from tests.fix_postgres import Database, Store
from tests.source_contract import (
    PAYLOADS,
    AppendContract,
    Event,
    EventIdContract,
    MakeSource,
    RejectContract,
    SecretContract,
    SourceContract,
    Write,
    events,
    rejects,
    rows,
)
from workbench.errors import ConfigError, SourceUnavailable
from workbench.event import MAPPABLE
from workbench.sources.postgres import Postgres

pytestmark = pytest.mark.postgres

SECRET = "s3cret%40/pass"
FILL = """INSERT INTO events (aggregate_id, event_type, version, "timestamp", data, metadata)
    SELECT 'acc-' || i % 50, 'DepositMade', i / 50, '2026-06-30T14:02Z'::timestamptz + i * interval '1 second',
        jsonb_build_object('amount', i::numeric / 100, 'note', repeat('x', 200)), NULL
    FROM generate_series(1, {}) AS g(i)"""


@pytest.fixture
def log() -> Iterator[wb.EventLog]:
    with wb.open() as opened:
        yield opened


# -- the contract of all sources -------------------------------------------------------------------

COLUMNS = {name: name for name in MAPPABLE if name != "source_position"}
FULL_TABLE = """CREATE TABLE history (seq bigserial PRIMARY KEY, stream_id text, stream_type text,
    version bigint, event_id text, event_type text, schema_version text, occurred_at timestamptz,
    recorded_at timestamptz, correlation_id text, causation_id text, actor text, data {json}, metadata {json})"""


class PostgresContract(
    SourceContract, AppendContract, EventIdContract, RejectContract, SecretContract
):
    json: ClassVar[str]
    arguments: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def write(self, database: Database) -> Write:
        database.execute(FULL_TABLE.format(json=self.json))
        self.prepare(database)

        def put(batch: Sequence[Event]) -> None:
            with database.connect() as connection, connection.cursor() as cursor:
                for event in batch:
                    insert = sql.SQL("INSERT INTO history ({}) VALUES ({})").format(
                        sql.SQL(", ").join(map(sql.Identifier, event)),
                        sql.SQL(", ").join([sql.Placeholder()] * len(event)),
                    )
                    cursor.execute(insert, [self.encoded(value) for value in event.values()])

        return put

    def prepare(self, database: Database) -> None:
        pass

    def encoded(self, value: Any) -> Any:
        return value

    @pytest.fixture
    def secret(self) -> str:
        return "s3cret-pass"

    @pytest.fixture
    def source(self, database: Database, secret: str) -> MakeSource:
        def make(rows: int | None = None) -> Postgres:
            return wb.postgres(
                make_conninfo(database.dsn, password=secret),
                table="history",
                position="seq",
                columns=COLUMNS,
                batch_rows=rows or 250_000,
                **self.arguments,
            )

        return make

    @pytest.fixture
    def write_broken(self, write: Write) -> Callable[[], bytes]:
        def put() -> bytes:
            write([{"stream_id": None, "event_type": "Broken", "data": '{"n": 1}'}])
            record = dict.fromkeys(["seq", *COLUMNS])
            record |= {"seq": "6", "event_type": "Broken", "data": '{"n": 1}'}
            return json.dumps(record, separators=(",", ":")).encode()

        return put


#: jsonb keeps no order of keys: they come back by length.
BINARY_PAYLOADS = [
    '{"yes": true, "list": [null, false], "none": null}' if '"none"' in payload else payload
    for payload in PAYLOADS
]


class TestJsonb(PostgresContract):
    json = "jsonb"
    payloads = BINARY_PAYLOADS


class TestJsonAsText(PostgresContract):
    json = "text"


class TestByTransactionNumber(PostgresContract):
    json = "jsonb"
    payloads = BINARY_PAYLOADS
    arguments: ClassVar = {"transaction_id": "xid"}

    def prepare(self, database: Database) -> None:
        database.execute("ALTER TABLE history ADD xid xid8 NOT NULL DEFAULT pg_current_xact_id()")


# -- the reference table ---------------------------------------------------------------------------


def test_reference_table(each_store: Store, log: wb.EventLog) -> None:
    with each_store.connect() as connection:
        each_store.append(connection, "acc-1", 1, '{"amount": 1.10}')
        connection.execute(
            'INSERT INTO events (aggregate_id, event_type, version, "timestamp", data, metadata) VALUES '
            "('acc-1', 'Withdrawn', 2, '2026-06-30T16:02+02', '{}', '{\"correlation_id\": \"c-7\", "
            '"causationId": "e-1", "user_id": 5}\')'
        )
    loaded = log.load(each_store.source(), progress=False)
    assert (loaded.read, loaded.stored) == (2, 2)
    found = rows(
        log,
        "SELECT position, stream_id, version, event_type, occurred_at::VARCHAR, recorded_at, "
        "correlation_id, causation_id, actor, data::VARCHAR, source_position FROM events",
    )
    at = "2026-06-30 14:02:00+00"
    assert found == [
        (1, "acc-1", 1, "DepositMade", at, None, None, None, "ann", '{"amount": 1.10}', "events/1"),
        (2, "acc-1", 2, "Withdrawn", at, None, "c-7", "e-1", "5", "{}", "events/2"),
    ]


def test_layout_with_further_columns(store: Store, log: wb.EventLog) -> None:
    store.execute("ALTER TABLE events ADD inserted timestamptz DEFAULT '2026-07-01T00:00Z'")
    with store.connect() as connection:
        store.append(connection, "acc-1", 1)
    log.load(
        store.source(
            layout="reference", columns={"recorded_at": "inserted", "stream_type": "=account"}
        ),
        progress=False,
    )
    found = rows(log, "SELECT recorded_at::VARCHAR, stream_type, stream_id FROM events")
    assert found == [("2026-07-01 00:00:00+00", "account", "acc-1")]


def test_schema_names_and_odd_types(database: Database, log: wb.EventLog) -> None:
    database.execute('CREATE SCHEMA "Sales"; CREATE TYPE "Sales".kind AS ENUM (\'paid\')')
    database.execute(
        'CREATE TABLE "Sales"."Order.History" ("Seq" int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, '
        'id uuid, "Kind" "Sales".kind, at bigint, rev numeric, "by" inet, fixed char(8), body bytea)'
    )
    database.execute(
        'INSERT INTO "Sales"."Order.History" (id, "Kind", at, rev, "by", fixed, body) VALUES '
        "('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'paid', 1782828120123, 3, '10.0.0.1', 'ab', convert_to('{\"ü\": 1}', 'UTF8'))"
    )
    source = wb.postgres(
        database.dsn,
        table="Sales.Order.History",
        position="Seq",
        epoch="ms",
        columns={
            "stream_id": "id",
            "event_type": "Kind",
            "version": "rev",
            "occurred_at": "at",
            "actor": "by",
            "stream_type": "fixed",
            "data": "body",
        },
    )
    assert log.load(source, progress=False).stored == 1
    found = rows(
        log,
        "SELECT stream_id, event_type, version, occurred_at::VARCHAR, actor, stream_type, data::VARCHAR, "
        "source_position FROM events",
    )
    assert found == [
        (
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "paid",
            3,
            "2026-06-30 14:02:00.123+00",
            "10.0.0.1/32",
            "ab",
            '{"ü": 1}',
            "Sales.Order.History/1",
        )
    ]


def test_batches_in_the_order_of_the_positions(store: Store, log: wb.EventLog) -> None:
    store.execute(FILL.format(20_000))
    with store.source(batch_bytes=256 << 10).read(None) as reading:
        batches = list(reading.batches())
        assert reading.total is not None
        assert 5_000 < reading.total < 80_000
    read = [p for batch in batches for p in batch.rows.column("position").to_pylist()]
    assert read == list(range(1, 20_001))
    assert len(batches) > 10
    assert max(batch.rows.nbytes for batch in batches) <= 256 << 10


def test_one_snapshot_for_the_whole_pass(store: Store) -> None:
    store.execute(FILL.format(5_000))
    with store.source(batch_rows=500).read(None) as reading:
        count = 0
        for batch in reading.batches():
            store.execute("DELETE FROM events WHERE position > 4000")
            store.execute("UPDATE events SET event_type = 'Changed'")
            assert set(batch.rows.column("event_type").to_pylist()) <= {"DepositMade"}
            count += batch.rows.num_rows
    assert count == 5_000


# -- read-only -------------------------------------------------------------------------------------


def test_sessions_cannot_write(store: Store) -> None:
    insert = "INSERT INTO events (aggregate_id, event_type, version, \"timestamp\", data) VALUES ('a', 'b', 1, now(), '{}')"
    with store.source().read(None) as reading:
        for _ in range(2):  # inside the snapshot's transaction, and outside
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                reading.given.control.execute(insert)  # type: ignore[attr-defined]  # of ours
            reading.given.control.execute("ROLLBACK")  # type: ignore[attr-defined]  # of ours
            with reading.given.bulk.cursor() as cursor:  # type: ignore[attr-defined]  # of ours
                with pytest.raises(Exception, match="read-only transaction"):
                    cursor.execute(insert)
                cursor.execute("ROLLBACK")
    assert store.positions() == []


def test_a_load_writes_nothing_at_the_server(store: Store, log: wb.EventLog) -> None:
    store.execute(FILL.format(1_000))
    written = """SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables WHERE relname = 'events'"""
    state = "SELECT pg_current_xact_id_if_assigned(), last_value FROM events_position_seq"
    flush = "SELECT pg_stat_force_next_flush()" if _version(store) >= 15 else "SELECT pg_sleep(1)"
    store.execute(flush)
    before = (store.execute(written), store.execute(state), _next_transaction(store))
    log.load(store.source(), progress=False)
    log.load(store.source(), progress=False)
    assert before == (store.execute(written), store.execute(state), _next_transaction(store))


def _version(store: Store) -> int:
    return int(store.execute("SHOW server_version_num")[0][0]) // 10_000


def _next_transaction(store: Store) -> Any:
    return store.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")


def test_sessions_say_who_they_are_and_how_long_they_may_take(store: Store) -> None:
    source = store.source(statement_timeout=7, lock_timeout=3, idle_timeout=11)
    with source.read(None):
        sessions = store.execute(
            "SELECT application_name, state FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'workbench'"
        )
        assert sessions == [("workbench", "idle in transaction")] * 2
    with source.read(None) as reading:
        shown = reading.given.control.execute(  # type: ignore[attr-defined]  # of ours
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
            "current_setting('idle_in_transaction_session_timeout'), current_setting('transaction_isolation')"
        )
        assert shown.fetchall() == [("7s", "3s", "11s", "repeatable read")]


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


# -- killed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["true", "query LIKE '%COPY%'"])
def test_server_that_goes_away_in_mid_read(each_store: Store, log: wb.EventLog, which: str) -> None:
    each_store.execute(FILL.format(60_000))

    def kill(read: int, total: int | None) -> None:
        if read >= 2_000:
            each_store.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE application_name = 'workbench' AND {which}"
            )

    with pytest.raises(SourceUnavailable, match="reading broke off") as caught:
        log.load(each_store.source(batch_rows=500), progress=kill)
    assert "goes on" in str(caught.value)
    before = len(log)
    assert 2_000 <= before < 60_000
    loaded = log.load(each_store.source(), progress=False)
    assert (before + loaded.stored, loaded.duplicate) == (60_000, 0)
    assert rows(
        log, "SELECT count(*) FROM events WHERE source_position <> 'events/' || position"
    ) == [(0,)]


LOADER = """
import sys
import workbench as wb
with wb.open(sys.argv[1]) as log:
    print("loading", flush=True)
    log.load(wb.postgres(sys.argv[2], name="store", batch_rows=400), progress=lambda *_: print("batch", flush=True))
"""
CONTENT = "SELECT * FROM events ORDER BY position"


@pytest.mark.slow
def test_loads_killed_at_random_moments_end_in_the_same_log(store: Store, tmp_path: Path) -> None:
    store.execute(FILL.format(40_000))
    store.execute("DELETE FROM events WHERE position % 97 = 0")
    count = len(store.positions())
    with wb.open(tmp_path / "whole.duckdb") as whole:
        whole.load(store.source(batch_rows=400), progress=False)
        expected = rows(whole, CONTENT)
    assert len(expected) == count
    rng = random.Random(17)
    path = tmp_path / "killed.duckdb"
    left_off = []
    for _ in range(10):
        command = [sys.executable, "-c", LOADER, str(path), store.dsn]
        loader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert loader.stdout is not None
        assert loader.stdout.readline() == "loading\n"
        for _ in range(rng.randint(0, 4)):
            loader.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        loader.send_signal(signal.SIGKILL)
        loader.wait()
        loader.stdout.close()
        with wb.open(path) as log:
            left_off.append(len(log))
    with wb.open(path) as log:
        last = log.load(store.source(), progress=False)
        assert rows(log, CONTENT) == expected
        assert last.duplicate == 0
        assert last.report.watermark == f"position {store.positions()[-1]}"
    assert left_off == sorted(left_off)
    assert any(0 < left < count for left in left_off), "no load was killed in mid-read"


def test_consumer_that_stops_early_ends_the_sessions(store: Store) -> None:
    store.execute(FILL.format(20_000))
    with store.source(batch_rows=500).read(None) as reading:
        batches = reading.batches()
        next(batches)
        batches.close()  # type: ignore[attr-defined]  # a generator
    assert not [thread for thread in threading.enumerate() if thread.name == "workbench-postgres"]
    for _ in range(100):
        left = store.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'workbench'"
        )
        if not left:
            return
        time.sleep(0.02)
    pytest.fail(f"sessions are left: {left}")


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


def test_events_of_the_contract_are_what_they_say() -> None:
    """The write fixtures rely on it: ids, streams and versions are unique."""
    made = events()
    assert len({event["event_id"] for event in made}) == len(made)
    assert len({(event["stream_id"], event["version"]) for event in made}) == len(made)
