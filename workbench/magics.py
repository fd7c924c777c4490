"""Magics for notebooks, for those who like them: ``%load_ext workbench``.

``%%events`` asks a log in SQL, and completes its columns, its event types and the fields of payloads::

    %%events --as busiest
    SELECT stream_id, count(*) AS n FROM events GROUP BY ALL ORDER BY n DESC

It asks the only log that the notebook has, or the one that ``%workbench name`` chose. Whatever the magics do,
``log.sql("…")`` does too.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from typing import Final

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand

from workbench._sql import ident, text
from workbench.errors import ConfigError, WorkbenchError, did_you_mean
from workbench.log import EventLog
from workbench.store.table import Table

OPTIONS: Final = ("as", "log")
OFFERED: Final = 200
"""So many completions are offered at most."""
LOOKED_AT: Final = 1_000
"""So many events are looked at for the fields of payloads."""

_OPTION: Final = re.compile(r"\s*--(?P<name>[A-Za-z]\w*)(?:[ \t=]+(?P<value>[^\s-]\S*))?[ \t]*")
_ASKED: Final = re.compile(r"^\s*(?:%%events\b|(?:\w+\s*=\s*)?%events\b)")
_CHOSEN: Final = re.compile(r"^\s*%workbench\s+(\w*)$|--log[ \t=]+(\w*)$")
_PAYLOAD: Final = re.compile(r"\b(data|metadata)\s*->>?\s*'(?:\$\.)?([^'.]*)$")
_VALUE: Final = re.compile(
    r"\b(event_type|stream_type|source|actor)\s*(?:=|!=|<>|(?:NOT\s+)?(?:IN\s*\([^)]*|LIKE))\s*'([^']*)$",
    re.IGNORECASE,
)


def load(shell: InteractiveShell) -> None:
    """Add the magics and their completion to a shell; again is the same as once."""
    unload(shell)
    magics = WorkbenchMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.complete)


def unload(shell: InteractiveShell) -> None:
    """Take the magics out of a shell."""
    for kind, name in (("line", "events"), ("cell", "events"), ("line", "workbench")):
        shell.magics_manager.magics[kind].pop(name, None)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [
        found
        for found in matchers
        if not isinstance(getattr(found, "__self__", None), WorkbenchMagics)
    ]


class Said(str):
    """Text that a notebook shows as it stands."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@magics_class
class WorkbenchMagics(Magics):
    """``%%events``, ``%events`` and ``%workbench``."""

    shell: InteractiveShell
    chosen: str | None = None

    @no_var_expand
    @line_cell_magic
    def events(self, line: str, cell: str | None = None) -> Table:
        """Ask the log in SQL; ``events`` are its events. ``--as name`` keeps the result, ``--log name`` asks another."""
        options, query = _options(line)
        kept = options.get("as")
        if kept is not None and (not kept.isidentifier() or keyword.iskeyword(kept)):
            message = f"--as {kept}: a result is kept under a Python name."
            raise ConfigError(message, hint="write --as busiest")
        asked = f"{query}\n{cell or ''}".strip()
        if not asked:
            message = "%%events asks a log in SQL, and there is no query."
            raise ConfigError(message, hint="SELECT event_type, count(*) FROM events GROUP BY ALL")
        result = self.log(options.get("log")).sql(asked)
        result.columns  # noqa: B018  (a wrong name is told here, once, and not by each of the repr's forms)
        if kept is not None:
            self.shell.user_ns[kept] = result
        return result

    @line_magic
    def workbench(self, line: str) -> Said:
        """Choose the log that ``%%events`` asks, by its name in the notebook; without one, say which it is."""
        name = line.strip()
        if name:
            self.log(name)
            self.chosen = name
        return Said("\n".join(self._told()))

    def log(self, name: str | None = None) -> EventLog:
        """Return the log of a name, else the chosen one, else the only one.

        Raises
        ------
        ConfigError
            There is none, or there are several and none is chosen.
        """
        known = self.logs()
        wanted = name or self.chosen
        if wanted is not None:
            if wanted not in known:
                message = f"there is no log called {wanted!r} in this notebook."
                raise ConfigError(
                    message + did_you_mean(wanted, known), hint="log = wb.open('incident.duckdb')"
                )
            return known[wanted]
        if not known:
            message = "there is no log in this notebook yet."
            raise ConfigError(message, hint="log = wb.open('incident.duckdb')")
        if len({id(log) for log in known.values()}) > 1:
            message = f"there are several logs in this notebook: {', '.join(known)}."
            raise ConfigError(
                message, hint=f"choose one with %workbench {next(iter(known))}, or add --log"
            )
        return next(iter(known.values()))

    def logs(self) -> dict[str, EventLog]:
        """Return the logs of the notebook by name, without what IPython keeps of outputs."""
        return {
            name: value
            for name, value in list(self.shell.user_ns.items())
            if isinstance(value, EventLog) and not name.startswith("_")
        }

    def _told(self) -> Iterator[str]:
        known = self.logs()
        for name, log in known.items():
            mark = "▸" if self.chosen == name or len(known) == 1 else " "
            yield f"{mark} {name}: {len(log):,} events"
        if not known:
            yield "no log yet: log = wb.open('incident.duckdb')"
        yield "%workbench NAME chooses the log that %%events asks; %%events --as NAME keeps the result"

    # -- completion ------------------------------------------------------------------------------

    @context_matcher(identifier="workbench", priority=10)  # type: ignore[untyped-decorator]  # a partial of IPython's
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete what can be named in a query of events."""
        lines = context.full_text.split("\n")[: context.cursor_line + 1]
        lines[-1] = lines[-1][: context.cursor_position]
        try:
            kind, found, fragment = self._found(lines)
        except WorkbenchError:  # no log to ask; the query itself will say so
            kind, found, fragment = "", [], ""
        wanted = fragment.casefold()
        names = [name for name in found if name.casefold().startswith(wanted)]
        offered = [SimpleCompletion(text=name, type=kind) for name in names[:OFFERED]]
        return {
            "completions": offered,
            "matched_fragment": fragment,
            "suppress": True,
            "ordered": True,
        }

    def _found(self, lines: list[str]) -> tuple[str, list[str], str]:
        """Return what can stand at the end of these lines: its kind, the names, and how much is written of one."""
        line = lines[-1]
        cell = lines[0].lstrip().startswith("%%events")
        named = _CHOSEN.search(line)
        if named and (cell or line.lstrip().startswith("%") or _ASKED.match(line)):
            return "log", list(self.logs()), named[1] or named[2] or ""
        if not (cell or _ASKED.match(line)):
            return "", [], ""
        asked = "\n".join(lines) if cell else line
        chosen = re.search(r"--log[ \t=]+(\w+)", asked.split("\n")[0])
        log = self.log(chosen[1] if chosen else None)
        before = _ASKED.sub("", asked, count=1)
        if match := _PAYLOAD.search(before):
            return "field", _fields(log, match[1]), match[2]
        if match := _VALUE.search(before):
            return "value", _values(log, match[1].lower()), match[2]
        if before.count("'") % 2:  # in some other text
            return "", [], ""
        name = re.search(r'"?[\w.:]*$', before)
        return "column", [*_columns(log), "events"], name[0] if name else ""


def _options(line: str) -> tuple[dict[str, str], str]:
    """Split ``--as name --log name SELECT …``."""
    found: dict[str, str] = {}
    while match := _OPTION.match(line):
        name, value = match["name"], match["value"]
        if name not in OPTIONS:
            message = f"%%events has no option --{name}."
            raise ConfigError(
                message + did_you_mean(name, OPTIONS), hint="a comment in SQL begins with '-- '"
            )
        if value is None:
            message = f"--{name} wants a name behind it."
            raise ConfigError(message, hint=f"write --{name} busiest")
        found[name] = value
        line = line[match.end() :]
    return found, line


def _columns(log: EventLog) -> list[str]:
    names = log.sql("FROM events").columns
    return [name if name.isidentifier() else ident(name) for name in names]


def _values(log: EventLog, column: str) -> list[str]:
    """Return the values of a column, most frequent first, as they are written within quotes."""
    if column == "event_type":
        names: list[str] = list(log.types)
    else:
        rows = log.sql(
            f"SELECT {column} AS name FROM events WHERE {column} IS NOT NULL GROUP BY 1 "
            f"ORDER BY count(*) DESC, 1 LIMIT {OFFERED}"
        ).rows()
        names = [row["name"] for row in rows]
    return [text(name)[1:-1] for name in names if name.isprintable()]


def _fields(log: EventLog, column: str) -> list[str]:
    """Return the keys of payloads, most frequent first, from the first events."""
    rows = log.sql(
        f"SELECT key FROM (SELECT unnest(json_keys({column})) AS key FROM (SELECT {column} FROM events "
        f"LIMIT {LOOKED_AT}) WHERE json_type({column}) = 'OBJECT') GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {OFFERED}"
    ).rows()
    return [row["key"] for row in rows if row["key"].isprintable() and "'" not in row["key"]]
