"""EventLog: the face of a log. Its verbs read as sentences and delegate to the analyses.

Each group of verbs is a class in a module of its own; ``EventLog`` is what they are together.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from workbench.log.auditing import Auditing
from workbench.log.dead_letters import GivenUp
from workbench.log.exploring import Exploring
from workbench.log.filling import Filling
from workbench.log.forensics import Forensics
from workbench.log.looking import Looking
from workbench.log.narrowing import Narrowing
from workbench.log.reading import Reading
from workbench.log.rebuilding import Rebuilding
from workbench.log.reconciling import Reconciling
from workbench.log.sagas import Following
from workbench.log.trusting import Trusting
from workbench.log.versions import Versions
from workbench.store.database import Database
from workbench.store.view import View

__all__ = ["EventLog", "open"]


def open(path: str | Path | None = None, *, read_only: bool = False) -> EventLog:
    """Open a log: one DuckDB file, one investigation.

    Parameters
    ----------
    path
        The file; made when absent. None: a log in memory.
    read_only
        Never write to the file. (Without it, too, the file is taken over only while a load runs, so
        that several processes can look at it.)

    Returns
    -------
    EventLog

    Raises
    ------
    LogLocked, LogCorrupt, LogForeign, LogTooNew
        The file cannot be used; the message says why and what to do.
    """
    resolved = None if path is None or str(path) == ":memory:" else Path(path)
    return EventLog(View(Database(resolved, read_only=read_only)))


class EventLog(
    Filling,
    Narrowing,
    Reading,
    Rebuilding,
    Looking,
    Trusting,
    Versions,
    Auditing,
    Following,
    GivenUp,
    Reconciling,
    Forensics,
    Exploring,
):
    """The events of one DuckDB file, or a narrowed view of them; made by :func:`workbench.open`."""

    def close(self) -> None:
        """Let go of the file; results that were not fetched yet can no longer be."""
        self._view.database.close()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self.health())

    def _repr_html_(self) -> str:
        return self.health()._repr_html_()
