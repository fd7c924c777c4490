"""Loading from Postgres: what arrives, what is refused, what survives a kill."""

from __future__ import annotations

import json
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
from tests.fix_postgres import (
    FILL,
    Database,
    Store,
)
from tests.killing import killed_at_random_moments
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
    rows,
)
from workbench.errors import SourceUnavailable
from workbench.event import MAPPABLE
from workbench.sources.base import Batch
from workbench.sources.postgres import Postgres

pytestmark = pytest.mark.postgres


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
    path = tmp_path / "killed.duckdb"
    command = [sys.executable, "-c", LOADER, str(path), store.dsn]
    left_off = killed_at_random_moments(command, path)
    with wb.open(path) as log:
        last = log.load(store.source(), progress=False)
        assert rows(log, CONTENT) == expected
        assert last.duplicate == 0
        assert last.report.watermark == f"position {store.positions()[-1]}"
    assert left_off == sorted(left_off)
    assert any(0 < left < count for left in left_off), "no load was killed in mid-read"


def test_consumer_that_fails_ends_the_sessions(store: Store) -> None:
    store.execute(FILL.format(20_000))
    held: list[Iterator[Batch]] = []  # as a traceback holds it

    def consume() -> None:
        with store.source(batch_rows=500).read(None) as reading:
            held.append(reading.batches())
            next(held[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert not [thread for thread in threading.enumerate() if thread.name == "workbench-postgres"]
    for _ in range(100):
        left = store.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'workbench'"
        )
        if not left:
            return
        time.sleep(0.02)
    pytest.fail(f"sessions are left: {left}")
