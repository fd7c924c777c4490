"""One look for all charts: what colours and shapes mean, and what is written where.

Charts are drawn on paper: a white ground of their own, so that they read the same in a light notebook, in
a dark one, and in a printed report. The colours are those of Okabe and Ito, which people with any common
colour blindness can tell apart; no chart tells anything by colour alone.
"""

from __future__ import annotations

from typing import Final

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

#: Groups that have no colour of their own, most frequent first; after six, darker ones of the same hues.
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
CLASS_SHAPES: Final[dict[str, str]] = {
    "match": "circle",
    "stale": "triangle-left",
    "missing": "stroke",
    "orphaned": "diamond",
    "corrupted": "cross",
    "ahead": "triangle-right",
}
SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def colours(count: int, *, other: bool = False) -> list[str]:
    """Return colours for so many groups, most frequent first; the last may be the gathered others."""
    named = count - other
    return [GROUPS[index % len(GROUPS)] for index in range(named)] + [OTHER] * other


@alt.theme.register("workbench", enable=True)
def theme() -> alt.theme.ThemeConfig:
    """Return the theme, as Altair wants it."""
    axis = {
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
