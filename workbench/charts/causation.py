"""The tree of causes: each event in the row below its cause, and beside it when it happened."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import altair as alt

from workbench.analysis.causation import Causation, gap
from workbench.analysis.outline import Line, outline
from workbench.charts import theme
from workbench.charts.data import inline
from workbench.charts.groups import colours, places
from workbench.charts.words import counted, heading, said, short, span, stamp

MOST: Final = 60
"""So many events are drawn; of a larger tree the upper levels."""

ROW: Final = 21
LOW_ROW: Final = 16
"""Height of a row, with few and with many."""

STEP: Final = 16
DEEPEST: Final = 150
"""Pixels from a cause to its effects, and at most to the deepest ones."""

TREE: Final = 400
TIMES: Final = 230
GAPS: Final = 62
_CHARACTER: Final = 6.1


def causation(result: Causation, *, limit: int = MOST) -> alt.HConcatChart:
    """Draw who caused what.

    Parameters
    ----------
    result
        What ``log.causation(id)`` gave.
    limit
        So many events at most. Of more, those with the fewest causes above them are drawn, and each says
        how many are below it.

    Returns
    -------
    altair.HConcatChart
        To the left the tree, from top to bottom; then the time since the cause; to the right when each
        event happened, with a line from the moment of its cause.
    """
    lines, more = outline(result, limit)
    step = min(STEP, DEEPEST / max(1, max((line.depth for line in lines), default=1)))
    nodes = _nodes(result, lines, step)
    height = (ROW if len(lines) <= 30 else LOW_ROW) * max(1, len(lines))
    timed = [row for row in nodes if row["time"] is not None]
    panels: list[alt.Chart | alt.LayerChart] = [
        _tree(nodes, lines, step, height),
        _gaps(nodes, height),
    ]
    if timed:
        panels.append(_times(timed, height))
    title, words = _words(result, lines, more, timed)
    chart: alt.HConcatChart = (
        alt.hconcat(*panels, spacing=4)
        .resolve_scale(color="independent", shape="independent")
        .properties(title=heading(title, words), description=said(title, words))
    )
    return chart


def _nodes(result: Causation, lines: list[Line], step: float) -> list[dict[str, Any]]:
    """Lay out each line: its row, its place, its label, its colour."""
    kinds = list(dict.fromkeys(line.row["event_type"] for line in lines if line.kind == "event"))
    found = dict(
        zip(kinds, colours(places(result, "event_type", kinds, others=False)), strict=True)
    )
    rows = []
    for number, line in enumerate(lines):
        moment: dt.datetime | None = line.row.get("moment")
        cause = None if line.up is None else lines[line.up].row.get("moment")
        rows.append(
            {
                "row": number,
                "x": line.depth * step,
                "label": _label(line, int((TREE - line.depth * step - 12) / _CHARACTER)),
                "kind": line.kind,
                "colour": {"dead letter": theme.VERMILION, "missing": theme.QUIET}.get(
                    line.kind, found.get(line.row.get("event_type"), theme.OTHER)
                ),
                "gap": "" if line.after is None else gap(line.after),
                "time": moment,
                "cause": moment if cause is None else cause,
                "when": "" if moment is None else stamp(moment),
                "actor": short(line.row["actor"], 60) if line.row.get("actor") else "",
                "event": short(line.row["event_id"], 60) if line.row.get("event_id") else "",
            }
        )
    return rows


def _label(line: Line, room: int) -> str:
    if line.kind == "missing":
        told = f"not in this log: {short(line.name, 40)}"
    elif line.kind == "dead letter":
        told = f"{short(line.name, 34)} — {line.remark}"
    else:
        told = f"{short(line.name, 30)} · {short(line.where, 28)}"
        if line.remark:
            told += f" — {line.remark}"
    ending = f"  … {line.hidden:,} below" if line.hidden else ""
    return short(told, max(16, room - len(ending))) + ending


def _y(height: int, number: int) -> alt.Y:
    scale = alt.Scale(domain=[number - 0.4, -0.6], nice=False, zero=False)
    return alt.Y("row", type="quantitative", axis=None, scale=scale)


def _x(width: int) -> alt.X:
    return alt.X(
        "x", type="quantitative", axis=None, scale=alt.Scale(domain=[-8, width - 8], nice=False)
    )


def _marks(base: alt.Chart) -> list[alt.Chart]:
    """Draw the marks of nodes: an event is full, a dead letter a cross, an unknown cause hollow."""
    colour = alt.Color("colour", type="nominal", scale=None, legend=None)
    tooltip = [alt.Tooltip(name, type="nominal") for name in ("label", "when", "actor", "event")]
    return [
        base.transform_filter("datum.kind == 'event'")
        .mark_point(filled=True, opacity=1, size=62)
        .encode(color=colour, tooltip=tooltip),
        base.transform_filter("datum.kind == 'dead letter'")
        .mark_point(filled=True, opacity=1, size=80, shape="cross", angle=45)
        .encode(color=colour, tooltip=tooltip),
        base.transform_filter("datum.kind == 'missing'")
        .mark_point(filled=False, opacity=1, size=62, strokeDash=[2, 2])
        .encode(color=colour, tooltip=tooltip),
    ]


def _tree(
    nodes: list[dict[str, Any]], lines: list[Line], step: float, height: int
) -> alt.LayerChart:
    number = len(nodes)
    links = []
    for row, line in enumerate(lines):
        if line.up is None:
            continue
        stem = lines[line.up].depth * step
        links.append({"x": stem, "x2": stem, "row": line.up, "row2": row})
        links.append({"x": stem, "x2": line.depth * step, "row": row, "row2": row})
    drawn = (
        alt.Chart(inline(links))
        .mark_rule(color=theme.LINE, strokeWidth=1.2)
        .encode(x=_x(TREE), x2="x2", y=_y(height, number), y2="row2")
    )
    base = alt.Chart(inline(nodes)).encode(x=_x(TREE), y=_y(height, number))
    texts = base.mark_text(align="left", dx=9, color=theme.INK).encode(
        text=alt.Text("label", type="nominal")
    )
    panel: alt.LayerChart = alt.LayerChart(layer=[drawn, *_marks(base), texts]).properties(
        width=TREE, height=height, title=theme.panel_title("who caused what")
    )
    return panel


def _gaps(nodes: list[dict[str, Any]], height: int) -> alt.Chart:
    panel: alt.Chart = (
        alt.Chart(inline(nodes))
        .mark_text(align="right", color=theme.QUIET)
        .encode(
            x=alt.value(GAPS - 4),
            y=_y(height, len(nodes)),
            text=alt.Text("gap", type="nominal"),
        )
        .properties(width=GAPS, height=height, title=theme.panel_title("after"))
    )
    return panel


def _times(nodes: list[dict[str, Any]], height: int) -> alt.LayerChart:
    number = max(row["row"] for row in nodes) + 1
    scale = alt.Scale(type="utc", padding=6)
    axis = theme.time_axis()
    axis.tickCount = 4
    x = alt.X("time", type="temporal", title=None, scale=scale, axis=axis)
    base = alt.Chart(inline(nodes)).encode(x=x, y=_y(height, number))
    waits = base.mark_rule(strokeWidth=2, opacity=0.45).encode(
        x2="cause", color=alt.Color("colour", type="nominal", scale=None, legend=None)
    )
    panel: alt.LayerChart = alt.LayerChart(layer=[waits, *_marks(base)]).properties(
        width=TIMES, height=height, title=theme.panel_title("when")
    )
    return panel


def _words(
    result: Causation, lines: list[Line], more: int, timed: list[dict[str, Any]]
) -> tuple[str, list[str]]:
    first = [
        counted(result.events, "event"),
        *([counted(result.dead_letters, "dead letter")] if result.dead_letters else []),
        counted(result.roots, "tree"),
        f"{result.depth:,} deep",
    ]
    words = [", ".join(first)]
    if timed:
        moments = [row["time"] for row in timed]
        words.append(f"{span(min(moments), max(moments))} (UTC, {result.clock})")
    shown = sum(1 for line in lines if line.kind != "missing")
    total = result.events + result.dead_letters
    if shown < total:
        words.append(f"the upper {shown:,} of {total:,} are drawn; limit= shows more, .df() all")
    if more:
        words.append(f"{more:,} more trees are not drawn")
    return result.title, [*words, *result.notes]
