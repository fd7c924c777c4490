"""Narrowing a log: views that have the same face."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from workbench.errors import MomentError
from workbench.log.face import Face
from workbench.moments import Moment, Time, check_clock, parse_time


class Narrowing(Face):
    """The verbs that give a narrower log."""

    def where(
        self,
        *,
        types: str | Iterable[str] | None = None,
        stream: str | Iterable[str] | None = None,
        stream_type: str | Iterable[str] | None = None,
        correlation: str | Iterable[str] | None = None,
        actor: str | Iterable[str] | None = None,
        source: str | Iterable[str] | None = None,
        condition: str | None = None,
    ) -> Self:
        """Narrow the log; what comes back has the same face.

        Parameters
        ----------
        types, stream, stream_type, correlation, actor, source
            One value, or several of which any will do.
        condition
            A SQL condition over the columns of ``events``: ``"version > 3"``,
            ``"data->>'currency' = 'EUR'"``.
        """
        return type(self)(
            self._view.where(
                types=types,
                stream=stream,
                stream_type=stream_type,
                correlation=correlation,
                actor=actor,
                source=source,
                condition=condition,
            )
        )

    def as_of(
        self,
        time: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
        version: int | None = None,
    ) -> Self:
        """Return the log as it stood at a moment, which is inclusive.

        Parameters
        ----------
        time
            An aware datetime, or ISO text with an offset.
        clock
            ``"recorded"`` (what was known then) or ``"occurred"`` (what was true then). Without it, the
            clock on which the log knows more events; on a tie, recorded.
        known_at
            Both clocks: what was believed at ``known_at`` about ``time``.
        position, version
            Cut by the order of the log, or by the order in each stream.
        """
        moment = Moment.of(time, clock=clock, known_at=known_at, position=position, version=version)
        return type(self)(self._view.until(moment))

    def between(self, start: Time | None, end: Time | None, *, clock: str | None = None) -> Self:
        """Narrow to ``start <= time < end``; None leaves that side open."""
        lower = None if start is None else parse_time(start, "start")
        upper = None if end is None else parse_time(end, "end")
        if lower is not None and upper is not None and lower > upper:
            message = f"start={start!s} is after end={end!s}."
            raise MomentError(message)
        return type(self)(self._view.between(lower, upper, check_clock(clock)))
