"""What an explanation found: where in the log the causes lie, and since when rows are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import altair as alt

from workbench._sql import text
from workbench.analysis.explain import Clusters, Divergence, Explanation, causes
from workbench.analysis.explain.clusters import FAMILIES
from workbench.charts import theme
from workbench.charts.census import nothing
from workbench.charts.data import POINTS, Rows, ask, inline
from workbench.charts.words import counted, heading, said, short, span, stamp

ROW_HEIGHT: Final = 26
DIVERGENCE_HEIGHT: Final = 190

#: Cause -> its colour; what a cause makes of a row keeps the colour of that class.
CAUSES: Final[dict[str, str]] = {
    causes.STOPPED: theme.ORANGE,
    causes.NOT_WRITTEN: theme.SKY,
    causes.SKIPPED: theme.VERMILION,
    causes.TWICE: theme.BLUE,
    causes.WRONG_KEY: theme.PURPLE,
    causes.SWAPPED: "#00583F",
    causes.NOT_UPCAST: "#7F5800",
    causes.RUN_SKIPPED: "#7A3600",
    causes.RUN_TWICE: "#00405F",
    causes.BAD_SNAPSHOT: "#7D97A8",
    causes.TWO: "#7B3F61",
    causes.OTHER_SNAPSHOT: "#44525C",
    causes.UNEXPLAINED: theme.OTHER,
}


def explanation(result: Explanation, *, every: str | None = None) -> alt.VConcatChart:
    """Draw what was found: where the causes lie in the log, and since when how many rows are wrong.

    Parameters
    ----------
    result
        What ``diff.explain()`` gave.
    every
        Length of a bucket of time, as in ``result.over_time``.

    Returns
    -------
    altair.VConcatChart
        :func:`clusters`, and :func:`divergence` below it where any event says when it was.
    """
    if not len(result):
        empty: alt.VConcatChart = alt.vconcat(
            nothing(result.title, "no row is wrong: there is nothing to explain")
        )
        return empty
    panels: list[Any] = [clusters(result.clusters(), explanation=result)]
    over_time = result.over_time(every=every)
    if over_time.causes:
        panels.append(divergence(over_time))
    counts = _in_families(result.counts)
    total = sum(counts.values())
    lines = [
        f"{counted(total, 'wrong row')}: "
        + ", ".join(f"{cause} {rows:,}" for cause, rows in counts.items())
    ]
    if counts.keys() == {causes.UNEXPLAINED}:
        lines.append("no event is known to be the cause")
    lines += [*over_time.notes, *result.notes]
    named = (
        "guilty events by position in the log, and their cause",
        "rows that were wrong, by cause",
    )
    parts = [
        panel.properties(title=theme.panel_title(name))
        for panel, name in zip(panels, named, strict=False)
    ]
    about = " ".join(str(panel.description) for panel in panels)
    chart: alt.VConcatChart = (
        alt.VConcatChart(vconcat=parts, spacing=18)
        .resolve_scale(color="independent", x="independent")
        .properties(
            title=heading(result.title, lines), description=f"{said(result.title, lines)} {about}"
        )
    )
    return chart


def clusters(result: Clusters, *, explanation: Explanation | None = None) -> alt.LayerChart:
    """Draw where the guilty events lie along the log: a line for each cause, a bar over each cluster.

    Parameters
    ----------
    result
        What ``explanation.clusters()`` gave.
    explanation
        Where that is at hand: its events are drawn, too, in 400 slices of the log.

    Returns
    -------
    altair.LayerChart
        Causes from the most rows to the fewest, with the number of rows at the end of each line. A bar is drawn where events lie
        together, and says how many rows that is.
    """
    rows = ask(
        result,
        "SELECT cause, together, rows, events, first_position, last_position, first_at, last_at, says FROM result",
    )
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["cause"]] = totals.get(row["cause"], 0) + row["rows"]
    totals = _in_families(totals)
    order = list(totals)
    label = {cause: f"{cause} · {counted(totals[cause], 'row')}" for cause in order}
    names = [label[cause] for cause in order]
    placed = [row for row in rows if row["first_position"] is not None]
    if not placed:
        words = "of no wrong row is an event known to be the cause" if rows else "no row is wrong"
        return nothing(result.title, words)
    low = min(row["first_position"] for row in placed)
    high = max(row["last_position"] for row in placed)
    x = alt.X(
        "x",
        type="quantitative",
        title="position in the log",
        scale=alt.Scale(
            zero=False,
            nice=False,
            domain=[low - (high - low) * 0.01 - 1, high + (high - low) * 0.01 + 1],
        ),
        axis=alt.Axis(tickCount=8, tickMinStep=1, format=",d"),
    )
    y = alt.Y(
        "label",
        type="nominal",
        sort=names,
        title=None,
        axis=alt.Axis(domain=False, ticks=False, grid=True, **theme.ROW_LABELS),
        scale=alt.Scale(domain=names),
    )
    colour = alt.Color(
        "label",
        type="nominal",
        legend=None,
        scale=alt.Scale(domain=names, range=[CAUSES.get(cause, theme.OTHER) for cause in order]),
    )
    events = _slices(explanation, low, high) if explanation is not None else []
    peaks: dict[str, int] = {}
    for row in events:
        peaks[row["cause"]] = max(peaks.get(row["cause"], 0), row["n"])
    ticks = [
        {
            "x": row["x"],
            "label": label[row["cause"]],
            "events": row["n"],
            "part": round(row["n"] / peaks[row["cause"]], 3),
        }
        for row in events
        if row["cause"] in label
    ]
    bars = [
        {
            "x": row["first_position"],
            "x2": row["last_position"],
            "middle": (row["first_position"] + row["last_position"]) / 2,
            "label": label[row["cause"]],
            "rows": row["rows"],
            "written": counted(row["rows"], "row"),
            "says": short(row["says"], 300),
        }
        for row in placed
        if row["together"]
    ]
    tooltip = [
        alt.Tooltip("label", type="nominal", title="cause"),
        alt.Tooltip("events", type="quantitative", format=",d"),
    ]
    layers: list[Any] = [
        alt.Chart(inline(ticks))
        .mark_tick(thickness=2, size=ROW_HEIGHT - 12)
        .encode(x=x, y=y, color=colour, opacity=theme.opacity("part"), tooltip=tooltip),
        # Short ranges are drawn as wide as a point, so that they can be seen and pointed at.
        alt.Chart(inline(bars))
        .mark_point(shape="triangle-down", filled=True, size=70, dy=-(ROW_HEIGHT // 2) + 2)
        .encode(
            x=alt.X("middle", type="quantitative"),
            y=y,
            color=colour,
            tooltip=[alt.Tooltip("says", type="nominal")],
        ),
        alt.Chart(inline(bars))
        .mark_text(align="left", dx=7, dy=-(ROW_HEIGHT // 2) + 1, fontSize=10, color=theme.INK)
        .encode(
            x=alt.X("middle", type="quantitative"), y=y, text=alt.Text("written", type="nominal")
        ),
    ]
    sentences = [row["says"] for row in rows[:5]]
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=theme.WIDTH,
        height=ROW_HEIGHT * len(names),
        title=heading(result.title, _cluster_lines(rows, bool(bars))),
        description=said(result.title, sentences),
    )
    return chart


def _cluster_lines(rows: Rows, together: bool) -> list[str]:
    lines = [
        f"{counted(sum(row['rows'] for row in rows), 'wrong row')}, each by its simplest hypothesis"
    ]
    if together:
        lines.append(
            "a triangle marks events that follow each other in the log, and the rows that they made wrong"
        )
    return lines


def _slices(explanation: Explanation, low: int, high: int) -> Rows:
    """Gather the guilty events of the best hypotheses in slices of the log."""
    width = max(high - low, 1)
    return ask(
        explanation,
        f"SELECT cause, min(position) AS x, count(*) AS n FROM (SELECT {_family()} AS cause, unnest(positions) AS position FROM result WHERE rank = 1) "
        f"GROUP BY cause, least({POINTS - 1}, (position - {low})::HUGEINT * {POINTS} // {width}) ORDER BY cause, x",
    )


def _family() -> str:
    """An expression for a cause, or for the one that it is gathered with: a run of events with single ones."""
    families = " ".join(f"WHEN {text(one)} THEN {text(whole)}" for one, whole in FAMILIES.items())
    return f"CASE cause {families} ELSE cause END"


def _in_families(counts: Mapping[str, int]) -> dict[str, int]:
    """Add up the rows of causes that are gathered together, the most rows first."""
    totals: dict[str, int] = {}
    for cause, rows in counts.items():
        family = FAMILIES.get(cause, cause)
        totals[family] = totals.get(family, 0) + rows
    return dict(sorted(totals.items(), key=lambda one: (-one[1], one[0])))


def divergence(result: Divergence) -> alt.Chart | alt.LayerChart:
    """Draw how many rows were wrong at each moment, by cause.

    Parameters
    ----------
    result
        What ``explanation.over_time()`` gave.

    Returns
    -------
    altair.Chart or altair.LayerChart
        Stacked areas, the cause of the most rows at the bottom; the legend has the number at the end. One line of
        words where there is no row whose events say a time.
    """
    rows = ask(
        result,
        f"SELECT moment, {_family()} AS cause, sum(rows)::BIGINT AS rows FROM result GROUP BY ALL ORDER BY moment",
    )
    if not rows:
        return nothing(result.title, "; ".join(result.notes) or "no row is wrong")
    last = {row["cause"]: row["rows"] for row in rows}
    names = {cause: f"{cause} ({rows:,})" for cause, rows in _in_families(last).items()}
    order = list(names.values())
    drawn = [
        {
            "moment": row["moment"],
            "cause": names[row["cause"]],
            "rows": row["rows"],
            "place": order.index(names[row["cause"]]),
            "when": stamp(row["moment"]),
        }
        for row in rows
    ]
    total = sum(last.values())
    lines = [
        f"{span(rows[0]['moment'], rows[-1]['moment'])} (UTC); {counted(total, 'row')} wrong at the end, counted since the first event that the cause involves"
    ]
    lines += result.notes
    chart: alt.Chart = (
        alt.Chart(inline(drawn))
        .mark_area(interpolate="step-after", opacity=0.85)
        .encode(
            x=alt.X(
                "moment",
                type="temporal",
                title=None,
                axis=theme.time_axis(),
                scale=alt.Scale(type="utc", nice=False),
            ),
            y=alt.Y(
                "rows",
                type="quantitative",
                stack="zero",
                title="wrong rows",
                axis=theme.value_axis([total]),
            ),
            color=alt.Color(
                "cause",
                type="nominal",
                sort=order,
                title=None,
                scale=alt.Scale(
                    domain=order, range=[CAUSES.get(cause, theme.OTHER) for cause in names]
                ),
                legend=alt.Legend(orient="bottom", columns=4, symbolType="square"),
            ),
            order=alt.Order("place", type="quantitative"),
            tooltip=[
                alt.Tooltip("cause", type="nominal"),
                alt.Tooltip("rows", type="quantitative", format=",d"),
                alt.Tooltip("when", type="nominal", title="until"),
            ],
        )
        .properties(
            width=theme.WIDTH,
            height=DIVERGENCE_HEIGHT,
            title=heading(result.title, lines),
            description=said(result.title, lines),
        )
    )
    return chart
