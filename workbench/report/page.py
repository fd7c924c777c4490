"""How a report looks: one HTML file without script, that asks nothing of any network.

Tables and cards are those of the notebook. They take their colours from JupyterLab's variables, and the page says
what these are: for light, for dark, and for paper.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from workbench import _html
from workbench._html import escape_text
from workbench.analysis.audit.completeness import SIGNS
from workbench.store.table import Table

ROWS: Final = 10
"""So many rows of a table are in a report."""
SHARES: Final = ("share", "rate", "loss")
"""Columns of numbers from 0 to 1 that people read in per cent."""

_STYLE: Final = """
:root{color-scheme:light dark;--paper:#fff;--ground:#f6f8fa;--jp-ui-font-color1:#1f2328;--jp-ui-font-color2:#59636e;
--jp-border-color2:#d1d9e0;--jp-warn-color0:#9a3b00;--jp-ui-font-family:system-ui,sans-serif;--link:#0b57a4}
@media screen and (prefers-color-scheme:dark){:root{--paper:#15181c;--ground:#1f2429;--jp-ui-font-color1:#e6e9ec;
--jp-ui-font-color2:#a3adb8;--jp-border-color2:#3a424b;--jp-warn-color0:#ffb27a;--link:#8ec5ff}}
body{font:14px/1.55 var(--jp-ui-font-family);color:var(--jp-ui-font-color1);background:var(--paper);
margin:2rem auto;max-width:60rem;padding:0 1.25rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem}h2{font-size:1.2rem;margin:2.75rem 0 .5rem;
padding-top:.75rem;border-top:1px solid var(--jp-border-color2)}h3{font-size:1rem;margin:1.5rem 0 .25rem}
a{color:var(--link)}.about{color:var(--jp-ui-font-color2);margin:0}
.found{list-style:none;padding:0;margin:1.25rem 0}.found li{padding:.25rem 0 .25rem 1.6rem;text-indent:-1.6rem}
.found b{display:inline-block;width:1.6rem;text-indent:0}.found .no{color:var(--jp-warn-color0)}
.wide{overflow-x:auto}figure{margin:1rem 0;padding:.5rem;background:#fff;border:1px solid var(--jp-border-color2);
border-radius:6px;overflow-x:auto}figure img{display:block;max-width:100%;height:auto}
pre{font:12px/1.5 ui-monospace,monospace;background:var(--ground);border-left:3px solid var(--jp-border-color2);
padding:.5rem .75rem;margin:.75rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
ol{margin:.25rem 0;padding-left:1.5rem}
@media print{body{margin:0;max-width:none;font-size:11px}h2,h3{break-after:avoid}figure,tr{break-inside:avoid}
.wide,figure{overflow:visible}td,th{white-space:normal!important;overflow-wrap:anywhere}a{color:inherit;text-decoration:none}}
""".strip()


@dataclass(frozen=True, slots=True)
class Finding:
    """One line at the top of a report.

    Attributes
    ----------
    holds
        True: as it should be. False: something is wrong. None: nothing to judge.
    says
        A sentence.
    """

    holds: bool | None
    says: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: what it found, and how it is shown (HTML, escaped)."""

    name: str
    title: str
    findings: tuple[Finding, ...]
    body: str


def page(title: str, about: Sequence[str], sections: Sequence[Section]) -> str:
    """Write the page: what was found first, then each part of it."""
    found = "".join(
        f'<li{" class=no" if item.holds is False else ""}><b aria-hidden="true">{_sign(item)}</b>{escape_text(item.says)} '
        f'<a href="#{section.name}">{escape_text(section.title.lower())}</a></li>'
        for section in sections
        for item in section.findings
    )
    parts = "\n".join(
        f'<section id="{section.name}">\n<h2>{escape_text(section.title)}</h2>\n{section.body}\n</section>'
        for section in sections
    )
    lines = "".join(f'<p class="about">{escape_text(line)}</p>' for line in about)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        # Should anything ever slip through: a browser runs and fetches nothing from here.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape_text(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
        f'<h1>{escape_text(title)}</h1>\n{lines}\n<ul class="found">{found}</ul>\n{parts}\n</body>\n</html>\n'
    )


def _sign(item: Finding) -> str:
    return "·" if item.holds is None else SIGNS[item.holds]


# -- what a section is made of -------------------------------------------------------------------


def heading(words: str) -> str:
    """Write the heading of a part of a section."""
    return f"<h3>{escape_text(words)}</h3>"


def paragraph(words: str) -> str:
    """Write a sentence."""
    return f"<p>{escape_text(words)}</p>"


def listed(sentences: Iterable[str]) -> str:
    """Number sentences."""
    items = "".join(f"<li>{escape_text(sentence)}</li>" for sentence in sentences)
    return f"<ol>{items}</ol>" if items else ""


def notes(sentences: Iterable[str]) -> str:
    """Write what a reader has to know about the rows above."""
    return "".join(_html.note(sentence) for sentence in sentences)


def code(*lines: str, language: str = "python") -> str:
    """Show code; it is text, and nothing of it is run."""
    shown = "\n".join(escape_text(part) for line in lines for part in line.splitlines() or [""])
    return f'<pre class="{language}">{shown}</pre>'


def table(result: Table, columns: Sequence[str] = (), *, most: int = ROWS) -> str:
    """Show the first rows of a result, and say how many there are.

    Parameters
    ----------
    result
        The rows, in the order in which they are to be shown.
    columns
        Only these; by default all.
    most
        So many rows.
    """
    rows = result.rows(most)
    names = list(columns or result.columns)
    total = len(result)
    more = f"the first {len(rows):,} of {total:,} rows" if total > len(rows) else ""
    cells = [[_cell(name, row[name]) for name in names] for row in rows]
    numeric = [any(_is_number(row[name]) for row in rows) for name in names]
    shown = _html.table(names, cells, numeric=numeric)
    return f'<div class="wide">{shown}</div>{_html.note(more) if more else ""}'


def _cell(name: str, value: Any) -> object:
    """Write a value for people: shares in per cent, times and lengths to the second."""
    if value is None:
        return None
    if isinstance(value, float) and name in SHARES:
        return f"{value:.2%}"
    if isinstance(value, dt.datetime):
        return value.replace(microsecond=0)
    if isinstance(value, dt.timedelta):
        return str(dt.timedelta(seconds=int(value.total_seconds())))
    if isinstance(value, list):
        return ", ".join(map(_html.visible, value))
    if isinstance(value, int) and not isinstance(value, bool) and name not in _LABELS:
        return f"{value:,}"
    return value


#: Numbers that name something are written as they are.
_LABELS: Final = ("version", "equals_version", "checkpoint", "schema_version")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal | dt.timedelta) and not isinstance(value, bool)
