"""Late commits and holes: no event is lost, and a hole is called dead only on evidence."""

from __future__ import annotations

import datetime as dt
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import workbench as wb
from tests.fix_postgres import (
    REFERENCE_TABLE,
    Connection,
    Store,
    fresh_database,
    packaged,
    packaged_server,
)
from workbench.errors import ConfigError, SourceDataLost
from workbench.sources.postgres import Postgres, gaps
from workbench.sources.postgres.gaps import Gap, Gaps, Sighting, Transaction, Writers
from workbench.store.ingest import Loaded

pytestmark = pytest.mark.postgres


@pytest.fixture
def log() -> Iterator[wb.EventLog]:
    with wb.open() as opened:
        yield opened


@contextmanager
def open_transaction(store: Store) -> Iterator[Connection]:
    with psycopg.connect(store.dsn) as connection:
        yield connection
        connection.rollback()


def load(log: wb.EventLog, source: Postgres) -> Loaded:
    return log.load(source, progress=False)


def positions(log: wb.EventLog) -> list[int]:
    rows = log.sql("SELECT source_position FROM events").df()["source_position"]
    return sorted(int(position.rpartition("/")[2]) for position in rows)


def states(loaded: Loaded) -> dict[int, str]:
    return {gap["position"]: gap["state"] for gap in loaded.report.gaps}


def only_gap(loaded: Loaded) -> Any:
    (gap,) = loaded.report.gaps
    return gap


# -- late commits --------------------------------------------------------------------------------


def test_late_commit_arrives_exactly_once(each_store: Store, log: wb.EventLog) -> None:
    with open_transaction(each_store) as slow, each_store.connect() as quick:
        each_store.append(slow, "slow", 1)
        each_store.append(quick, "quick", 1)
        first = load(log, each_store.source())
        slow.commit()
        second = load(log, each_store.source())
        third = load(log, each_store.source())
    assert (first.stored, second.stored, third.stored) == (1, 1, 0)
    assert (first.duplicate, second.duplicate, third.duplicate) == (0, 0, 0)
    assert positions(log) == [1, 2]
    assert first.report.watermark is None, "nothing is certain below the hole at 1"
    assert second.report.watermark == third.report.watermark == "position 2"


def test_open_gap_names_who_may_fill_it(each_store: Store, log: wb.EventLog) -> None:
    with open_transaction(each_store) as slow, each_store.connect() as quick:
        each_store.append(slow, "slow", 1)
        each_store.append(quick, "quick", 1)
        load(log, each_store.source())
        loaded = load(log, each_store.source())
        gap = only_gap(loaded)
        assert (gap["position"], gap["to"], gap["state"]) == (1, 1, "open")
        assert f"session {slow.info.backend_pid} " in gap["evidence"]
        assert not loaded.report.completeness[0]["complete"]


def test_rolled_back_number_is_proven_dead(each_store: Store, log: wb.EventLog) -> None:
    with open_transaction(each_store) as slow, each_store.connect() as quick:
        each_store.append(quick, "quick", 1)
        each_store.append(slow, "slow", 1)
        each_store.append(quick, "quick", 2)
        first = load(log, each_store.source())
        slow.rollback()
        second = load(log, each_store.source())
    third = load(log, each_store.source())
    assert (states(first), first.report.watermark) == ({2: "open"}, "position 1")
    assert (states(second), second.report.watermark) == ({2: "dead"}, "position 3")
    assert "had ended" in only_gap(second)["evidence"]
    assert (states(third), third.report.watermark) == ({}, "position 3")
    assert third.report.notes == (
        "1 position numbers have no row and never will (rolled back, skipped or deleted): proven",
    )


def test_number_taken_without_a_transaction_id(each_store: Store, log: wb.EventLog) -> None:
    with open_transaction(each_store) as slow, each_store.connect() as quick:
        each_store.append(quick, "quick", 1)
        (taken,) = slow.execute("SELECT nextval('events_position_seq')").fetchall()[0]
        each_store.append(quick, "quick", 2)
        (xid,) = slow.execute("SELECT pg_current_xact_id_if_assigned()").fetchall()[0]
        assert xid is None, "the case is about a transaction that has no number yet"
        first = load(log, each_store.source())
        second = load(log, each_store.source())
        slow.execute(
            'INSERT INTO events (position, aggregate_id, event_type, version, "timestamp", data) '
            "VALUES (%s, 'slow', 'Opened', 1, now(), '{}')",
            [taken],
        )
        slow.commit()
        third = load(log, each_store.source())
    assert states(first) == states(second) == {2: "open"}
    assert (third.stored, states(third)) == (1, {})
    assert positions(log) == [1, 2, 3]


def test_prepared_transaction_keeps_its_gap_open(each_store: Store, log: wb.EventLog) -> None:
    with open_transaction(each_store) as slow, each_store.connect() as quick:
        each_store.append(slow, "slow", 1)
        each_store.append(quick, "quick", 1)
        slow.execute("PREPARE TRANSACTION 'payment-17'")
        slow.commit()
        load(log, each_store.source())
        second = load(log, each_store.source())
        quick.execute("COMMIT PREPARED 'payment-17'")
        third = load(log, each_store.source())
    assert states(second) == {1: "open"}
    assert "'payment-17'" in only_gap(second)["evidence"]
    assert (third.stored, positions(log)) == (1, [1, 2])


def test_prepared_only_after_the_first_sighting(each_store: Store, log: wb.EventLog) -> None:
    """Neither its start nor its transaction number is older than the sighting; its lock is."""
    with open_transaction(each_store) as slow, each_store.connect() as quick:
        each_store.append(quick, "quick", 1)
        (taken,) = slow.execute("SELECT nextval('events_position_seq')").fetchall()[0]
        each_store.append(quick, "quick", 2)
        load(log, each_store.source())
        slow.execute(
            'INSERT INTO events (position, aggregate_id, event_type, version, "timestamp", data) '
            "VALUES (%s, 'slow', 'Opened', 1, now(), '{}')",
            [taken],
        )
        slow.execute("PREPARE TRANSACTION 'late'")
        slow.commit()
        second = load(log, each_store.source())
        quick.execute("COMMIT PREPARED 'late'")
        load(log, each_store.source())
    assert states(second) == {2: "open"}
    assert positions(log) == [1, 2, 3]


def test_rolled_back_prepared_transaction_is_dead(store: Store, log: wb.EventLog) -> None:
    with open_transaction(store) as slow, store.connect() as quick:
        store.append(slow, "slow", 1)
        store.append(quick, "quick", 1)
        slow.execute("PREPARE TRANSACTION 'undone'")
        slow.commit()
        load(log, store.source())
        quick.execute("ROLLBACK PREPARED 'undone'")
        second = load(log, store.source())
    assert (states(second), second.report.watermark) == ({1: "dead"}, "position 2")


def test_young_transaction_does_not_hold_up_a_proof(store: Store, log: wb.EventLog) -> None:
    with open_transaction(store) as slow, store.connect() as quick:
        store.append(slow, "slow", 1)
        store.append(quick, "quick", 1)
        load(log, store.source())
        slow.rollback()
        store.append(slow, "slow", 2)  # a transaction of its own, after the sighting
        store.append(quick, "quick", 2)
        second = load(log, store.source())
    assert states(second) == {1: "dead", 3: "open"}
    assert second.report.watermark == "position 2"


def test_session_of_another_database_holds_nothing_up(
    store: Store, postgres_server: str, log: wb.EventLog
) -> None:
    with fresh_database(postgres_server) as elsewhere, psycopg.connect(elsewhere) as foreign:
        foreign.execute("CREATE TABLE busy ()")
        with open_transaction(store) as slow, store.connect() as quick:
            store.append(slow, "slow", 1)
            store.append(quick, "quick", 1)
            load(log, store.source())
        second = load(log, store.source())
        foreign.rollback()
    assert states(second) == {1: "dead"}


def test_old_holes_of_a_quiet_table_are_dead_at_the_first_load(
    store: Store, log: wb.EventLog
) -> None:
    with open_transaction(store) as undone, store.connect() as quick:
        store.append(quick, "quick", 1)
        store.append(undone, "undone", 1)
        undone.rollback()
        store.append(quick, "quick", 2)
    loaded = load(log, store.source())
    assert (states(loaded), loaded.report.watermark) == ({2: "dead"}, "position 3")


def test_huge_jump_is_one_range(store: Store, log: wb.EventLog) -> None:
    with store.connect() as quick:
        store.append(quick, "quick", 1)
        quick.execute("SELECT setval('events_position_seq', 4000000000000)")
        store.append(quick, "quick", 2)
    loaded = load(log, store.source())
    gap = only_gap(loaded)
    assert (gap["position"], gap["to"], gap["state"]) == (2, 4_000_000_000_000, "dead")
    assert loaded.report.watermark == "position 4000000000001"


# -- when nothing can be proven ------------------------------------------------------------------


def test_hidden_sessions_leave_a_gap_unproven(each_store: Store, log: wb.EventLog) -> None:
    each_store.execute("DROP ROLE IF EXISTS wb_auditor")
    each_store.execute("CREATE ROLE wb_auditor LOGIN")
    try:
        each_store.execute("GRANT SELECT ON events TO wb_auditor")
        with open_transaction(each_store) as slow, each_store.connect() as quick:
            source = wb.postgres(each_store.dsn, name="store")
            auditor = wb.postgres(f"{each_store.dsn} user=wb_auditor", name="store")
            each_store.append(slow, "slow", 1)
            each_store.append(quick, "quick", 1)
            load(log, auditor)
            held = load(log, auditor)
            slow.rollback()
            unproven = load(log, auditor)
            each_store.execute("GRANT pg_read_all_stats TO wb_auditor")
            proven = load(log, auditor)
        assert states(held) == {1: "open"}, "its lock shows, although its session is hidden"
        assert states(unproven) == {1: "unproven"}
        assert unproven.report.watermark is None
        assert any(
            "GRANT pg_read_all_stats TO wb_auditor" in note for note in unproven.report.notes
        )
        assert states(proven) == {1: "dead"}
        assert load(log, source).report.watermark == "position 2"
    finally:
        each_store.execute("DROP OWNED BY wb_auditor")
        each_store.execute("DROP ROLE wb_auditor")


def test_row_security_leaves_a_gap_unproven(store: Store, log: wb.EventLog) -> None:
    role = f"wb_tenant_{os.getpid()}"
    with store.connect() as owner:
        for version in (1, 2, 3):
            store.append(owner, "a", version)
        owner.execute(f"CREATE ROLE {role} LOGIN IN ROLE pg_read_all_stats")
        owner.execute(f"GRANT SELECT ON events TO {role}")
        owner.execute("ALTER TABLE events ENABLE ROW LEVEL SECURITY")
        owner.execute(f"CREATE POLICY visible ON events TO {role} USING (version <> 2)")
    try:
        loaded = load(log, wb.postgres(f"{store.dsn} user={role}"))
        assert (loaded.stored, states(loaded)) == (2, {2: "unproven"})
        assert "row security" in loaded.report.notes[0]
        assert not loaded.report.completeness[0]["complete"]
    finally:
        store.execute(f"DROP OWNED BY {role}")
        store.execute(f"DROP ROLE {role}")


def test_numbers_without_a_sequence_are_unproven(store: Store, log: wb.EventLog) -> None:
    store.execute("ALTER TABLE events ALTER position DROP IDENTITY")
    store.execute(
        'INSERT INTO events (position, aggregate_id, event_type, version, "timestamp", data) '
        "SELECT p, 'a', 'Opened', p, now(), '{}' FROM unnest(ARRAY[5, 6, 9]) AS p"
    )
    load(log, store.source())
    loaded = load(log, store.source())
    assert states(loaded) == {1 - 2**63: "unproven", 7: "unproven"}
    assert "do not come from a sequence" in loaded.report.notes[0]
    store.execute(
        'INSERT INTO events (position, aggregate_id, event_type, version, "timestamp", data) '
        "VALUES (8, 'a', 'Opened', 8, now(), '{}'), (2, 'a', 'Opened', 2, now(), '{}')"
    )
    assert load(log, store.source()).stored == 2
    assert positions(log) == [2, 5, 6, 8, 9]


def test_cached_numbers_stay_open_while_their_session_lives(store: Store, log: wb.EventLog) -> None:
    """A session that takes 20 numbers at once uses the last of them in a transaction not yet begun."""
    store.execute("ALTER SEQUENCE events_position_seq CACHE 20")
    with store.connect() as one, store.connect() as other:
        store.append(one, "one", 1)
        store.append(other, "other", 1)
        load(log, store.source())
        second = load(log, store.source())
        assert states(second) == {2: "open"}
        store.append(one, "one", 2)
        third = load(log, store.source())
        assert (third.stored, states(third)) == (1, {3: "open"})
    time.sleep(0.2)  # the server takes a moment to end a session
    last = load(log, store.source())
    assert (states(last), last.report.watermark) == ({3: "dead"}, "position 21")


def test_sequence_set_back_is_doubted(store: Store, log: wb.EventLog) -> None:
    with store.connect() as quick:
        for version in (1, 2, 3):
            store.append(quick, "a", version)
        quick.execute("DELETE FROM events WHERE position = 2")
        quick.execute("SELECT setval('events_position_seq', 1)")
        first = load(log, store.source())
        assert states(first) == {2: "unproven"}
        assert any("it may hand numbers out again" in note for note in first.report.notes)
        store.append(quick, "a", 4)
        assert (load(log, store.source()).stored, positions(log)) == (1, [1, 2, 3])


@pytest.mark.slow
def test_replica_cannot_prove_and_loses_nothing(postgres_folder: Path, log: wb.EventLog) -> None:
    primary = packaged_server(postgres_folder / "primary")
    with (
        primary as server,
        fresh_database(server) as dsn,
        replica_of(server, postgres_folder) as copy,
    ):
        store, replica = (
            Store(dsn),
            Store(make_conninfo(copy, dbname=conninfo_to_dict(dsn)["dbname"])),
        )
        store.execute(REFERENCE_TABLE)
        with open_transaction(store) as slow, store.connect() as quick:
            store.append(slow, "slow", 1)
            store.append(quick, "quick", 1)
            replayed(store, replica)
            load(log, replica.source())
            second = load(log, replica.source())
            slow.commit()
            replayed(store, replica)
            third = load(log, replica.source())
    assert states(second) == {1: "unproven"}
    assert "load from the primary" in second.report.notes[0]
    assert (third.stored, third.report.watermark) == (1, "position 2")


@contextmanager
def replica_of(server: str, folder: Path) -> Iterator[str]:
    """Copy a running packaged server, and start the copy as its replica."""
    tools, replica = packaged(), folder / "replica"
    programs = tools.POSTGRES_VERSIONS[tools.TARGET_POSTGRES_VERSION]
    user = "pgserver" if os.geteuid() == 0 else None
    replica.mkdir(mode=0o700)
    if user:
        shutil.chown(replica, user, user)
    copying = [programs / "pg_basebackup", "-d", server, "-D", replica, "-R", "--checkpoint=fast"]
    subprocess.run(copying, check=True, user=user, cwd=folder, capture_output=True)
    (replica / ".s.PGSQL.5432.lock").unlink(
        missing_ok=True
    )  # the primary's socket lies in its data
    with packaged_server(replica) as dsn:
        yield dsn


def replayed(store: Store, replica: Store) -> None:
    """Wait until the replica has what the primary has."""
    ((end,),) = store.execute("SELECT pg_current_wal_insert_lsn()::text")
    for _ in range(200):
        if replica.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [end]) == [(True,)]:
            return
        time.sleep(0.05)
    pytest.fail("the replica does not follow")


# -- many writers --------------------------------------------------------------------------------


def _write(store: Store, writer: int, seconds: float, prepare: bool) -> None:
    """Insert, wait, and commit, roll back or prepare, at random."""
    rng = random.Random(writer)
    ends = time.monotonic() + seconds
    version = 0
    with psycopg.connect(store.dsn) as connection:
        while time.monotonic() < ends:
            for _ in range(rng.randint(1, 3)):
                version += 1
                store.append(connection, f"writer-{writer}", version)
                time.sleep(rng.random() * 0.02)
            fate = rng.random()
            if fate < 0.25:
                connection.rollback()
            elif fate < 0.35 and prepare:
                gid = f"w{writer}-{version}"
                connection.execute(f"PREPARE TRANSACTION '{gid}'")
                connection.commit()
                time.sleep(rng.random() * 0.05)
                with store.connect() as other:
                    other.execute(f"{'COMMIT' if fate < 0.3 else 'ROLLBACK'} PREPARED '{gid}'")
            else:
                connection.commit()


def _load_under_writers(
    store: Store, log: wb.EventLog, source: Postgres, prepare: bool
) -> list[Loaded]:
    seconds = 4.0
    writers = [
        threading.Thread(target=_write, args=(store, writer, seconds, prepare))
        for writer in range(6)
    ]
    for writer in writers:
        writer.start()
    loads = []
    while any(writer.is_alive() for writer in writers):
        loads.append(load(log, source))
        watermark = loads[-1].report.watermark
        if watermark and watermark.startswith("position"):
            safe = int(watermark.split()[1])
            # What the watermark promises: nothing below it appears later.
            there = [p for p in positions(log) if p <= safe]
            loads[-1].report.completeness[0]["promised"] = (safe, there)  # type: ignore[index]
    for writer in writers:
        writer.join()
    loads.append(load(log, source))
    loads.append(load(log, source))
    return loads


@pytest.mark.slow
def test_log_equals_table_under_concurrent_writers(each_store: Store, log: wb.EventLog) -> None:
    loads = _load_under_writers(each_store, log, each_store.source(), prepare=True)
    table = each_store.positions()
    assert positions(log) == table
    assert sum(loaded.stored for loaded in loads) == len(table)
    assert sum(loaded.duplicate for loaded in loads) == 0
    assert len(loads) > 10
    for loaded in loads[:-2]:
        if "promised" in loaded.report.completeness[0]:
            safe, there = loaded.report.completeness[0]["promised"]
            assert there == [position for position in table if position <= safe]
    assert loads[-1].report.watermark == f"position {table[-1]}"
    assert not [state for state in states(loads[-1]).values() if state != "dead"]


@pytest.mark.slow
def test_log_equals_table_by_transaction_number(each_store: Store, log: wb.EventLog) -> None:
    each_store.execute(
        "ALTER TABLE events ADD transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()"
    )
    each_store.execute("CREATE INDEX ON events (transaction_id, position)")
    source = each_store.source(transaction_id="transaction_id")
    loads = _load_under_writers(each_store, log, source, prepare=True)
    assert positions(log) == each_store.positions()
    assert sum(loaded.duplicate for loaded in loads) == 0
    assert len([loaded for loaded in loads if loaded.stored]) > 3
    order = log.sql("SELECT source_position FROM events ORDER BY position").df()["source_position"]
    by_transaction = each_store.execute(
        "SELECT position FROM events ORDER BY transaction_id, position"
    )
    assert [int(p.rpartition("/")[2]) for p in order] == [
        position for (position,) in by_transaction
    ]


def test_rows_of_running_transactions_wait(store: Store, log: wb.EventLog) -> None:
    store.execute(
        "ALTER TABLE events ADD transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()"
    )
    source = store.source(transaction_id="transaction_id")
    with open_transaction(store) as slow, store.connect() as quick:
        store.append(slow, "slow", 1)
        store.append(quick, "quick", 1)
        first = load(log, source)
        assert f"session {slow.info.backend_pid}" in first.report.notes[0]
        slow.commit()
        second = load(log, source)
    assert (first.stored, second.stored) == (0, 2)
    assert not first.report.completeness[0]["complete"]
    assert second.report.completeness[0]["complete"]


def test_order_of_a_source_cannot_change(store: Store, log: wb.EventLog) -> None:
    store.execute(
        "ALTER TABLE events ADD transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()"
    )
    with store.connect() as quick:
        store.append(quick, "a", 1)
    load(log, store.source())
    with pytest.raises(ConfigError, match="in another order"):
        load(log, store.source(transaction_id="transaction_id"))


def test_transaction_numbers_of_another_server_are_refused(store: Store, log: wb.EventLog) -> None:
    store.execute(
        "ALTER TABLE events ADD transaction_id xid8 NOT NULL DEFAULT '999999999999'::xid8"
    )
    with store.connect() as quick:
        store.append(quick, "a", 1)
    with pytest.raises(ConfigError, match="copied from another server"):
        load(log, store.source(transaction_id="transaction_id"))


# -- a table that is not the one it was ------------------------------------------------------------


def test_truncated_and_restarted_table(store: Store, log: wb.EventLog) -> None:
    with store.connect() as quick:
        store.append(quick, "a", 1)
        load(log, store.source())
        quick.execute("TRUNCATE events RESTART IDENTITY")
        with pytest.raises(
            SourceDataLost, match="position 1, which was loaded before, is not there"
        ):
            load(log, store.source())
        store.append(quick, "other", 1)
        with pytest.raises(SourceDataLost, match="the positions were restarted"):
            load(log, store.source())
        assert load(log, wb.postgres(store.dsn, name="store since the restart")).stored == 1


def test_rows_deleted_on_purpose(store: Store, log: wb.EventLog) -> None:
    outbox = store.source(deletes=True)
    with store.connect() as relay:
        store.append(relay, "a", 1)
        load(log, outbox)
        relay.execute("DELETE FROM events")
        assert load(log, outbox).stored == 0
        store.append(relay, "a", 2)
        relay.execute("DELETE FROM events WHERE position = 1")
        assert load(log, outbox).stored == 1
        relay.execute("TRUNCATE events RESTART IDENTITY")
        with pytest.raises(SourceDataLost):
            load(log, outbox)


# -- ranges --------------------------------------------------------------------------------------

DAY = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)


@given(st.sets(st.integers(1, 60), min_size=1), st.integers(1, 8))
def test_ranges_cover_every_hole_however_coarse(rows: set[int], most: int) -> None:
    present = np.array(sorted(rows), dtype=np.int64)
    ranges = [Gap(low, high, Sighting(DAY, 5)) for low, high in gaps.holes(0, present)]
    missing = set(range(1, int(present[-1]))) - rows
    assert {p for gap in ranges for p in range(gap.low, gap.high + 1)} == missing
    coarse = gaps.coarser(ranges, most)
    assert len(coarse) <= most
    assert missing <= {p for gap in coarse for p in range(gap.low, gap.high + 1)}


@given(st.sets(st.integers(1, 60), min_size=1), st.data())
def test_filling_takes_out_exactly_what_arrived(rows: set[int], data: st.DataObject) -> None:
    present = np.array(sorted(rows), dtype=np.int64)
    known = Gaps([Gap(low, high, Sighting(DAY, 5)) for low, high in gaps.holes(0, present)])
    missing = {p for gap in known.ranges for p in range(gap.low, gap.high + 1)}
    arrived = data.draw(st.sets(st.sampled_from(sorted(missing)))) if missing else set()
    known.fill(np.array(sorted(arrived), dtype=np.int64))
    left = [p for gap in known.ranges for p in range(gap.low, gap.high + 1)]
    assert left == sorted(missing - arrived)
    assert Gaps.from_json(known.to_json()).ranges == known.ranges


def test_verdict_needs_a_sighting_before_the_look() -> None:
    writers = Writers(at=DAY, running=(), doubts=(), xmin=9)
    assert writers.verdict(Sighting(DAY - dt.timedelta(seconds=1), 5))[0] == "dead"
    assert writers.verdict(Sighting(DAY, 5))[0] == "open"


def test_clock_that_went_back_proves_nothing() -> None:
    tomorrow = Transaction("session 7", since=DAY + dt.timedelta(days=1))
    writers = Writers(at=DAY, running=(tomorrow,), doubts=(), xmin=9)
    assert writers.verdict(Sighting(DAY - dt.timedelta(seconds=1), 5))[0] == "open"
