"""A chart as a picture inside a page."""

from __future__ import annotations

import base64
import struct

from workbench._html import escape_text
from workbench.charts import Chart
from workbench.charts.renderer import SCALE, png


def figure(chart: Chart) -> str:
    """Draw a chart as a picture inside a page, with its description for who cannot see it.

    It is the PNG that a saved notebook keeps, and not an SVG: an SVG takes the fonts of whoever reads it, and where
    these are wider, labels run into each other. No text of a payload is in it but as pixels.
    """
    spec = chart.to_dict()
    picture = png(spec)
    width, height = struct.unpack(">II", picture[16:24])  # as a PNG's header says
    about = escape_text(str(spec.get("description") or "A chart"))
    data = base64.b64encode(picture).decode()
    return (
        f'<figure><img alt="{about}" width="{width // SCALE}" height="{height // SCALE}" '
        f'src="data:image/png;base64,{data}"></figure>'
    )
