"""Reading an explorer as a browser would: its HTML, its pages, the picture that a saved notebook keeps."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import ipywidgets

from workbench.ui.explorer import Explorer
from workbench.ui.listing import Listing


def widgets_of(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """Return a widget and all in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets_of(child)


def html_of(explorer: Explorer) -> str:
    """Return all that a browser reads as HTML; labels and options it reads as text."""
    return "\n".join(
        part.value for part in widgets_of(explorer) if isinstance(part, ipywidgets.HTML)
    )


def static(explorer: Explorer) -> tuple[str, str]:
    """Return what a notebook without a kernel shows: as text, and as HTML."""
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    return bundle["text/plain"], bundle["text/html"]


def labels(shown: str) -> list[str]:
    """Return the lines of code that stand under what was opened."""
    found = re.findall(r'<div class="workbench-code"[^>]*>(.*?)</div>', shown)
    return [html.unescape(line) for line in found]


def turn_through(listing: Listing) -> list[list[tuple[Any, ...]]]:
    """Return all pages, turned from the first to the last."""
    pages = [list(listing.page)]
    while not listing.on.disabled:
        listing.on.click()
        pages.append(list(listing.page))
    return pages


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[list[str]]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.found.append([])
        elif tag == "tr":
            self.found[-1].append([])
        elif tag in ("td", "th"):
            self.found[-1][-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1][-1][-1] += data


def table_with(shown: str, heading: str) -> list[dict[str, str]]:
    """Return the rows of the one table that has a heading."""
    parser = _Tables()
    parser.feed(shown)
    (found,) = [table for table in parser.found if heading in table[0]]
    return [dict(zip(found[0], row, strict=True)) for row in found[1:]]


def facts_of(shown: str) -> dict[str, str]:
    """Return names and what is said about them."""
    parser = _Tables()
    parser.feed(shown)
    return {row[0]: row[1] for table in parser.found for row in table if len(row) == 2}
