"""Causation and audit on a large log, against one look at all payloads in the same run.

Run by hand: ``python -m tests.benchmarks.bench_audit`` (some minutes; ``--events 500_000`` is quick). The peer
is ``SELECT count(*), max(length(data))``, which reads one column; a hash has to read all sixteen, so a second
peer reads all of them. Each figure is the median of three; ratios are what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import workbench as wb
from tests.benchmarks.made_up import STREAMS, Bank, machine, median, peak_memory
from workbench.analysis.audit import chain
from workbench.event import COLUMNS
from workbench.sources.base import Bookmark

PEER = "SELECT count(*), max(length(data)) FROM log.main.events"
_NUMBER = "CAST(split_part(source_position, '/', 2) AS BIGINT)"


@dataclass(frozen=True)
class Linked:
    """The made-up bank, each request three events that cause one another."""

    bank: Bank
    kind: str = "made-up"

    @property
    def name(self) -> str:
        return self.bank.name

    @contextlib.contextmanager
    def read(self, bookmark: Bookmark | None) -> Iterator[Any]:
        with self.bank.read(bookmark) as reading:
            reading.shape = replace(
                reading.shape,
                columns={
                    **reading.shape.columns,
                    "event_id": "source_position",
                    "causation_id": f"CASE WHEN {_NUMBER} % 3 > 0 THEN 'made-up/' || ({_NUMBER} - 1) END",
                },
            )
            yield reading


def main() -> None:
    """Print one line for each analysis: its time, and how often the peer would have run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--log", type=Path, help="keep the log there, and use it when it is there")
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.events:,} events in {STREAMS:,} streams")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = arguments.log or folder / "bank.duckdb"
        with wb.open(path) as log:
            if not len(log):
                log.load(Linked(Bank(arguments.events)), progress=False)
            measure(log, folder)
    print(f"peak memory {peak_memory():,.0f} MB")


def measure(log: wb.EventLog, folder: Path) -> None:
    database = log._view.database
    database.rows(PEER)
    peer = median(lambda: database.rows(PEER), 3)
    every = ", ".join(
        f"max({column})" if kind in ("BIGINT", "TIMESTAMPTZ") else f"sum(strlen({column}))"
        for column, kind in COLUMNS.items()
    )
    read = median(lambda: database.rows(f"SELECT {every} FROM log.main.events"), 3)
    print(f"peer, count(*), max(length(data)): {peer:.2f} s; all sixteen columns: {read:.2f} s")
    stream = f"acc-{STREAMS // 2:07d}"
    flow = log.sql("SELECT correlation_id AS id FROM events LIMIT 1").rows()[0]["id"]
    event = log.sql(
        "SELECT event_id AS id FROM events WHERE causation_id IS NOT NULL LIMIT 1"
    ).rows()[0]["id"]
    packs = iter(folder / f"pack-{number}" for number in range(1_000))
    paths: list[tuple[str, Callable[[], object]]] = [
        ("causation of all events", log.causation),
        ("causation of one flow", lambda: log.causation(flow)),
        ("causation of one event", lambda: log.causation(event)),
        ("audit of all events: order, people, sources", log.audit),
        ("hash chain over all events", lambda: chain(log._view)),
        ("audit of one stream", lambda: log.audit(stream)),
        ("audit of one stream, with its chain", lambda: log.audit(stream).head),
        ("evidence pack of one stream", lambda: log.audit(stream).pack(next(packs))),
    ]
    for title, work in paths:
        taken = median(work, 3)
        print(
            f"{title}: {taken:.2f} s = {taken / peer:.1f} x the peer (aim: 5), {taken / read:.1f} x all columns"
        )
    if database.path is not None:
        taken = median(lambda: wb.verify(database.path), 3)  # type: ignore[arg-type]  # looked at above
        print(
            f"every block of the file, {database.path.stat().st_size:,} bytes: {taken:.2f} s = {taken / peer:.1f} x the peer"
        )


if __name__ == "__main__":
    main()
