"""HTML for notebook reprs: no JavaScript, everything escaped, readable in light and dark themes."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Iterable, Sequence
from decimal import Decimal

#: Colours come from JupyterLab's theme where there is one; the fallbacks suit a light page.
_TEXT = "color:var(--jp-ui-font-color1,#212121)"
_MUTED = "color:var(--jp-ui-font-color2,#616161)"
_LINE = "1px solid var(--jp-border-color2,#e0e0e0)"
_FONT = "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.5"

CELL_CHARACTERS = 120
"""A longer value is cut, and says so."""


def escape(value: object) -> str:
    """Escape a value for HTML; line breaks and control characters become visible."""
    return html.escape(visible(value), quote=True)


def visible(value: object, limit: int = CELL_CHARACTERS) -> str:
    """Write one value for people: NULL is said, times are UTC to the second or finer, text is bounded."""
    if value is None or value != value:  # NaN and NaT are not equal to themselves
        return "NULL"
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC)
        return value.isoformat(sep=" ").replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, list | tuple):
        value = f"[{', '.join(visible(item) for item in value)}]"
    if isinstance(value, dict):
        value = f"{{{', '.join(f'{key}: {visible(item)}' for key, item in value.items())}}}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(value))
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def plain(value: Decimal) -> str:
    """Write a decimal without an exponent, with two places at least where it has any.

    >>> plain(Decimal("1200.5000000000")), plain(Decimal("3E+2"))
    ('1200.50', '300')
    """
    if not value.is_finite():
        return str(value)
    text = f"{value:f}"
    if "." not in text:
        return text
    whole, _, places = text.partition(".")
    places = places.rstrip("0")
    return f"{whole}.{places:0<2}"


def card(title: str, body: str, *, subtitle: str = "") -> str:
    """A titled block; ``title`` and ``subtitle`` are escaped here, ``body`` is HTML already."""
    sub = f'<div style="{_MUTED}">{escape_text(subtitle)}</div>' if subtitle else ""
    return (
        f'<div style="{_FONT};{_TEXT};max-width:100%;overflow-x:auto">'
        f'<div style="font-weight:600;font-size:14px">{escape_text(title)}</div>{sub}{body}</div>'
    )


def escape_text(value: str) -> str:
    """Escape a sentence of ours that may quote a user's or a payload's text."""
    return html.escape(line(value), quote=True)


def line(value: str) -> str:
    """Write such a sentence as one line of plain text: nothing in it moves a terminal's cursor."""
    return visible(value, limit=2_000)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, numeric: Sequence[bool] = ()
) -> str:
    """Write a table; every cell is escaped and bounded."""
    right = [*numeric, *([False] * (len(columns) - len(numeric)))]
    align = ["right" if flag else "left" for flag in right]
    cell = "padding:2px 10px 2px 0;white-space:nowrap;vertical-align:top"
    head = "".join(
        f'<th style="{cell};text-align:{side};border-bottom:{_LINE};{_MUTED};font-weight:500">{escape(name)}</th>'
        for name, side in zip(columns, align, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{cell};text-align:{side};font-variant-numeric:tabular-nums">{_cell(value)}</td>'
            for value, side in zip(row, align, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<table style="border-collapse:collapse;margin:4px 0;{_TEXT};background:none">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Write names and what there is to say about each, as long as it takes; both are escaped."""
    cell = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"
    body = "".join(
        f'<tr><td style="{cell};white-space:nowrap;{_MUTED}">{escape_text(name)}</td>'
        f'<td style="{cell};white-space:normal">{escape_text(value)}</td></tr>'
        for name, value in rows
    )
    return (
        f'<table style="border-collapse:collapse;margin:4px 0;{_TEXT};background:none">'
        f"<tbody>{body}</tbody></table>"
    )


def _cell(value: object) -> str:
    shown = escape(value)
    return f'<span style="{_MUTED}">{shown}</span>' if shown == "NULL" else shown


def note(sentence: str) -> str:
    """A line in the muted colour."""
    return f'<div style="{_MUTED}">{escape_text(sentence)}</div>'


def warning(sentence: str) -> str:
    """A line that should not be overlooked; the sign says so where colours do not."""
    colour = "color:var(--jp-warn-color0,#b45309)"
    return f'<div style="{colour}">⚠ {escape_text(sentence)}</div>'


def text_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, numeric: Sequence[bool] = ()
) -> str:
    """Write the same table as plain text."""
    columns = [visible(name, limit=60) for name in columns]
    right = [*numeric, *([False] * (len(columns) - len(numeric)))]
    cells = [[visible(value, limit=60) for value in row] for row in rows]
    widths = [
        max([len(name), *(len(row[index]) for row in cells)]) for index, name in enumerate(columns)
    ]

    def line(values: Sequence[str]) -> str:
        parts = [
            value.rjust(width) if flag else value.ljust(width)
            for value, width, flag in zip(values, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(list(columns)), *(line(row) for row in cells)])
