"""Parts of what an explorer shows of a row that was opened, as HTML: escaped, bounded, readable without a kernel."""

from __future__ import annotations

import html
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets

from workbench import _html
from workbench.ui.explorer import picture

if TYPE_CHECKING:
    from workbench.charts.renderer import Chart


def drawn(chart: Chart) -> str:
    """Draw a chart as HTML that needs nothing but itself, at its own size."""
    # Altair takes a second or more to import: not for an explorer that draws nothing.
    from workbench.charts.renderer import SCALE, png

    spec = chart.to_dict()
    image = png(spec)
    (width,) = struct.unpack(">I", image[16:20])  # as a PNG's header says
    shown = picture(image, str(spec.get("description", "")))
    return f'<div style="max-width:{width // SCALE}px;margin:6px 0">{shown}</div>'


def preformatted(text: str, most: int, about: str, length: int | None = None) -> str:
    """Write text of several lines, escaped, so many characters of it at most; what was cut is said."""
    lines = text[:most].expandtabs(4).splitlines()
    if len(text) > most:
        lines.append(f"… ({length or len(text):,} characters in all)")
    shown = "\n".join(html.escape(_html.visible(line, most), quote=True) for line in lines)
    style = (
        "font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.45;margin:4px 0;"
        "padding:6px 0 6px 10px;border-left:2px solid var(--jp-border-color2,#e0e0e0);background:none;"
        "white-space:pre-wrap;overflow-wrap:anywhere;max-height:280px;overflow:auto;"
        "color:var(--jp-ui-font-color1,#212121)"
    )
    return f'<pre tabindex="0" aria-label="{html.escape(about)}" style="{style}">{shown}</pre>'


def heading(words: str) -> str:
    """Write a line above a part of what was opened."""
    style = "font-weight:600;margin:8px 0 2px;color:var(--jp-ui-font-color1,#212121)"
    return f'<div style="{style}">{_html.escape_text(words)}</div>'


def in_code(*lines: str) -> str:
    """Write the Python that gives what was opened."""
    style = "font-family:var(--jp-code-font-family,monospace);font-size:12px;color:var(--jp-ui-font-color2,#616161)"
    return "".join(
        f'<div class="workbench-code" style="{style}">{html.escape(line)}</div>' for line in lines
    )


def scrolled(table: str) -> str:
    """Keep a long table within a height, to be scrolled with mouse or keyboard."""
    return (
        f'<div tabindex="0" style="max-height:280px;overflow:auto;margin-bottom:6px">{table}</div>'
    )


def detail() -> ipywidgets.HTML:
    """Make a place for what was opened; what is wider than the explorer scrolls in it."""
    place = ipywidgets.HTML(layout=ipywidgets.Layout(width="100%"))
    place.add_class("workbench-detail")
    return place


def told(names: Sequence[str], rows: Sequence[Sequence[object]], numeric: Sequence[str]) -> str:
    """Write a table without the columns that are empty in every row."""
    kept = [at for at, _ in enumerate(names) if any(row[at] not in (None, "") for row in rows)]
    return _html.table(
        [names[at] for at in kept],
        [["" if row[at] is None else row[at] for at in kept] for row in rows],
        numeric=[names[at] in numeric for at in kept],
    )


def excerpt(value: str | None, most: int) -> str:
    """Cut a text that a query has cut one character later."""
    if value is None:
        return ""
    return value if len(value) <= most else f"{value[:most]}…"
