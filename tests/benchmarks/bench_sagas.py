"""Sagas against a plain scan of the same events, in one run.

Run by hand: ``python -m tests.benchmarks.bench_sagas`` (some minutes, most of them spent on making five million
events; ``--events 500_000`` is quick, ``--log FILE`` takes a log that is there).

The peer is ``SELECT count(*), max(length(data))`` over the same events: what it costs to look at each of them
once. Each figure is the median of five; ratios are what counts, since both ran on the same machine in the same
minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import workbench as wb
from tests.benchmarks.made_up import machine, median, peak_memory
from workbench import samples
from workbench.bundled import checkout_saga
from workbench.store.view import EVENTS

AIM = 5.0


def made(folder: Path, events: int) -> Path:
    """Generate and load a checkout of so many events."""
    written = samples.generate("checkout", folder / "events", events=events, seed=1)
    path = folder / "checkout.duckdb"
    with wb.open(path) as log:
        log.load(wb.files([str(file) for file in written.files]), progress=False)
    return path


def main() -> None:
    """Print one line for each question: what it took, and its ratio to the scan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--log", type=Path, help="a log that is there already")
    arguments = parser.parse_args()
    print(machine())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(
            wb.open(arguments.log or made(folder, arguments.events), read_only=True)
        )
        events = len(log)

        def scan() -> None:
            log.sql("SELECT count(*), max(length(data)) FROM events").rows()

        scan()
        base = median(scan)
        print(f"scan: {base:.2f} s for {events:,} events, all of {EVENTS}")
        sagas = log.sagas(checkout_saga)  # what a log knows of itself is asked once

        def say(what: str, work: Callable[[], object], aim: str = "") -> None:
            taken = median(work)
            print(f"{what}: {taken:.2f} s = {taken / base:.1f} x the scan{aim}")

        say(
            f"log.sagas, {len(sagas):,} sagas",
            lambda: log.sagas(checkout_saga),
            f" (aim: {AIM:.0f})",
        )
        one = sagas.violations().rows(1)[0]["saga_id"]
        say("outcomes", lambda: sagas.outcomes().rows())
        say("over_time", lambda: sagas.over_time().rows())
        say("funnel", lambda: sagas.funnel().rows())
        say("durations", lambda: sagas.durations().rows())
        say("variants", lambda: sagas.variants().rows())
        say("graph", lambda: sagas.graph().rows())
        say("stuck", lambda: sagas.stuck().arrow())
        say("violations", lambda: sagas.violations().arrow())
        say("one instance", lambda: sagas.instance(one).rows())
        print(f"again, the scan: {median(scan):.2f} s")
    print(f"peak memory {peak_memory():,.0f} MB")


if __name__ == "__main__":
    main()
