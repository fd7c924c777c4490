"""Explaining 1 % wrong rows of a large read model against the diff that found them, in one run.

Run by hand: ``python -m tests.benchmarks.bench_explain`` (a few minutes; ``--events 500_000`` is quick). Rows are
spoilt by skipping one event, or by stopping; the aim is that explaining takes no more than
about twice the diff. Then one stream of 45,000 events is explained on its own, as a projection and as a fold.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import workbench as wb
from tests.benchmarks.made_up import (
    STREAMS,
    Bank,
    account,
    account_summary,
    machine,
    median,
    peak_memory,
)

LONG = 45_000


#: One row in a hundred: half of these lack their third event, half stopped after their fourth.
WITHOUT = """NOT (hash(stream_id) % 100 = 0
    AND CASE hash(stream_id) // 100 % 2 WHEN 0 THEN version = 3 ELSE version > 4 END)"""


def spoilt(log: wb.EventLog, definition: Any, condition: str) -> Any:
    """Return the rows that a projection has which never got some events."""
    rows = log.where(condition=condition).replay(definition).arrow()
    return rows.drop_columns(["version", "position", "events"])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long it took, and what came of it."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def one_stream(folder: Path, definition: Any, what: str) -> None:
    """Explain one wrong row of so many events."""
    log = wb.open(folder / f"long-{what}.duckdb")
    log.load(Bank(LONG, streams=1), prepare=[account_summary], progress=False)
    model = wb.read_model(spoilt(log, definition, f"version <> {LONG // 2}"), name="one row")
    found = log.diff(definition, model)
    taken, explanation = timed(found.explain)
    best = explanation.rows(1)[0]
    print(
        f"one stream of {LONG:,} events ({what}): {taken:.2f} s, {best['cause']} at {best['positions'][:1]}, "
        f"{len(explanation):,} hypotheses; {'; '.join(explanation.notes) or 'no bound was hit'}"
    )
    log.close()


def main() -> None:
    """Print one line for each: what it took, and the ratio to the diff."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for definition, what in ((account_summary, "projection"), (account, "fold")):
            one_stream(folder, definition, what)
        log = wb.open(folder / "bank.duckdb")
        log.load(Bank(arguments.events), prepare=[account_summary], progress=False)
        for definition, what in ((account_summary, "projection"), (account, "fold")):
            model = wb.read_model(spoilt(log, definition, WITHOUT), name="stored")
            first = log.diff(definition, model)  # what a log knows of itself is asked once
            diff = median(lambda: log.diff(definition, model).summary().rows(), arguments.times)  # noqa: B023 - run at once
            explain = median(first.explain, arguments.times)
            explanation = first.explain()
            wrong = sum(explanation.suspects.counts.values())
            print(
                f"{what}: {wrong:,} wrong rows of {STREAMS:,} over {arguments.events:,} events: diff {diff:.3f} s, "
                f"explain {explain:.3f} s = {explain / diff:.2f} x the diff (about 2 at most); {explanation.counts}"
            )
        log.close()
    print(f"peak memory {peak_memory():,.0f} MB")


if __name__ == "__main__":
    main()
