"""How a step looks: the event on the left, the row before and after it on the right; and the same as text."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Final, TypeGuard

from workbench import _html
from workbench.analysis.definition import Definition, columns_of
from workbench.projections.engines.python_fold import DIGITS
from workbench.ui.opened import laid_out
from workbench.ui.time_travel_steps import Row, Step

_INK: Final = "color:var(--jp-ui-font-color1,#212121)"
_QUIET: Final = "color:var(--jp-ui-font-color2,#616161)"
_LINE: Final = "1px solid var(--jp-border-color2,#e0e0e0)"
_FONT: Final = (
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.5"
)
_MONO: Final = "font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.45"
_CHANGED: Final = "font-weight:600;background:rgba(230,159,0,0.18)"
"""Seen through, so that it reads on a light page and on a dark one."""

_ADDED: Final = ("version", "position", "events")
"""What a replay adds to a row: nearly every event changes them, so they are no news."""

LINES: Final = 400
"""So many lines are shown of a payload."""

_NAMES: Final = {
    "schema_version": "payload version",
    "recorded_at": "recorded",
    "occurred_at": "occurred",
    "correlation_id": "correlation",
    "causation_id": "cause",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One field of a row, before and after; ``change`` is empty where nothing changed."""

    field: str
    before: object
    after: object
    change: str


def changes(definition: Definition, step: Step) -> list[Line]:
    """Return the definition's columns before and after a step, in their order."""
    before, after = step.before or {}, step.after or {}
    names = columns_of(definition, list(dict.fromkeys([*before, *after])))
    return [Line(name, *_pair(before, after, name), _change(step, name)) for name in names]


def head_line(step: Step) -> str:
    """Say in a line which event it is."""
    event = step.event
    time = event["recorded_at"] or event["occurred_at"]
    version = "" if event["version"] is None else f"version {event['version']:,}"
    parts = [
        *(event["event_type"], event["stream_id"], version, f"position {event['position']:,}"),
        _html.visible(time) if time else "",
    ]
    return " · ".join(part for part in parts if part)


def body(definition: Definition, step: Step, counted: str) -> str:
    """Write a step as HTML; ``counted`` says how many rows there are."""
    return (
        f'<div style="{_FONT};{_INK}">'
        f'<div role="status" style="margin:2px 0 8px 0">{_html.escape_text(head_line(step))}</div>'
        '<div style="display:flex;flex-wrap:wrap;gap:8px 32px;align-items:flex-start">'
        f'<div style="flex:1 1 280px;min-width:0">{_event(step.event)}</div>'
        # The wider one: two times stand beside each other there, each on one line.
        f'<div style="flex:2 1 520px;min-width:0">{_state(definition, step)}'
        f"{_html.note(counted) if counted else ''}</div></div></div>"
    )


def text(definition: Definition, step: Step, counted: str) -> str:
    """Write the same as plain text."""
    parts = [_html.line(head_line(step))]
    remark = _remark(definition, step)
    parts += [_html.line(remark)] if remark else []
    if step.before or step.after:
        rows = [(line.field, line.before, line.after, line.change) for line in changes(definition, step)]  # fmt: skip
        parts.append(_html.text_table(["field", "before", "after", "change"], rows))
        parts.append(_bookkeeping(step))
    parts += [counted] if counted else []
    return "\n".join([*parts, "", _payload(step.event)])


# -- the event -----------------------------------------------------------------------------------


def _event(event: Mapping[str, Any]) -> str:
    known = [
        (_NAMES.get(name, name), _html.visible(value))
        for name, value in event.items()
        if value is not None and name in (*_NAMES, "actor")
    ]
    payload = html.escape(_payload(event), quote=True)
    return (
        f'<div style="font-weight:600">the event</div>{_html.facts(known)}'
        f'<pre tabindex="0" aria-label="payload" style="{_MONO};{_INK};background:none;margin:4px 0;'
        f"padding:6px 0 6px 10px;border-left:2px solid var(--jp-border-color2,#e0e0e0);"
        f'max-height:340px;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere">{payload}</pre>'
    )


def _payload(event: Mapping[str, Any]) -> str:
    text = laid_out(event["data"], event["data_length"]) or "(no payload)"
    lines = text.split("\n")
    more = [f"… ({len(lines):,} lines)"] if len(lines) > LINES else []
    return "\n".join([*(_html.visible(line, limit=len(text)) for line in lines[:LINES]), *more])


# -- the row -------------------------------------------------------------------------------------


def _state(definition: Definition, step: Step) -> str:
    heading = f'<div style="font-weight:600">{_html.escape_text(_row_name(definition, step))}</div>'
    if step.error is not None:
        told = "<br>".join(_html.escape_text(line.strip()) for line in str(step.error).splitlines())
        colour = "color:var(--jp-error-color1,#b91c1c)"
        return f'{heading}<div role="alert" style="{colour}">✗ {told}</div>'
    remark = _remark(definition, step)
    said = _html.note(remark) if remark else ""
    if step.before is None and step.after is None:
        return heading + said
    rows = "".join(map(_row, changes(definition, step)))
    names = ("field", "before", "after", "change")
    head = "".join(
        f'<th scope="col" style="{_CELL};border-bottom:{_LINE};{_QUIET};font-weight:500">{name}</th>'
        for name in names
    )
    return (
        f'{heading}{said}<table style="border-collapse:collapse;margin:4px 0;{_INK};background:none">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{_html.note(_bookkeeping(step))}"
    )


_CELL: Final = "padding:2px 14px 2px 6px;text-align:left;vertical-align:top"


def _row(line: Line) -> str:
    mark = _CHANGED if line.change else ""
    one_line = any(isinstance(value, dt.datetime) for value in (line.before, line.after))
    wrap = "white-space:nowrap" if one_line else "overflow-wrap:anywhere"
    cell = f"{_CELL};{wrap};font-variant-numeric:tabular-nums"
    values = "".join(
        # On the mark's ground the quiet colour would be too faint.
        f'<td style="{cell};{style}">{_html.escape(value) if style else _value(value)}</td>'
        for value, style in ((line.before, ""), (line.after, mark))
    )
    return (
        f'<tr><th scope="row" style="{_CELL};{_INK};font-weight:400;white-space:nowrap">{_html.escape(line.field)}</th>'
        f'{values}<td style="{_CELL};white-space:nowrap">{_html.escape_text(line.change)}</td></tr>'
    )


def _value(value: object) -> str:
    if value is _NO_ROW:
        return f'<span style="{_QUIET}">no row</span>'
    shown = _html.escape(value)
    return f'<span style="{_QUIET}">NULL</span>' if shown == "NULL" else shown


class _NoRow:
    def __str__(self) -> str:
        return "no row"


_NO_ROW: Final = _NoRow()


def _pair(before: Row, after: Row, name: str) -> tuple[object, object]:
    return (
        before.get(name) if before else _NO_ROW,
        after.get(name) if after else _NO_ROW,
    )


def _change(step: Step, name: str) -> str:
    if step.before is None or step.after is None:
        return "new" if step.before is None else "gone"
    before, after = step.before.get(name), step.after.get(name)
    if _same(before, after):
        return ""
    if _is_number(before) and _is_number(after):
        difference: int | Decimal
        with localcontext(prec=DIGITS):
            difference = after - before
        return ("+" if difference > 0 else "") + _html.visible(difference)
    return "changed"


def _same(before: object, after: object) -> bool:
    return before == after or (before != before and after != after)


def _is_number(value: object) -> TypeGuard[int | Decimal]:
    if isinstance(value, Decimal):
        return value.is_finite()
    return isinstance(value, int) and not isinstance(value, bool)


def _row_name(definition: Definition, step: Step) -> str:
    if step.key is None:
        return definition.name
    named = ", ".join(f"{name} {_html.visible(value)}" for name, value in step.key.items())
    return f"{definition.name}, {named}"


def _remark(definition: Definition, step: Step) -> str:
    """Say what the columns do not: that there is no row, or that the event changes nothing and why."""
    if step.error is not None:
        return f"The row after this event is not known: {step.error}"
    if step.why_not:
        return f"No change: {step.why_not}." + ("" if step.after else " There is no row here.")
    if step.before is None and step.after is None:
        return f"No change: {step.event['event_type']} ends the row, and there is none."
    if step.before is None:
        return f"{step.event['event_type']} brings the row into being."
    if step.after is None:
        return f"{step.event['event_type']} ends the row."
    if not any(line.change for line in changes(definition, step)):
        return "No column changes."
    return ""


def _bookkeeping(step: Step) -> str:
    before, after = step.before or {}, step.after or {}
    parts = []
    for name in _ADDED:
        values = [
            f"{value:,}" if isinstance(value := row.get(name), int) else _html.visible(value)
            for row in (before, after)
            if row
        ]
        parts.append(f"{name} {' → '.join(dict.fromkeys(values))}")
    return " · ".join(parts)
