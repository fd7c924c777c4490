"""The journal of re-drives, in the log's own file: what was to be sent, and where it arrived.

Each step is committed before the next one is taken: what is to be sent before anything is, and what arrived soon
after it did. What a killed sender left open is found in the topic itself.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from workbench._sql import any_of, text
from workbench.store.database import Database
from workbench.store.schema import code_version
from workbench.store.transaction import transaction

Con = duckdb.DuckDBPyConnection
Ends = Mapping[str, Mapping[int, int]]
"""Topic -> partition -> offset."""

STALE_SECONDS: Final = 60
"""A sender that has not written for so long is no longer there."""

RUNS: Final = "log.main.redrives"
MESSAGES: Final = "log.main.redriven"


@dataclass(frozen=True, slots=True)
class Run:
    """A re-drive that has not ended."""

    redrive_id: str
    broker: str
    sender: str
    alive_at: dt.datetime
    ends: Ends


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that is in the topic; ``of`` is where its dead letter stands."""

    redrive_id: str
    of: str
    topic: str
    partition: int
    offset: int
    at: dt.datetime


def sender() -> str:
    """Name this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_alive(run: Run, now: dt.datetime) -> bool:
    """Whether another process is still sending this."""
    if run.sender == sender() or (now - run.alive_at).total_seconds() > STALE_SECONDS:
        return False
    host, _, pid = run.sender.rpartition(":")
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and another user's
        return True
    return True


def unfinished(database: Database, broker: str) -> list[Run]:
    """Return the re-drives to a broker that did not end, the latest first."""
    rows = database.rows(
        f"SELECT redrive_id, broker, sender, alive_at, ends FROM {RUNS} "
        f"WHERE finished_at IS NULL AND broker = {text(broker)} ORDER BY started_at DESC"
    )
    return [
        Run(redrive_id, to, sender, alive_at.astimezone(dt.UTC), _ends(ends))
        for redrive_id, to, sender, alive_at, ends in rows
    ]


def settle(database: Database, redrive_id: str, arrived: Iterable[Arrived]) -> None:
    """Note what of a re-drive did arrive, and forget what did not: nothing of it was sent."""
    with database.writing() as con, transaction(con):
        _note(con, arrived)
        con.execute(
            f"DELETE FROM {MESSAGES} WHERE redrive_id = ? AND sent_at IS NULL", [redrive_id]
        )
        con.execute(f"UPDATE {RUNS} SET finished_at = now() WHERE redrive_id = ?", [redrive_id])


def begin(
    database: Database,
    redrive_id: str,
    broker: str,
    ends: Ends,
    messages: Sequence[tuple[int, str, str, str]],
) -> None:
    """Note what is about to be sent: (n, source, source_position, topic); and where the topics end before it.

    A re-drive that goes on keeps the ends that it began with.
    """
    with database.writing() as con, transaction(con):
        known = con.execute(
            f"SELECT ends FROM {RUNS} WHERE redrive_id = ?", [redrive_id]
        ).fetchall()
        merged = {topic: dict(partitions) for topic, partitions in ends.items()}
        for topic, partitions in (_ends(known[0][0]) if known else {}).items():
            merged[topic] = {**merged.get(topic, {}), **partitions}
        con.execute(
            f"INSERT INTO {RUNS} VALUES (?, ?, now(), NULL, now(), ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "finished_at = NULL, alive_at = now(), sender = excluded.sender, ends = excluded.ends",
            [redrive_id, broker, sender(), json.dumps(merged), code_version()],
        )
        _insert(con, redrive_id, messages)


def note(database: Database, redrive_id: str, arrived: Iterable[Arrived], *, ended: bool) -> None:
    """Note what has arrived, and that the sender is alive, or done."""
    with database.writing() as con, transaction(con):
        _note(con, arrived)
        finished = ", finished_at = now()" if ended else ""
        con.execute(
            f"UPDATE {RUNS} SET alive_at = now(){finished} WHERE redrive_id = ?", [redrive_id]
        )


def _insert(con: Con, redrive_id: str, messages: Sequence[tuple[int, str, str, str]]) -> None:
    import pyarrow as pa

    names = ("n", "source", "source_position", "topic")
    columns = zip(*messages, strict=True) if messages else ((),) * len(names)
    con.register("to_send", pa.table(dict(zip(names, map(list, columns), strict=True))))
    con.execute(
        f"INSERT INTO {MESSAGES} BY NAME SELECT ? AS redrive_id, n::BIGINT AS n, source, source_position, topic "
        "FROM to_send",
        [redrive_id],
    )
    con.unregister("to_send")


def _note(con: Con, arrived: Iterable[Arrived]) -> None:
    import pyarrow as pa

    rows = [
        {
            "redrive_id": one.redrive_id,
            "of_position": one.of,
            "topic": one.topic,
            "p": one.partition,
            "o": one.offset,
            "at": one.at,
        }
        for one in arrived
    ]
    if not rows:
        return
    con.register("arrived", pa.Table.from_pylist(rows))
    con.execute(
        f'UPDATE {MESSAGES} m SET partition = a.p, "offset" = a.o, sent_at = a."at" FROM arrived a '
        "WHERE m.redrive_id = a.redrive_id AND m.source_position = a.of_position AND m.topic = a.topic "
        "AND m.sent_at IS NULL"
    )
    con.unregister("arrived")


def _ends(said: Any) -> dict[str, dict[int, int]]:
    found = json.loads(said or "{}")
    return {
        topic: {int(number): offset for number, offset in partitions.items()}
        for topic, partitions in found.items()
    }


def open_topics(database: Database, redrive_ids: Iterable[str]) -> set[str]:
    """Return the topics for which messages of some re-drives are not known to have arrived."""
    rows = database.rows(
        f"SELECT DISTINCT topic FROM {MESSAGES} WHERE sent_at IS NULL AND {any_of('redrive_id', redrive_ids)}"
    )
    return {topic for (topic,) in rows}
