"""What LogExplorer takes for each thing that a reader does, at five million events.

Run by hand: ``python -m tests.benchmarks.bench_explore`` (about three minutes on a quiet machine; ``--events 500_000`` is quick).

Each figure is the time of the callback: the queries, the page, the code. The peer of a page is the one that one
would write by hand, with OFFSET. Memory is this process's resident memory before and after a hundred pages and a
hundred opened events, without the blocks of the file that DuckDB keeps at hand.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import workbench as wb
from tests.benchmarks.bench_time_travel import Memory
from tests.benchmarks.made_up import Bank, machine, median


def took(words: str, act: Callable[[], Any]) -> Any:
    """Print how long something takes; return what it gives."""
    start = time.perf_counter()
    given = act()
    print(f"{words:38} {1000 * (time.perf_counter() - start):8,.0f} ms")
    return given


def measure(log: wb.EventLog) -> None:
    """Go through a log as a reader does."""
    middle = log.sql(f"SELECT * FROM events WHERE position = {len(log) // 2}").rows()[0]
    explorer = took("explore()", log.explore)
    took("next page", explorer._listing.on.click)
    took("open an event, with its causes", lambda: setattr(explorer._listing.select, "index", 7))

    def chosen(words: str, name: str, value: Any) -> None:
        took(words, lambda: setattr(getattr(explorer, name), "value", value))
        print(f"{'':4}{len(explorer.value):,} events: {' '.join(explorer.code.split())}")
        explorer.clear.click()

    chosen("one type", "types", (middle["event_type"],))
    chosen("one stream", "stream", middle["stream_id"])
    chosen("one flow", "correlation", middle["correlation_id"])
    chosen("from the middle on", "start", middle["recorded_at"].isoformat())
    chosen("text that most payloads have", "text", "amount")
    chosen("text that none has", "text", "nowhere to be found")
    took("latest first", lambda: setattr(explorer.latest, "value", True))
    explorer.latest.value = False

    for _ in range(20):
        explorer._listing.on.click()
    before = Memory.now(log)
    pages = median(explorer._listing.on.click, 100)
    opened = [n % 50 for n in range(100)]
    for index in opened:
        explorer._listing.select.index = index
    after = Memory.now(log)
    offset = len(log) // 2
    page = f"SELECT * FROM events ORDER BY position LIMIT 50 OFFSET {offset}"
    peer = median(lambda: log.sql(page).arrow(), 3)
    grown = after.resident - before.resident - (after.blocks - before.blocks)
    print(f"a page: {1000 * pages:.0f} ms, {peer / pages:.1f} x as fast as OFFSET to the middle")
    print(f"memory after a hundred pages and a hundred events: {grown:+.1f} MB")


def main() -> None:
    """Build a log and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder, wb.open(Path(folder) / "bank.duckdb") as log:
        log.load(Bank(arguments.events), progress=False)
        measure(log)


if __name__ == "__main__":
    main()
