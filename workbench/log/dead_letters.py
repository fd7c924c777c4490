"""Dead letters: what consumers gave up, and what became of it when it was sent again."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.analysis.dead_letters import DeadLetters
from workbench.analysis.redrive import Redrives, redrives
from workbench.log.face import Face


class GivenUp(Face):
    """The verbs about dead letters."""

    def dead_letters(
        self,
        *,
        consumer: str | Iterable[str] | None = None,
        types: str | Iterable[str] | None = None,
        error_class: str | Iterable[str] | None = None,
        fingerprint: str | Iterable[str] | None = None,
        format: str | Iterable[str] | None = None,
        role: str | Iterable[str] | None = None,
        condition: str | None = None,
    ) -> DeadLetters:
        """Return the dead letters of this log's events.

        A narrowed log has those of its events: by type, stream, correlation, position; in time by when a
        message was given up (``clock="recorded"``) or by when its event happened (``"occurred"``).

        Parameters
        ----------
        consumer, types, error_class, fingerprint, format
            One value, or several of which any will do.
        role
            ``"root"``: failed by itself; ``"blocked"``: parked behind one that failed (Axon);
            ``"follower"``: behind an earlier dead letter of its stream and consumer.
        condition
            A SQL condition over the columns of :class:`~workbench.analysis.dead_letters.DeadLetters`.

        Returns
        -------
        DeadLetters
            With ``.by(…)``, ``.over_time()``, ``.fingerprints()``, ``.attempts()``, ``.time_to_dead_letter()``,
            ``.streams()``, ``.redrive(…)``.
        """
        return DeadLetters.of(self._view).where(
            consumer=consumer,
            types=types,
            error_class=error_class,
            fingerprint=fingerprint,
            format=format,
            role=role,
            condition=condition,
        )

    def redrives(self) -> Redrives:
        """Tell what became of messages that were sent again: ``arrived``, ``failed again``, ``not seen``.

        They are found in what was loaded since: load the topic that they were sent to, and the dead-letter
        topic, then ask.
        """
        return redrives(self._view.database)
