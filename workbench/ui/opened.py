"""One event, opened: its columns, its payload laid out, and what it comes from and led to."""

from __future__ import annotations

import html
import threading
from dataclasses import dataclass, replace
from typing import Any, Final

import duckdb
import msgspec

from workbench import _html
from workbench.analysis.causation import SHOWN, Causation, causation
from workbench.analysis.outline import outline
from workbench.errors import QueryError
from workbench.event import COLUMNS
from workbench.store.query import query_error
from workbench.store.view import View

PAYLOAD: Final = 20_000
"""Characters of a payload that are shown."""

_PRE: Final = (
    "font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.45;margin:2px 0 8px;"
    "white-space:pre-wrap;overflow-wrap:anywhere;background:none;color:var(--jp-ui-font-color1,#212121);"
    "max-height:420px;overflow-y:auto"
)


def ask(view: View, sql: str, seconds: float = 30.0) -> list[tuple[Any, ...]]:
    """Run a query of an explorer, and break it off when it takes too long.

    Raises
    ------
    QueryError
        It took longer than so many seconds, or failed.
    """
    con = view.database.cursor()
    alarm = threading.Timer(seconds, con.interrupt)
    alarm.start()
    try:
        return con.execute(sql).fetchall()
    except duckdb.InterruptException as error:
        message = f"{view.database.label}: no answer within {seconds:g} seconds."
        raise QueryError(message, hint="narrow by type, stream or time first") from error
    except duckdb.Error as error:
        raise query_error(error, sql) from error
    finally:
        alarm.cancel()
        con.close()


@dataclass(frozen=True, slots=True)
class Opened:
    """An event with all that is shown of it.

    Attributes
    ----------
    columns
        The columns of the event but its payload and envelope.
    payloads
        ``data`` and ``metadata``, laid out.
    causes
        What it comes from and led to; None before :meth:`with_causes`, and when it has no id to be named by.
    """

    columns: dict[str, Any]
    payloads: dict[str, str]
    causes: Causation | None = None

    @classmethod
    def at(cls, view: View, position: int) -> Opened:
        """Read the event at a position of the log."""
        length = {name: f"length(CAST({name} AS VARCHAR))" for name in ("data", "metadata")}
        columns = [name for name in COLUMNS if name not in length]
        cut = [f"left(CAST({name} AS VARCHAR), {PAYLOAD + 1})" for name in length]
        # Through the whole view: the payload as it is read there, and no other condition asked again.
        one = view.whole.narrowed(f"position = {position}", "").sql
        shown = ", ".join([*columns, *cut, *length.values()])
        *values, data, metadata, data_length, metadata_length = ask(
            view, f"SELECT {shown} FROM ({one})"
        )[0]
        found = dict(zip(columns, values, strict=True))
        payloads = {
            "data": laid_out(data, data_length),
            "metadata": laid_out(metadata, metadata_length),
        }
        return cls(found, {name: text for name, text in payloads.items() if text is not None})

    def with_causes(self, view: View) -> Opened:
        """Find what it comes from and led to: in a log of millions that takes longer than the event itself."""
        if self.columns["event_id"] is None:
            return self
        return replace(self, causes=causation(view.whole, self.columns["event_id"]))

    @property
    def title(self) -> str:
        """The event in a line."""
        version = "" if self.columns["version"] is None else f" v{self.columns['version']}"
        where = f"{self.columns['stream_id']}{version}, position {self.columns['position']:,}"
        return f"{self.columns['event_type']}: {where}"

    def html(self) -> str:
        """Write it as HTML, all of it escaped."""
        rows = [(name, _html.visible(value)) for name, value in self.columns.items()]
        payloads = "".join(
            f"{_html.note(name)}{_pre(html.escape(_lines(text)))}"
            for name, text in self.payloads.items()
        )
        parts = (
            f'<div style="flex:1 1 300px;min-width:0">{_html.facts(rows)}</div>'
            f'<div style="flex:1 1 360px;min-width:0">{payloads}</div>'
        )
        body = f'<div style="display:flex;flex-wrap:wrap;gap:4px 24px">{parts}</div>'
        return _html.card(self.title, body + self._causes())

    def text(self) -> str:
        """Write it as plain text."""
        payloads = [f"{name}: {_lines(text)}" for name, text in self.payloads.items()]
        tree = [] if self.causes is None else [self.causes.title, self.causes.tree(SHOWN)]
        return "\n".join([_html.line(self.title), *payloads, *tree])

    def _causes(self) -> str:
        if self.columns["event_id"] is None:
            return _html.note("it has no id, so what it caused cannot be told")
        if self.causes is None:
            return _html.note("looking for what it comes from and led to …")
        lines, _ = outline(self.causes, SHOWN)
        texts = [html.escape(text) for text in self.causes.tree(SHOWN).splitlines()]
        for index, line in enumerate(lines):
            if line.kind == "event" and line.row["position"] == self.columns["position"]:
                texts[index] = f"<b>{texts[index]}  ◂ this one</b>"
        told = f"What it comes from and led to: {self.causes._subtitle()}"
        notes = "".join(_html.note(line) for line in self.causes.notes)
        return _html.note(told) + _pre("\n".join(texts)) + notes


def laid_out(payload: str | None, length: int | None = None) -> str | None:
    """Lay a payload out over lines, every digit as it stands; a long one is cut, and says so.

    >>> print(laid_out('{"amount":1.10}'))
    {
      "amount": 1.10
    }
    """
    if payload is None:
        return None
    if len(payload) > PAYLOAD:
        return f"{payload[:PAYLOAD]}… ({length or len(payload):,} characters)"
    try:
        return msgspec.json.format(payload, indent=2)
    except (msgspec.DecodeError, RecursionError):
        return payload


def _lines(text: str) -> str:
    """Make control characters visible, and leave the lines."""
    return "\n".join(_html.visible(line, PAYLOAD * 2) for line in text.split("\n"))


def _pre(inside: str) -> str:
    return f'<pre tabindex="0" style="{_PRE}">{inside}</pre>'
