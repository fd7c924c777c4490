"""A list of rows, a page at a time, one of which is opened: with a click, or with the arrow keys."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ipywidgets

from workbench import _html
from workbench._sql import literal
from workbench.ui.explorer import PAGE, Explorer

Ask = Callable[[str], list[tuple[Any, ...]]]

ON_PICTURE: Final = 10
"""So many rows of a page are on the picture that a saved notebook keeps."""
CELL: Final = 44
"""Characters of a cell in a list; a longer value is cut, and whole once its row is opened."""
_LINES: Final = 11
_STYLE: Final = (
    "<style>.workbench-list select, .workbench-list-head {"
    "font-family:var(--jp-code-font-family,monospace) !important;font-size:12px !important}"
    ".workbench-list select option {padding:1px 4px}"
    # A wide table scrolls within its explorer; without this it would be cut at the edge of the cell.
    ".workbench-detail > div {min-width:0;overflow-x:auto}</style>"
)
#: In a list blanks are folded; these are not.
_BLANK: Final = "\u00a0"


@dataclass(frozen=True, slots=True)
class Rows:
    """What a list shows.

    Attributes
    ----------
    query
        The rows, in any order.
    order
        SQL expressions over them by which they are put in order, ascending. None is ever NULL, and no two
        rows have all of them equal: a page begins behind the last row of the one before.
    columns
        Heading -> SQL expression of what is shown.
    keys
        SQL expressions of what is needed to open a row.
    what
        The rows in a word, where it is not that of the list.
    """

    query: str
    order: tuple[str, ...]
    columns: dict[str, str]
    keys: tuple[str, ...]
    what: str | None = None


class Listing:
    """Controls for rows: a list box, two buttons, and where in the rows it stands.

    Parameters
    ----------
    what
        The rows in a word, for labels: ``"row"``.
    ask
        Runs a query.
    """

    def __init__(self, what: str, ask: Ask) -> None:
        self._what, self._ask = what, ask
        self._rows: Rows | None = None
        self._starts: list[tuple[Any, ...] | None] = [None]
        self._next: tuple[Any, ...] | None = None
        self._page: list[tuple[Any, ...]] = []
        self._keys: list[tuple[Any, ...]] = []
        self.count = 0
        wide = ipywidgets.Layout(width="auto")
        self._head = ipywidgets.HTML(layout=ipywidgets.Layout(margin="0", width="100%"))
        self.select = ipywidgets.Select(
            options=[],
            rows=_LINES,
            layout=wide,
            tooltip=f"{what}s: click, or arrow keys, to open one",
        )
        self.select.add_class("workbench-list")
        narrow = ipywidgets.Layout(width="auto")
        self.back = ipywidgets.Button(description="previous page", layout=narrow)
        self.on = ipywidgets.Button(description="next page", layout=narrow)
        self._place = ipywidgets.HTML()
        self.box = ipywidgets.VBox(
            [
                ipywidgets.HTML(_STYLE, layout=ipywidgets.Layout(display="none")),
                self._head,
                self.select,
                ipywidgets.HBox(
                    [self.back, self.on, self._place],
                    layout=ipywidgets.Layout(align_items="center"),
                ),
            ]
        )

    def connect(self, explorer: Explorer, opened: Callable[[], None]) -> None:
        """Turn pages, and call ``opened`` when a row is chosen, with the explorer's care for errors."""
        self._explorer = explorer
        explorer._listen(self.select, opened)
        explorer._press(self.back, lambda: self._turn(back=True))
        explorer._press(self.on, lambda: self._turn(back=False))

    def read(self, rows: Rows) -> None:
        """Show other rows, from the first one on."""
        (self.count,) = self._ask(f"SELECT count(*) FROM ({rows.query})")[0]
        self._rows, self._starts = rows, [None]
        self._what = rows.what or self._what
        self._fill()

    @property
    def chosen(self) -> tuple[Any, ...] | None:
        """The keys of the row that is chosen; None where none is."""
        at = self.select.index
        return None if at is None or at >= len(self._keys) else self._keys[at]

    @property
    def columns(self) -> list[str]:
        """The headings."""
        return list(self._rows.columns) if self._rows else []

    @property
    def page(self) -> list[tuple[Any, ...]]:
        """What is shown of the rows on this page."""
        return self._page

    def html(self) -> str:
        """Write the first rows of the page as a table."""
        if not self._page:
            return _html.note(f"no such {self._what}")
        return _html.table(self.columns, self._page[:ON_PICTURE], numeric=self._numeric) + (
            _html.note(self._left_out()) if self.count > ON_PICTURE else ""
        )

    def text(self) -> str:
        """Write them as plain text."""
        if not self._page:
            return f"no such {self._what}"
        table = _html.text_table(self.columns, self._page[:ON_PICTURE], numeric=self._numeric)
        return f"{table}\n{self._left_out()}" if self.count > ON_PICTURE else table

    # -- inside ----------------------------------------------------------------------------------

    def _turn(self, *, back: bool) -> None:
        if back and len(self._starts) > 1:
            self._starts.pop()
        elif not back and self._next is not None:
            self._starts.append(self._next)
        else:
            return
        self._fill()

    def _fill(self) -> None:
        rows = self._rows
        assert rows is not None
        start = self._starts[-1]
        order = ", ".join(rows.order)
        behind = "" if start is None else f" WHERE ({order}) > ({', '.join(map(literal, start))})"
        wanted = ", ".join([*rows.columns.values(), *rows.keys, *rows.order])
        # The page first: what is shown of a row is worked out for the rows of the page alone.
        page = f"SELECT * FROM ({rows.query}){behind} ORDER BY {order} LIMIT {PAGE + 1}"
        found = self._ask(f"SELECT {wanted} FROM ({page}) ORDER BY {order}")
        shown, keys = len(rows.columns), len(rows.keys)
        self._page = [row[:shown] for row in found[:PAGE]]
        self._keys = [row[shown : shown + keys] for row in found[:PAGE]]
        self._next = found[PAGE - 1][shown + keys :] if len(found) > PAGE else None
        lines = self._lines()
        with self._explorer._quietly():
            self.select.options = [(line, number) for number, line in enumerate(lines[1:])]
            self.select.index = None
            self.select.rows = max(3, min(_LINES, len(lines) - 1))
        self._head.value = (
            f'<div class="workbench-list-head" style="color:var(--jp-ui-font-color2,#616161);padding:0 5px;'
            f'line-height:1.4;white-space:pre;overflow:hidden">{html.escape(lines[0])}</div>'
        )
        self.back.disabled, self.on.disabled = len(self._starts) == 1, self._next is None
        self._place.value = _html.note(self._said())

    @property
    def _numeric(self) -> list[bool]:
        """Whether a column holds numbers on this page."""
        return [
            all(_is_number(row[at]) for row in self._page if row[at] is not None)
            and any(row[at] is not None for row in self._page)
            for at in range(len(self.columns))
        ]

    def _lines(self) -> list[str]:
        return aligned([self.columns, *self._page], right=self._numeric)

    def _said(self) -> str:
        if not self.count:
            return f"no such {self._what}"
        first = (len(self._starts) - 1) * PAGE + 1
        last = first + len(self._page) - 1
        return (
            f"{first:,} to {last:,} of {self.count:,} {self._what}{'' if self.count == 1 else 's'}"
        )

    def _left_out(self) -> str:
        return f"{min(ON_PICTURE, len(self._page))} of {self.count:,} {self._what}s"


def _is_number(value: object) -> bool:
    return not isinstance(value, str | bool | list | tuple | dict | dt.date | dt.timedelta)


def _cell(value: object, most: int = CELL) -> str:
    if isinstance(value, str):
        value = value[:1_000]  # what follows is cut anyway, and may be long
    text = "" if value is None else _html.visible(value, 1_000)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def aligned(
    rows: Sequence[Sequence[object]], right: Sequence[bool] = (), most: int = CELL
) -> list[str]:
    """Write rows as lines of a list box, in columns that stand below each other."""
    cells = [[_cell(value, most) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = [*right, *([False] * (len(widths) - len(right)))]
    return [
        (_BLANK * 2)
        .join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, sides, strict=True)
        )
        .replace(" ", _BLANK)
        for row in cells
    ]


def choices(found: Sequence[tuple[Any, ...]], every: str) -> list[tuple[str, Any]]:
    """Make the options of a dropdown from values and their numbers, most frequent first, after ``every``."""
    listed = [(f"{_cell(value) or '(unknown)'}  ({number:,})", value) for value, number in found]
    return [(every, ...), *listed]
