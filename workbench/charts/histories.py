"""One row's two histories: as it should have been, as it was, and the events that made the difference."""

from __future__ import annotations

import re
from typing import Final

import altair as alt

from workbench._sql import ident
from workbench.analysis.explain import Histories
from workbench.charts import theme
from workbench.charts.census import nothing
from workbench.charts.data import POINTS, Rows, ask, inline
from workbench.charts.words import counted, heading, number, said, short, span, stamp

STATE_HEIGHT: Final = 110
MOST_COLUMNS: Final = 3
MOST_MARKED: Final = 6
_NUMERIC: Final = re.compile(r"U?(BIG|SMALL|TINY|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL.*")


def histories(result: Histories) -> alt.VConcatChart:
    """Draw one row's two histories: as it should have been, as it was, and the events that made the difference.

    Parameters
    ----------
    result
        What ``explanation.histories(key)`` gave.

    Returns
    -------
    altair.VConcatChart
        A panel for each numeric column in which they differ, three at most. Both lines are drawn over each other; where they part,
        the row is wrong. More than 400 events are gathered in slices, of which the last state is drawn.
    """
    columns = _differing(result)
    if not columns:
        empty: alt.VConcatChart = alt.vconcat(
            nothing(result.title, "no compared column holds numbers: .df() has both histories")
        )
        return empty
    facts = ask(
        result,
        "SELECT count(*) AS events, count(moment) AS timed, min(moment) AS first, max(moment) AS last, count(*) FILTER (WHERE guilty) AS guilty, "
        "min(moment) FILTER (WHERE NOT same) AS since FROM result",
    )[0]
    is_time = facts["timed"] == facts["events"] and facts["first"] != facts["last"]
    states = _states_of(result, columns, is_time)
    marks = ask(
        result,
        f"SELECT {'epoch_us(moment)' if is_time else 'line'} AS place, position, version, event_type FROM (SELECT *, row_number() OVER () AS line FROM result) "
        f"WHERE guilty ORDER BY line LIMIT {MOST_MARKED}",
    )
    panels = [
        _panel(states, marks, name, index, is_time, bare=index < len(columns) - 1)
        for index, name in enumerate(columns)
    ]
    lines = [f"{counted(facts['events'], 'event')}, {span(facts['first'], facts['last'])} (UTC)"]
    lines.append(_guilty(marks, facts["guilty"]))
    if facts["since"] is not None:
        lines.append(f"wrong since {stamp(facts['since'])}")
    others = _others_that_differ(result, columns)
    if others:
        lines.append(f"not drawn, and different at the end: {', '.join(map(short, others))}")
    if len(states) < facts["events"]:
        lines.append(f"gathered in {POINTS} slices: the last state of each is drawn")
    lines += result.notes
    chart: alt.VConcatChart = (
        alt.vconcat(*panels, spacing=10)
        .resolve_scale(x="shared", color="independent", strokeDash="independent")
        .properties(title=heading(result.title, lines), description=said(result.title, lines))
    )
    return chart


def _differing(result: Histories) -> list[str]:
    """The numeric columns in which the histories differ, most events first; all of them where none does."""
    types = {row["column_name"]: row["column_type"] for row in ask(result, "DESCRIBE FROM result")}
    numeric = [name for name in result.compared if _NUMERIC.fullmatch(types[f"right_{name}"])]
    counts = {}
    for name in numeric:
        right, wrong = ident(f"right_{name}"), ident(f"wrong_{name}")
        counts[name] = ask(
            result, f"SELECT count(*) AS n FROM result WHERE {right} IS DISTINCT FROM {wrong}"
        )[0]["n"]
    # What never differs takes room from what does, and is drawn only where nothing else can be.
    differing = [name for name in numeric if counts[name]] or numeric
    return sorted(differing, key=lambda name: -counts[name])[:MOST_COLUMNS]


def _others_that_differ(result: Histories, drawn: list[str]) -> list[str]:
    """The columns that are not drawn and whose last values differ."""
    others = [name for name in result.compared if name not in drawn]
    if not others:
        return []
    differs = ", ".join(
        f"{ident('right_' + name)} IS DISTINCT FROM {ident('wrong_' + name)} AS {ident(name)}"
        for name in others
    )
    found = ask(
        result,
        f"SELECT {differs} FROM (SELECT *, row_number() OVER () AS line FROM result) ORDER BY line DESC LIMIT 1",
    )
    return [name for name in others if found and found[0][name]]


def _states_of(result: Histories, columns: list[str], is_time: bool) -> Rows:
    values = "".join(
        f", {ident('right_' + name)} AS right_{index}, {ident('wrong_' + name)} AS wrong_{index}"
        for index, name in enumerate(columns)
    )
    return ask(
        result,
        f"SELECT {'epoch_us(moment)' if is_time else 'line'} AS place, line, event_type, version{values} FROM "
        "(SELECT *, row_number() OVER () AS line, count(*) OVER () AS lines FROM result) "
        f"QUALIFY row_number() OVER (PARTITION BY (line - 1) * {POINTS} // greatest(lines, {POINTS}) ORDER BY line DESC) = 1 ORDER BY line",
    )


def _panel(
    states: Rows, marks: Rows, name: str, index: int, is_time: bool, *, bare: bool
) -> alt.LayerChart:
    scale_of = 1000 if is_time else 1
    drawn = [
        {
            "x": row["place"] / scale_of,
            "which": which,
            "value": row[f"{side}_{index}"],
            "shown": number(row[f"{side}_{index}"]),
            "event": short(row["event_type"], 60),
            "version": row["version"],
        }
        for side, which in (("right", "as it should have been"), ("wrong", "as it was"))
        for row in states
    ]
    if is_time:
        x = alt.X(
            "x",
            type="temporal",
            scale=alt.Scale(type="utc", padding=8),
            title=None,
            axis=theme.time_axis(bare=bare),
        )
    else:
        axis = (
            alt.Axis(labels=False, ticks=False)
            if bare
            else alt.Axis(tickCount=8, tickMinStep=1, format="d")
        )
        x = alt.X(
            "x",
            type="quantitative",
            scale=alt.Scale(zero=False, nice=False, padding=8),
            title=None if bare else "event of the row",
            axis=axis,
        )
    y = alt.Y(
        "value",
        type="quantitative",
        title=None,
        axis=theme.value_axis([row["value"] for row in drawn]),
    )
    # Of both channels, since they are one legend; below the last panel only.
    legend = None if bare else alt.Legend(orient="bottom", symbolType="stroke", symbolSize=300)
    which = ["as it should have been", "as it was"]
    colour = alt.Color(
        "which",
        type="nominal",
        title=None,
        sort=which,
        scale=alt.Scale(domain=which, range=[theme.GREEN, theme.VERMILION]),
        legend=legend,
    )
    dash = alt.StrokeDash(
        "which",
        type="nominal",
        title=None,
        sort=which,
        legend=legend,
        scale=alt.Scale(domain=which, range=[[1, 0], [5, 3]]),
    )
    base = alt.Chart(inline(drawn))
    tooltip = [
        alt.Tooltip("which", type="nominal", title=" "),
        alt.Tooltip("shown", type="nominal", title=short(name)),
        alt.Tooltip("event", type="nominal"),
        alt.Tooltip("version", type="quantitative", format="d"),
    ]
    lines = base.mark_line(interpolate="step-after", strokeWidth=2).encode(
        x=x, y=y, color=colour, strokeDash=dash
    )
    dots = base.mark_circle(size=70, opacity=0).encode(x=x, y=y, tooltip=tooltip)
    guilty = [
        {
            "x": row["place"] / scale_of,
            "written": f"{short(row['event_type'], 30)} · version {row['version']}"
            if place == 0
            else "",
        }
        for place, row in enumerate(marks)
    ]
    rules = (
        alt.Chart(inline(guilty))
        .mark_rule(color=theme.INK, strokeWidth=1, strokeDash=[2, 2])
        .encode(x=x)
    )
    right_end = (
        bool(drawn) and bool(guilty) and guilty[0]["x"] > (drawn[0]["x"] + drawn[-1]["x"]) / 2
    )
    words = (
        alt.Chart(inline(guilty))
        .mark_text(
            align="right" if right_end else "left",
            dx=-5 if right_end else 5,
            baseline="top",
            fontSize=10,
            color=theme.INK,
        )
        .encode(x=x, y=alt.value(0), text=alt.Text("written", type="nominal"))
    )
    last = drawn[-1]["shown"] if drawn else ""
    should = drawn[len(states) - 1]["shown"] if drawn else ""
    ending = (
        f"{short(name)}: {last}, and should be {should}"
        if last != should
        else f"{short(name)}: {last}, as it should be"
    )
    layers = [lines, dots, rules, *([words] if index == 0 else [])]
    panel: alt.LayerChart = alt.LayerChart(layer=layers).properties(
        width=theme.WIDTH, height=STATE_HEIGHT, title=theme.panel_title(ending)
    )
    return panel


def _guilty(marks: Rows, count: int) -> str:
    if not marks:
        return "no event of the row itself is marked"
    first = marks[0]
    said_ = f"marked: {first['event_type']} at position {first['position']:,}"
    return said_ if count == 1 else f"{said_}, and {count - 1:,} more"
