"""A census, an impact and a fork of payloads in three versions against a plain scan of them, in one run.

Run by hand: ``python -m tests.benchmarks.bench_versions`` (some minutes, most of them spent on making five million
events; ``--events 500_000`` is quick, ``--log FILE`` takes a log that is there).

The peer is ``SELECT count(*), max(length(data))`` over the same events: what it costs to look at each payload
once. Each figure is the median of ``--times`` runs. Ratios are what counts, since both ran on the same machine in the
same minutes; those of processor time hold on a machine that is busy with other things, too.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import workbench as wb
from tests.benchmarks.made_up import machine, median, peak_memory
from workbench import samples
from workbench.bundled import account_summary
from workbench.bundled.upcasters import upcasters
from workbench.store.view import EVENTS

CENSUS_AIM = 1.5
"""Times what DuckDB takes to write down the structure of each payload, which a census cannot do without."""

stricter = wb.Projection(
    "stricter_summary",
    {
        **account_summary.columns,
        "risk_score": (
            10 * wb.count(on="WithdrawalMade", where=wb.field("amount") > 500)
            + 40 * wb.count(on="AccountFrozen")
            + 5 * wb.count(on="WithdrawalRejected")
        ).clip(high=100),
    },
    key={"account_id": "event.stream_id"},
    on=account_summary.on,
    stream_type="account",
    ends="AccountClosed",
)


def made(folder: Path, events: int) -> Path:
    """Generate and load a bank of so many events, in three versions."""
    written = samples.generate("bank", folder / "events", events=events, seed=1, schema_versions=3)
    path = folder / "bank.duckdb"
    with wb.open(path) as log:
        log.load(wb.files([str(file) for file in written.files]), progress=False)
        log.upcast(*upcasters("bank")).prepare(account_summary)
    return path


def main() -> None:
    """Print one line for each question: what it took, and its ratio to the scan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--log", type=Path, help="a log that is there already")
    parser.add_argument("--times", type=int, default=3, help="how often each is run")
    arguments = parser.parse_args()
    print(machine())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(
            wb.open(arguments.log or made(folder, arguments.events), read_only=True)
        )
        at_hand, every = upcasters("bank"), upcasters("bank", lost=True)
        through = log.upcast(*at_hand)

        def scan() -> None:
            log.sql("SELECT count(*), max(length(data)) FROM events").rows()

        def timed(work: Callable[[], object]) -> tuple[float, float]:
            """Seconds by the clock (median), and of processors (mean)."""
            start = time.process_time()
            taken = median(work, arguments.times)
            return taken, (time.process_time() - start) / arguments.times

        scan()
        base = timed(scan)
        print(
            f"scan: {base[0]:.2f} s, CPU {base[1]:.2f} s, for {len(log):,} events, all of {EVENTS}"
        )

        def say(what: str, work: Callable[[], object]) -> float:
            taken = timed(work)
            print(
                f"{what}: {taken[0]:.2f} s = {taken[0] / base[0]:.1f} x the scan, "
                f"CPU {taken[1]:.2f} s = {taken[1] / base[1]:.1f} x; "
                f"peak memory up to here {peak_memory():,.0f} MB",
                flush=True,
            )
            return taken[1]

        def structures() -> None:
            log.sql("SELECT count(*), max(length(json_structure(data))) FROM events").rows()

        floor = say("json_structure of each payload", structures)
        taken = say("census", log.census)
        print(f"census: CPU {taken / floor:.1f} x json_structure (aim: {CENSUS_AIM})")
        say("census under upcasters", through.census)
        say("census of a sample of 100,000", lambda: log.census(sample=100_000))
        census = log.census()
        say("census.over_time", lambda: census.over_time().rows())
        say("replay", lambda: log.replay(account_summary).arrow())
        say("replay under upcasters", lambda: through.replay(account_summary).arrow())
        say("history under upcasters", lambda: len(through.history(account_summary)))
        impact = through.impact(account_summary, stricter)
        say(
            f"impact of a definition, {len(impact):,} of {impact.of_rows:,} rows",
            lambda: through.impact(account_summary, stricter),
        )
        impact = log.impact([], every, of=account_summary)
        say(
            f"impact of upcasters, {len(impact):,} of {impact.of_rows:,} rows",
            lambda: log.impact([], every, of=account_summary),
        )
        edit = {
            row["position"]: {"amount": Decimal(1)}
            for row in log.sql(
                "SELECT position FROM events WHERE event_type = 'DepositMade' LIMIT 1000"
            ).rows()
        }
        fork = log.what_if(edit=edit)
        say("fork with 1,000 edited events", lambda: log.what_if(edit=edit))
        say("fork.against", lambda: fork.against(account_summary))
        say("again, the scan", scan)


if __name__ == "__main__":
    main()
