"""Event rate over time: all events stacked, and below them each group on a scale of its own."""

from __future__ import annotations

import datetime as dt
from typing import Final

import altair as alt

from workbench._sql import ident, text
from workbench.analysis.rates import Rates
from workbench.charts import theme
from workbench.charts.data import POINTS, Rows, ask, inline
from workbench.charts.groups import colours, places
from workbench.charts.strips import strips
from workbench.charts.words import counted, heading, labels, said, span, stamp

STACK_HEIGHT: Final = 200


def rates(result: Rates) -> alt.VConcatChart:
    """Draw how many events there were over time.

    Parameters
    ----------
    result
        What ``log.rates(…)`` gave.

    Returns
    -------
    altair.VConcatChart
        Stacked bars, and a row for each group, as dark as the bucket is busy for that group: a rare
        type's bursts show there, however small they are in the stack.
    """
    merged = _merged(result)
    rows, named = _read(result, merged), _labels(result)
    colour = alt.Color(
        "label",
        type="nominal",
        sort=None,
        scale=alt.Scale(
            domain=list(named.values()),
            range=colours(places(result, result.by, list(named), others=result.gathered)),
        ),
        legend=None,
    )
    title, lines = _words(result, rows, merged)
    bars = _stacked(rows, named)
    data = inline(bars)
    x = alt.X("moment", type="temporal", scale=alt.Scale(type="utc"), title=None)
    tooltip = [
        alt.Tooltip("when", type="nominal", title="from"),
        alt.Tooltip("label", type="nominal", title=result.by.replace("_", " ")),
        alt.Tooltip("events", type="quantitative", format=",d"),
    ]
    stack = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=x.axis(theme.time_axis(bare=True)),
            x2="until",
            y=alt.Y(
                "base",
                type="quantitative",
                title=f"events per {_step(result, merged)}",
                axis=theme.value_axis([bar["top"] for bar in bars], ticks=6),
            ),
            y2="top",
            color=colour,
            tooltip=tooltip,
        )
        .properties(width=theme.WIDTH, height=STACK_HEIGHT)
    )
    each = strips(data, x, list(named.values()), colour, tooltip)
    chart: alt.VConcatChart = (
        alt.vconcat(stack, each, spacing=6)
        .resolve_scale(x="shared", color="shared")
        .properties(title=heading(title, lines), description=said(title, lines))
    )
    return chart


def _merged(result: Rates) -> int:
    """How many buckets are drawn as one."""
    buckets = ask(result, "SELECT count(DISTINCT moment) AS n FROM result")[0]["n"]
    return -(-int(buckets) // POINTS) or 1


def _read(result: Rates, merged: int) -> Rows:
    return ask(
        result,
        "SELECT min(moment) AS moment, any_value(until) AS until, kind, sum(events) AS events FROM ("
        f"SELECT moment, {ident(result.by)} AS kind, events, chunk, "
        f"max(moment) OVER (PARTITION BY chunk) + INTERVAL {text(result.every)} AS until FROM ("
        f"SELECT *, (dense_rank() OVER (ORDER BY moment) - 1) // {merged} AS chunk FROM result)) "
        "GROUP BY chunk, kind ORDER BY chunk",
    )


def _labels(result: Rates) -> dict[str | None, str]:
    """Group -> its label, with its number of events."""
    names = labels(result.groups)
    return {
        kind: f"{name} · {count:,}"
        for name, (kind, count) in zip(names, result.groups.items(), strict=True)
    }


def _stacked(rows: Rows, named: dict[str | None, str]) -> Rows:
    """Lay the groups of each bucket upon each other, the most frequent one at the bottom."""
    order = list(named)
    peaks = {
        kind: max((row["events"] for row in rows if row["kind"] == kind), default=1)
        for kind in order
    }
    tops: dict[dt.datetime, int] = {}
    found = []
    for row in sorted(rows, key=lambda row: (row["moment"], order.index(row["kind"]))):
        if not row["events"]:
            continue
        base = tops.get(row["moment"], 0)
        tops[row["moment"]] = top = base + int(row["events"])
        found.append(
            {
                "moment": row["moment"],
                "until": row["until"],
                "when": stamp(row["moment"]),
                "label": named[row["kind"]],
                "events": int(row["events"]),
                "part": round(row["events"] / peaks[row["kind"]], 3),
                "base": base,
                "top": top,
            }
        )
    return found


def _step(result: Rates, merged: int) -> str:
    if merged > 1:
        return f"{merged} x {result.every}"
    return result.every.removeprefix("1 ")


def _words(result: Rates, rows: Rows, merged: int) -> tuple[str, list[str]]:
    total = sum(result.groups.values())
    by = result.by.replace("_", " ")
    last = max((row["until"] for row in rows), default=None)
    first = min((row["moment"] for row in rows), default=None)
    lines = ["no events"]
    if total:
        lines = [
            f"{counted(total, 'event')}, {span(first, last)} (UTC, {result.clock}); the outer buckets may not be full",
            "above: all of them; below: each on its own, darkest where it is busiest",
        ]
    if result.words:
        lines.append(f"only {'; '.join(result.words)}")
    if merged > 1:
        lines.append(f"{merged} buckets of {result.every} are drawn as one")
    return f"Events per {_step(result, merged)} by {by}", [*lines, *result.notes]
