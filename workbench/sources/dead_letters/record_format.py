"""What an adapter says of a format whose dead letters are messages: how to know one, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from workbench._sql import ident
from workbench.sources.dead_letters.expressions import Expr

#: Columns of a batch of messages, beside the headers that are asked for and those of the event's envelope.
FORMAT: Final = "*format"
TIMESTAMP: Final = "*timestamp"
APPENDED: Final = "*appended"
TEXT: Final = "*text"

#: The record's own time; where a broker stamped it; where its producer did, as is usual.
RECORD_TIME: Final = Expr(ident(TIMESTAMP))
APPEND_TIME: Final = Expr(f"CASE WHEN {ident(APPENDED)} THEN {ident(TIMESTAMP)} END")
CREATE_TIME: Final = Expr(
    f"CASE WHEN NOT coalesce({ident(APPENDED)}, false) THEN {ident(TIMESTAMP)} END"
)


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """A format of dead letters that are messages.

    Attributes
    ----------
    name
        As it stands in ``format``.
    marks
        Headers of which a dead letter of this format has at least one.
    columns
        Column of ``dead_letters`` -> how it is read. What is not named is read from the event where that
        can be (``event_id``, ``data`` …), or unknown.
    event
        Where the event stands in the message: the ``value`` as a whole; the member ``originalEvent``; the
        member ``message`` of an envelope; or the value as the bare payload, without an envelope.
    keeps_source_time
        The message carries the time of the message that was given up, not its own.
    """

    name: str
    marks: tuple[str, ...]
    columns: Mapping[str, Expr]
    event: Literal["value", "originalEvent", "message", "payload"] = "value"
    keeps_source_time: bool = False
    members: tuple[str, ...] = field(default=())


def member(name: str) -> str:
    """Name the column that holds a member of the message, cut out as it stands."""
    return f"*member {name}"
