"""Writing a repair into a read model's table: in one transaction, row by row as reviewed, or not at all.

This is the only module of the sources that writes, and it writes where the user said, with a connection
that the user gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psycopg
import pyarrow as pa
from psycopg import sql

from workbench.errors import ConfigError, RepairError
from workbench.sources.postgres import catalog, failures
from workbench.sources.postgres.catalog import Relation
from workbench.sources.postgres.dsn import Dsn, parse
from workbench.sources.postgres.table import as_arrow

_SETTINGS: Final = {
    "statement_timeout": "600000",
    "lock_timeout": "5000",
    "timezone": "UTC",
    "datestyle": "ISO",
}


class Change(Protocol):
    """One row to change (see :class:`workbench.analysis.repair.Change`)."""

    @property
    def kind(self) -> str:
        """``update``, ``insert`` or ``delete``."""

    @property
    def key(self) -> Mapping[str, Any]:
        """The columns of the key."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The new values."""

    @property
    def was(self) -> Mapping[str, Any]:
        """The values that were read before."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A transaction that is under way."""

    connection: psycopg.Connection[Any]
    label: str

    def change(self, table: str, changes: Sequence[Change]) -> int:
        """Make the changes in one table; return how many rows that touched.

        Raises
        ------
        RepairError
            A row is no longer what the diff read, or more rows changed than were planned (a trigger).
        """
        relation = catalog.find(self.connection, table, self.label)
        if relation.kind not in ("r", "p"):
            message = f"{self.label}: {relation.label} is no table, and cannot be repaired."
            raise ConfigError(message, hint="name the table below it, and repair that")
        before = self._count(relation)
        for kind, function in (("delete", _delete), ("update", _update), ("insert", _insert)):
            chosen = [change for change in changes if change.kind == kind]
            if chosen:
                self._run(relation, kind, function(relation, chosen[0]), chosen)
        inserted, updated, deleted = (
            sum(change.kind == kind for change in changes)
            for kind in ("insert", "update", "delete")
        )
        written = self._written(relation, changes)
        after = self._count(relation)
        if (written, after - before) != (inserted + updated, inserted - deleted):
            message = (
                f"{relation.label}: {written:,} rows were written and {before - after + inserted:,} deleted, where "
                f"{inserted + updated:,} and {deleted:,} were planned: a trigger or a rule changes rows, too."
            )
            raise RepairError(message, hint="nothing was changed; look at the table's triggers")
        return len(changes)

    def _written(self, relation: Relation, changes: Sequence[Change]) -> int:
        """Count the rows that were written together with ours."""
        mine = next((change for change in changes if change.kind != "delete"), None)
        if mine is None:
            return 0
        # A savepoint has a number of its own, which only its rows tell.
        query = sql.SQL(
            "SELECT count(*) FROM {0} WHERE xmin = (SELECT xmin FROM {0} WHERE {1})"
        ).format(relation.quoted, _equal(relation, list(mine.key)))
        parameters = list(mine.key.values())
        return int(
            self.connection.execute(query.as_string(self.connection), parameters).fetchall()[0][0]
        )

    def rows(self, table: str) -> pa.Table:
        """Read the table inside the transaction."""
        relation = catalog.find(self.connection, table, self.label)
        return as_arrow(self.connection, relation, self.label)

    def _count(self, relation: Relation) -> int:
        query = sql.SQL("SELECT count(*) FROM {}").format(relation.quoted)
        return int(self.connection.execute(query).fetchall()[0][0])

    def _run(
        self, relation: Relation, kind: str, query: sql.Composable, changes: Sequence[Change]
    ) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(
                query.as_string(self.connection), [_parameters(change) for change in changes]
            )
            if cursor.rowcount != len(changes):
                message = (
                    f"{relation.label}: {cursor.rowcount:,} of {len(changes):,} rows could be {kind}d: the others are no "
                    "longer what the diff read."
                )
                raise RepairError(
                    message, hint="nothing was changed; diff again, and repair what that finds"
                )


@contextmanager
def transaction(target: str | psycopg.Connection[Any]) -> Iterator[Writer]:
    """Open one transaction for all of a repair; it commits at the end, or rolls back whole.

    Parameters
    ----------
    target
        A connection string, or a psycopg connection: then it commits with the user's own transaction, where
        one is open.

    Raises
    ------
    RepairError
        A statement failed; the message says why.
    """
    if isinstance(target, psycopg.Connection):
        label = f"postgres://{target.info.host}/{target.info.dbname}"
        with _told(label, None), target.transaction():
            yield Writer(target, label)
        return
    dsn = parse(target)
    try:
        connection = psycopg.connect(dsn.connection_string(_SETTINGS))
    except psycopg.Error as error:
        raise failures.unreachable(dsn, error) from None
    label = f"postgres://{dsn.label}"
    with _told(label, dsn), connection:  # commits, or rolls back on an error; then closes
        yield Writer(connection, label)


@contextmanager
def _told(label: str, dsn: Dsn | None) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{label}: the repair was rolled back: {said if dsn is None else dsn.scrub(said)}"
        raise RepairError(
            message, hint="nothing was changed; the plan (.repair()) shows each statement"
        ) from error


def _typed(relation: Relation, name: str) -> sql.Composable:
    column = relation.columns.get(name)
    if column is None:
        message = f"{relation.label} has no column {name!r} to repair."
        raise ConfigError(
            message, hint="columns={'their name': 'our name'} says how columns are called"
        )
    return sql.SQL("{}::{}").format(sql.Placeholder(), sql.Identifier(column.type))


def _equal(relation: Relation, names: Sequence[str]) -> sql.Composable:
    parts = []
    for name in names:
        value = _typed(relation, name)
        # json has no equality of its own.
        form = (
            "{}::text IS NOT DISTINCT FROM ({})::text"
            if relation.columns[name].type == "json"
            else "{} IS NOT DISTINCT FROM {}"
        )
        parts.append(sql.SQL(form).format(sql.Identifier(name), value))
    return sql.SQL(" AND ").join(parts)


def _update(relation: Relation, change: Change) -> sql.Composable:
    sets = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), _typed(relation, name))
        for name in change.values
    )
    where = _equal(relation, [*change.key, *change.was])
    return sql.SQL("UPDATE {} SET {} WHERE {}").format(relation.quoted, sets, where)


def _insert(relation: Relation, change: Change) -> sql.Composable:
    names = [*change.key, *change.values]
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        relation.quoted,
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(_typed(relation, name) for name in names),
    )


def _delete(relation: Relation, change: Change) -> sql.Composable:
    return sql.SQL("DELETE FROM {} WHERE {}").format(
        relation.quoted, _equal(relation, [*change.key, *change.was])
    )


def _parameters(change: Change) -> list[Any]:
    match change.kind:
        case "update":
            return [*change.values.values(), *change.key.values(), *change.was.values()]
        case "insert":
            return [*change.key.values(), *change.values.values()]
        case _:
            return [*change.key.values(), *change.was.values()]
