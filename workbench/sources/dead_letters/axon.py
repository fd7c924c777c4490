"""Axon Framework 4: ``dead_letter_entry`` (JPA) and ``DeadLetterEntry`` (JDBC).

Axon parks whole sequences: the first row of one failed, and those behind it wait. A row that was tried again and
failed again has another ``lastTouched``, and is another dead letter. In its metadata ``traceId`` is the flow and
``correlationId`` the direct cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workbench._sql import text
from workbench.sources.dead_letters.expressions import Expr, all_of
from workbench.sources.dead_letters.table_format import Row, TableFormat

_TABLE: Final = "dead_letter_entry"
#: What the queue itself changes while it works; not part of what was received.
_STATE: Final = ("processingStarted", "lastTouched", "diagnostics")


def _columns(row: Row) -> Mapping[str, Expr]:
    id = row.word("deadLetterId", "deadLetterIdentifier")
    enqueued, touched = row.time("enqueuedAt"), row.time("lastTouched")
    again = (
        f"CASE WHEN {touched.sql} > {enqueued.sql} THEN '@' || epoch_us({touched.sql}) ELSE '' END"
    )
    metadata = row.json("metaData")
    payload = row.json("payload").or_say(row.blob("payload"), "'payload is not JSON'")

    def flow(key: str) -> Expr:
        return metadata.then(f"try(json_extract_string({{}}, {text(f'$.{key}')}))")

    return {
        "source_position": all_of(
            f"{text(_TABLE + '/')} || {id.sql} || coalesce({again}, '')", enqueued, touched
        ),
        "dead_lettered_at": enqueued,
        "origin_at": row.time("timeStamp"),
        "consumer": row.word("processingGroup"),
        "event_id": row.word("eventIdentifier"),
        "event_type": row.word("payloadType"),
        "stream_id": row.word("aggregateIdentifier"),
        "version": row.whole("sequenceNumber"),
        "correlation_id": flow("traceId"),
        "causation_id": flow("correlationId"),
        "error_class": row.word("causeType"),
        "error_message": row.word("causeMessage"),
        "sequence_id": row.word("sequenceIdentifier", "sequence"),
        "sequence_index": row.whole("sequenceIndex", "index"),
        "data": payload.then("CAST({} AS JSON)"),
        "raw": row.blob("payload"),
        "headers": row.others("payload", "causeType", "causeMessage", *_STATE),
    }


AXON: Final = TableFormat(
    name="axon",
    table=_TABLE,
    needs=("processingGroup", "eventIdentifier", "payloadType", "payload", "enqueuedAt"),
    order=(
        "enqueuedAt",
        "processingGroup",
        "sequenceIdentifier",
        "sequence",
        "sequenceIndex",
        "index",
    ),
    columns=_columns,
)
