"""Rebuilding state from a log, and holding read models against it."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.analysis.compare import Tolerance
from workbench.analysis.definition import Definition
from workbench.analysis.diff import Diff, diff
from workbench.analysis.history import History, history
from workbench.analysis.replay import Replay, replay
from workbench.errors import ConfigError
from workbench.log.face import Face
from workbench.moments import Moment, Time
from workbench.sources.read_model import ReadModel


class Rebuilding(Face):
    """The verbs that take a definition."""

    def replay(
        self,
        definition: Definition,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
        version: int | None = None,
        stream: str | None = None,
    ) -> Replay:
        """Rebuild the rows of a projection or a fold, as they stood at a moment.

        Parameters
        ----------
        definition
            A :class:`Projection` or a :class:`Fold`.
        as_of, clock, known_at, position, version
            The moment, as in :meth:`as_of`; by default the end of the log.
        stream
            Only this stream.

        Returns
        -------
        Replay
            One row for each key: the key, the definition's columns, ``version``, ``position``, ``events``.
            ``.sql`` shows how.
        """
        moment = Moment.of(
            as_of, clock=clock, known_at=known_at, position=position, version=version
        )
        return replay(self._view, definition, moment, stream=stream)

    def history(
        self,
        definition: Definition,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
        version: int | None = None,
        stream: str | None = None,
    ) -> History:
        """Rebuild every state that the rows of a definition ever had.

        Returns
        -------
        History
            The key, ``valid_from`` (inclusive), ``valid_to`` (exclusive; NULL: still so), the event that
            made the state, and the definition's columns.
        """
        moment = Moment.of(
            as_of, clock=clock, known_at=known_at, position=position, version=version
        )
        return history(self._view, definition, moment, stream=stream)

    def diff(
        self,
        definition: Definition,
        model: ReadModel,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
        tolerance: Mapping[str, Tolerance] | None = None,
    ) -> Diff:
        """Compare a stored read model with the replay, and name each row for what it is.

        Parameters
        ----------
        definition
            What the read model should hold.
        model
            What it does hold: ``wb.read_model(…)``. With ``version=`` or ``position=`` there, each row is
            compared at its own checkpoint.
        as_of, clock, known_at, position
            The moment at which the read model was taken; by default the end of the log.
        tolerance
            Column -> a number, or a timedelta for times: differences up to there are none.

        Returns
        -------
        Diff
            One row for each key of either side, with its class: match, stale, missing, orphaned, corrupted
            or ahead.
        """
        if not isinstance(model, ReadModel):
            message = f"log.diff takes a read model, and this is {type(model).__name__}."
            raise ConfigError(message, hint="wrap it: wb.read_model(rows)")
        moment = Moment.of(as_of, clock=clock, known_at=known_at, position=position)
        return diff(self._view, definition, model, moment, tolerance=tolerance)
