"""Sagas of generated logs against what the generator did: every outcome, step and broken rule, exactly.

Run by hand: ``python -m tests.benchmarks.truth_sagas --events 1_000_000 --seeds 1 2 3`` (some minutes). It
generates a checkout for each seed, loads and analyses it, prints the counts beside those of the truth file,
then compares row by row. Exits with 1 when anything differs.

``--broker`` sends the events to a broker first, and loads them from there; without an address, to one that is started
for it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import duckdb

import workbench as wb
from tests.benchmarks.through_broker import at_broker, load_events
from tests.servers.kafka_client import Client
from workbench import samples
from workbench._sql import text
from workbench.analysis.sagas import OUTCOMES, VIOLATIONS
from workbench.bundled import checkout_saga


@dataclass(frozen=True)
class Comparison:
    """Counts on both sides, and the number of rows that are on one side only."""

    outcomes: dict[str, tuple[int, int]]
    violations: dict[str, tuple[int, int]]
    sagas_that_differ: int
    violations_that_differ: int

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        counts = [*self.outcomes.values(), *self.violations.values()]
        return not (self.sagas_that_differ or self.violations_that_differ) and all(
            found == truth for found, truth in counts
        )

    def __str__(self) -> str:
        lines = [f"{'':38}{'found':>10}{'truth':>10}"]
        for counts in (self.outcomes, self.violations):
            lines += [
                f"  {name:36}{found:>10,}{truth:>10,}" for name, (found, truth) in counts.items()
            ]
        lines.append(
            f"  rows on one side only: {self.sagas_that_differ:,} sagas, "
            f"{self.violations_that_differ:,} violations"
        )
        return "\n".join(lines)


def compare(log: wb.EventLog, folder: Path) -> Comparison:
    """Hold the sagas of a log against the truth in a folder."""
    told = json.loads((folder / "sagas_truth.json").read_text())
    sagas = log.sagas(checkout_saga)
    violations = sagas.violations()
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("found", sagas.arrow())
        con.register("broken", violations.arrow())
        con.execute(
            f"CREATE TABLE truth AS FROM read_parquet({text(str(folder / 'sagas_truth.parquet'))})"
        )
        by_kind = dict(con.execute("SELECT violation, count(*) FROM broken GROUP BY 1").fetchall())
        rows = _differing(
            con,
            "SELECT saga_id, outcome, step, events, started_at, last_at, ended_at FROM found",
            "SELECT correlation_id, outcome, current_step, events, started_at, last_at, ended_at FROM truth",
        )
        # The event is named by its stream and version: positions depend on how a log was loaded.
        shown = _differing(
            con,
            "SELECT saga_id, violation, step, stream_id, version, event_id FROM broken",
            "SELECT correlation_id, v.violation, v.step, v.stream_id, v.version, v.event_id FROM "
            "(SELECT correlation_id, unnest(violations) AS v FROM truth)",
        )
    return Comparison(
        {name: (sagas.counts[name], told["outcomes"][name]) for name in OUTCOMES},
        {name: (by_kind.get(name, 0), told["violations"][name]) for name in VIOLATIONS},
        rows,
        shown,
    )


def _differing(con: duckdb.DuckDBPyConnection, found: str, truth: str) -> int:
    sql = f"SELECT count(*) FROM (({found} EXCEPT ALL {truth}) UNION ALL ({truth} EXCEPT ALL {found}))"
    return int(con.execute(sql).fetchall()[0][0])


def generated(folder: Path, *, events: int, seed: int, client: Client | None = None) -> wb.EventLog:
    """Generate a checkout and load it, by way of a broker where there is one."""
    made = samples.generate("checkout", folder, events=events, seed=seed)
    log = wb.open(folder / "log.duckdb")
    if client is None:
        log.load(wb.files([str(file) for file in made.files]), progress=False)
    else:
        load_events(client, made.files, f".{uuid.uuid4().hex[:8]}", log)
    return log


def main() -> int:
    """Compare, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--broker", nargs="?", const="", metavar="HOST:PORT")
    arguments = parser.parse_args()
    results = []
    with at_broker(arguments.broker) as client:
        for seed in arguments.seeds:
            with (
                tempfile.TemporaryDirectory() as name,
                generated(Path(name), events=arguments.events, seed=seed, client=client) as log,
            ):
                begun = time.perf_counter()
                results.append(compare(log, Path(name)))
                taken = time.perf_counter() - begun
                print(f"seed {seed}, {len(log):,} events, {taken:.1f} s\n{results[-1]}", flush=True)
    equal = all(result.equal for result in results)
    print("all equal" if equal else "NOT EQUAL")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
