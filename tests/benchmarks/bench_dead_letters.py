"""Dead letters to a log, against copying the same file into a table: ``python -m tests.benchmarks.bench_dead_letters``.

Each message is read and checked in all its headers; the copy takes it as it is. Prints seconds, messages a
second, and the ratio; by default of a million messages, each of another format than the one before.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import workbench as wb
from tests.dead_letters import (
    Message,
    connect,
    masstransit,
    nservicebus,
    parquet,
    reference,
    smallrye,
    spring,
    spring_retry,
    streams,
)

KINDS = {
    "mixed": [
        connect(), streams(), spring(), spring_retry(), smallrye(), nservicebus(), masstransit(), reference(),
    ],
    "spring": [spring()],
    "reference": [reference()],
}  # fmt: skip
_PART = 50_000


def write(path: Path, kinds: list[Message], count: int) -> None:
    """Write so many messages, each in a place of its own."""
    part = pq.read_table(parquet(path, list(islice(cycle(kinds), _PART))))
    at = part.schema.get_field_index("offset")
    with pq.ParquetWriter(path, part.schema) as writer:
        for start in range(0, count, _PART):
            numbers = pa.array(range(start, start + _PART), pa.int64())
            writer.write_table(part.set_column(at, "offset", numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=KINDS, default="mixed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "messages.parquet")
        write(path, KINDS[given.kind], given.messages)
        began, cpu = time.perf_counter(), time.process_time()
        with wb.open(Path(folder, "log.duckdb")) as log:
            loaded = log.load(wb.dead_letters(path), progress=False)
        took = time.perf_counter() - began
        busy = time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        began = time.perf_counter()
        with duckdb.connect(str(Path(folder, "copy.duckdb"))) as con:
            con.execute(f"CREATE TABLE copy AS FROM '{path}'")
        copied = time.perf_counter() - began
    print(
        f"{given.kind}: {loaded.stored:,} dead letters in {took:.1f} s ({loaded.stored / took:,.0f}/s, {busy:.1f} s of "
        f"processor time, at most {memory:,} MB); copied as they are in {copied:.1f} s: {took / copied:.1f} times as long"
    )


if __name__ == "__main__":
    main()
