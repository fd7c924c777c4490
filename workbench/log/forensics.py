"""Forensics: what can still be found out about how events came to be seen."""

from __future__ import annotations

from workbench.analysis.forensics import LateCommits, late_commits
from workbench.log.face import Face
from workbench.sources.base import Source


class Forensics(Face):
    """The verbs that ask a source about its own past."""

    def late_commits(
        self, source: Source, *, first: int | None = None, last: int | None = None
    ) -> LateCommits:
        """Name the events that became visible after a reader may have passed their position.

        A sequence hands out positions at insert and rows are seen at commit. A reader that goes on at
        ``position > last`` misses an event that commits after one of a higher position. Needs
        ``track_commit_timestamp`` on the server; without it the answer is that it cannot be known.

        Parameters
        ----------
        source
            What the log was loaded from: ``wb.postgres(…)``. It is only read.
        first, last
            Positions of the source between which to look; by default all.

        Returns
        -------
        LateCommits
            ``.missed_by(explanation)`` says which of them a wrong row lacks.

        Raises
        ------
        ConfigError
            The source is no table in Postgres.
        SourceUnavailable
            The server cannot be reached.
        """
        return late_commits(self._view, source, first, last)
