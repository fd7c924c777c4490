"""Brush: events over time, and the log of the range that is brushed there."""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import altair as alt
import ipywidgets

from workbench import _html, charts
from workbench._sql import text
from workbench.analysis.causation import counted
from workbench.analysis.rates import Rates
from workbench.charts.data import ask, buckets_at_once
from workbench.errors import MomentError
from workbench.moments import parse_time
from workbench.store.view import View
from workbench.ui.explorer import Explorer
from workbench.ui.filters import Filter, introduced, written
from workbench.ui.parts import drawn

TYPES: Final = 10
"""So many event types are listed below the chart."""
_SETTLED: Final = 200
"""Milliseconds after which a brush that moves no more is heard."""
_PIXELS: Final = 500
"""A chart is about so wide."""
_COLUMNS: Final = ("event_type", "events")
_NUMERIC: Final = (False, True)


class Brush(Explorer):
    """Events over time; drag over the bars to narrow the log to that range, click beside it for all.

    A brush takes whole buckets: every bar that it touches. From the keyboard any range can be given.
    ``.value`` is the log in the range, with all its verbs, and ``.code`` the Python that gives it.

    Parameters
    ----------
    view
        The events.
    face
        Makes a log of a view.
    rates
        The events of that view over time.
    name
        What the log is called in ``code``.
    """

    def __init__(
        self, view: View, face: Callable[[View], Any], rates: Rates, name: str = "log"
    ) -> None:
        self._view, self._face, self._name, self._rates = view, face, name, rates
        self._edges = _edges(rates)
        self._range: tuple[dt.datetime | None, dt.datetime | None] = (None, None)
        # Before any chart is made: otherwise it asks the internet for its library.
        alt.JupyterChart.enable_offline()
        self.chart = alt.JupyterChart(
            self._drawn(),
            debounce_wait=_SETTLED,
            max_wait=False,
            embed_options={"actions": False, "renderer": "svg"},
        )
        first, last = (self._edges[0], self._edges[-1]) if self._edges else (None, None)
        self.start = _field("from", first)
        self.end = _field("before", last)
        self.clear = ipywidgets.Button(
            description="whole log", layout=ipywidgets.Layout(width="auto")
        )
        self._told = ipywidgets.HTML()
        fields = ipywidgets.HBox(
            [self.start, self.end, self.clear], layout=ipywidgets.Layout(flex_flow="row wrap")
        )
        hint = ipywidgets.HTML(_html.note("drag over the bars, or give a range, to narrow the log"))
        super().__init__(
            f"Brush over {rates.title[0].lower()}{rates.title[1:]}",
            hint,
            self.chart,
            fields,
            self._told,
        )
        self._hear()
        self._listen(self.start, self._typed)
        self._listen(self.end, self._typed)
        self._press(self.clear, self._cleared)
        self._narrow()

    # -- inside ----------------------------------------------------------------------------------

    def _drawn(self) -> alt.VConcatChart:
        """Draw the rates with the brush as it stands."""
        rates = charts.rates(self._rates)
        area = self._area()
        brush = alt.selection_interval(
            name="brush", encodings=["x"], value=alt.Undefined if area is None else {"x": area}
        )
        above, *below = rates.vconcat
        chart: alt.VConcatChart = (
            alt.vconcat(above.add_params(brush), *below, data=rates.data, spacing=rates.spacing)
            .resolve_scale(x="shared", color="shared")
            .properties(title=rates.title, description=rates.description)
        )
        return chart

    def _hear(self) -> None:
        """Listen to the brush; a chart that is drawn anew has another one."""
        self._listen(self.chart.selections, self._brushed, "brush")

    def _brushed(self) -> None:
        value = self.chart.selections.trait_values()["brush"].value
        if value and self._edges:
            low, high = next(iter(value.values()))
            if self._is_drawn(low, high):
                return
            self._range = self._touched(_time(low), _time(high))
        else:
            self._range = (None, None)
        self._fill()
        self._narrow()

    def _area(self) -> list[int] | None:
        """Return the range as the chart counts it, in milliseconds; None for the whole log."""
        start, end = self._range
        if not self._edges or (start is None and end is None):
            return None
        return [_milliseconds(start or self._edges[0]), _milliseconds(end or self._edges[-1])]

    def _is_drawn(self, low: float, high: float) -> bool:
        """Whether a brush is the one that was drawn for a typed range: a new chart tells its own, to the pixel."""
        area = self._area()
        pixel = (self._edges[-1] - self._edges[0]).total_seconds() * 1000 / _PIXELS
        return area is not None and all(
            abs(was - now) <= pixel for was, now in zip(area, (low, high), strict=True)
        )

    def _touched(self, low: dt.datetime, high: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
        """Widen a range to the buckets that it touches; beside all of them it stays as it is."""
        first = bisect.bisect_right(self._edges, low) - 1
        last = max(bisect.bisect_left(self._edges, high), first + 1)
        if last < 1 or first >= len(self._edges) - 1:
            return low, high
        return self._edges[max(first, 0)], self._edges[min(last, len(self._edges) - 1)]

    def _typed(self) -> None:
        start, end = (
            parse_time(control.value, what) if control.value.strip() else None
            for control, what in ((self.start, "from"), (self.end, "before"))
        )
        if start is not None and end is not None and start > end:
            message = f"from {written(start)} is after {written(end)}."
            raise MomentError(message)
        self._range = (start, end)
        self._redraw()
        self._narrow()

    def _cleared(self) -> None:
        self._range = (None, None)
        self._fill()
        self._redraw()
        self._narrow()

    def _redraw(self) -> None:
        self.chart.chart = self._drawn()
        self._hear()

    def _fill(self) -> None:
        with self._quietly():
            for control, time in zip((self.start, self.end), self._range, strict=True):
                control.value = "" if time is None else written(time)

    def _narrow(self) -> None:
        start, end = self._range
        asked = Filter(start=start, end=end, clock=self._clock)
        self._chosen = asked.of(self._view)
        self._told.value = self._counts()
        self._show(introduced(self._view, asked.code(self._name)), self._face(self._chosen))

    @property
    def _clock(self) -> Any:
        """The clock, where it is not the one that the log runs on anyway."""
        return None if self._rates.clock == self._view.clock(None) else self._rates.clock

    def _said(self) -> str:
        return f"{self._chosen.count:,} of {self._view.count:,} events"

    def _rows(self) -> list[tuple[str, str]]:
        rows = [(name, f"{n:,}") for name, n in self._chosen.types.items()]
        left = len(rows) - TYPES
        more = [(f"and {counted(left, 'more type')}", "")] if left > 0 else []
        return rows[:TYPES] + more

    def _counts(self) -> str:
        return _html.note(self._said()) + _html.table(_COLUMNS, self._rows(), numeric=_NUMERIC)

    def _still(self) -> tuple[str, str]:
        text = f"{self._said()}\n{_html.text_table(_COLUMNS, self._rows(), numeric=_NUMERIC)}"
        return text, drawn(self._drawn()) + self._counts()


def _edges(rates: Rates) -> list[dt.datetime]:
    """Return where the bars begin, and where the last one ends."""
    merged = buckets_at_once(rates)
    found = ask(
        rates,
        f"SELECT DISTINCT moment, moment + INTERVAL {text(rates.every)} AS until FROM result ORDER BY moment",
    )
    return [row["moment"] for row in found[::merged]] + [row["until"] for row in found[-1:]]


def _field(description: str, time: dt.datetime | None) -> ipywidgets.Text:
    return ipywidgets.Text(
        description=description,
        placeholder="" if time is None else written(time),
        continuous_update=False,
        style={"description_width": "50px"},
        layout=ipywidgets.Layout(width="280px"),
    )


def _milliseconds(time: dt.datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(milliseconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
