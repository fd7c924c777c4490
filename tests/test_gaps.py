"""Late commits and holes: no event is lost, and a hole is called dead only on evidence."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import workbench as wb
from tests.fix_postgres import (
    FILL,
    REFERENCE_TABLE,
    Store,
    fresh_database,
    load,
    only_gap,
    open_transaction,
    packaged,
    packaged_server,
    positions,
    states,
)

pytestmark = pytest.mark.postgres


@pytest.fixture
def log() -> Iterator[wb.EventLog]:
    with wb.open() as opened:
        yield opened


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


def test_next_load_reads_holes_and_news_alone(each_store: Store, log: wb.EventLog) -> None:
    """At this size, and with more than a few holes, the planner would rather read the whole table."""
    each_store.execute(FILL.format(60_000))
    each_store.execute("VACUUM ANALYZE events")
    with open_transaction(each_store) as slow, each_store.connect() as quick:
        for version in range(8):
            each_store.append(slow, "slow", version)
            each_store.append(quick, "quick", version)
        load(log, each_store.source())
        before = rows_read(each_store)
        slow.commit()
        assert load(log, each_store.source()).stored == 8
        assert rows_read(each_store) - before < 100


def rows_read(store: Store) -> int:
    """How many rows of the table the server has read, once all loading sessions have told theirs."""
    running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'workbench'"
    while store.execute(running) != [(0,)]:
        time.sleep(0.02)
    ((count,),) = store.execute(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'events'"
    )
    return int(count)


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
