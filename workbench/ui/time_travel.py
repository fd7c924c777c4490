"""TimeTravel: a slider over the events of a log, and what each made of the row that it touches."""

from __future__ import annotations

import bisect
from typing import Any, Final

import ipywidgets
import traitlets

from workbench._sql import ident, literal
from workbench.analysis.definition import Definition, check, narrow_to_stream
from workbench.analysis.replay import Replay, replay
from workbench.errors import ConfigError, MomentError
from workbench.moments import Moment
from workbench.store.view import View
from workbench.ui import time_travel_page as page
from workbench.ui.explorer import Explorer, name_of
from workbench.ui.time_travel_steps import Row, RowCounts, Step, Steps, positions

_WIDE: Final = {"width": "100%", "max_width": "760px"}


class TimeTravel(Explorer):
    """Moves through a log event by event: the event, and the row before and after it.

    Over one stream, the slider counts its events. Over a whole read model it runs over the positions of
    the log (or counts the events, where the log is narrowed); the row is the one that the event touches.
    A row is shown as ``log.replay(definition, position=…)`` gives it: before the event up to the position
    below it, after the event up to its own.

    With the keyboard: Tab reaches the slider, the arrow keys move it by one event; the number beside it can
    be typed over; two buttons go to the previous and to the next event of the same row.

    Parameters
    ----------
    view
        The events.
    definition
        A Projection or a Fold.
    stream
        Travel over the events of this stream alone.
    position
        Begin at the last event up to this position; by default at the last of all.
    name
        What the log is called in the code that is shown.

    Attributes
    ----------
    value : list of dict
        The row after the event, as ``replay(…).rows()`` gives it: none where there is no such row, one
        otherwise. None where a replay fails; the widget says why.
    step : Step
        The event, and the row before and after it.

    Raises
    ------
    ProjectionError
        The definition is none, or has no row for each stream though a stream was named.
    StreamNotFound
        There is no such stream; the message names those with close names.
    ConfigError
        There are no events.
    """

    step = traitlets.Instance(Step, allow_none=True)

    def __init__(
        self,
        view: View,
        definition: Definition,
        stream: str | None = None,
        *,
        position: int | None = None,
        name: str = "log",
    ) -> None:
        check(definition)
        self._scope = narrow_to_stream(view, definition, stream)
        self._definition = definition
        self._stream = stream
        self._names = (name, name_of(definition, _plain_name(definition.name)))
        self._positions = positions(self._scope)
        if not len(self._positions):
            message = f"{view.database.label}: there are no events to travel over{_in_view(view)}."
            raise ConfigError(message, hint="load some first: log.load(…), or narrow the log less")
        self._steps = Steps(self._scope, definition)
        self._counts = None if stream is not None else RowCounts(self._scope, definition)
        self._is_dense = isinstance(self._positions, range) and stream is None
        self._build(position)

    # -- moving ----------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The position of the event that is shown; set it to move to the last event up to there."""
        return int(self._positions[self._slider.value - self._slider.min])

    @position.setter
    def position(self, wanted: int) -> None:
        self._slider.value = self._number_of(wanted)

    def replay(self) -> Replay:
        """Replay the whole read model (or the stream) up to the position that is shown."""
        return replay(self._scope, self._definition, Moment(position=self.position))

    # -- inside ----------------------------------------------------------------------------------

    def _build(self, position: int | None) -> None:
        count = len(self._positions)
        first = int(self._positions[0]) if self._is_dense else 1
        self._slider = ipywidgets.IntSlider(
            # A slider needs two places; where there is one event alone, it stays where it is.
            **{"min": first, "max": first + max(count - 1, 1), "value": first + count - 1},
            description="position" if self._is_dense else "event",
            disabled=count == 1,
            continuous_update=False,
            readout_format="d",
            layout=_WIDE,
        )
        if position is not None:
            self._slider.value = self._number_of(position)
        which = "event of this row" if self._stream is None else "event"
        self._previous = _button(f"◂ Previous {which}", "the event of the same row before this one")
        self._next = _button(f"Next {which} ▸", "the event of the same row after this one")
        buttons = ipywidgets.HBox([self._previous, self._next])
        self._page = ipywidgets.HTML(layout={"width": "100%"})
        of = "" if self._stream is None else f" of {self._stream}"
        super().__init__(
            f"{self._definition.name}{of}, event by event", self._slider, buttons, self._page
        )
        self._listen(self._slider, self._move)
        self._press(self._previous, self._back)
        self._press(self._next, self._forth)
        self._move()

    def _number_of(self, position: int) -> int:
        below = bisect.bisect_right(self._positions, position)
        if not below:
            message = f"there is no event up to position {position:,}; the first is at {self._positions[0]:,}."
            raise MomentError(message, hint="begin there, or leave position= out")
        return int(self._slider.min) + below - 1

    def _back(self) -> None:
        if self.step is not None and self.step.previous is not None:
            self.position = self.step.previous

    def _forth(self) -> None:
        if self.step is not None and self.step.following is not None:
            self.position = self.step.following

    def _move(self) -> None:
        self.step = step = self._steps.at(self.position)
        self._previous.disabled = step.previous is None
        self._next.disabled = step.following is None
        self._page.value = page.body(self._definition, step, self._counted(step))
        rows = None if step.error is not None else [] if step.after is None else [step.after]
        self._show(self._code_for(step), rows)

    def _counted(self, step: Step) -> str:
        if self._counts is None:
            return ""
        at = step.event["position"]
        before, after = self._counts.at(at - 1), self._counts.at(at)
        moved = "" if before == after else f" ({after - before:+d})"
        return f"{after:,} row{'' if after == 1 else 's'} in {self._definition.name}{moved}"

    def _code_for(self, step: Step) -> str:
        log, definition = self._names
        at = step.event["position"]
        one = self._definition.by_stream
        stream = f", stream={_quoted(step.event['stream_id'])}" if one else ""
        narrowed = "" if one else f".query({_quoted(_row_of(self._definition, step.key))})"
        return (
            f"{log}.replay({definition}, position={at}{stream}){narrowed}.rows()"
            f"  # before the event: position={at - 1}"
        )

    def _still(self) -> tuple[str, str]:
        if self.step is None:
            return "", ""
        counted = self._counted(self.step)
        return (
            page.text(self._definition, self.step, counted),
            page.body(self._definition, self.step, counted),
        )


def _button(description: str, tooltip: str) -> ipywidgets.Button:
    return ipywidgets.Button(description=description, tooltip=tooltip, layout={"width": "auto"})


def _row_of(definition: Definition, key: Row | None) -> str:
    """Write the query that picks one row; without a key there is none, and it finds none."""
    values: dict[str, Any] = key or dict.fromkeys(definition.key)
    conditions = [
        f"{ident(name)} {'IS NULL' if value is None else f'= {literal(value)}'}"
        for name, value in values.items()
    ]
    return f"FROM result WHERE {' AND '.join(conditions)}"


def _quoted(text: str) -> str:
    """Write text as a Python literal that reads well: with as few escapes as it needs."""
    if text.isprintable() and "\\" not in text:
        if '"' not in text:
            return f'"{text}"'
        if "'" in text and '"""' not in text and not text.endswith('"'):
            return f'''"""{text}"""'''
    return repr(text)


def _plain_name(name: str) -> str:
    return name if name.isidentifier() else "definition"


def _in_view(view: View) -> str:
    return " in this view" if view.conditions else ""
