"""What a change changes: how many rows have come to differ, and in which columns."""

from __future__ import annotations

from typing import Final

import altair as alt

from workbench.analysis.impact import Impact
from workbench.charts import theme
from workbench.charts.census import nothing
from workbench.charts.data import ask, buckets_at_once, inline
from workbench.charts.words import counted, heading, labels, said, short, span, stamp
from workbench.store.table import Table

ROW_HEIGHT: Final = 26
TIME_HEIGHT: Final = 150
MOST_ROWS: Final = 20

#: What an impact names a row.
CLASSES: Final[dict[str, str]] = {
    "changed": theme.VERMILION,
    "added": theme.BLUE,
    "removed": theme.PURPLE,
    "passing": theme.OTHER,
}


def impact(result: Impact) -> alt.VConcatChart:
    """Draw an impact: how many rows have come to differ over time, and what differs in them.

    Parameters
    ----------
    result
        What ``log.impact(…)`` or ``fork.against(…)`` gave.

    Returns
    -------
    altair.VConcatChart
        Rows by class over time, each counted from the event from which on it differed; below, in how many
        rows each column differs, and which types of events the differences begin with.
    """
    counts = {name: number for name, number in result.counts.items() if number}
    panels: list[alt.Chart | alt.LayerChart] = []
    if counts:
        panels.append(_over_time(result.over_time(), counts))
    for table, name, number, words in (
        (result.by_column(), "column_name", "changed", "changed rows, by column"),
        (result.by_event_type(), "first_event_type", "rows", "rows, by the event from which on they differ"),
    ):  # fmt: skip
        if len(table):
            panels.append(_bars(table, name, number, words))
    if not panels:
        panels = [nothing(result.title, "no row differs")]
        panels[0].title = alt.Undefined
    total = sum(counts.values())
    said_counts = ", ".join(f"{number:,} {name}" for name, number in counts.items())
    lines = [
        f"{counted(total, 'row')} of {result.of_rows:,} differ: {said_counts}"
        if total
        else f"none of {counted(result.of_rows, 'row')} differs",
        *result.notes,
    ]
    about = " ".join(
        str(panel.description) for panel in panels if panel.description is not alt.Undefined
    )
    chart: alt.VConcatChart = (
        alt.VConcatChart(vconcat=panels, spacing=18)
        .resolve_scale(color="independent")
        .properties(
            title=heading(result.title, lines), description=f"{said(result.title, lines)} {about}"
        )
    )
    return chart


def _over_time(result: Table, counts: dict[str, int]) -> alt.Chart:
    merged = buckets_at_once(result)
    rows = ask(
        result,
        'SELECT max(moment) AS moment, "class", max(differing) AS differing FROM ('
        f"SELECT *, (dense_rank() OVER (ORDER BY moment) - 1) // {merged} AS chunk FROM result) "
        'GROUP BY chunk, "class" ORDER BY moment',
    )
    drawn = [{**row, "when": stamp(row["moment"])} for row in rows]
    classes = [name for name in CLASSES if name in counts]
    known = {row["class"] for row in rows}
    chart: alt.Chart = (
        alt.Chart(inline(drawn))
        .mark_area(interpolate="step-before", opacity=0.85)
        .encode(
            x=alt.X(
                "moment",
                type="temporal",
                scale=alt.Scale(type="utc"),
                title=None,
                axis=theme.time_axis(),
            ),
            y=alt.Y(
                "differing",
                type="quantitative",
                stack="zero",
                title="rows",
                axis=theme.value_axis([row["differing"] for row in rows]),
            ),
            color=alt.Color(
                "class",
                type="nominal",
                title=None,
                sort=classes,
                scale=alt.Scale(domain=classes, range=[CLASSES[name] for name in classes]),
                legend=alt.Legend(orient="top", direction="horizontal", symbolType="square")
                if len(classes) > 1
                else None,
            ),
            order=alt.Order("place", type="quantitative"),
            tooltip=[
                alt.Tooltip("when", type="nominal", title="up to"),
                alt.Tooltip("class", type="nominal"),
                alt.Tooltip("differing", type="quantitative", format=",d", title="rows"),
            ],
        )
        .transform_calculate(place=f"indexof({[short(name) for name in classes]}, datum.class)")
        .properties(
            width=theme.WIDTH,
            height=TIME_HEIGHT,
            title=theme.panel_title(
                "rows that have come to differ, by the event from which on they do"
            ),
            description=said(
                "rows that have come to differ",
                [
                    span(rows[0]["moment"], rows[-1]["moment"]) if rows else "no time is known",
                    ", ".join(f"{name} {counts[name]:,}" for name in classes if name in known),
                ],
            ),
        )
    )
    return chart


def _bars(result: Table, name: str, number: str, words: str) -> alt.LayerChart:
    rows = ask(result, f"SELECT {name} AS name, {number} AS n FROM result LIMIT {MOST_ROWS}")
    named = labels([row["name"] for row in rows])
    top = max((row["n"] for row in rows), default=1)
    drawn = [
        {"label": label, "rows": row["n"], "written": f"{row['n']:,}"}
        for label, row in zip(named, rows, strict=True)
    ]
    base = alt.Chart(inline(drawn)).encode(
        x=alt.X(
            "rows", type="quantitative", axis=None, scale=alt.Scale(domain=[0, 1.15 * float(top)])
        ),
        y=alt.Y(
            "label",
            type="nominal",
            sort=named,
            title=None,
            axis=alt.Axis(domain=False, ticks=False, grid=False, **theme.ROW_LABELS),
        ),
    )
    bars = base.mark_bar(height=ROW_HEIGHT - 12, color=theme.BLUE)
    numbers = base.mark_text(align="left", dx=6).encode(text=alt.Text("written", type="nominal"))
    more = len(result) - len(rows)
    chart: alt.LayerChart = alt.LayerChart(layer=[bars, numbers]).properties(
        width=theme.WIDTH,
        height=ROW_HEIGHT * max(1, len(rows)),
        title=theme.panel_title(words + (f" ({more:,} more)" if more > 0 else "")),
        description=said(words, [", ".join(f"{row['label']} {row['written']}" for row in drawn)]),
    )
    return chart
