"""NServiceBus: the headers of its error queue; the body is the message itself.

``ConversationId`` is the flow and ``RelatedTo`` the direct cause; ``CorrelationId`` only pairs requests with
replies. Each delayed retry goes through the immediate ones again.
"""

from __future__ import annotations

from typing import Final

from workbench.sources.dead_letters.expressions import Expr, all_of, time, total, whole, word
from workbench.sources.dead_letters.record_format import RecordFormat

_PREFIX: Final = "NServiceBus."
_INFO: Final = f"{_PREFIX}ExceptionInfo."


def _stamp(name: str) -> Expr:
    """Read a time as it writes them: ``2026-06-30 14:02:11:123456 Z``."""
    iso = (
        word(name)
        .then(r"regexp_replace({}, '^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d):(\d{1,6}) Z$', '\1.\2Z')")
        .once()
    )
    return time(iso, f"header {name}")


_IMMEDIATE: Final = whole(f"{_PREFIX}FLRetries")
_DELAYED: Final = whole(f"{_PREFIX}Retries")

NSERVICEBUS: Final = RecordFormat(
    name="nservicebus",
    marks=(f"{_PREFIX}FailedQ", f"{_INFO}ExceptionType", f"{_PREFIX}TimeOfFailure"),
    columns={
        "dead_lettered_at": _stamp(f"{_PREFIX}TimeOfFailure"),
        "origin_topic": word(f"{_PREFIX}FailedQ"),
        "origin_at": _stamp(f"{_PREFIX}TimeSent"),
        "consumer": word(f"{_PREFIX}ProcessingEndpoint"),
        "event_id": word(f"{_PREFIX}MessageId"),
        # Full names of .NET types, the most derived first: 'Shop.OrderPlaced, Shop, Version=…; …'.
        "event_type": word(f"{_PREFIX}EnclosedMessageTypes").then(
            "nullif(trim(regexp_extract({}, '^[^,;]+')), '')"
        ),
        "correlation_id": word(f"{_PREFIX}ConversationId"),
        "causation_id": word(f"{_PREFIX}RelatedTo"),
        "error_class": word(f"{_INFO}ExceptionType"),
        "error_message": word(f"{_INFO}Message"),
        "error_stack": word(f"{_INFO}StackTrace"),
        "attempts": all_of(
            f"CASE WHEN {_IMMEDIATE.sql} IS NOT NULL OR {_DELAYED.sql} IS NOT NULL THEN "
            f"{total(f'coalesce({_IMMEDIATE.sql}, 0)', f'coalesce({_DELAYED.sql}, 0)')} END",
            _IMMEDIATE,
            _DELAYED,
        ),
    },
    event="payload",
)
