"""LogExplorer: filter a log, page through what passes, open an event with its causes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import ipywidgets

from workbench import _html
from workbench.errors import MomentError
from workbench.moments import Clock, parse_time
from workbench.store.view import EVENTS, View
from workbench.ui.explorer import Explorer
from workbench.ui.filters import Filter, introduced, written
from workbench.ui.listing import Listing, Rows
from workbench.ui.opened import Opened, ask

TYPES: Final = 200
"""So many event types can be chosen from: the most frequent."""
_EXCERPT: Final = 120
_MANY: Final = 500_000
"""From so many events on, a search says that it takes a while."""

_SECOND: Final = "%Y-%m-%dT%H:%M:%SZ"
_WIDE: Final = {"description_width": "80px"}


class LogExplorer(Explorer):
    """Filter the events of a log, page through them, and open one with its payload and its causes.

    All filters hold together. ``.value`` is the log as filtered, with all its verbs, and ``.code`` the Python
    that gives it. Text is searched in payloads as they stand, in small letters or large; a search that takes
    longer than half a minute is broken off.

    Parameters
    ----------
    view
        The events.
    face
        Makes a log of a view.
    name
        What the log is called in ``code``.
    """

    def __init__(self, view: View, face: Callable[[View], Any], name: str = "log") -> None:
        self._view, self._face, self._name = view, face, name
        self._chosen = view
        self._opened: Opened | None = None
        self._clocks = _clocks(view)
        self._make_controls()
        self._listing = Listing("event", lambda sql: ask(view, sql))
        self._detail = ipywidgets.HTML()
        columns = ipywidgets.VBox([self.stream, self.correlation, self.text, self.start, self.end])
        filters = [self.types, columns, ipywidgets.VBox([self.clock, self.latest, self.clear])]
        super().__init__(
            f"Events of {view.database.label}",
            ipywidgets.HBox(filters, layout=ipywidgets.Layout(flex_flow="row wrap")),
            self._listing.box,
            self._detail,
        )
        self._listing.connect(self, self._open)
        for button in (self._listing.back, self._listing.on):
            self._press(button, self._open)  # nothing is chosen on another page
        for control in self._filters:
            self._listen(control, self._filter)
        self._listen(self.latest, self._read)
        self._press(self.clear, self._cleared)
        self._filter()

    @property
    def opened(self) -> int | None:
        """The position of the event that is open."""
        return None if self._opened is None else int(self._opened.columns["position"])

    # -- inside ----------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        types = list(self._view.types.items())
        named = [(f"{_html.visible(name, 60)}  ({n:,})", name) for name, n in types[:TYPES]]
        rare = f", the {TYPES} most frequent of {len(types):,}" if len(types) > TYPES else ""
        self.types = ipywidgets.SelectMultiple(
            options=named,
            rows=8,
            description="type",
            style={"description_width": "40px"},
            layout=ipywidgets.Layout(width="340px"),
            tooltip=f"event types{rare}; several with Ctrl or Shift, none for all",
        )
        first, last = _range(self._view, self._clocks[0])

        def typed(description: str, placeholder: str) -> ipywidgets.Text:
            return ipywidgets.Text(
                description=description,
                placeholder=placeholder,
                continuous_update=False,
                style=_WIDE,
                layout=ipywidgets.Layout(width="330px"),
            )

        self.stream = typed("stream", "its whole id")
        self.correlation = typed("correlation", "its whole id")
        self.text = typed("text", "anywhere in the payload")
        self.start = typed("from", "" if first is None else f"first: {first:{_SECOND}}")
        self.end = typed("before", "" if last is None else f"last: {last:{_SECOND}}")
        self.clock = ipywidgets.Dropdown(
            options=self._clocks,
            description="clock",
            style=_WIDE,
            layout=ipywidgets.Layout(width="200px"),
            disabled=len(self._clocks) == 1,
        )
        self.latest = ipywidgets.Checkbox(
            description="latest first", indent=False, layout=ipywidgets.Layout(width="auto")
        )
        self.clear = ipywidgets.Button(
            description="clear filters", layout=ipywidgets.Layout(width="auto")
        )

    @property
    def _filters(self) -> list[ipywidgets.Widget]:
        return [
            self.types,
            self.stream,
            self.correlation,
            self.text,
            self.start,
            self.end,
            self.clock,
        ]

    def _asked(self) -> Filter:
        """Read the controls."""
        start, end = _time(self.start.value, "from"), _time(self.end.value, "before")
        if start is not None and end is not None and start > end:
            message = f"from {written(start)} is after {written(end)}."
            raise MomentError(message)
        return Filter(
            types=tuple(self.types.value),
            stream=self.stream.value.strip(),
            correlation=self.correlation.value.strip(),
            text=self.text.value,
            start=start,
            end=end,
            clock=self.clock.value if self.clock.value != self._clocks[0] else None,
        )

    def _filter(self) -> None:
        asked = self._asked()
        if asked.text and self._view.count > _MANY:
            self._say(f"Searching the payloads of up to {self._view.count:,} events …")
        chosen = asked.of(self._view)
        before, self._chosen = self._chosen, chosen
        try:
            self._read()
        except BaseException:
            self._chosen = before
            raise
        self._say("")
        self._show(introduced(self._view, asked.code(self._name)), self._face(chosen))

    def _read(self) -> None:
        clock = self.clock.value
        columns = {
            "position": "position",
            clock: f"{clock}_at",
            "event_type": "event_type",
            "stream_id": "stream_id",
            "version": "version",
            "data": f"left(CAST(data AS VARCHAR), {_EXCERPT})",
        }
        order = "-position" if self.latest.value else "position"
        query = self._chosen.sql.removesuffix(" ORDER BY position")
        self._listing.read(Rows(query, (order,), columns, ("position",)))
        self._open()

    def _open(self) -> None:
        chosen = self._listing.chosen
        self._opened = None if chosen is None else Opened.at(self._view, int(chosen[0]))
        if self._opened is None:
            self._detail.value = _html.note("choose an event to open it: click, or arrow keys")
            return
        # Its payload is there at once, its causes when they are found.
        self._detail.value = self._opened.html()
        self._opened = self._opened.with_causes(self._view)
        self._detail.value = self._opened.html()

    def _cleared(self) -> None:
        with self._quietly():
            self.types.value = ()
            for control in (self.stream, self.correlation, self.text, self.start, self.end):
                control.value = ""
            self.clock.value = self._clocks[0]
        self._filter()

    def _still(self) -> tuple[str, str]:
        opened = self._opened
        text = "\n\n".join([self._listing.text(), *([opened.text()] if opened else [])])
        return text, self._listing.html() + (opened.html() if opened else "")


def _clocks(view: View) -> list[Clock]:
    """Return the clocks that the log knows times on, the one that it runs on first."""
    found: list[Clock] = [view.clock(None)]
    for clock in ("recorded", "occurred"):
        try:
            other = view.clock(clock)
        except MomentError:
            continue
        if other not in found and view.remember(
            f"SELECT 1 FROM {EVENTS} WHERE {other}_at IS NOT NULL LIMIT 1"
        ):
            found.append(other)
    return found


def _range(view: View, clock: Clock) -> tuple[dt.datetime | None, dt.datetime | None]:
    time = f"{clock}_at"
    return view.remember(
        f"SELECT min({time}), max({time}) FROM {EVENTS} WHERE ({view.filter}) AND isfinite({time})"
    )[0]


def _time(typed: str, what: str) -> dt.datetime | None:
    return parse_time(typed, what) if typed.strip() else None
