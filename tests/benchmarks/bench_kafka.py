"""Kafka topic to log, against a bare ``getmany`` loop over the same topic in the same run.

``python -m tests.benchmarks.bench_kafka [messages] [partitions]`` starts a broker, writes the messages
(about 320 bytes each), and prints the medians of five interleaved runs.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

import workbench as wb
from tests.servers import kafka_broker
from tests.servers.kafka_client import Client

RUNS = 5
TOPIC = "bench"


def message(number: int) -> bytes:
    envelope = {
        "eventId": f"e-{number:012d}",
        "eventType": "DepositMade",
        "aggregateId": f"acc-{number % 20_000:06d}",
        "aggregateType": "account",
        "version": number // 20_000 + 1,
        "timestamp": "2026-06-30T14:02:11.123Z",
        "data": {
            "amount": f"{number % 1000}.10",
            "currency": "EUR",
            "balance": 12345.67,
            "via": "web",
        },
        "metadata": {
            "correlationId": f"c-{number}",
            "causationId": f"e-{number - 1}",
            "userId": "u-17",
        },
    }
    return json.dumps(envelope, separators=(",", ":")).encode()


async def produce(bootstrap: str, messages: int, partitions: int) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=256 << 10, acks=1
    )
    await producer.start()
    for number in range(messages):
        stream = number % 20_000
        await producer.send(
            TOPIC, message(number), key=f"acc-{stream:06d}".encode(), partition=stream % partitions
        )
    await producer.stop()


async def bare(bootstrap: str, partitions: int) -> int:
    """Read the topic to its end with aiokafka alone, and keep nothing."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        assigned = [TopicPartition(TOPIC, number) for number in range(partitions)]
        consumer.assign(assigned)
        ends = await consumer.end_offsets(assigned)
        read = 0
        while any([await consumer.position(one) < ends[one] for one in assigned]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                read += len(records)
        return read
    finally:
        await consumer.stop()


def source_alone(bootstrap: str) -> int:
    """Read the topic through the source, and keep nothing."""
    with wb.kafka(bootstrap, TOPIC).read(None) as reading:
        return sum(batch.rows.num_rows for batch in reading.batches())


def into_log(bootstrap: str, folder: Path) -> int:
    path = folder / "log.duckdb"
    with wb.open(path) as log:
        stored = log.load(wb.kafka(bootstrap, TOPIC), progress=False).stored
    path.unlink()
    return stored


def one_run(bootstrap: str, partitions: int) -> None:
    """Measure the three in a process of its own, so that the peak of memory is theirs."""
    pa.array([b""])  # its first use imports pandas, which is not to be measured
    with tempfile.TemporaryDirectory() as folder:
        paths: dict[str, Callable[[], int]] = {
            "bare": lambda: asyncio.run(bare(bootstrap, partitions)),
            "source": lambda: source_alone(bootstrap),
            "log": lambda: into_log(bootstrap, Path(folder)),
        }
        found = {}
        for name, run in paths.items():
            wall, cpu = time.perf_counter(), time.process_time()
            read = run()
            found[name] = (
                read / (time.perf_counter() - wall),
                (time.process_time() - cpu) / read * 1e6,
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"found": found, "peak": peak}))


def main() -> None:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    partitions = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    broker = kafka_broker.start()
    try:
        Client(broker.bootstrap).create(TOPIC, partitions)
        asyncio.run(produce(broker.bootstrap, messages, partitions))
        print(
            f"{messages:,} messages of {len(message(1))} bytes, {partitions} partitions, {broker.label}"
        )
        runs = []
        for _ in range(RUNS):
            command = [
                sys.executable,
                "-m",
                __spec__.name,
                "run",
                broker.bootstrap,
                str(partitions),
            ]
            runs.append(json.loads(subprocess.check_output(command)))
    finally:
        broker.stop()
    median = {
        name: tuple(statistics.median(run["found"][name][n] for run in runs) for n in (0, 1))
        for name in ("bare", "source", "log")
    }
    for name, (rate, cpu) in median.items():
        ratios = [run["found"][name][0] / run["found"]["bare"][0] for run in runs]
        print(
            f"{name:>7}: {rate:>10,.0f} msg/s  {cpu:5.2f} µs of CPU a message  "
            f"{statistics.median(ratios):.2f} of bare ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(f"peak RSS of a run: {max(run['peak'] for run in runs):,.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        one_run(sys.argv[2], int(sys.argv[3]))
    else:
        main()
