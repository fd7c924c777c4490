"""Each analysis of dead letters beside ``SELECT count(*), max(length(data))`` over the same events.

Run by hand: ``python -m tests.benchmarks.bench_dlq`` (about five minutes; ``--events 500_000 --letters 10_000`` is
quick). The aim is five times that query; each figure is the median of three.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import workbench as wb
from tests.benchmarks.made_up import Bank, account, account_summary, machine, median, peak_memory

#: A stack of Java, as long as they are: twenty frames and a cause.
_STACK = (
    "'java.lang.IllegalStateException: Listener failed' || repeat(chr(10) || chr(9) || "
    "'at org.springframework.kafka.listener.KafkaMessageListenerContainer.invoke(Container.java:2873)', 20) || "
    "chr(10) || 'Caused by: java.net.SocketTimeoutException: Read timed out after ' || position || ' ms' || "
    "chr(10) || chr(9) || 'at com.bank.Gateway' || position % 30 || '.call(Gateway.java:' || position % 500 || ')'"
)


def give_up(log: wb.EventLog, letters: int) -> None:
    """Write so many dead letters of the log's own events, as Spring would."""
    every = max(1, len(log) // letters)
    with log._view.database.writing() as con:
        con.execute(
            f"""INSERT INTO log.main.dead_letters BY NAME
            SELECT row_number() OVER (ORDER BY position) AS dead_letter_id, 1 AS load_id, 'dlq' AS source,
                'bank-dlt/0/' || row_number() OVER (ORDER BY position) AS source_position, 'spring' AS format,
                recorded_at + INTERVAL 60 SECONDS AS dead_lettered_at, 'bank' AS origin_topic, 0 AS origin_partition,
                position AS origin_offset, recorded_at AS origin_at, 'service-' || position % 7 AS consumer,
                if(position % 10 = 0, NULL, event_id) AS event_id, event_type, stream_id, version, correlation_id,
                'java.net.SocketTimeoutException' AS error_class,
                'Read timed out after ' || position || ' ms for ' || stream_id AS error_message,
                {_STACK} AS error_stack, 1 + position % 5 AS attempts, data,
                encode(CAST(data AS VARCHAR)) AS raw, encode(stream_id) AS key
            FROM log.main.events WHERE hash(position) % {every} = 0"""
        )


def main() -> None:
    """Print one line for each analysis: what it took, and the ratio to the plain query."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--letters", type=int, default=100_000)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        log = wb.open(Path(name) / "bank.duckdb")
        log.load(Bank(arguments.events), prepare=[account_summary], progress=False)
        give_up(log, arguments.letters)
        database = log._view.database
        plain = median(
            lambda: database.rows("SELECT count(*), max(length(data)) FROM log.main.events"), 3
        )
        letters = log.dead_letters()
        print(f"{len(log):,} events, {len(letters):,} dead letters")
        print(f"SELECT count(*), max(length(data)): {plain:.2f} s")
        narrow = log.where(types="DepositMade").as_of("2026-02-01T00:00Z")
        analyses: dict[str, Callable[[], object]] = {
            "log.dead_letters()": log.dead_letters,
            "the same, narrowed by type and time": narrow.dead_letters,
            ".by('event_type')": lambda: letters.by("event_type"),
            ".by('consumer')": lambda: letters.by("consumer"),
            ".over_time()": letters.over_time,
            ".over_time(by='error', clock='occurred')": lambda: letters.over_time(
                by="error", clock="occurred"
            ),
            ".fingerprints()": letters.fingerprints,
            ".attempts()": letters.attempts,
            ".time_to_dead_letter()": letters.time_to_dead_letter,
            ".streams()": letters.streams,
            ".redrive()": letters.redrive,
            ".redrive(a projection)": lambda: letters.redrive(account_summary),
            ".redrive(a fold)": lambda: letters.redrive(account),
        }
        for what, work in analyses.items():
            taken = median(work, 3)
            print(f"{what:<42} {taken:6.2f} s = {taken / plain:5.2f} x (aim: 5)", flush=True)
        log.close()
    print(f"peak memory {peak_memory():,.0f} MB")


if __name__ == "__main__":
    main()
