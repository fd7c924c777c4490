"""Event rate over time: all events stacked, and below them each group on a scale of its own."""

from __future__ import annotations

import altair as alt

from workbench._sql import ident, text
from workbench.analysis.rates import Rates
from workbench.charts.data import Rows, ask, buckets_at_once
from workbench.charts.groups import colours, places
from workbench.charts.stacks import stacked, stacks
from workbench.charts.words import counted, heading, labels, said, span


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
    merged = buckets_at_once(result)
    rows, named = _read(result, merged), _labels(result)
    colour = colours(places(result, result.by, list(named), others=result.gathered))
    title, lines = _words(result, rows, merged)
    bars = stacked(rows, named, group="kind", amount="events")
    tooltip = [
        alt.Tooltip("when", type="nominal", title="from"),
        alt.Tooltip("label", type="nominal", title=result.by.replace("_", " ")),
        alt.Tooltip("events", type="quantitative", format=",d"),
    ]
    chart: alt.VConcatChart = stacks(
        bars,
        dict(zip(named.values(), colour, strict=True)),
        tooltip,
        title=f"events per {_step(result, merged)}",
    ).properties(title=heading(title, lines), description=said(title, lines))
    return chart


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
