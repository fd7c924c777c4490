"""Sagas as a whole: outcomes over time, the funnel of steps, how long they take."""

from __future__ import annotations

from typing import Any, Final

import altair as alt

from workbench._sql import text
from workbench.analysis.sagas import OUTCOMES, Durations, Funnel, OverTime, Sagas
from workbench.charts import theme
from workbench.charts.data import Rows, ask, buckets_at_once, inline
from workbench.charts.lengths import lasting, ticks
from workbench.charts.saga_flow import legend
from workbench.charts.stacks import stacked, stacks
from workbench.charts.words import counted, heading, labels, said, span

#: What a saga came to.
COLOURS: Final[dict[str, str]] = {
    "completed": theme.GREEN,
    "compensated": theme.SKY,
    "compensating": theme.BLUE,
    "failed": theme.VERMILION,
    "stuck": theme.ORANGE,
    "timed out": theme.PURPLE,
    "running": theme.OTHER,
}
SKIPPED: Final = "skipped"
STEP_HEIGHT: Final = 46


def sagas(result: Sagas, *, every: str | None = None) -> alt.VConcatChart:
    """Draw what became of sagas: outcomes over time, and where they were lost.

    Parameters
    ----------
    result
        What ``log.sagas(…)`` gave.
    every
        Length of a bucket of time.

    Returns
    -------
    altair.VConcatChart
        :func:`saga_outcomes` and :func:`saga_funnel`.
    """
    over_time, funnel = saga_outcomes(result.over_time(every)), saga_funnel(result.funnel())
    lines = [counted(len(result), "saga"), *result.notes]
    panels = [
        over_time.properties(title=theme.panel_title("outcomes, by the time of the start")),
        funnel.properties(
            title=theme.panel_title("how far they got, and what became of the others")
        ),
    ]
    about = f"{over_time.description} {funnel.description}"
    chart: alt.VConcatChart = (
        alt.VConcatChart(vconcat=panels, spacing=22)
        .resolve_scale(color="independent")
        .properties(
            title=heading(result.title, lines), description=f"{said(result.title, lines)} {about}"
        )
    )
    return chart


def saga_outcomes(result: OverTime) -> alt.VConcatChart:
    """Draw outcomes over the time at which sagas started.

    Parameters
    ----------
    result
        What ``sagas.over_time()`` gave.

    Returns
    -------
    altair.VConcatChart
        Stacked bars, and a row for each outcome, as dark as the bucket has many for that outcome: rare
        outcomes show there, however small they are in the stack.
    """
    merged = buckets_at_once(result)
    rows = ask(
        result,
        "SELECT min(moment) AS moment, any_value(until) AS until, outcome, sum(sagas)::BIGINT AS sagas FROM ("
        f"SELECT *, max(moment) OVER (PARTITION BY chunk) + INTERVAL {text(result.every)} AS until FROM ("
        f"SELECT *, (dense_rank() OVER (ORDER BY moment) - 1) // {merged} AS chunk FROM result)) "
        "GROUP BY chunk, outcome ORDER BY chunk",
    )
    counts = {
        name: sum(row["sagas"] for row in rows if row["outcome"] == name) for name in OUTCOMES
    }
    named = {name: f"{name} · {count:,}" for name, count in counts.items() if count}
    bars = stacked(rows, named, group="outcome", amount="sagas")
    tooltip = [
        alt.Tooltip("when", type="nominal", title="started from"),
        alt.Tooltip("label", type="nominal", title="outcome"),
        alt.Tooltip("sagas", type="quantitative", format=",d"),
        alt.Tooltip("share", type="quantitative", format=".1%", title="of this time"),
    ]
    step = f"{merged} x {result.every}" if merged > 1 else result.every.removeprefix("1 ")
    lines = [_outcome_words(result, rows, counts)]
    if merged > 1:
        lines.append(f"{merged} buckets of {result.every} are drawn as one")
    lines += [
        "above: all of them; below: each outcome on its own, darkest where there were most",
        *result.notes,
    ]
    found = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    colours = {label: COLOURS[name] for name, label in named.items()}
    chart: alt.VConcatChart = stacks(
        bars, colours, tooltip, title=f"sagas started per {step}"
    ).properties(
        title=heading(result.title, lines), description=said(result.title, [*lines, found])
    )
    return chart


def _outcome_words(result: OverTime, rows: Rows, counts: dict[str, int]) -> str:
    total = sum(counts.values())
    if not total:
        return "no sagas"
    first, last = min(row["moment"] for row in rows), max(row["until"] for row in rows)
    return f"{counted(total, 'saga')}, {span(first, last)} (UTC, {result.clock}); the outer buckets may not be full"


def saga_funnel(result: Funnel) -> alt.LayerChart:
    """Draw how many sagas got to each step, and what became of those that got no further.

    Parameters
    ----------
    result
        What ``sagas.funnel()`` gave.

    Returns
    -------
    altair.LayerChart
        A bar for each step, as long as sagas came to it: those that did it, those still on the way, and the
        lost ones by outcome; the loss is written behind it.
    """
    rows = ask(result, "FROM result")
    kinds = {
        "done": ("done", theme.GREEN),
        SKIPPED: ("passed over", "#A8DCCB"),
        "running": ("still on the way", theme.OTHER),
        **{
            name.replace(" ", "_"): (name, COLOURS[name])
            for name in OUTCOMES
            if name not in ("completed", "running")
        },
    }
    named = dict(
        zip((row["step"] for row in rows), labels(row["step"] for row in rows), strict=True)
    )
    parts, ends = [], []
    for row in rows:
        base = 0
        for column, (label, _) in kinds.items():
            count = int(row[column])
            if count:
                parts.append(
                    {
                        "step": named[row["step"]],
                        "what": label,
                        "sagas": count,
                        "base": base,
                        "top": base + count,
                        "share": round(count / row["entered"], 4),
                    }
                )
            base += count
        ends.append({"step": named[row["step"]], "top": base, "written": _loss(row)})
    shown = [
        (label, colour)
        for label, colour in kinds.values()
        if any(part["what"] == label for part in parts)
    ]
    y = alt.Y(
        "step",
        type="nominal",
        sort=list(named.values()),
        title=None,
        axis=alt.Axis(domain=False, ticks=False, **theme.ROW_LABELS),
        scale=alt.Scale(paddingInner=0.35),
    )
    longest = max((end["top"] for end in ends), default=1) or 1
    scale = alt.Scale(domain=[0, longest * 1.42], nice=False)
    axis = theme.value_axis([0, longest], ticks=5)
    bars = (
        alt.Chart(inline(parts))
        .mark_bar()
        .encode(
            y=y,
            x=alt.X("base", type="quantitative", title="sagas", scale=scale, axis=axis),
            x2="top",
            color=alt.Color(
                "what",
                type="nominal",
                sort=None,
                title=None,
                scale=alt.Scale(
                    domain=[label for label, _ in shown], range=[colour for _, colour in shown]
                ),
                legend=legend(shown),
            ),
            tooltip=[
                alt.Tooltip("step", type="nominal"),
                alt.Tooltip("what", type="nominal", title="became"),
                alt.Tooltip("sagas", type="quantitative", format=",d"),
                alt.Tooltip("share", type="quantitative", format=".2%", title="of those that came"),
            ],
        )
    )
    words = (
        alt.Chart(inline(ends))
        .mark_text(align="left", dx=6)
        .encode(
            y=y,
            x=alt.X("top", type="quantitative", scale=scale),
            text=alt.Text("written", type="nominal"),
        )
    )
    lines = [
        "each bar: the sagas that came to this step; lost are those that ended or stopped here",
        *result.notes,
    ]
    found = ", ".join(f"{named[row['step']]}: {_loss(row)}" for row in rows)
    chart: alt.LayerChart = alt.LayerChart(layer=[bars, words]).properties(
        width=theme.WIDTH,
        height=STEP_HEIGHT * max(1, len(rows)),
        title=heading(result.title, lines),
        description=said(result.title, [*lines, found]),
    )
    return chart


def _loss(row: dict[str, Any]) -> str:
    if not row["lost"]:
        return f"{row['done']:,} done"
    loss = "<0.1%" if row["loss"] < 0.001 else f"{row['loss']:.1%}"
    return f"{row['done']:,} done · {row['lost']:,} lost ({loss})"


def saga_durations(result: Durations) -> alt.LayerChart:
    """Draw how long steps and whole sagas take.

    Parameters
    ----------
    result
        What ``sagas.durations()`` gave.

    Returns
    -------
    altair.LayerChart
        For each step a line from the median to the longest, on a logarithmic axis, with marks at the 50th,
        90th and 99th percentile and at the deadline.
    """
    rows = [row for row in _durations(result) if row["sagas"]]
    marks = [
        {"row": row["row"], "what": what, "length": row[name], "written": lasting(row[name])}
        for row in rows
        for what, name in (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("longest", "longest"))
    ]
    limits = [
        {"row": row["row"], "length": row["deadline"], "written": lasting(row["deadline"])}
        for row in rows
        if row["deadline"] is not None
    ]
    lengths = [mark["length"] for mark in marks] + [limit["length"] for limit in limits]
    smallest = min((length for length in lengths if length and length > 0), default=1)
    for mark in marks:  # a logarithmic axis has no place for 0
        mark["drawn"] = max(mark["length"], smallest)
    at = ticks(lengths)
    written = " : ".join(f"datum.value == {tick!r} ? {lasting(tick)!r}" for tick in at)
    x = alt.X(
        "drawn",
        type="quantitative",
        title=None,
        scale=alt.Scale(type="log", domain=[smallest / 1.3, max([*lengths, 1]) * 1.6], nice=False),
        axis=alt.Axis(values=at, labelExpr=f"{written} : ''", grid=True),
    )
    y = alt.Y(
        "row",
        type="nominal",
        sort=[row["row"] for row in rows],
        title=None,
        axis=alt.Axis(domain=False, ticks=False, **theme.ROW_LABELS),
    )
    lines_of = [
        {"row": row["row"], "drawn": max(row["p50"], smallest), "to": max(row["longest"], smallest)}
        for row in rows
    ]
    rules = (
        alt.Chart(inline(lines_of))
        .mark_rule(color=theme.LINE, strokeWidth=3)
        .encode(y=y, x=x, x2="to")
    )
    names = ["p50", "p90", "p99", "longest"]
    shade = alt.Scale(domain=names, range=[theme.BLUE, theme.SKY, theme.ORANGE, theme.VERMILION])
    form = alt.Scale(domain=names, range=["circle", "square", "triangle-up", "diamond"])
    legend = alt.Legend(orient="bottom", title=None)
    points = (
        alt.Chart(inline(marks))
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            y=y,
            x=x,
            color=alt.Color("what", type="nominal", sort=None, scale=shade, legend=legend),
            shape=alt.Shape("what", type="nominal", sort=None, scale=form, legend=legend),
            tooltip=[
                alt.Tooltip("row", type="nominal", title="what"),
                alt.Tooltip("what", type="nominal", title="mark"),
                alt.Tooltip("written", type="nominal", title="takes"),
            ],
        )
    )
    median = (
        alt.Chart(inline([mark for mark in marks if mark["what"] == "p50"]))
        .mark_text(dy=-13)
        .encode(y=y, x=x, text=alt.Text("written", type="nominal"))
    )
    deadline = (
        alt.Chart(inline([{**limit, "drawn": limit["length"]} for limit in limits]))
        .mark_tick(color=theme.INK, thickness=2, size=22)
        .encode(y=y, x=x, tooltip=[alt.Tooltip("written", type="nominal", title="deadline")])
    )
    late = [
        {"row": row["row"], "drawn": row["deadline"], "written": f"{row['late']:,} late"}
        for row in rows
        if row["late"]
    ]
    over = (
        alt.Chart(inline(late))
        .mark_text(dy=-15, color=theme.VERMILION)
        .encode(y=y, x=x, text=alt.Text("written", type="nominal"))
    )
    lines = [
        "median, 90th and 99th percentile and the longest, on a logarithmic axis; the black tick is the deadline",
        *result.notes,
    ]
    found = ", ".join(
        f"{row['row']}: median {lasting(row['p50'])}, p99 {lasting(row['p99'])}" for row in rows
    )
    chart: alt.LayerChart = alt.LayerChart(
        layer=[rules, deadline, points, median, over]
    ).properties(
        width=theme.WIDTH,
        height=STEP_HEIGHT * max(1, len(rows)),
        title=heading(result.title, lines),
        description=said(result.title, [*lines, found]),
    )
    return chart


def _durations(result: Durations) -> Rows:
    names = ("p50", "p90", "p99", "longest", "deadline")
    listed = ", ".join(f"epoch_us({name}) / 1e6 AS {name}" for name in names)
    found = ask(result, f"SELECT kind, step, sagas, late, {listed} FROM result")
    words = {"whole": "the whole, completed", "compensation": "compensation, to the end"}
    named = labels(words.get(row["kind"]) or row["step"] for row in found)
    for row, name in zip(found, named, strict=True):
        row["row"] = f"{name} · {row['sagas']:,}"
    return found
