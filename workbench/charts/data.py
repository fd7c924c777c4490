"""How charts read a result: by asking it for aggregates, so that no chart holds more than it can show."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, Final

import altair as alt

from workbench.store.table import Table

POINTS: Final = 400
"""Along time no chart shows more points than about these: there are not many more pixels."""

Rows = list[dict[str, Any]]


def ask(result: Table, sql: str) -> Rows:
    """Ask the rows of a result, which the query calls ``result``; times come as aware UTC."""
    found = result.relation.query("result", sql)
    assert found is not None  # it is None only for a statement without rows
    return [dict(zip(found.columns, map(_plain, row), strict=True)) for row in found.fetchall()]


def buckets_at_once(result: Table) -> int:
    """Say how many buckets of time (``moment``) have to be drawn as one, for a chart to hold :data:`POINTS` of them."""
    buckets = ask(result, "SELECT count(DISTINCT moment) AS n FROM result")[0]["n"]
    return -(-int(buckets) // POINTS) or 1


def inline(rows: Rows) -> alt.InlineData:
    """Put rows into a chart: decimals as floats, which is enough for drawing, and times as milliseconds."""
    return alt.InlineData([{name: _drawn(value) for name, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo else value


def _drawn(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, float):
        return value if value - value == 0 else None  # neither NaN nor infinite
    if isinstance(value, dt.datetime):
        return round(value.timestamp() * 1000)
    return value
