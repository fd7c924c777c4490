"""Many writers at once, tables that were changed under a log, and the arithmetic of ranges."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests.fix_postgres import (
    Store,
    load,
    open_transaction,
    positions,
    states,
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
        assert f"session {slow.info.backend_pid}" in first.report.notes[-1]
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
