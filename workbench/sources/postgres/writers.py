"""Who may still write into a table: sessions, prepared transactions, running transaction numbers.

The order of the look-ups matters. Sessions come before locks, and both before the snapshot that is read:
a transaction that ends in between is in that snapshot, and one that is prepared in between is in the
first list.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import psycopg

from workbench.sources.postgres.catalog import Relation, Sequence
from workbench.sources.postgres.gaps import Transaction

#: Of a transaction whose start is not known: as old as anything.
_ALWAYS: Final = dt.datetime.min.replace(tzinfo=dt.UTC)

_SESSIONS: Final = """
SELECT pid, usename, application_name, state, xact_start, backend_start,
       state = 'disabled' OR query = '<insufficient privilege>'
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL"""

_LOCKS: Final = """
SELECT DISTINCT l.pid, p.gid
FROM pg_locks l
LEFT JOIN pg_prepared_xacts p ON l.virtualtransaction = '-1/' || p.transaction::text
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation = ANY (%s::oid[])
  AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareLock')"""

_NUMBERS: Final = """
SELECT x.xid, l.pid, coalesce(a.datname, p.database), coalesce(a.usename, p.owner), p.gid
FROM unnest(%s::bigint[]) AS x(xid)
LEFT JOIN pg_locks l ON l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
    AND l.transactionid::text::bigint = x.xid & 4294967295
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts p ON p.transaction = l.transactionid"""


def sessions(
    connection: psycopg.Connection[Any], relation: Relation, sequence: Sequence | None
) -> tuple[list[Transaction], list[str]]:
    """Return the transactions that may still write, and what could not be seen.

    Where a session takes several numbers at once, it can use the last of them in a later transaction:
    then the whole session counts.
    """
    running: list[Transaction] = []
    hidden: set[int] = set()
    for pid, user, application, state, xact_start, backend_start, unseen in connection.execute(
        _SESSIONS
    ):
        if unseen:
            hidden.add(pid)
            continue
        since = backend_start if sequence is not None and sequence.cache > 1 else xact_start
        if since is not None:
            named = f" {application!r}" if application else ""
            who = f"session {pid} of {user}{named} ({state}, since {since.isoformat()})"
            running.append(Transaction(who, since))
    parts = connection.execute(
        "SELECT array_agg(relid::oid) FROM pg_partition_tree(%s::oid::regclass)", [relation.oid]
    ).fetchone()
    watched = [relation.oid, *((parts and parts[0]) or []), *([sequence.oid] if sequence else [])]
    for pid, prepared in connection.execute(_LOCKS, [watched]):
        if pid is None:
            who = f"the prepared transaction {prepared!r}, which wrote into {relation.label}"
            running.append(Transaction(who, _ALWAYS))
        elif pid in hidden:
            who = f"session {pid}, which holds a lock on {relation.label}"
            running.append(Transaction(who, _ALWAYS))
    return running, _doubts(connection, relation, sequence, hidden)


def numbers(
    connection: psycopg.Connection[Any], xids: list[int], *, anywhere: bool = False
) -> list[Transaction]:
    """Return the running transactions with these numbers; of this database, or of all."""
    if not xids:
        return []
    (here,) = connection.execute("SELECT current_database()").fetchall()[0]
    return [
        Transaction(
            f"the prepared transaction {prepared!r} of {user}"
            if prepared
            else f"transaction {xid}" + (f" of session {pid} ({user})" if pid else ""),
            xid=xid,
        )
        for xid, pid, database, user, prepared in connection.execute(_NUMBERS, [xids])
        if anywhere or database in (None, here)
    ]


def _doubts(
    connection: psycopg.Connection[Any],
    relation: Relation,
    sequence: Sequence | None,
    hidden: set[int],
) -> list[str]:
    doubts: list[str] = []
    replica, subscribed, user = connection.execute(
        "SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = %(oid)s "
        "OR srrelid IN (SELECT relid FROM pg_partition_tree(%(oid)s::oid::regclass))), current_user",
        {"oid": relation.oid},
    ).fetchall()[0]
    if replica:
        doubts.append(
            "this server is a replica and does not show who writes on the primary: load from the primary to prove gaps"
        )
    if subscribed:
        doubts.append(
            f"{relation.label} is filled by logical replication: load from its publisher to prove gaps"
        )
    if relation.kind not in ("r", "p"):
        doubts.append(f"{relation.label} is no table, so its writers are not known")
    elif sequence is None:
        doubts.append("the positions do not come from a sequence of this server")
    if hidden:
        doubts.append(
            f"{len(hidden)} sessions of other roles are hidden: GRANT pg_read_all_stats TO {user} to prove gaps"
        )
    return doubts
