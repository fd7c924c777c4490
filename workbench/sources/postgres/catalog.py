"""What the server's catalogue says about a table, before a row of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from workbench.errors import ConfigError, did_you_mean

#: Types that arrive as themselves, and what DuckDB makes of them; all others are read as text.
NATIVE: Final = {
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
    "bool": "BOOLEAN",
    "text": "VARCHAR",
    "varchar": "VARCHAR",
    "json": "JSON",
    "jsonb": "JSON",
    "uuid": "UUID",
    "bytea": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: its Postgres type, and whether it may be NULL."""

    name: str
    type: str
    nullable: bool

    @property
    def duck_type(self) -> str:
        """What DuckDB makes of it."""
        return NATIVE.get(self.type, "VARCHAR")

    @property
    def expression(self) -> sql.Composable:
        """How it is selected: raw where Arrow has the type, as text otherwise."""
        column = sql.Identifier(self.name)
        return column if self.type in NATIVE else sql.SQL("{0}::text AS {0}").format(column)


@dataclass(frozen=True, slots=True)
class Sequence:
    """Where a table's positions come from.

    A session may take ``cache`` numbers at once and use the last of them much later.
    """

    oid: int
    first: int
    cache: int
    last: int | None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view, as the server knows it."""

    oid: int
    schema: str
    name: str
    kind: str
    columns: Mapping[str, Column]

    @property
    def label(self) -> str:
        """Its name, with the schema unless that is ``public``."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> sql.Identifier:
        """Its full name for SQL."""
        return sql.Identifier(self.schema, self.name)


def find(connection: psycopg.Connection[Any], table: str, source: str) -> Relation:
    """Look a table up on the search path.

    Raises
    ------
    ConfigError
        No such table, or a server too old to vouch for snapshots (before 13).
    """
    if connection.info.server_version < 130000:
        message = f"{source}: the server is PostgreSQL {connection.info.server_version // 10000}; 13 or later is needed."
        raise ConfigError(
            message, hint="load from an upgraded replica, or export the table to files"
        )
    row = connection.execute(
        """SELECT c.oid, n.nspname, c.relname, c.relkind::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND (n.nspname || '.' || c.relname = %(table)s
               OR c.relname = %(table)s AND n.nspname = ANY (current_schemas(true)))
        ORDER BY c.relname = %(table)s, array_position(current_schemas(true), n.nspname) LIMIT 1""",
        {"table": table},
    ).fetchone()
    if row is None:
        known = connection.execute(
            """SELECT CASE WHEN n.nspname = ANY (current_schemas(false)) THEN '' ELSE n.nspname || '.' END || c.relname
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
              AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"""
        ).fetchall()
        message = f"{source}: there is no table {table!r}." + did_you_mean(
            table, (k for (k,) in known)
        )
        raise ConfigError(message, hint="name it with table='schema.name'")
    columns = connection.execute(
        """SELECT a.attname, t.typname, NOT a.attnotnull
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""",
        [row[0]],
    ).fetchall()
    oid, schema_found, name_found, kind = row
    return Relation(
        oid, schema_found, name_found, kind, {column[0]: Column(*column) for column in columns}
    )


def position_column(relation: Relation, position: str, source: str) -> Column:
    """Return the column that orders the events.

    Raises
    ------
    ConfigError
        It does not exist, or is no whole number.
    """
    column = relation.columns.get(position)
    if column is None:
        message = f"{source}: {relation.label} has no column {position!r} to order its events by."
        raise ConfigError(
            message + did_you_mean(position, relation.columns), hint="name it with position='…'"
        )
    if column.type not in ("int2", "int4", "int8"):
        message = f"{source}: {relation.label}.{position} is of type {column.type}; a position is a whole number."
        raise ConfigError(message, hint="name another column with position='…'")
    return column


def sequence_of(
    connection: psycopg.Connection[Any], relation: Relation, position: str
) -> Sequence | None:
    """Return the sequence behind a column, by identity, ownership or default; None when there is none."""
    row = connection.execute(
        """WITH found AS (
            -- the default's own sequence comes before one that the column merely owns
            SELECT 1 AS rank, d.refobjid AS oid FROM pg_attribute a
            JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
            JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
                AND d.refclassid = 'pg_class'::regclass
            WHERE a.attrelid = %(oid)s AND a.attname = %(position)s
            UNION ALL
            SELECT 2, d.objid FROM pg_attribute a
            JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
                AND d.refobjsubid = a.attnum AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
            WHERE a.attrelid = %(oid)s AND a.attname = %(position)s)
        SELECT s.seqrelid, s.seqmin, s.seqcache,
            CASE WHEN has_sequence_privilege(s.seqrelid, 'SELECT, USAGE')
                 THEN pg_sequence_last_value(s.seqrelid::regclass) END
        FROM found JOIN pg_sequence s ON s.seqrelid = found.oid
        WHERE s.seqincrement > 0 AND NOT s.seqcycle ORDER BY rank LIMIT 1""",
        {"oid": relation.oid, "position": position},
    ).fetchone()
    return None if row is None else Sequence(*row)


def hidden_rows(connection: psycopg.Connection[Any], relation: Relation) -> list[str]:
    """Say whether this user may not see all rows."""
    row = connection.execute("SELECT row_security_active(%s::oid)", [relation.oid]).fetchone()
    if row is None or not row[0]:
        return []
    return [
        f"row security of {relation.label} may hide rows from this user: load with one that has BYPASSRLS"
    ]


def has_index(connection: psycopg.Connection[Any], relation: Relation, columns: list[str]) -> bool:
    """Tell whether an index starts with these columns, so that the server need not sort."""
    row = connection.execute(
        """SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = %s AND i.indisvalid AND i.indpred IS NULL
            AND (SELECT array_agg(a.attname::text ORDER BY k.n)
                 FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                 WHERE k.n <= %s) = %s)""",
        [relation.oid, len(columns), columns],
    ).fetchone()
    return bool(row and row[0])
