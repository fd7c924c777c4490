"""What a diff found: how many rows of each class, and which columns differ."""

from __future__ import annotations

import math
from typing import Final

import altair as alt

from workbench.analysis.diff import Diff
from workbench.charts import theme
from workbench.charts.data import Rows, ask, inline
from workbench.charts.words import counted, heading, labels, said
from workbench.store.table import Table

ROW_HEIGHT: Final = 30
CELL: Final = 92
MOST_COLUMNS: Final = 30


def diff(result: Diff) -> alt.VConcatChart:
    """Draw a diff: how many rows of each class, and which columns differ.

    Parameters
    ----------
    result
        What ``log.diff(…)`` gave.

    Returns
    -------
    altair.VConcatChart
        :func:`diff_summary`, and :func:`diff_columns` below it if any column differs.
    """
    summary, by_column = result.summary(), result.by_column()
    panels = [(diff_summary(summary), "rows by class, on a logarithmic scale")]
    if len(by_column):
        panels.append((diff_columns(by_column), "rows that differ, by column and class"))
    total = sum(row["rows"] for row in summary.rows())
    lines = [counted(total, "row"), *result.notes]
    about = " ".join(str(panel.description) for panel, _ in panels)
    parts = [panel.properties(title=theme.panel_title(title)) for panel, title in panels]
    chart: alt.VConcatChart = alt.VConcatChart(vconcat=parts, spacing=18).properties(
        title=heading(result.title, lines), description=f"{said(result.title, lines)} {about}"
    )
    return chart


def diff_summary(result: Table) -> alt.LayerChart:
    """Draw how many rows there are of each class.

    Parameters
    ----------
    result
        What ``diff.summary()`` gave: ``class``, ``rows``, ``share``.

    Returns
    -------
    altair.LayerChart
        A bar for each class, with the exact number at its end. Lengths are logarithmic, so that five
        bad rows can be seen beside ten thousand good ones.
    """
    rows = ask(result, 'SELECT "class", rows, share FROM result')
    total = sum(row["rows"] for row in rows)
    # log(1 + rows) in here, not a scale of Vega's: no version of it has to know how to treat 0.
    top = max([math.log10(1 + row["rows"]) for row in rows if row["rows"]], default=1.0)
    drawn = [
        {
            "class": row["class"],
            "rows": row["rows"],
            "length": round(math.log10(1 + row["rows"]) / top, 4),
            "written": _written(row["rows"], row["share"]),
            "is_there": row["rows"] > 0,
        }
        for row in rows
    ]
    title = result.title
    lines = [
        f"{counted(total, 'row')}; bars are logarithmic, so that a few bad rows stay visible",
        *result.notes,
    ]
    order = [row["class"] for row in rows]
    y = alt.Y("class", type="nominal", sort=order, title=None, axis=_rows_axis())
    x = alt.X("length", type="quantitative", axis=None, scale=alt.Scale(domain=[0, 1.35]))
    tooltip = [
        alt.Tooltip("class", type="nominal"),
        alt.Tooltip("written", type="nominal", title="rows"),
    ]
    base = alt.Chart(inline(drawn))
    colour = _class_colour(order)
    bars = base.mark_bar(height=ROW_HEIGHT - 12).encode(y=y, x=x, color=colour, tooltip=tooltip)
    numbers = base.mark_text(align="left", dx=6).encode(
        y=y,
        x=x,
        text=alt.Text("written", type="nominal"),
        color=alt.when("datum.is_there")
        .then(alt.value(theme.INK))
        .otherwise(alt.value(theme.QUIET)),
    )
    found = ", ".join(f"{row['class']} {row['written']}" for row in drawn)
    chart: alt.LayerChart = alt.LayerChart(layer=[bars, numbers]).properties(
        width=theme.WIDTH,
        height=ROW_HEIGHT * max(1, len(rows)),
        title=heading(title, lines),
        description=said(title, [*lines, found]),
    )
    return chart


def diff_columns(result: Table) -> alt.LayerChart:
    """Draw which columns differ, in how many rows of each class.

    Parameters
    ----------
    result
        What ``diff.by_column()`` gave: ``column_name``, ``class``, ``rows``.

    Returns
    -------
    altair.LayerChart
        A heat map of columns and classes, with the number of rows in each cell; columns in which most
        rows differ come first, and thirty at most are drawn.
    """
    rows = ask(result, 'SELECT column_name, "class", rows FROM result')
    counts = {(row["column_name"], row["class"]): int(row["rows"]) for row in rows}
    columns = _most_differing(rows)
    shown = columns[:MOST_COLUMNS]
    named = dict(zip(shown, labels(shown), strict=True))
    classes = [name for name in theme.CLASSES if any(kind == name for _, kind in counts)]
    top = max([math.log10(1 + number) for number in counts.values()], default=1.0)
    cells = [
        {
            "column": named[column],
            "class": kind,
            "rows": counts.get((column, kind), 0),
            "written": f"{counts.get((column, kind), 0):,}",
            "part": round(math.log10(1 + counts.get((column, kind), 0)) / (top or 1), 3),
        }
        for column in shown
        for kind in classes
    ]
    title = result.title
    lines = [_differing(columns, classes), *result.notes]
    if len(shown) < len(columns):
        lines.append(f"{len(shown)} of {len(columns)} columns are drawn, those that differ most")
    base = alt.Chart(inline(cells)).encode(
        x=alt.X(
            "class",
            type="nominal",
            sort=classes,
            title=None,
            axis=alt.Axis(
                orient="top", labelAngle=0, domain=False, ticks=False, labelColor=theme.INK
            ),
        ),
        y=alt.Y("column", type="nominal", sort=list(named.values()), title=None, axis=_rows_axis()),
    )
    tooltip = [
        alt.Tooltip("column", type="nominal"),
        alt.Tooltip("class", type="nominal"),
        alt.Tooltip("written", type="nominal", title="rows that differ"),
    ]
    there = alt.datum["rows"] > 0
    boxes = (
        base.mark_rect(stroke=theme.PAPER, strokeWidth=2)
        .transform_filter(there)
        .encode(
            color=_class_colour(classes),
            opacity=theme.opacity("part", darkest=0.75),
            tooltip=tooltip,
        )
    )
    numbers = base.mark_text().encode(
        text=alt.Text("written", type="nominal"),
        color=alt.when(there).then(alt.value(theme.INK)).otherwise(alt.value(theme.QUIET)),
    )
    most = ", ".join(
        f"{named[column]} {sum(number for (name, _), number in counts.items() if name == column):,}"
        for column in shown[:5]
    )
    chart: alt.LayerChart = alt.LayerChart(layer=[boxes, numbers]).properties(
        width=CELL * max(1, len(classes)),
        height=(ROW_HEIGHT - 4) * max(1, len(shown)),
        title=heading(title, lines),
        description=said(title, [*lines, most]),
    )
    return chart


def _rows_axis() -> alt.Axis:
    return alt.Axis(domain=False, ticks=False, grid=False, **theme.ROW_LABELS)


def _class_colour(classes: list[str]) -> alt.Color:
    colours = [theme.CLASSES.get(name, theme.OTHER) for name in classes]
    scale = alt.Scale(domain=classes, range=colours)
    return alt.Color("class", type="nominal", legend=None, scale=scale)


def _written(rows: int, share: float) -> str:
    if not rows:
        return "0"
    # A share that would round to nothing, or to everything, is not said to be that.
    percent = "<0.01%" if share < 0.0001 else ">99.99%" if 0.9999 < share < 1 else f"{share:.2%}"
    return f"{rows:,}  ({percent})"


def _most_differing(rows: Rows) -> list[str]:
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["column_name"]] = totals.get(row["column_name"], 0) + row["rows"]
    return sorted(totals, key=lambda name: (-totals[name], name))


def _differing(columns: list[str], classes: list[str]) -> str:
    if not columns:
        return "no column differs in any row"
    return f"rows that differ in {counted(len(columns), 'column')}, by class: {', '.join(classes)}"
