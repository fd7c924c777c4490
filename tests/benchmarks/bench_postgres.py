"""Postgres to a log, against ``COPY (FORMAT binary)`` thrown away: ``python -m tests.benchmarks.bench_postgres``.

Each run is a process of its own, so that memory is that of one load. The two alternate, so that a busy
machine slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psycopg

import workbench as wb
from tests.fix_postgres import GIVEN, REFERENCE_TABLE, fresh_database, packaged_server

AGGREGATES = 200_000
FILL = """
INSERT INTO events (aggregate_id, event_type, version, "timestamp", data, metadata)
SELECT 'acc-' || lpad(((i * 7919) % {aggregates})::text, 8, '0'),
       (ARRAY['DepositMade', 'WithdrawalMade', 'TransferReceived', 'InterestCredited'])[1 + i % 4],
       (i - 1) / {aggregates} + 1,
       timestamptz '2025-01-01Z' + i * interval '5 seconds',
       jsonb_build_object('amount', round(((i * 37) % 100000)::numeric / 100, 2), 'currency', 'EUR', 'account',
           'acc-' || (i * 7919) % {aggregates}, 'reference', md5(i::text), 'channel', 'mobile'),
       jsonb_build_object('correlation_id', md5((i / 3)::text), 'causation_id', md5((i - 1)::text),
           'user_id', 'user-' || i % 5000, 'schema_version', 1)
FROM generate_series(1, {events}::bigint) AS g(i)"""
COPY = """COPY (SELECT position, aggregate_id, event_type, version, "timestamp", data, metadata FROM events)
TO STDOUT (FORMAT binary)"""


def peer(dsn: str) -> dict[str, float]:
    """Read the table as the driver gives it, and keep nothing."""
    size, started = 0, time.perf_counter()
    with psycopg.connect(dsn) as connection, connection.cursor().copy(COPY) as copy:
        for part in copy:
            size += len(part)
    return {"seconds": time.perf_counter() - started, "bytes": size}


def load(dsn: str, prepare: bool) -> dict[str, float]:
    """Load the table into a new log on disk; with ``prepare``, with a typed column."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.duckdb"
        started = time.perf_counter()
        with wb.open(path) as log:
            balance = wb.Projection("balance", {"amount": wb.total("amount")})
            definitions = [balance] if prepare else []
            count = log.load(wb.postgres(dsn), prepare=definitions, progress=False).stored
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "events": count, "file": path.stat().st_size}


def drain(dsn: str) -> dict[str, float]:
    """Read with the source alone: what the log adds is the difference to ``load``."""
    started, count = time.perf_counter(), 0
    with wb.postgres(dsn).read(None) as reading:
        for batch in reading.batches():
            count += batch.rows.num_rows
    return {"seconds": time.perf_counter() - started, "events": count}


def measured(what: str, dsn: str) -> dict[str, float]:
    """Run one of the above in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_postgres", "--run", what, "--dsn", dsn]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def table(events: int, dsn: str | None) -> Iterator[str]:
    """Make the table, unless one is given."""
    if dsn is not None:
        yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="wbpg") as folder:
        Path(folder).chmod(0o755)
        own = nullcontext(GIVEN) if GIVEN else packaged_server(Path(folder) / "data")
        with own as server, fresh_database(server) as made:
            with psycopg.connect(made, autocommit=True) as connection:
                connection.execute(REFERENCE_TABLE)
                connection.execute(FILL.format(aggregates=AGGREGATES, events=events))
                connection.execute("VACUUM ANALYZE events")
            yield made


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dsn", help="a database that already holds the table")
    parser.add_argument("--run", choices=["peer", "load", "typed", "drain"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        runs = {
            "peer": lambda: peer(given.dsn),
            "drain": lambda: drain(given.dsn),
            "load": lambda: load(given.dsn, prepare=False),
            "typed": lambda: load(given.dsn, prepare=True),
        }
        result = runs[given.run]()
        used = resource.getrusage(resource.RUSAGE_SELF)
        result |= {"rss": used.ru_maxrss * 1024, "cpu": used.ru_utime + used.ru_stime}
        print(json.dumps(result))
        return
    with table(given.events, given.dsn) as dsn:
        results: dict[str, list[dict[str, float]]] = {}
        for _ in range(given.runs):
            for what in ("peer", "drain", "load", "typed"):
                results.setdefault(what, []).append(measured(what, dsn))
        limit = statistics.median(run["seconds"] for run in results["peer"])
        wire = results["peer"][0]["bytes"]
        print(
            f"{given.events:,} events, {wire / given.events:.0f} B each, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        )
        for what, runs in results.items():
            seconds = statistics.median(run["seconds"] for run in runs)
            rss = max(run["rss"] for run in runs) / 2**20
            cpu = statistics.median(run["cpu"] for run in runs)
            print(
                f"{what:6} {seconds:7.2f} s  {given.events / seconds / 1000:6.0f} k events/s  "
                f"{limit / seconds:5.2f} of COPY  client CPU {cpu:5.1f} s  peak RSS {rss:5.0f} MiB"
            )


if __name__ == "__main__":
    main()
