"""One dead letter as HTML: its error, what it carried, and what became of its stream; and a plan to send it again."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any, Final

from workbench import _html
from workbench._sql import text as sql_text
from workbench.analysis.dead_letters import DeadLetters
from workbench.analysis.dead_letters.base import LETTERS
from workbench.analysis.dead_letters.groups import counted
from workbench.errors import ConfigError
from workbench.store.view import EVENTS
from workbench.ui.explorer import PAGE
from workbench.ui.opened import PAYLOAD, laid_out
from workbench.ui.parts import heading, in_code, preformatted, scrolled, told

if TYPE_CHECKING:
    from workbench.analysis.redrive.plan import RedrivePlan

STACK: Final = 6_000
"""Characters of a stack that are shown."""
_MESSAGE: Final = 1_000
_HEADERS: Final = 50
_BYTES: Final = 2_000
"""So much is read of a header, and of a message that has no payload."""

ROLES: Final = {
    "root": "failed by itself",
    "blocked": "waits in a parked sequence, and was never tried",
    "follower": "behind an earlier dead letter of its stream and consumer",
}

_RECEIVED: Final = ("stack", "stack_length", "data", "data_length", "raw", "raw_length", "headers")  # fmt: skip


def letter(letters: DeadLetters, dead_letter_id: int) -> dict[str, Any]:
    """Return one dead letter with what was received of it, each cut to what is shown.

    Raises
    ------
    ConfigError
        There is no such dead letter.
    """
    found = letters.query(f"FROM result WHERE dead_letter_id = {int(dead_letter_id)}").rows(1)
    if not found:
        message = f"there is no dead letter {dead_letter_id} here."
        raise ConfigError(message, hint="the column dead_letter_id lists them")
    received = letters._database.rows(
        f"SELECT left(error_stack, {STACK + 1}), length(error_stack), left(CAST(data AS VARCHAR), {PAYLOAD + 1}), "
        f"length(CAST(data AS VARCHAR)), raw[:{_BYTES}], octet_length(raw), "
        f"list_transform(headers[:{_HEADERS + 1}], lambda one: {{name: left(one.name, {_BYTES}), value: one.value[:{_BYTES}]}}) "
        f"FROM {LETTERS} WHERE dead_letter_id = {int(dead_letter_id)}"
    )
    return found[0] | dict(zip(_RECEIVED, received[0], strict=True))


def html(letters: DeadLetters, one: dict[str, Any], name: str) -> str:
    """Write a dead letter."""
    number = one["dead_letter_id"]
    message = _cut(one["error_message"] or "", _MESSAGE)
    title = f"Dead letter {number}: {_html.visible(one['error_class'] or 'tells no error')}"
    parts = [heading(title)]
    if message:
        parts.append(f'<div style="{_INK}">{_html.escape_text(message)}</div>')
    parts.append(_html.facts(_facts(one)))
    if one["stack"]:
        parts.append(heading("Stack"))
        parts.append(preformatted(one["stack"], STACK, "stack", one["stack_length"]))
    parts.append(heading("Payload"))
    parts.append(preformatted(_payload(one), 3 * PAYLOAD, "payload"))
    parts += [_headers(one["headers"]), _stream(letters, one)]
    parts.append(
        in_code(
            f'{name}.messages().query("FROM result WHERE dead_letter_id = {number}")',
            *(
                [f"{name}.where(stream={one['stream_id']!r}).streams()"]
                if one["stream_id"] is not None
                else []
            ),
        )
    )
    return "".join(parts)


def text(one: dict[str, Any]) -> str:
    """Write the same in short, as plain text."""
    lines = [f"Dead letter {one['dead_letter_id']}: {one['error_class']}: {one['error_message']}"]
    lines += [f"  {name:<12} {said}" for name, said in _facts(one)]
    return "\n".join(map(_html.line, lines))


_INK: Final = "color:var(--jp-ui-font-color1,#212121)"


def _facts(one: dict[str, Any]) -> list[tuple[str, str]]:
    event = [
        one["event_type"] and _html.visible(one["event_type"]),
        one["stream_id"] and f"of {_html.visible(one['stream_id'])}",
        one["version"] is not None and f"version {one['version']:,}",
        f"position {one['position']:,}" if one["position"] is not None else "not in this log",
    ]
    origin = [one["origin_topic"], one["origin_partition"], one["origin_offset"]]
    untold = "not told"
    tried = [
        untold if one["attempts"] is None else f"tried {counted(one['attempts'], 'time')}",
        one["redrives"] and f"re-driven {counted(one['redrives'], 'time')} before",
    ]
    when = one["dead_lettered_at"]
    found = [
        ("consumer", _html.visible(one["consumer"]) if one["consumer"] else untold),
        ("event", ", ".join(part for part in event if part)),
        ("given up", untold if when is None else _html.visible(when)),
        ("attempts", ", ".join(part for part in tried if part)),
        ("role", f"{one['role']}: {ROLES[one['role']]}"),
        (
            "read from",
            "/".join(_html.visible(part) for part in origin if part is not None) or untold,
        ),
        ("format", _html.visible(one["format"]) if one["format"] else "not recognised"),
        ("stands in", _html.visible(one["source_position"])),
        ("unreadable", one["parse_error"] and _html.visible(one["parse_error"])),
    ]
    return [(name, said) for name, said in found if said]


def _payload(one: dict[str, Any]) -> str:
    text = laid_out(one["data"], one["data_length"])
    if text is not None:
        return text
    if one["raw"] is None:
        return "(no value)"
    shown = _decoded(one["raw"])
    return f"(not readable as a payload; {counted(one['raw_length'], 'byte')} as received)\n{shown}"


def _headers(headers: list[dict[str, Any]] | None) -> str:
    if not headers:
        return _html.note("no headers")
    rows = [
        [one["name"], None if one["value"] is None else _decoded(one["value"])]
        for one in headers[:_HEADERS]
    ]
    more = _html.note(f"the first {_HEADERS}") if len(headers) > _HEADERS else ""
    number = f"{_HEADERS} and more" if more else str(len(rows))
    return (
        f'<details style="margin:6px 0"><summary style="font-weight:600;{_INK}">Headers ({number})</summary>'
        f"{scrolled(_html.table(['name', 'value'], rows))}{more}</details>"
    )


def _decoded(value: bytes) -> str:
    """Write bytes as text where they are; otherwise as hexadecimal digits."""
    decoder = codecs.getincrementaldecoder("utf-8")()  # the last character may have been cut
    try:
        shown = decoder.decode(value)
    except UnicodeDecodeError:
        return f"0x{value[:200].hex()}"
    # A number in big-endian bytes is UTF-8, too, but no text.
    is_text = all(char.isprintable() or char in "\n\r\t" for char in shown)
    return shown if is_text else f"0x{value[:200].hex()}"


def _cut(value: str, most: int) -> str:
    return value if len(value) <= most else f"{value[:most]}… ({len(value):,} characters)"


def _stream(letters: DeadLetters, one: dict[str, Any]) -> str:
    """Say what was given up of the stream, and what was processed of it since."""
    stream = one["stream_id"]
    if stream is None:
        return heading("Its stream is unknown")
    streams = letters.where(stream=stream).streams()
    (row,) = streams.rows()
    processed = row["later_events"]
    said = [
        f"{counted(row['dead_letters'], 'dead letter')} of {counted(row['given_up'], 'event')}; "
        f"{row['roots']:,} failed by {'itself' if row['roots'] == 1 else 'themselves'}",
        "it is not known what was processed since: the log does not have the event"
        if processed is None
        else f"{counted(processed, 'event')} processed since the first one that was given up",
    ]
    parts = [heading(f"Stream {_html.visible(stream)}"), *map(_html.note, said)]
    if one["position"] is not None:
        parts.append(_later(letters, one))
    return "".join([*parts, *map(_html.note, streams.notes)])


def _later(letters: DeadLetters, one: dict[str, Any]) -> str:
    behind = (
        f"position > {one['position']}" if one["version"] is None else f"version > {one['version']}"
    )
    rows = letters._database.rows(
        f"SELECT position IN (SELECT position FROM {letters._stored} WHERE stream_id = {sql_text(one['stream_id'])}), "
        f"version, position, event_type, coalesce(recorded_at, occurred_at) FROM {EVENTS} "
        f"WHERE stream_id = {sql_text(one['stream_id'])} AND {behind} ORDER BY version, position LIMIT {PAGE + 1}"
    )
    if not rows:
        return _html.note("nothing came behind this one")
    shown = [["given up" if row[0] else "processed", *row[1:]] for row in rows[:PAGE]]
    names = ["", "version", "position", "event type", "at (UTC)"]
    more = _html.note(f"the first {PAGE} behind this one") if len(rows) > PAGE else ""
    return scrolled(_html.table(names, shown, numeric=[False, True, True])) + more


def plan_html(plan: RedrivePlan) -> str:
    """Write a plan of a re-drive, a page of it at most."""
    names = [
        *("n", "dead_letter_id", "event_type", "stream_id", "version", "verdict", "why"),
        *("later_events", "to_topic", "state", "because"),
    ]
    rows = [[row[name] for name in names] for row in plan.rows(PAGE)]
    count = len(plan)
    left = [f"{PAGE} of {count:,} events are shown"] if count > PAGE else []
    body = "".join(map(_html.note, plan.said()))
    if rows:
        labels = [name.replace("_", " ") for name in names]
        body += scrolled(told(labels, rows, ["n", "dead letter id", "version", "later events"]))
    body += "".join(map(_html.note, [*left, *plan.notes]))
    return _html.card(plan.title, body, subtitle="a dry run: nothing was sent")
