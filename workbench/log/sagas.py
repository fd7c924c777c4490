"""Following processes over several streams."""

from __future__ import annotations

from workbench.analysis.sagas import Sagas, sagas
from workbench.log.face import Face
from workbench.moments import Moment, Time
from workbench.projections.saga import Saga


class Following(Face):
    """The verbs that follow a process."""

    def sagas(
        self,
        saga: Saga,
        as_of: Time | None = None,
        *,
        clock: str | None = None,
        known_at: Time | None = None,
        position: int | None = None,
    ) -> Sagas:
        """Tell what each saga came to, where it stands, and which rules it broke.

        Parameters
        ----------
        saga
            The definition: a :class:`Saga`.
        as_of, clock, known_at, position
            The moment, as in :meth:`as_of`. Deadlines are judged at that time; by default at the time of the
            log's last event.

        Returns
        -------
        Sagas
            One row for each: its outcome, current step, times and violations. ``.outcomes()``, ``.funnel()``,
            ``.durations()``, ``.variants()``, ``.graph()``, ``.stuck()``, ``.violations()``, ``.instance(id)``
            go on from there.

        Raises
        ------
        ConfigError
            ``saga`` is no saga.
        """
        moment = Moment.of(as_of, clock=clock, known_at=known_at, position=position)
        return sagas(self._view, saga, moment)
