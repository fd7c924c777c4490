"""One look for all charts: what colours and shapes mean, and what is written where.

Charts are drawn on paper: a white ground of their own, so that they read the same in a light notebook, in
a dark one, and in a printed report. The colours are those of Okabe and Ito, which people with any common
colour blindness can tell apart; no chart tells anything by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import altair as alt

WIDTH: Final = 680
"""Width of a chart's plotting area: with its axis it fits a notebook's column."""

INK: Final = "#1f2328"
QUIET: Final = "#59636e"
LINE: Final = "#d1d9e0"
PAPER: Final = "#ffffff"
FONT: Final = "sans-serif"  # an unknown family drops all text from the PNG: name a generic one

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE = "#56B4E9", "#CC79A7"

#: Groups, by their places (see `groups`); after six, darker ones of the same hues.
GROUPS: Final = (
    *(BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE),
    *("#00405F", "#7F5800", "#00583F", "#7A3600", "#7D97A8", "#7B3F61"),
)
OTHER: Final = "#b6bec7"

#: What a diff names a row.
CLASSES: Final[dict[str, str]] = {
    "match": GREEN,
    "stale": ORANGE,
    "missing": SKY,
    "orphaned": PURPLE,
    "corrupted": VERMILION,
    "ahead": BLUE,
}
#: How the rows of a chart are labelled; the labels stand clear of marks at the left end.
ROW_LABELS: Final[dict[str, Any]] = {"labelColor": INK, "labelLimit": 260, "labelPadding": 8}
SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")

_TIME_LABEL: Final = (
    "utcFormat(datum.value, utcmilliseconds(datum.value) ? '%H:%M:%S.%L' "
    ": utcseconds(datum.value) ? '%H:%M:%S' "
    ": utchours(datum.value) || utcminutes(datum.value) ? '%H:%M' "
    ": utcdate(datum.value) > 1 ? '%b %-d' : utcmonth(datum.value) ? '%B' : '%Y')"
)


def time_axis(*, bare: bool = False) -> alt.Axis:
    """Write times in UTC on a clock of 24 hours, each as far as it says something."""
    if bare:
        return alt.Axis(labels=False, ticks=False)
    return alt.Axis(tickCount=8, labelExpr=_TIME_LABEL)


def value_axis(values: Iterable[Any], *, ticks: int = 4) -> alt.Axis:
    """Write about so many values along an axis; small counts get whole numbers, for there is no half event."""
    known = [value for value in values if value is not None]
    if known and all(math.isfinite(value) and value % 1 == 0 for value in known):
        low, high = int(min(0, *known)), int(max(0, *known))
        # One by one, since Vega's tickMinStep does not hold for small numbers.
        if high - low <= ticks:
            return alt.Axis(values=list(range(low, high + 1)), format="d")
    return alt.Axis(tickCount=ticks)


def panel_title(text: str) -> alt.TitleParams:
    """Name one panel of several, above its left end."""
    return alt.TitleParams(
        text=text, fontSize=11, fontWeight="normal", color=INK, frame="group", offset=6
    )


def opacity(field: str, darkest: float = 1.0) -> alt.Opacity:
    """Draw a mark the darker, the nearer its value is to 1; never so pale that it is overlooked."""
    scale = alt.Scale(domain=[0, 1], range=[0.2, darkest])
    return alt.Opacity(field, type="quantitative", legend=None, scale=scale)


@alt.theme.register("workbench", enable=True)
def theme() -> alt.theme.ThemeConfig:
    """Return the theme, as Altair wants it."""
    axis: alt.theme.AxisConfigKwds = {
        "domainColor": LINE,
        "gridColor": "#eceff2",
        "labelColor": QUIET,
        "labelFontSize": 11,
        "labelOverlap": "greedy",
        "tickColor": LINE,
        "titleColor": QUIET,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    }
    return {
        "background": PAPER,
        "padding": 12,
        "config": {
            "axis": axis,
            "axisX": {"grid": False},
            "font": FONT,
            "legend": {
                "labelColor": INK,
                "labelFontSize": 11,
                "labelLimit": 260,
                "titleColor": QUIET,
                "titleFontSize": 11,
                "titleFontWeight": "normal",
            },
            "range": {"category": list(GROUPS)},
            "text": {"color": INK, "fontSize": 11},
            "title": {
                "anchor": "start",
                "color": INK,
                "fontSize": 15,
                "fontWeight": 600,
                "frame": "bounds",
                "offset": 12,
                "subtitleColor": QUIET,
                "subtitleFontSize": 11,
                "subtitleLineHeight": 15,
                "subtitlePadding": 5,
            },
            "view": {"stroke": None, "continuousWidth": WIDTH},
        },
    }
