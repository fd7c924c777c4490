"""MassTransit: the headers of an ``_error`` queue; the body is an envelope with the message in it.

``ConversationId`` is the flow. ``InitiatorId`` holds the parent's *correlation* id, not its message id, so the
direct cause is unknown. Each redelivery goes through the retries again.
"""

from __future__ import annotations

from typing import Final

from workbench._sql import ident, json_path, text
from workbench.sources.dead_letters.expressions import (
    Expr,
    all_of,
    first_of,
    time,
    total,
    whole,
    word,
)
from workbench.sources.dead_letters.record_format import TEXT, RecordFormat

_PREFIX: Final = "MT-Fault-"


def _envelope(*keys: str) -> Expr:
    path = json_path(".".join(keys))
    return Expr(f"try(json_extract_string({ident(TEXT)}, {text(path)}))").once()


_RETRIES: Final = whole(f"{_PREFIX}RetryCount")
_REDELIVERIES: Final = whole(f"{_PREFIX}RedeliveryCount")
_TYPES: Final = "urn:message:"

MASSTRANSIT: Final = RecordFormat(
    name="masstransit",
    marks=tuple(
        f"{_PREFIX}{name}" for name in ("ExceptionType", "Message", "Timestamp", "InputAddress")
    ),
    columns={
        "dead_lettered_at": time(word(f"{_PREFIX}Timestamp"), f"header {_PREFIX}Timestamp"),
        "origin_topic": word(f"{_PREFIX}InputAddress"),
        "origin_at": time(_envelope("sentTime"), "sentTime"),
        "consumer": word(f"{_PREFIX}ConsumerType"),
        "event_id": first_of(_envelope("messageId"), word("MessageId")),
        # 'urn:message:Shop:OrderPlaced': the namespace and the name of a type; the first is the message's own.
        "event_type": first_of(
            Expr(f"try(json_extract_string({ident(TEXT)}, '$.messageType[0]'))"),
            word("MT-MessageType").then("split_part({}, ';', 1)"),
            word(f"{_PREFIX}MessageType"),
        ).then(f"replace(regexp_replace({{}}, '^{_TYPES}', ''), ':', '.')"),
        "correlation_id": first_of(_envelope("conversationId"), word("ConversationId")),
        "error_class": word(f"{_PREFIX}ExceptionType"),
        "error_message": word(f"{_PREFIX}Message"),
        "error_stack": word(f"{_PREFIX}StackTrace"),
        "attempts": all_of(
            total(_RETRIES.sql, f"coalesce({_REDELIVERIES.sql}, 0)"), _RETRIES, _REDELIVERIES
        ),
    },
    event="message",
)
