"""Generated events by way of a broker: topic by topic, so that the order of loading is nobody's."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

import workbench as wb
from tests.servers import kafka_broker
from tests.servers.kafka_client import Client, Record
from workbench._sql import text
from workbench.event import MAPPABLE

PARTITIONS = 3
#: Every column of the event, under its own name.
COLUMNS = {name: name for name in MAPPABLE if name != "source_position"}


@contextlib.contextmanager
def at_broker(address: str | None) -> Iterator[Client | None]:
    """Talk to the broker at an address, or, where it is empty, to one that is started; None: to none."""
    if address is None:
        yield None
    elif address:
        yield Client(address)
    else:
        broker = kafka_broker.start()
        print(broker.label)
        try:
            yield Client(broker.bootstrap)
        finally:
            broker.stop()


def load_events(client: Client, files: Sequence[Path], suffix: str, log: wb.EventLog) -> None:
    """Send the events of files to a topic for each type of stream, named with ``suffix``; load them from there."""
    topics = send_events(client, files, suffix)
    log.load(wb.kafka(client.bootstrap, topics, columns=COLUMNS, name="events"), progress=False)


def send_events(client: Client, files: Sequence[Path], suffix: str) -> list[str]:
    """Send the events of files; return the topics."""
    with wb.open() as log:  # it reads each kind of file
        log.load(wb.files([str(file) for file in files]), progress=False)
        con = log._view.database.cursor()
        kinds = con.execute("SELECT DISTINCT stream_type FROM log.main.events").fetchall()
        written = ", ".join(
            f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ') AS {name}" if name.endswith("_at") else name
            for name in COLUMNS
        )
        topics = []
        for (kind,) in sorted(kinds):
            topics.append(client.create(f"checkout.{kind}{suffix}", PARTITIONS))
            con.execute(
                f"SELECT to_json(one), stream_id FROM (SELECT {written} FROM log.main.events "
                f"WHERE stream_type = {text(kind)} ORDER BY position) one"
            )
            client.send(topics[-1], _records(con))
    return topics


def _records(con: duckdb.DuckDBPyConnection) -> Iterator[Record]:
    while rows := con.fetchmany(10_000):
        for value, stream in rows:
            key = stream.encode()
            yield Record(value.encode(), key=key, partition=zlib.crc32(key) % PARTITIONS)
