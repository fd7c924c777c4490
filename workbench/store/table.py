"""Results: rows behind a query that can be read in every form, and that look like something."""

from __future__ import annotations

import datetime as dt
import importlib
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb

from workbench import _html
from workbench.store.database import Database
from workbench.store.query import check_query, query_error

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PREVIEW_ROWS = 10

_NUMERIC = re.compile(r"^(?:U?(?:BIG|SMALL|TINY|HUGE)?INT(?:EGER)?|DOUBLE|FLOAT|DECIMAL.*)$")


class Table:
    """Rows behind a query.

    Nothing is computed before it is asked for. The query runs as it stands in any DuckDB in which the
    log's file is attached as ``log``.

    Attributes
    ----------
    sql : str
        The query.
    title : str
        What the rows are.
    notes : tuple of str
        What a reader has to know about them (what was left out, and why).
    """

    def __init__(
        self,
        database: Database,
        sql: str,
        *,
        title: str,
        notes: Sequence[str] = (),
        stored: str | None = None,
        setup: str | None = None,
    ) -> None:
        self._database = database
        self._stored = stored  # a table of the workspace that holds the rows already
        self._order: str | None = None  # how a preview is sorted, where the query leaves it open
        self._owner: object = None  # keeps alive what the query reads from the workspace
        self._setup = setup  # run on the cursor first: what a user's query calls `events`
        self.sql = sql
        self.title = title
        self.notes = tuple(notes)

    # -- reading ---------------------------------------------------------------------------------

    @property
    def relation(self) -> duckdb.DuckDBPyRelation:
        """The rows as a DuckDB relation, to go on with in SQL; on a connection of its own."""
        con = self._cursor()
        if self._stored or self._owner:
            # What the workspace holds goes with this result; a relation may outlive it.
            return con.from_arrow(self.arrow())
        try:
            return con.sql(self._query)
        except duckdb.Error as error:
            raise query_error(error, self.sql) from error

    def df(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame: decimals stay exact, NULL stays NULL, times are UTC.

        DECIMAL columns are Arrow decimals (``.astype(float)`` where a library wants floats); whole
        numbers and booleans have pandas' nullable types.
        """
        import pandas as pd
        import pyarrow as pa

        nullable = {
            pa.int64(): pd.Int64Dtype(),
            pa.int32(): pd.Int32Dtype(),
            pa.bool_(): pd.BooleanDtype(),
        }

        def mapped(kind: pa.DataType) -> Any:
            return pd.ArrowDtype(kind) if pa.types.is_decimal(kind) else nullable.get(kind)

        frame: pd.DataFrame = _without_empty_places(self.arrow()).to_pandas(types_mapper=mapped)
        return frame

    def arrow(self) -> pa.Table:
        """Return the rows as an Arrow table; decimals, times and durations are exact."""
        try:
            found = self._cursor().sql(self._query).to_arrow_table()
        except duckdb.Error as error:
            raise query_error(error, self.sql) from error
        # DuckDB calls the zone Etc/UTC; pandas and people know it as UTC.
        return _with_durations(found.cast(_in_utc(found.schema)))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the rows to whatever speaks Arrow: ``pa.table(result)``, ``polars.DataFrame(result)``."""
        return self.arrow().__arrow_c_stream__(requested_schema)

    def rows(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the rows as dictionaries with exact decimals and aware UTC times."""
        suffix = "" if limit is None else f" LIMIT {int(limit)}"
        con = self._run(f"FROM ({self._query}){suffix}")
        names = [column[0] for column in con.description or []]
        return [
            {name: _plain(value) for name, value in zip(names, row, strict=True)}
            for row in con.fetchall()
        ]

    def query(self, sql: str, *, title: str | None = None) -> Table:
        """Ask on: a SELECT in which ``result`` means these rows.

        Raises
        ------
        QueryError
            The query is wrong, or would write.
        """
        check_query(sql)
        # In a query of its own: it may end with a comment or a semicolon, or begin with a WITH.
        asked = f"WITH result AS ({self._query})\nFROM (\n{sql.rstrip().rstrip(';')}\n)"
        table = Table(
            self._database, asked, title=title or f"Query of: {self.title}", setup=self._setup
        )
        table._owner = self  # what these rows read from the workspace has to live on
        return table

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(name for name, _ in self._described())

    def __len__(self) -> int:
        return int(self._run(f"SELECT count(*) FROM ({self._query})").fetchall()[0][0])

    # -- looking ---------------------------------------------------------------------------------

    def _subtitle(self) -> str:
        count = len(self)
        return f"{count:,} row{'' if count == 1 else 's'}"

    def _preview(self) -> tuple[list[str], list[bool], list[tuple[object, ...]], int]:
        described = self._described()
        order = f" ORDER BY {self._order}" if self._order else ""
        rows = self._run(f"FROM ({self._query}){order} LIMIT {PREVIEW_ROWS}").fetchall()
        numeric = [bool(_NUMERIC.match(kind)) for _, kind in described]
        return [name for name, _ in described], numeric, rows, len(self)

    def _more(self, count: int) -> str:
        if count <= PREVIEW_ROWS:
            return ""
        return f"the first {PREVIEW_ROWS} of {count:,} rows; .df(), .arrow() and .sql give the rest"

    def __repr__(self) -> str:
        names, numeric, rows, count = self._preview()
        lines = [_html.line(f"{self.title} — {self._subtitle()}")]
        lines.append(_html.text_table(names, rows, numeric=numeric))
        lines.extend(_html.line(note) for note in [self._more(count), *self.notes] if note)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        names, numeric, rows, count = self._preview()
        body = _html.table(names, rows, numeric=numeric)
        body += "".join(_html.note(line) for line in [self._more(count), *self.notes] if line)
        return _html.card(self.title, body, subtitle=self._subtitle())

    def chart(self, **options: Any) -> Any:
        """Draw the result; ``workbench.charts`` says how, and which options there are.

        Raises
        ------
        ConfigError
            There is no chart of such a result.
        """
        # By name: charts stand above the store, and Altair is not imported before something is drawn.
        return importlib.import_module("workbench.charts").draw(self, **options)

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _query(self) -> str:
        if self._stored:
            return f"FROM {self._stored}"
        # A user's own query may end with a comment or a semicolon, and only as a part of another it cannot write.
        return f"FROM (\n{self.sql.rstrip().rstrip(';')}\n)" if self._setup else self.sql

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        con = self._database.cursor()
        if self._setup:
            con.execute(self._setup)
        return con

    def _run(self, sql: str) -> duckdb.DuckDBPyConnection:
        con = self._cursor()
        try:
            return con.execute(sql)
        except duckdb.Error as error:
            raise query_error(error, self.sql) from error

    def _described(self) -> list[tuple[str, str]]:
        rows = self._run(f"DESCRIBE {self._query}").fetchall()
        return [(row[0], row[1]) for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return Decimal(_html.plain(value))
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo else value


def _with_durations(found: pa.Table) -> pa.Table:
    """Turn intervals without months into durations, which pandas and Parquet know."""
    import pyarrow as pa

    for index, field in enumerate(found.schema):
        if not pa.types.is_interval(field.type):
            continue
        values = found.column(index).to_pylist()
        if not any(value is not None and value.months for value in values):
            lengths = [
                None if value is None else value.days * 86_400_000_000 + value.nanoseconds // 1_000
                for value in values
            ]
            found = found.set_column(index, field.name, pa.array(lengths, pa.duration("us")))
    return found


def _in_utc(schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            field.with_type(pa.timestamp(field.type.unit, tz="UTC"))
            if pa.types.is_timestamp(field.type) and field.type.tz
            else field
            for field in schema
        ]
    )


def _without_empty_places(found: pa.Table) -> pa.Table:
    """Give decimal columns no more places than their values have, and two at least."""
    import pyarrow as pa

    for index, field in enumerate(found.schema):
        if not pa.types.is_decimal(field.type):
            continue
        for scale in (places for places in (2, 4, 6, 9) if places < field.type.scale):
            try:
                narrow = found.column(index).cast(pa.decimal128(38, scale))  # refuses to round
            except pa.ArrowInvalid:
                continue
            found = found.set_column(index, field.name, narrow)
            break
    return found
