"""What happened, who did it, and can the record be believed: causation and audit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import overload

from workbench.analysis.audit import REASONS, Audit, audit
from workbench.analysis.causation import Causation, causation
from workbench.analysis.causes import Causes, causes
from workbench.log.face import Face
from workbench.moments import check_clock


class Auditing(Face):
    """The verbs of whoever has to account for what is in a log."""

    @overload
    def causation(self, id: str) -> Causation: ...

    @overload
    def causation(self, id: None = None) -> Causes: ...

    def causation(self, id: str | None = None) -> Causation | Causes:
        """Show who caused what: in one flow, from one event, or how sound the links of all events are.

        Parameters
        ----------
        id
            A correlation id: all events of that flow, and what they led to elsewhere. The id of an event:
            what it comes from, and all that comes from it. None: counts of orphans, circles, events that
            name themselves, and the longest chain.

        Returns
        -------
        Causation or Causes
            ``print(result.tree())`` shows all of a tree, ``.chart()`` draws it.

        Raises
        ------
        QueryError
            No event has this id.
        """
        return causes(self._view) if id is None else causation(self._view, id)

    def audit(
        self,
        stream: str | None = None,
        *,
        reason: str | Iterable[str] = REASONS,
        clock: str | None = None,
    ) -> Audit:
        """Examine the record: who did what, when and why; what is missing; what can be vouched for.

        Parameters
        ----------
        stream
            Only this stream; without it, all events of this log or narrowed view.
        reason
            The fields that say why, as ``"reason"`` or ``"metadata.comment"``; of several the first that
            is there.
        clock
            The clock that times are compared on, ``"recorded"`` or ``"occurred"``.

        Returns
        -------
        Audit
            ``.completeness``, ``.head`` of the hash chain, ``.check(source)``, ``.pack(folder)``,
            ``.chart()``.

        Raises
        ------
        StreamNotFound
            There is no such stream.
        """
        return audit(self._view, stream, reason=reason, clock=check_clock(clock))
