"""Stacked bars along time over a strip for each group: how much there was of all, and when there was any of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt

from workbench.charts import theme
from workbench.charts.data import Rows, inline
from workbench.charts.strips import strips
from workbench.charts.words import stamp

STACK_HEIGHT: Final = 200


def stacked(rows: Rows, named: Mapping[Any, str], *, group: str, amount: str) -> Rows:
    """Lay the groups of each bucket upon each other, in their order.

    Parameters
    ----------
    rows
        ``moment`` and ``until`` of each bucket, its group, and how much of it.
    named
        Group -> its label.
    group, amount
        The names of these two columns.

    Returns
    -------
    list of dict
        Each bar: ``moment``, ``until``, ``when`` in words, ``label``, the amount, its ``share`` of the bucket, ``part``
        (how much it is beside the most that its group ever has), and where it stands: ``base`` and ``top``.
    """
    order = list(named)
    there = [row for row in rows if row[amount]]
    peaks: dict[Any, int] = {}
    totals: dict[Any, int] = {}
    for row in there:
        peaks[row[group]] = max(peaks.get(row[group], 0), int(row[amount]))
        totals[row["moment"]] = totals.get(row["moment"], 0) + int(row[amount])
    tops: dict[Any, int] = {}
    bars = []
    for row in sorted(there, key=lambda row: (row["moment"], order.index(row[group]))):
        much, base = int(row[amount]), tops.get(row["moment"], 0)
        tops[row["moment"]] = top = base + much
        bars.append(
            {
                "moment": row["moment"],
                "until": row["until"],
                "when": stamp(row["moment"]),
                "label": named[row[group]],
                amount: much,
                "share": round(much / totals[row["moment"]], 4),
                "part": round(much / peaks[row[group]], 3),
                "base": base,
                "top": top,
            }
        )
    return bars


def stacks(
    bars: Rows, colours: Mapping[str, str], tooltip: Sequence[alt.Tooltip], *, title: str
) -> alt.VConcatChart:
    """Draw what :func:`stacked` laid up, and below it a strip for each group.

    Parameters
    ----------
    colours
        The labels of the groups, from top to bottom, each with its colour.
    title
        What the bars count.
    """
    data = inline(bars)
    colour = alt.Color(
        "label",
        type="nominal",
        sort=None,
        scale=alt.Scale(domain=list(colours), range=list(colours.values())),
        legend=None,
    )
    x = alt.X("moment", type="temporal", scale=alt.Scale(type="utc"), title=None)
    stack = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=x.axis(theme.time_axis(bare=True)),
            x2="until",
            y=alt.Y(
                "base",
                type="quantitative",
                title=title,
                axis=theme.value_axis([bar["top"] for bar in bars], ticks=6),
            ),
            y2="top",
            color=colour,
            tooltip=list(tooltip),
        )
        .properties(width=theme.WIDTH, height=STACK_HEIGHT)
    )
    each = strips(data, x, list(colours), colour, tooltip)
    chart: alt.VConcatChart = alt.vconcat(stack, each, spacing=6).resolve_scale(
        x="shared", color="shared"
    )
    return chart
