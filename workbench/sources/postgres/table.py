"""Reading a table or a query whole: a stored read model, as it stands in one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from workbench.errors import ConfigError, SourceError, did_you_mean
from workbench.sources.postgres import catalog, failures, snapshot
from workbench.sources.postgres.dsn import parse
from workbench.sources.postgres.snapshot import Control, Limits

_DIGITS: Final = 38
#: Types that Arrow holds as they are; the others are read as text, and numeric becomes DECIMAL.
_AS_THEY_ARE: Final = catalog.NATIVE.keys() - {"uuid"}
_PLAIN: Final = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
#: Infinity and the last years of Postgres wrap round in Arrow, to before the first of Postgres.
_FIRST_DAY: Final = -2_440_589
_FIRST_MICROSECOND: Final = _FIRST_DAY * 86_400_000_000


def read_table(
    dsn: str,
    table: str | None = None,
    *,
    query: str | None = None,
    columns: Sequence[str] | None = None,
    statement_timeout: float = 600.0,
) -> pa.Table:
    """Read a stored read model, in one read-only snapshot.

    Parameters
    ----------
    dsn
        A connection string, as for :func:`~workbench.sources.postgres.postgres`.
    table, query
        A table (``"schema.name"`` where it is not on the search path), or a SELECT.
    columns
        Which columns, in this order; by default all.
    statement_timeout
        Seconds that the server may take.

    Returns
    -------
    pyarrow.Table
        Rows in no particular order. ``numeric`` is DECIMAL, exact: of the declared precision and scale,
        or of 38 digits with as many behind the point as the longest value has. ``timestamptz`` is UTC;
        ``timestamp`` stays naive. ``json`` and ``jsonb`` are JSON text. Types that Arrow has not
        (uuid, enums, arrays, intervals) are text, as Postgres writes them.

    Raises
    ------
    ConfigError
        No such table or column, or not exactly one of table and query.
    SourceUnavailable
        The server cannot be reached, or went away.
    SourceError
        A value that no DECIMAL or time can hold: NaN, infinity, more than 38 digits.
    """
    if (table is None) == (query is None):
        message = "a read model is read from a table or from a query: give one of them."
        raise ConfigError(message)
    parsed, limits = parse(dsn), Limits(statement=statement_timeout)
    what = f"postgres://{parsed.label}/{table or 'query'}"
    with snapshot.connected(parsed, limits) as control:
        with failures.told(parsed, what):
            origin = _origin(control, table, query, what)
            taken = snapshot.begin(control)
            described = _described(control, origin)
        chosen = _chosen(described, columns, what)
        wanted = sql.SQL(", ").join(_selected(name, described[name][0]) for name in chosen)
        text = sql.SQL("SELECT {} FROM {}").format(wanted, origin).as_string(control)
        with (
            snapshot.reader(parsed, limits, taken, what) as bulk,
            failures.told(parsed, what),
            bulk.cursor() as cursor,
        ):
            cursor.execute(text)
            found: pa.Table = cursor.fetch_arrow_table()
    arrays = [_exact(found.column(name), name, *described[name], where=what) for name in chosen]
    return pa.table(arrays, names=chosen)


def as_arrow(connection: Control, relation: catalog.Relation, where: str) -> pa.Table:
    """Read a whole table on a connection that is in a transaction: with what that has changed so far."""
    described = _described(connection, relation.quoted)
    selected = sql.SQL(", ").join(
        sql.SQL("{0}::text AS {0}").format(sql.Identifier(name))
        if kind not in _PLAIN
        else sql.Identifier(name)
        for name, (kind, _, _) in described.items()
    )
    rows = connection.execute(
        sql.SQL("SELECT {} FROM {}").format(selected, relation.quoted)
    ).fetchall()
    arrays = [
        _exact(
            pa.chunked_array(
                [pa.array([row[index] for row in rows], _PLAIN.get(kind, pa.string()))]
            ),
            name,
            kind,
            *sizes,
            where=where,
        )
        for index, (name, (kind, *sizes)) in enumerate(described.items())
    ]
    return pa.table(arrays, names=list(described))


def _origin(control: Control, table: str | None, query: str | None, what: str) -> sql.Composable:
    if table is not None:
        return catalog.find(control, table, what).quoted
    # The line break ends a comment in the last line of the query.
    return sql.SQL("({}\n) AS wb_query").format(sql.SQL((query or "").strip().rstrip(";")))


def _described(
    control: Control, origin: sql.Composable
) -> dict[str, tuple[str, int | None, int | None]]:
    """Return the columns: name -> type, precision, scale."""
    cursor = control.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(origin))
    described = cursor.description or []
    names: dict[int, str] = dict(
        control.execute(
            "SELECT oid::bigint, typname FROM pg_type WHERE oid = ANY (%s::oid[])",
            [[column.type_code for column in described]],
        ).fetchall()
    )
    return {
        column.name: (names[column.type_code], column.precision, column.scale)
        for column in described
    }


def _chosen(described: dict[str, Any], columns: Sequence[str] | None, what: str) -> list[str]:
    for name in columns or ():
        if name not in described:
            raise ConfigError(f"{what} has no column {name!r}." + did_you_mean(name, described))
    return list(described if columns is None else columns)


def _selected(name: str, kind: str) -> sql.Composable:
    column = sql.Identifier(name)
    return column if kind in _AS_THEY_ARE else sql.SQL("{0}::text AS {0}").format(column)


def _exact(
    values: pa.ChunkedArray,
    name: str,
    kind: str,
    precision: int | None,
    scale: int | None,
    *,
    where: str,
) -> pa.ChunkedArray:
    """Turn numbers that came as text into DECIMAL; refuse what Arrow cannot hold."""
    if kind == "numeric":
        return _decimal(values, name, precision, scale, where)
    if kind in ("date", "timestamp", "timestamptz"):
        first, whole = (
            (_FIRST_DAY, pa.int32()) if kind == "date" else (_FIRST_MICROSECOND, pa.int64())
        )
        lowest = pc.min(values.cast(whole)).as_py()
        if lowest is not None and lowest < first:
            message = f"{where}: column {name} holds a time that is infinite, or later than the year 290000."
            raise SourceError(
                message, hint=f"read it as text: query='SELECT …, {name}::text FROM …'"
            )
    return values


def _decimal(
    values: pa.ChunkedArray, name: str, precision: int | None, scale: int | None, where: str
) -> pa.ChunkedArray:
    numbers = pc.match_substring_regex(values, r"^-?[0-9]+(\.[0-9]+)?$")
    if not pc.all(numbers).as_py() and pc.count(values).as_py():
        odd = pc.filter(values, pc.invert(numbers))
        message = f"{where}: column {name} holds {odd[0].as_py()}, which is no number."
        raise SourceError(message, hint=f"read it as text: query='SELECT …, {name}::text FROM …'")
    if precision is None or scale is None or not 0 <= scale <= precision <= _DIGITS:
        points = pc.find_substring(values, ".")
        lengths = pc.utf8_length(values)
        behind = pc.if_else(pc.less(points, 0), 0, pc.subtract(pc.subtract(lengths, points), 1))
        scale = int(pc.max(behind).as_py() or 0)
        whole = pc.if_else(pc.less(points, 0), lengths, points)
        signs = pc.if_else(pc.starts_with(values, "-"), 1, 0)
        precision = _DIGITS
        if int(pc.max(pc.subtract(whole, signs)).as_py() or 0) + scale > _DIGITS:
            message = f"{where}: column {name} needs more than {_DIGITS} digits."
            raise SourceError(
                message, hint=f"read it as text: query='SELECT …, {name}::text FROM …'"
            )
    return values.cast(pa.decimal128(max(precision, 1), scale))
