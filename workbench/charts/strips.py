"""Strips: one row for each group along time, as dark as it is busy, on a scale of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt

from workbench.charts import theme

ROW_HEIGHT: Final = 24


def strips(
    data: alt.InlineData,
    x: alt.X,
    rows: Sequence[str],
    colour: alt.Color,
    tooltip: Sequence[alt.Tooltip],
    *,
    label_limit: int = 260,
) -> alt.Chart:
    """Draw a strip for each group, so that a rare one's bursts show, however small they are beside others.

    Parameters
    ----------
    data
        ``moment`` and ``until`` of each bucket, ``label`` of its group, and ``part``: how busy it is beside the
        group's busiest one, 0 to 1.
    x
        The axis of time.
    rows
        All labels, from top to bottom.
    """
    chart: alt.Chart = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=x.axis(theme.time_axis()),
            x2="until",
            y=alt.Y(
                "label",
                type="nominal",
                sort=None,
                title=None,
                axis=row_axis(label_limit),
                scale=alt.Scale(domain=list(rows), paddingInner=0.25),
            ),
            color=colour,
            opacity=theme.opacity("part"),
            tooltip=list(tooltip),
        )
        .properties(width=theme.WIDTH, height=ROW_HEIGHT * max(1, len(rows)))
    )
    return chart


def row_axis(label_limit: int = 260) -> alt.Axis:
    """Label rows, without a line beside them; ``label_limit`` in pixels."""
    settings: dict[str, Any] = {**theme.ROW_LABELS, "labelLimit": label_limit}
    return alt.Axis(domain=False, ticks=False, **settings)
