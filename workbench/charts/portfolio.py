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
        A step area of the total, and quietly below it the number of rows. More than 400 moments are
        gathered in so many slices of time: the line is the last value in a slice, and a band its lowest
        and highest, so that no peak is lost.
    """
    moments = int(ask(result, "SELECT count(*) AS n FROM result")[0]["n"])
    sliced = moments > POINTS
    rows = _slices(result) if sliced else _moments(result)
    title, lines = _words(result, rows, moments, sliced)
    data = inline(
        [{**row, "when": stamp(row["moment"]), "shown": number(row["total"])} for row in rows]
    )
    tooltip = [
        alt.Tooltip("when", type="nominal", title="as of"),
        alt.Tooltip("shown", type="nominal", title="total"),
        alt.Tooltip("rows", type="quantitative", format=",d"),
    ]
    base = alt.Chart(data)
    total, count = (
        _panel(base, field, colour, _axis(rows, field, ticks), tooltip, sliced=sliced, bare=bare)
        for field, colour, ticks, bare in [
            ("total", theme.BLUE, 6, True),
            ("rows", theme.QUIET, 2, False),
        ]
    )
    chart: alt.VConcatChart = (
        alt.vconcat(total.properties(height=HEIGHT), count.properties(height=ROWS_HEIGHT))
        .properties(spacing=10)
        .resolve_scale(x="shared")
        .properties(title=heading(title, lines), description=said(title, lines))
    )
    return chart


def _moments(result: Table) -> Rows:
    return ask(result, "SELECT moment, total, rows FROM result ORDER BY moment")


def _slices(result: Table) -> Rows:
    """Gather moments in slices of time; a slice begins with the value that the one before it left."""
    return ask(
        result,
        f"""
        WITH bounds AS (SELECT epoch_us(min(moment)) AS start, epoch_us(max(moment)) AS stop FROM result),
        placed AS (SELECT moment, total, rows, least({POINTS - 1},
                   (epoch_us(moment) - start)::HUGEINT * {POINTS} // greatest(stop - start, 1)) AS slice
                   FROM result, bounds),
        slices AS (SELECT slice, max(moment) AS moment,
                   arg_max({{'total': total, 'rows': rows}}, moment) AS last,
                   min(total) AS low, max(total) AS high, min(rows) AS low_rows, max(rows) AS high_rows
                   FROM placed GROUP BY slice)
        SELECT moment, last.total AS total, last.rows AS rows,
               least(low, lag(last.total) OVER before) AS low_total,
               greatest(high, lag(last.total) OVER before) AS high_total,
               least(low_rows, lag(last.rows) OVER before) AS low_rows,
               greatest(high_rows, lag(last.rows) OVER before) AS high_rows,
               make_timestamptz((start + slice * (stop - start) // {POINTS})::BIGINT) AS "from",
               make_timestamptz((start + (slice + 1) * (stop - start) // {POINTS})::BIGINT) AS until
        FROM slices, bounds WINDOW before AS (ORDER BY slice) ORDER BY slice""",
    )


def _axis(rows: Rows, field: str, ticks: int) -> alt.Axis:
    fields = (field, f"low_{field}", f"high_{field}")
    return theme.value_axis([row.get(name) for row in rows for name in fields], ticks=ticks)


def _panel(
    base: alt.Chart,
    field: str,
    colour: str,
    axis: alt.Axis,
    tooltip: list[alt.Tooltip],
    *,
    sliced: bool,
    bare: bool,
) -> alt.LayerChart:
    scale = alt.Scale(type="utc", padding=8)
    time = theme.time_axis(bare=bare)
    x = alt.X("moment", type="temporal", scale=scale, title=None, axis=time)
    y = alt.Y(field, type="quantitative", title=field, axis=axis)
    area = base.mark_area(interpolate="step-after", color=colour, opacity=0.2).encode(x=x, y=y)
    line = base.mark_line(interpolate="step-after", color=colour, strokeWidth=1.5).encode(x=x, y=y)
    dots = base.mark_circle(color=colour, size=80, opacity=0).encode(x=x, y=y, tooltip=tooltip)
    layers = [area, line, dots]
    if sliced:
        low, high = f"low_{field}", f"high_{field}"
        begin = alt.X("from", type="temporal", scale=scale, title=None, axis=time)
        lowest = alt.Y(low, type="quantitative", title=field, axis=axis)
        varied = base.transform_filter(alt.datum[low] < alt.datum[high])
        band = varied.mark_rect(color=colour, opacity=0.45)
        layers.insert(1, band.encode(x=begin, x2="until", y=lowest, y2=high))
    panel: alt.LayerChart = alt.LayerChart(layer=layers).properties(width=theme.WIDTH)
    return panel


def _words(result: Table, rows: Rows, moments: int, sliced: bool) -> tuple[str, list[str]]:
    if not rows:
        return result.title, ["no rows at any time", *result.notes]
    first: dt.datetime = rows[0]["from"] if sliced else rows[0]["moment"]
    last: dt.datetime = rows[-1]["moment"]
    lines = [
        f"{span(first, last)} (UTC); at the end {number(rows[-1]['total'])} in {counted(int(rows[-1]['rows']), 'row')}"
    ]
    if sliced:
        lines.append(
            f"{moments:,} moments, gathered in {POINTS} slices: the line is the last of a slice, bands its lowest to highest"
        )
    return result.title, [*lines, *result.notes]
