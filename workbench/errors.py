"""Everything that the workbench raises on purpose.

::

    WorkbenchError
    ├── ConfigError            an argument, a mapping or a definition is not usable as it is
    │   ├── MomentError        a moment is naive, unreadable, or on a clock that the log has not
    │   └── ProjectionError    a projection or fold is declared wrongly
    ├── LogError               the DuckDB file cannot be used
    │   ├── LogLocked          another process holds it
    │   ├── LogCorrupt         it is damaged, or no DuckDB file
    │   ├── LogForeign         a DuckDB file, but not a log
    │   └── LogTooNew          written by a newer workbench
    ├── SourceError            a source cannot be read
    │   ├── SourceUnavailable  not reachable, refused, or gone in mid-read (the load can be resumed)
    │   └── SourceDataLost     the source no longer holds what comes next (retention, truncation)
    ├── LoadError              a load could not be written to the log; what was committed stays
    ├── ReplayError            a handler failed on an event
    ├── RepairError            a repair was rolled back whole; nothing has changed
    ├── StreamNotFound         no such stream in this log
    └── QueryError             a query of the user is not usable

A message says what went wrong, where (source, stream, position), and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorkbenchError(Exception):
    """Root of every error that the workbench raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n  → {hint}")
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        """One clean line in a notebook; the full traceback stays on ``__traceback__``."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(WorkbenchError):
    """An argument, a mapping or a definition is not usable as it is."""


class MomentError(ConfigError):
    """A moment is naive, unreadable, or on a clock that the log has not."""


class ProjectionError(ConfigError):
    """A projection or fold is declared wrongly."""


class LogError(WorkbenchError):
    """The DuckDB file cannot be used."""


class LogLocked(LogError):
    """Another process holds the file."""


class LogCorrupt(LogError):
    """The file is damaged, or no DuckDB file."""


class LogForeign(LogError):
    """The file is a DuckDB file, but not a log of the workbench."""


class LogTooNew(LogError):
    """The log was written by a newer workbench."""


class SourceError(WorkbenchError):
    """A source cannot be read."""


class SourceUnavailable(SourceError):
    """A source is not reachable, refused us, or went away in mid-read."""


class SourceDataLost(SourceError):
    """A source no longer holds what comes next."""


class LoadError(WorkbenchError):
    """A load could not be written to the log; what was committed stays."""


class ReplayError(WorkbenchError):
    """A handler failed on an event; ``.event`` holds it."""

    def __init__(self, message: str, *, hint: str | None = None, event: object = None) -> None:
        super().__init__(message, hint=hint)
        self.event = event


class RepairError(WorkbenchError):
    """A repair was rolled back whole; nothing has changed."""


class StreamNotFound(WorkbenchError):
    """No such stream in this log."""


class QueryError(WorkbenchError):
    """A query of the user is not usable."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for a close match, or the known names, or nothing.

    >>> did_you_mean("DepositMad", ["DepositMade", "AccountOpened"])
    " Did you mean 'DepositMade'?"
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(repr(match) for match in close)}?"
    if 0 < len(names) <= 12:
        return f" Known: {', '.join(names)}."
    return ""
