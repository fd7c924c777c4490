"""One read-only snapshot of the server, shared by the connection that asks and the one that reads in bulk."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import psycopg
from psycopg import sql

from workbench.sources.postgres import failures
from workbench.sources.postgres.catalog import Relation
from workbench.sources.postgres.dsn import Dsn
from workbench.sources.postgres.gaps import Sighting

Control = psycopg.Connection[tuple[Any, ...]]

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the server may be kept busy, in seconds."""

    statement: float = 600.0
    lock: float = 5.0
    idle: float = 600.0

    def settings(self) -> Mapping[str, str]:
        """The settings of a session; read-only also outside a transaction."""
        return {
            "default_transaction_read_only": "on",
            "statement_timeout": f"{round(self.statement * 1000)}",
            "lock_timeout": f"{round(self.lock * 1000)}",
            "idle_in_transaction_session_timeout": f"{round(self.idle * 1000)}",
            "timezone": "UTC",
            "datestyle": "ISO",
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot says of itself.

    ``running`` are the transactions that had a number and were not visible in it.
    """

    id: str
    seen: Sighting
    xmin: int
    running: tuple[int, ...]


@contextmanager
def connected(dsn: Dsn, limits: Limits) -> Iterator[Control]:
    """Open the connection that asks questions; each statement is its own transaction until a snapshot."""
    try:
        connection = psycopg.connect(dsn.connection_string(limits.settings()), autocommit=True)
    except psycopg.Error as error:
        # The driver's own error may repeat the connection string.
        raise failures.unreachable(dsn, error) from None
    with closing(connection):
        yield connection


def sighted(
    control: Control, relation: Relation, position: str
) -> tuple[Sighting, int | None, dt.datetime]:
    """Note what is there now: a sighting, the highest position in it, and the clock after it."""
    xmax, at, highest = control.execute(
        sql.SQL(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, clock_timestamp(), "
            "(SELECT max({}) FROM {})"
        ).format(sql.Identifier(position), relation.quoted)
    ).fetchall()[0]
    (after,) = control.execute("SELECT clock_timestamp()").fetchall()[0]
    return Sighting(at, xmax), highest, after


def begin(control: Control) -> Snapshot:
    """Take a snapshot on the asking connection, and export it for the reading one."""
    control.execute(_BEGIN)
    name, xmin, xmax, running, at = control.execute(
        """SELECT pg_export_snapshot(), pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint,
            ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(s) AS x), clock_timestamp()
        FROM pg_current_snapshot() AS s"""
    ).fetchall()[0]
    return Snapshot(name, Sighting(at, xmax), xmin, tuple(running))


@contextmanager
def reader(dsn: Dsn, limits: Limits, snapshot: Snapshot, where: str) -> Iterator[Any]:
    """Open the connection that reads in bulk, inside the snapshot."""
    try:
        connection = adbc.connect(dsn.connection_string(limits.settings()), autocommit=True)
    except adbc.Error as error:
        raise failures.unreachable(dsn, error) from None
    with closing(connection):
        with failures.told(dsn, where), connection.cursor() as cursor:
            cursor.execute(_BEGIN)
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot.id}'")
        yield connection
