"""Looking at a log: events over time, one stream in order."""

from __future__ import annotations

from workbench.analysis.definition import Definition
from workbench.analysis.rates import By, Rates, rates
from workbench.analysis.timeline import Timeline, timeline
from workbench.log.face import Face
from workbench.moments import Moment, Time, check_clock


class Looking(Face):
    """The verbs whose results are charts first."""

    def rates(
        self,
        *,
        every: str | None = None,
        by: By = "event_type",
        top: int = 8,
        clock: str | None = None,
    ) -> Rates:
        """Count events over time, by type (or ``stream_type``, ``source``, ``actor``).

        Parameters
        ----------
        every
            Length of a bucket, as ``"1 hour"``; by default one that gives 100 to 200 of them.
        by
            What to count apart.
        top
            So many of the most frequent; the others are gathered.

        Returns
        -------
        Rates
            ``moment`` (UTC), the column of ``by``, ``events``; ``.chart()`` draws it.
        """
        return rates(self._view, every=every, by=by, top=top, clock=check_clock(clock))

    def timeline(
        self,
        stream: str,
        definition: Definition | None = None,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
    ) -> Timeline:
        """List the events of one stream in order, with the state after each where a definition is given.

        Returns
        -------
        Timeline
            ``.chart()`` draws it.

        Raises
        ------
        StreamNotFound
            There is no such stream.
        """
        return timeline(self._view, stream, definition, moment=Moment.of(as_of, clock=clock))
