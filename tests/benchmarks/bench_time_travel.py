"""Moves of the TimeTravel slider, measured in a Jupyter kernel, against a replay of the whole log for each.

Run by hand: ``python -m tests.benchmarks.bench_time_travel`` (about ten minutes; ``--events 500_000 --large 0``
is quick).

A move is what the kernel does when the slider tells a new value: finding the event, the row before and after
it, the number of rows, the page and the code, and sending them to the browser. The peer is the slider that
one would write by hand: ``log.replay(definition, position=…)`` for each value. Memory is the kernel's resident
memory after 50 moves, and how it has changed after 200 more: all of it, and without the blocks of the file that
DuckDB keeps at hand, which are bounded by its memory limit and go when others need the room.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets
from jupyter_client.manager import start_new_kernel

import workbench as wb
from tests.benchmarks.made_up import STREAMS, Bank, account, account_summary, machine, median

MOVES = 200
SMALL, LARGE = 100, 200
"""What a move may take, in milliseconds: at five and at twenty million events."""

#: Its key is not the stream: the three events of a request are in three streams.
requests = wb.Projection(
    "requests",
    {"amount": wb.total("amount"), "steps": wb.count()},
    key={"request": "event.correlation_id"},
)

#: Nothing is prepared for what it reads: each value comes from the payload's text.
channels = wb.Projection(
    "channels",
    {
        "currency": wb.latest("currency"),
        "channel": wb.latest("channel"),
        "note": wb.latest("note"),
    },
    key={"account_id": "event.stream_id"},
)


@dataclass(frozen=True)
class Memory:
    """Memory of this process in MB: resident, and the part that holds blocks of the log's file."""

    resident: float
    blocks: float

    @classmethod
    def now(cls, log: wb.EventLog) -> Memory:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        (row,) = log.sql(
            "SELECT sum(memory_usage_bytes)::BIGINT AS bytes FROM duckdb_memory() WHERE tag = 'BASE_TABLE'"
        ).rows()
        return cls(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, row["bytes"] / 1e6)


def in_kernel(path: str, bound: int) -> None:
    """Measure in this process, which is a kernel: one line for each kind of time travel."""
    log = wb.open(path, read_only=True)
    position = log.sql("SELECT max(position) AS last FROM events").rows()[0]["last"] // 2
    log.replay(account_summary, position=position).arrow()
    peer = median(lambda: log.replay(account_summary, position=position).arrow())
    print(f"peer: a replay of the whole log to its middle for each move: {peer * 1000:,.0f} ms")
    for words, definition, stream in (
        ("whole read model, projection", account_summary, None),
        ("whole read model, fold", account, None),
        ("whole read model, another key than the stream", requests, None),
        ("whole read model, nothing prepared", channels, None),
        ("one stream, projection", account_summary, f"acc-{STREAMS // 2:07d}"),
        ("one stream, fold", account, f"acc-{STREAMS // 2:07d}"),
    ):
        start = time.perf_counter()
        travel = log.time_travel(definition, stream)
        begun = time.perf_counter() - start
        taken, before, after = moved(log, travel)
        more, blocks = after.resident - before.resident, after.blocks - before.blocks
        middle, most = (
            1000 * one for one in (statistics.median(taken), sorted(taken)[-MOVES // 20])
        )
        print(
            f"{words}: a move {middle:.1f} ms (at most {bound}), 19 of 20 within {most:.1f} ms, the slowest "
            f"{max(taken) * 1000:.1f} ms; {peer * 1000 / middle:.1f} x as fast as the peer; to begin {begun:.2f} s; "
            f"memory {before.resident:,.0f} MB, after {MOVES} moves {more:+.1f}, without blocks {more - blocks:+.1f}"
        )
    log.close()


def moved(log: wb.EventLog, travel: Any) -> tuple[list[float], Memory, Memory]:
    """Move a slider to random places; return the seconds of each move, and memory before and after."""
    slider = next(one for one in travel.children if isinstance(one, ipywidgets.IntSlider))
    places = random.Random(5)

    def move() -> float:
        value = slider.value
        while value == slider.value:  # a slider that stays where it is does nothing
            value = places.randint(slider.min, slider.max)
        start = time.perf_counter()
        slider.value = value
        return time.perf_counter() - start

    for _ in range(50):
        move()
    before = Memory.now(log)
    taken = [move() for _ in range(MOVES)]
    return taken, before, Memory.now(log)


def run_in_kernel(code: str) -> None:
    """Run code in a new kernel, and print what it prints."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        reply = client.execute_interactive(code, timeout=3_600)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if reply["content"]["status"] != "ok":
        message = "\n".join(reply["content"]["traceback"])
        raise RuntimeError(message)


def main() -> None:
    """Build a log of each size, and measure in a kernel of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--large", type=int, default=20_000_000, help="a second log; 0: none")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        for events, bound in ((arguments.events, SMALL), (arguments.large, LARGE)):
            if not events:
                continue
            path = Path(folder) / f"bank-{events}.duckdb"
            with wb.open(path) as log:
                log.load(Bank(events), prepare=[account_summary], progress=False)
            print(f"{events:,} events")
            run_in_kernel(
                "from tests.benchmarks.bench_time_travel import in_kernel\n"
                f"in_kernel({str(path)!r}, {bound})"
            )
            path.unlink()


if __name__ == "__main__":
    main()
