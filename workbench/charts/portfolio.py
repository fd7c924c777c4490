"""Portfolio over time: a column summed over all rows, and how many rows there were."""

from __future__ import annotations

import datetime as dt
from typing import Final

import altair as alt

from workbench.charts import theme
from workbench.charts.data import POINTS, Rows, ask, inline
from workbench.charts.words import counted, heading, number, said, span, stamp
from workbench.store.table import Table

HEIGHT: Final = 220
ROWS_HEIGHT: Final = 56


def portfolio(result: Table) -> alt.VConcatChart:
    """Draw a total over all rows as it changed in time.

    Parameters
    ----------
    result
        What ``history.over_time(column)`` gave: ``moment``, ``total``, ``rows``.

    Returns
    -------
    altair.VConcatChart
        A step area of the total, and quietly below it the number of rows. Of more than 400 moments
        only so many are drawn, evenly chosen, the last one among them.
    """
    moments = int(ask(result, "SELECT count(*) AS n FROM result")[0]["n"])
    every = -(-moments // POINTS) or 1
    rows = ask(
        result,
        "SELECT moment, total, rows FROM (SELECT *, row_number() OVER (ORDER BY moment DESC) AS back "
        f"FROM result) WHERE (back - 1) % {every} = 0 ORDER BY moment",
    )
    title, lines = _words(result, rows, moments)
    data = inline(
        [
            {
                **row,
                "when": stamp(row["moment"]),
                "shown": number(row["total"]),
            }
            for row in rows
        ]
    )
    tooltip = [
        alt.Tooltip("when", type="nominal", title="as of"),
        alt.Tooltip("shown", type="nominal", title="total"),
        alt.Tooltip("rows", type="quantitative", format=",d"),
    ]
    base = alt.Chart(data)
    total = _panel(base, "total", theme.BLUE, tooltip, HEIGHT, bare=True)
    count = _panel(base, "rows", theme.QUIET, tooltip, ROWS_HEIGHT, bare=False)
    chart: alt.VConcatChart = (
        alt.vconcat(total, count, spacing=10)
        .resolve_scale(x="shared")
        .properties(title=heading(title, lines), description=said(title, lines))
    )
    return chart


def _panel(
    base: alt.Chart,
    field: str,
    colour: str,
    tooltip: list[alt.Tooltip],
    height: int,
    *,
    bare: bool,
) -> alt.LayerChart:
    axis = theme.time_axis(bare=bare)
    x = alt.X(
        "moment", type="temporal", scale=alt.Scale(type="utc", padding=8), title=None, axis=axis
    )
    y = alt.Y(field, type="quantitative", title=field, axis=alt.Axis(tickCount=6 if bare else 2))
    area = base.mark_area(interpolate="step-after", color=colour, opacity=0.2).encode(x=x, y=y)
    line = base.mark_line(interpolate="step-after", color=colour, strokeWidth=1.5).encode(x=x, y=y)
    dots = base.mark_circle(color=colour, size=80, opacity=0).encode(x=x, y=y, tooltip=tooltip)
    panel: alt.LayerChart = alt.LayerChart(layer=[area, line, dots]).properties(
        width=theme.WIDTH, height=height
    )
    return panel


def _words(result: Table, rows: Rows, moments: int) -> tuple[str, list[str]]:
    if not rows:
        return result.title, ["no rows at any time", *result.notes]
    first: dt.datetime = rows[0]["moment"]
    last: dt.datetime = rows[-1]["moment"]
    lines = [
        f"{span(first, last)} (UTC); at the end {number(rows[-1]['total'])} in {counted(int(rows[-1]['rows']), 'row')}"
    ]
    if len(rows) < moments:
        lines.append(f"{len(rows):,} of {moments:,} moments are drawn, evenly chosen")
    return result.title, [*lines, *result.notes]
