"""In which order the rows of an event table were committed: what a reader could see, and when.

A position is handed out at insert and the row is visible at commit, so a later position may be visible
first. Where the server keeps commit timestamps (``track_commit_timestamp``), ``pg_xact_commit_timestamp(xmin)``
tells afterwards in which order the rows became visible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from psycopg import sql

from workbench.errors import ConfigError
from workbench.sources.postgres import catalog, failures, snapshot
from workbench.sources.postgres.source import Postgres


@dataclass(frozen=True, slots=True)
class Commits:
    """What a server tells about the commits of a table.

    Attributes
    ----------
    rows
        ``position``, ``transaction`` (its number), ``committed_at`` (UTC; NULL where it is no longer kept). No rows
        where nothing can be known.
    tracked
        Whether the server keeps commit timestamps.
    label
        The table, as in ``source_position``.
    """

    rows: pa.Table
    tracked: bool
    label: str


def commits(source: Postgres, first: int | None = None, last: int | None = None) -> Commits:
    """Read when each row of an event table was committed, in one read-only snapshot.

    Raises
    ------
    SourceUnavailable
        The server cannot be reached, or went away.
    ConfigError
        There is no such table, or it is a view, whose rows have no transactions.
    """
    with snapshot.connected(source.dsn, source.limits) as control:
        with failures.told(source.dsn, source.name):
            relation = catalog.find(control, source.layout.table, source.name)
            position = catalog.position_column(relation, source.layout.position, source.name)
            (tracked,) = control.execute(
                "SELECT current_setting('track_commit_timestamp') = 'on'"
            ).fetchall()[0]
        where = f"{source.name}: {relation.label}"
        if relation.kind not in ("r", "p"):
            message = f"{where} is no table, and its rows tell nothing about transactions."
            raise ConfigError(message, hint="name the table below the view")
        if not tracked:
            return Commits(_NOTHING, False, relation.label)
        with failures.told(source.dsn, where):
            taken = snapshot.begin(control)
        query = sql.SQL(
            "SELECT {0}::bigint AS position, xmin::text::bigint AS transaction, "
            "pg_xact_commit_timestamp(xmin) AS committed_at FROM {1} WHERE {2}"
        ).format(
            sql.Identifier(position.name), relation.quoted, _between(position.name, first, last)
        )
        with (
            snapshot.reader(source.dsn, source.limits, taken, where) as bulk,
            failures.told(source.dsn, where),
            bulk.cursor() as cursor,
        ):
            cursor.execute(query.as_string(control))
            rows: Any = cursor.fetch_arrow_table()
    return Commits(rows.cast(_SCHEMA), True, relation.label)


def _between(position: str, first: int | None, last: int | None) -> sql.Composable:
    parts: list[sql.Composable] = [sql.SQL("TRUE")]
    if first is not None:
        parts.append(sql.SQL("{} >= {}").format(sql.Identifier(position), sql.Literal(first)))
    if last is not None:
        parts.append(sql.SQL("{} <= {}").format(sql.Identifier(position), sql.Literal(last)))
    return sql.SQL(" AND ").join(parts)


_SCHEMA = pa.schema(
    {
        "position": pa.int64(),
        "transaction": pa.int64(),
        "committed_at": pa.timestamp("us", tz="UTC"),
    }
)
_NOTHING = _SCHEMA.empty_table()
