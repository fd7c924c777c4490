"""What the verbs print: tables and sentences for people, JSON for scripts, errors on stderr.

Payloads are hostile: nothing that stands in an event reaches the terminal as a control sequence or as markup.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import inspect
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

from workbench._html import plain, visible

if TYPE_CHECKING:
    from workbench.progress import Report

BROKEN_PIPE: Final = 141
"""What a shell reports of a program that wrote where nobody reads any more."""
_WIDE: Final = 1_000
"""Width of what is no terminal: there a table is as wide as its cells."""
_STYLES: Final = {
    **dict.fromkeys(("match", "ok", "complete"), "green"),
    **dict.fromkeys(("stale", "warn", "interrupted", "ahead"), "yellow"),
    **dict.fromkeys(("missing", "orphaned", "corrupted", "fail"), "red"),
}


def paragraphs(text: str | None) -> str:
    """Join the lines of each paragraph, so that a terminal breaks them where it ends."""
    blocks = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(_literal(" ".join(block.split())) for block in blocks)


def examples(*commands: str) -> str:
    """Write examples for the end of a help text; a line that begins with a space goes on the one before."""
    lines = [f"  {'' if line.startswith(' ') else '$ '}{_literal(line)}" for line in commands]
    return "\n".join(["[bold]Examples[/bold]", *lines])


def _literal(line: str) -> str:
    """Keep markup out of a line; rich's own escape() doubles a backslash at its end."""
    return line.replace("[", "\\[")


# -- for people ----------------------------------------------------------------------------------

_silent = ContextVar("silent", default=False)


@contextlib.contextmanager
def silent(when: bool) -> Iterator[None]:
    """Print nothing for people inside this block: a JSON document follows."""
    token = _silent.set(when)
    try:
        yield
    finally:
        _silent.reset(token)


def say(sentence: str = "", *, style: str = "") -> None:
    """Print a line on stdout."""
    _print(Text(_tame(sentence), style=style))


def say_verbatim(text: str) -> None:
    """Print text of ours on stdout as it is, over several lines."""
    with _to_a_reader():
        sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()


def heading(sentence: str) -> None:
    """Print the title of what follows."""
    say()
    say(sentence, style="bold")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout; numbers stand to the right, and no cell is interpreted."""
    cells = [list(row) for row in rows]
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    for index, name in enumerate(columns):
        values = [row[index] for row in cells if row[index] is not None]
        numeric = bool(values) and all(
            isinstance(value, int | float | Decimal) and not isinstance(value, bool)
            for value in values
        )
        shown.add_column(Text(visible(name)), justify="right" if numeric else "left")
    for row in cells:
        shown.add_row(*map(_cell, row))
    _print(shown)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values below each other."""
    shown = RichTable(box=None, pad_edge=False, show_header=False)
    shown.add_column(style="dim")
    shown.add_column()
    for name, value in pairs:
        shown.add_row(Text(name), Text(visible(value, limit=2_000)))
    _print(shown)


def notes(sentences: Iterable[str]) -> None:
    """Print what a reader has to know about the rows above."""
    for sentence in sentences:
        say(f"  {sentence}", style="dim")


def concern(sentence: str) -> None:
    """Print what should not be overlooked; the sign says so where colours do not."""
    say(f"! {sentence}", style="yellow")


def error(message: str) -> None:
    """Print an error on stderr; the lines after the first say the next step."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    first, *rest = message.splitlines() or [""]
    text = Text.assemble(("error: ", "bold red"), _tame(first))
    for line in rest:
        text.append("\n" + _tame(line))
    with contextlib.suppress(BrokenPipeError):
        console.print(text)


@contextlib.contextmanager
def progress(title: str, *, unit: str = "events") -> Iterator[Report | None]:
    """Yield a function to call with (done, about how many); a bar on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(visible(title)), total=None)

        def report(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=None if total is None else max(done, total))

        yield report


def _cell(value: object) -> Text:
    if isinstance(value, list):
        return Text(", ".join(visible(item) for item in value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Text(f"{value:,}")
    if value is None:
        return Text("NULL", style="dim")
    shown = visible(value)
    return Text(shown, style=_STYLES.get(shown, ""))


def _tame(sentence: str) -> str:
    return visible(sentence, limit=4_000)


def _print(renderable: object) -> None:
    if _silent.get():
        return
    console = Console(highlight=False, soft_wrap=isinstance(renderable, Text))
    if not console.is_terminal:
        console.width = _WIDE
    with _to_a_reader():
        console.print(renderable)
        sys.stdout.flush()


@contextlib.contextmanager
def _to_a_reader() -> Iterator[None]:
    """End quietly when nobody reads any more, as ``| head`` does."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes stdout once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None


# -- for scripts ---------------------------------------------------------------------------------


def document(value: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout, the only thing there."""
    with _to_a_reader():
        sys.stdout.write(to_json(value) + "\n")
        sys.stdout.flush()


def to_json(value: object) -> str:
    """Write JSON: decimals as text, so that no reader rounds them; times in UTC; durations in seconds.

    >>> to_json({"balance": Decimal("10.50"), "at": dt.datetime(2026, 6, 30, 14, 2, tzinfo=dt.UTC)})
    '{"balance": "10.50", "at": "2026-06-30T14:02:00Z"}'
    """
    return json.dumps(_exact(value), ensure_ascii=False, allow_nan=False)


def _exact(value: object) -> object:
    match value:
        case Mapping():
            return {str(name): _exact(item) for name, item in value.items()}
        case list() | tuple():
            return [_exact(item) for item in value]
        case Decimal():
            return plain(value)
        case dt.datetime():
            if value.tzinfo is not None:
                value = value.astimezone(dt.UTC)
            return value.isoformat().replace("+00:00", "Z")
        case dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case float() if not math.isfinite(value):
            return str(value)
        case bytes():
            return value.hex()
        case Path():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
