"""Wolverine: ``wolverine_dead_letters``. The body is a whole envelope in its binary form.

``received_at`` is the address of the listener, not a time. When a message was given up is not kept.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from workbench._sql import ident, text
from workbench.sources.dead_letters.expressions import Expr
from workbench.sources.dead_letters.table_format import Row, TableFormat, plain

_TABLE: Final = "wolverine_dead_letters"
_MOST: Final = 10_000  # headers of one envelope
_PAYLOAD: Final = "*payload"
_ATTEMPTS: Final = "*attempts"
_CORRELATION: Final = "*correlation-id"
_PROBLEM: Final = "*problem"


class EnvelopeError(ValueError):
    """A body is no envelope."""


def envelope(body: bytes) -> tuple[dict[str, str], bytes]:
    """Read an envelope as .NET's ``BinaryWriter`` wrote it: sent at, headers, data.

    Raises
    ------
    EnvelopeError
        It is none.
    """
    try:
        (count,) = struct.unpack_from("<i", body, 8)
        if not 0 <= count <= _MOST:
            message = f"{count} headers"
            raise EnvelopeError(message)
        at = 12
        headers: dict[str, str] = {}
        for _ in range(count):
            name, at = _string(body, at)
            headers[name], at = _string(body, at)
        (length,) = struct.unpack_from("<i", body, at)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise EnvelopeError(str(error)) from error
    if length != len(body) - at - 4:
        message = f"{length} bytes of data announced, {len(body) - at - 4} there"
        raise EnvelopeError(message)
    return headers, body[at + 4 :]


def _string(body: bytes, at: int) -> tuple[str, int]:
    length = shift = 0
    while True:
        byte = body[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
        if shift > 28:
            message = "a length of more than five bytes"
            raise EnvelopeError(message)
    if at + length > len(body):
        message = "a text is cut off"
        raise EnvelopeError(message)
    return body[at : at + length].decode(), at + length


def _prepare(rows: pa.Table) -> pa.Table:
    """Open the envelopes; a body that is JSON itself, as older releases wrote it, is the payload."""
    name = next(name for name in rows.column_names if plain(name) == "body")
    payloads: list[bytes | None] = []
    attempts: list[str | None] = []
    flows: list[str | None] = []
    problems: list[str | None] = []
    for body in rows[name].cast(pa.binary()).to_pylist():
        headers: dict[str, str] = {}
        payload, problem = body, None
        if body and body[:1] not in (b"{", b"["):
            try:
                headers, payload = envelope(body)
            except EnvelopeError as error:
                payload, problem = None, f"body is no envelope: {error}"
        payloads.append(payload)
        attempts.append(headers.get("attempts"))
        flows.append(headers.get("correlation-id"))
        problems.append(problem)
    made = {_PAYLOAD: pa.array(payloads, pa.binary())}
    made |= {
        column: pa.array(values, pa.string())
        for column, values in ((_ATTEMPTS, attempts), (_CORRELATION, flows), (_PROBLEM, problems))
    }
    for column, values in made.items():
        rows = rows.append_column(column, values)
    return rows


def _columns(row: Row) -> Mapping[str, Expr]:
    decoded = Expr(f"try(decode({ident(_PAYLOAD)}))").once()
    payload = decoded.then("CASE WHEN json_valid({}) THEN CAST({} AS JSON) END").once()
    return {
        "source_position": Expr(
            f"{text(_TABLE + '/')} || {row.word('id').sql} || "
            f"coalesce('/' || {row.word('received_at').sql}, '')"
        ),
        "origin_topic": row.word("received_at"),
        "origin_at": row.time("sent_at"),
        "event_id": row.word("id"),
        "event_type": row.word("message_type"),
        "correlation_id": Expr(ident(_CORRELATION)),
        "error_class": row.word("exception_type"),
        "error_message": row.word("exception_message"),
        "attempts": Expr(f"try_cast({ident(_ATTEMPTS)} AS BIGINT)"),
        "data": payload.or_say(Expr(ident(_PAYLOAD)), "'the message is not JSON'"),
        "raw": row.blob("body"),
        "headers": row.others(
            "body", "replayable", "exception_type", "exception_message",
            _PAYLOAD, _ATTEMPTS, _CORRELATION, _PROBLEM,
        ),
        "parse_error": Expr(ident(_PROBLEM)),
    }  # fmt: skip


WOLVERINE: Final = TableFormat(
    name="wolverine",
    table=_TABLE,
    needs=("id", "body", "message_type", "exception_type", "exception_message"),
    order=("sent_at", "id"),
    columns=_columns,
    prepare=_prepare,
)
