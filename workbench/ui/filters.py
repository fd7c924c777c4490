"""What an explorer narrows a log to: as a view, and as the Python that gives the same."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from workbench import _html
from workbench._sql import text as sql_text
from workbench.moments import Clock
from workbench.store.view import View

_LINE: Final = 100


@dataclass(frozen=True, slots=True)
class Filter:
    """What events have to be like; what is left out lets all pass.

    Attributes
    ----------
    start, end
        ``start <= time < end`` on ``clock``; without one, the clock that the log runs on.
    text
        What stands somewhere in the payload as stored, in small letters or large.
    """

    types: tuple[str, ...] = ()
    stream: str = ""
    correlation: str = ""
    text: str = ""
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    clock: Clock | None = None

    def of(self, view: View) -> View:
        """Return the events of a view that pass.

        Raises
        ------
        StreamNotFound
            The view has no such stream.
        """
        if self.stream:
            view.require_stream(self.stream)
        found = view.where(**self._wanted)
        return found.between(self.start, self.end, self.clock) if self._timed else found

    def code(self, log: str) -> str:
        """Return the Python that narrows a log, called so, in the same way."""
        wanted = [f"{name}={_python(value)}" for name, value in self._wanted.items()]
        between = f".between({', '.join(self._times())})" if self._timed else ""
        where = f".where({', '.join(wanted)})" if wanted else ""
        if len(log + where + between) > _LINE and wanted:
            where = ".where(\n" + "".join(f"    {part},\n" for part in wanted) + ")"
        return log + where + between

    @property
    def _wanted(self) -> dict[str, Any]:
        condition = f"contains(lower(data::VARCHAR), lower({sql_text(self.text)}))"
        wanted: dict[str, Any] = {
            "types": list(self.types) if len(self.types) != 1 else self.types[0],
            "stream": self.stream,
            "correlation": self.correlation,
            "condition": condition if self.text else "",
        }
        return {name: value for name, value in wanted.items() if value}

    @property
    def _timed(self) -> bool:
        return self.start is not None or self.end is not None

    def _times(self) -> list[str]:
        times = [
            "None" if time is None else _python(written(time)) for time in (self.start, self.end)
        ]
        return times if self.clock is None else [*times, f"clock={_python(self.clock)}"]


def introduced(view: View, code: str) -> str:
    """Say above the code what it does not tell: how the log that it begins with is narrowed."""
    if not view.words:
        return code
    return f"# the log is narrowed already: {_html.line('; '.join(view.words))}\n{code}"


def written(time: dt.datetime) -> str:
    """Write a time as people type it, to the minute where that is exact.

    >>> written(dt.datetime(2026, 6, 30, 14, 2, tzinfo=dt.UTC))
    '2026-06-30T14:02Z'
    """
    spec = "auto" if time.second or time.microsecond else "minutes"
    return time.astimezone(dt.UTC).isoformat(timespec=spec).replace("+00:00", "Z")


def _python(value: object) -> str:
    """Write a value as Python, in double quotes where these need no escape."""
    if isinstance(value, list):
        return f"[{', '.join(map(_python, value))}]"
    shown = repr(value)
    return shown if '"' in shown or not shown.startswith("'") else f'"{shown[1:-1]}"'
