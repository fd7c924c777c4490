"""Exploring a log with mouse and keyboard: widgets, each of which says the code for what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.analysis.definition import Definition
from workbench.analysis.rates import By, rates
from workbench.log.face import Face
from workbench.moments import check_clock

if TYPE_CHECKING:
    from workbench.ui.brush import Brush
    from workbench.ui.log_explorer import LogExplorer
    from workbench.ui.time_travel import TimeTravel


class Exploring(Face):
    """The verbs that give widgets; none is imported before it is wanted."""

    def explore(self) -> LogExplorer:
        """Filter the events, page through them, open one with its causes.

        Returns
        -------
        LogExplorer
            A widget. ``.value`` is the log as filtered, for the next cell; ``.code`` the Python that gives it.
        """
        from workbench.ui.explorer import name_of
        from workbench.ui.log_explorer import LogExplorer

        return LogExplorer(self._view, type(self), name_of(self, "log"))

    def brush(
        self,
        *,
        every: str | None = None,
        by: By = "event_type",
        top: int = 8,
        clock: str | None = None,
    ) -> Brush:
        """Draw events over time, and narrow the log to the range that is brushed there.

        Parameters
        ----------
        every, by, top, clock
            As of :meth:`rates`.

        Returns
        -------
        Brush
            A widget. ``.value`` is the log in that range, for the next cell; ``.code`` the Python that gives it.
        """
        from workbench.ui.brush import Brush
        from workbench.ui.explorer import name_of

        found = rates(self._view, every=every, by=by, top=top, clock=check_clock(clock))
        return Brush(self._view, type(self), found, name_of(self, "log"))

    def time_travel(
        self, definition: Definition, stream: str | None = None, *, position: int | None = None
    ) -> TimeTravel:
        """Move through the log event by event: the event, and the row before and after it.

        Parameters
        ----------
        definition
            A :class:`Projection` or a :class:`Fold`.
        stream
            Only the events of this stream; by default those of the whole log, each with the row that it touches.
        position
            Begin at the last event up to there; by default at the last of all.

        Returns
        -------
        TimeTravel
            A widget. ``.value`` is the row as it is shown; ``.code`` the Python that gives it.

        Raises
        ------
        ProjectionError
            There is no such definition, or it has no row for each stream though one was named.
        StreamNotFound
            There is no such stream; the message names those with close names.
        ConfigError
            There are no events.
        """
        from workbench.ui.explorer import name_of
        from workbench.ui.time_travel import TimeTravel

        return TimeTravel(
            self._view, definition, stream, position=position, name=name_of(self, "log")
        )
